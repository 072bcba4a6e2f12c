"""The simulated VPC for tests of other programs: regions, VPCs and instances as Python objects.

`pileus.pytest_plugin` makes fixtures of them. What has no method here is done by boto3, with
`Region.ec2` or a client of one's own.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from pileus.api import sim as api
from pileus.model.status import SimEndpoint
from pileus.system import process
from pileus.system.process import Done
from pileus.system.progress import progress

NETWORK, SUBNET = "10.0.0.0/16", "10.0.1.0/24"
TYPE = "t3.micro"
TIMEOUT = 60.0
"""Seconds that a program on a machine may take."""


@dataclass(frozen=True)
class Region:
    """A simulated region that runs."""

    endpoint: SimEndpoint
    ec2: Any
    """A boto3 client for EC2."""

    @property
    def name(self) -> str:
        return self.endpoint.name

    def client(self, service: str) -> Any:
        """A boto3 client: for `ec2`, `sts` or `service-quotas`."""
        key, secret = self.endpoint.keys
        connect: Any = boto3.client  # the stubs know services by their names as literals only
        return connect(
            service,
            endpoint_url=self.endpoint.url,
            region_name=self.endpoint.region,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(proxies={}),
        )

    def run(self, host: str, *argv: str, check: bool = True, timeout: float = TIMEOUT) -> Done:
        """Run a program on an instance, by its id, or on the host `internet`.

        Raises CommandFailed where it fails, unless `check` is false, or takes too long.
        """
        command = api.sim_exec(self.name, host, list(argv))
        return process.run(command, check=check, timeout=timeout)


@contextmanager
def region(name: str) -> Iterator[Region]:
    """A region of one's own while the body runs. Needs root; takes some two seconds."""
    silent = progress(io.StringIO())
    endpoint = api.sim_up(name, api.SimOptions(), silent)
    try:
        made = Region(endpoint, None)
        yield Region(endpoint, made.client("ec2"))
    finally:
        api.sim_down(name, silent)


@dataclass(frozen=True)
class Internet:
    """The internet of a region, and a client host in it."""

    region: Region

    def run(self, *argv: str, check: bool = True, timeout: float = TIMEOUT) -> Done:
        """Run a program on the client host."""
        return self.region.run("internet", *argv, check=check, timeout=timeout)


@dataclass(frozen=True)
class Instance:
    """An instance, and what its first NIC is to the cloud."""

    region: Region
    id: str

    def run(self, *argv: str, check: bool = True, timeout: float = TIMEOUT) -> Done:
        """Run a program on it."""
        return self.region.run(self.id, *argv, check=check, timeout=timeout)

    def describe(self) -> Any:
        """What DescribeInstances says of it."""
        found = self.region.ec2.describe_instances(InstanceIds=[self.id])
        return found["Reservations"][0]["Instances"][0]

    @property
    def state(self) -> str:
        return str(self.describe()["State"]["Name"])

    @property
    def address(self) -> str:
        """Its primary private address."""
        return str(self.describe()["PrivateIpAddress"])

    @property
    def public_address(self) -> str | None:
        found: str | None = self.describe().get("PublicIpAddress")
        return found

    @property
    def eni(self) -> str:
        """The id of its first network interface."""
        nics = self.describe()["NetworkInterfaces"]
        (first,) = [nic for nic in nics if nic["Attachment"]["DeviceIndex"] == 0]
        return str(first["NetworkInterfaceId"])

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many of its frames and packets the wire has dropped, by code, zeros left out."""
        sums: dict[str, int] = {}
        for nic in api.sim_wire(self.region.name).nics:
            if nic.instance == self.id:
                for code, count in nic.dropped.items():
                    sums[str(code.value)] = sums.get(str(code.value), 0) + count
        return {code: count for code, count in sums.items() if count}


@dataclass(frozen=True)
class Vpc:
    """A VPC with one subnet, an internet gateway, and a security group that lets everything in
    from the VPC itself and nothing from elsewhere."""

    region: Region
    id: str
    subnet: str
    group: str
    _elastic: list[str] = field(default_factory=list)

    def launch(self, count: int = 1, **parameters: Any) -> list[Instance]:
        """Launch thin instances; `parameters` are those of RunInstances."""
        ec2 = self.region.ec2
        wanted: dict[str, Any] = {"ImageId": thin_image(ec2), "InstanceType": TYPE}
        if "NetworkInterfaces" not in parameters:
            wanted |= {"SubnetId": self.subnet, "SecurityGroupIds": [self.group]}
        made = ec2.run_instances(MinCount=count, MaxCount=count, **wanted | parameters)
        return [Instance(self.region, one["InstanceId"]) for one in made["Instances"]]

    def allow(self, protocol: str, port: int, network: str = "0.0.0.0/0") -> None:
        """Let a port of TCP or UDP in through the security group, from a network."""
        permission = {"IpProtocol": protocol, "FromPort": port, "ToPort": port}
        self.region.ec2.authorize_security_group_ingress(
            GroupId=self.group,
            IpPermissions=[{**permission, "IpRanges": [{"CidrIp": network}]}],
        )

    def elastic_ip(self, instance: Instance) -> str:
        """Give an instance an Elastic IP; it is released with the VPC."""
        made = self.region.ec2.allocate_address(Domain="vpc")
        self._elastic.append(made["AllocationId"])
        self.region.ec2.associate_address(
            AllocationId=made["AllocationId"], NetworkInterfaceId=instance.eni
        )
        return str(made["PublicIp"])


def thin_image(ec2: Any) -> str:
    """The id of the image whose instances are thin."""
    (image,) = ec2.describe_images(Owners=["self"])["Images"]
    return str(image["ImageId"])


@contextmanager
def vpc(where: Region) -> Iterator[Vpc]:
    """A VPC while the body runs; everything in it goes with it."""
    ec2 = where.ec2
    made = ec2.create_vpc(CidrBlock=NETWORK)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=made, CidrBlock=SUBNET)["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=made)
    inside = [{"Name": "vpc-id", "Values": [made]}]
    (table,) = ec2.describe_route_tables(Filters=inside)["RouteTables"]
    ec2.create_route(
        RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
    )
    group = ec2.create_security_group(GroupName="tests", Description="tests", VpcId=made)
    permission = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": NETWORK}]}
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[permission])
    yielded = Vpc(where, made, subnet, group["GroupId"])
    try:
        yield yielded
    finally:
        _empty(ec2, yielded, inside)
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=made)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
        ec2.delete_vpc(VpcId=made)


def _empty(ec2: Any, made: Vpc, inside: list[dict[str, Any]]) -> None:
    found = ec2.describe_instances(Filters=inside)["Reservations"]
    ids = [one["InstanceId"] for reservation in found for one in reservation["Instances"]]
    if ids:
        ec2.terminate_instances(InstanceIds=ids)
        waiter = ec2.get_waiter("instance_terminated")
        waiter.wait(InstanceIds=ids, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})
    for nic in ec2.describe_network_interfaces(Filters=inside)["NetworkInterfaces"]:
        ec2.delete_network_interface(NetworkInterfaceId=nic["NetworkInterfaceId"])
    for allocation in made._elastic:
        ec2.release_address(AllocationId=allocation)
    for subnet in ec2.describe_subnets(Filters=inside)["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for table in ec2.describe_route_tables(Filters=inside)["RouteTables"]:
        if not any(one.get("Main") for one in table["Associations"]):
            ec2.delete_route_table(RouteTableId=table["RouteTableId"])
    groups = ec2.describe_security_groups(Filters=inside)["SecurityGroups"]
    for group in groups:  # they may refer to each other
        if group["GroupName"] != "default" and group["IpPermissions"]:
            ec2.revoke_security_group_ingress(
                GroupId=group["GroupId"], IpPermissions=group["IpPermissions"]
            )
    for group in groups:
        if group["GroupName"] != "default":
            ec2.delete_security_group(GroupId=group["GroupId"])
