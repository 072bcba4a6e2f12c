"""Where AWS's rules are tried: what a test makes there is tagged, and goes when the test ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

GIVEN = os.environ.get("PILEUS_TEST_AWS") == "1"
REGION = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
"""Whether an account may be used, and the region in it."""
TAG = "pileus-contract"
"""On everything that the suite makes; its value tells one run from another."""
TYPE = "t3.nano"
"""Two interfaces with two addresses each: limits are reached with little."""
DEBIAN = "136693071363"
"""Publishes Debian's machine images. [wiki.debian.org/Cloud/AmazonEC2Image]"""
KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIZAqcF0mP7yNwe9nk7zQ5lJdRmEgF7SwqgkJWqWbYqP contract"


@dataclass(frozen=True)
class Place:
    """One region of one account, simulated or real, as boto3 shows it."""

    ec2: Any
    run: str
    undo: ExitStack
    image: str
    """Of what instances are."""
    delay: float = 15.0
    """Seconds between two looks at something that is waited for."""

    @contextmanager
    def inner(self) -> Iterator[Place]:
        """The same place; what is made here is gone afterwards."""
        with ExitStack() as undo:
            yield replace(self, undo=undo)

    def tagged(self, kind: str) -> dict[str, Any]:
        """The parameter that gives a new resource the suite's tag."""
        tags = [{"Key": TAG, "Value": self.run}]
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]}

    def left(self) -> list[str]:
        """What has the tag of this run, but for instances that are being forgotten."""
        asked = [{"Name": f"tag:{TAG}", "Values": [self.run]}]
        found = self.ec2.describe_tags(Filters=asked)["Tags"]
        return [one["ResourceId"] for one in found if one["ResourceType"] != "instance"]

    def vpc(self, cidr: str = "10.77.0.0/16") -> str:
        made = self.ec2.create_vpc(CidrBlock=cidr, **self.tagged("vpc"))["Vpc"]["VpcId"]
        self._later(lambda: self.ec2.delete_vpc(VpcId=made))
        return str(made)

    def subnet(self, vpc: str, cidr: str) -> str:
        """All of them in one availability zone, so that a machine can be in each."""
        zones = self.ec2.describe_availability_zones()["AvailabilityZones"]
        made = self.ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=cidr,
            AvailabilityZone=min(zone["ZoneName"] for zone in zones),
            **self.tagged("subnet"),
        )["Subnet"]["SubnetId"]
        self._later(lambda: self.ec2.delete_subnet(SubnetId=made))
        return str(made)

    def gateway(self, vpc: str | None = None) -> str:
        """An internet gateway, attached where a VPC is named."""
        answer = self.ec2.create_internet_gateway(**self.tagged("internet-gateway"))
        made = str(answer["InternetGateway"]["InternetGatewayId"])
        self._later(lambda: self.ec2.delete_internet_gateway(InternetGatewayId=made))
        if vpc is not None:
            named = {"InternetGatewayId": made, "VpcId": vpc}
            self.ec2.attach_internet_gateway(**named)
            self._later(lambda: self.ec2.detach_internet_gateway(**named))
        return made

    def group(self, vpc: str, name: str) -> str:
        made = self.ec2.create_security_group(
            GroupName=name, Description=name, VpcId=vpc, **self.tagged("security-group")
        )["GroupId"]
        self._later(lambda: self.ec2.delete_security_group(GroupId=made))
        return str(made)

    def table(self, vpc: str) -> str:
        answer = self.ec2.create_route_table(VpcId=vpc, **self.tagged("route-table"))
        made = str(answer["RouteTable"]["RouteTableId"])
        self._later(lambda: self.ec2.delete_route_table(RouteTableId=made))
        return made

    def acl(self, vpc: str) -> str:
        answer = self.ec2.create_network_acl(VpcId=vpc, **self.tagged("network-acl"))
        made = str(answer["NetworkAcl"]["NetworkAclId"])
        self._later(lambda: self.ec2.delete_network_acl(NetworkAclId=made))
        return made

    def interface(self, subnet: str, **wanted: Any) -> str:
        answer = self.ec2.create_network_interface(
            SubnetId=subnet, **self.tagged("network-interface"), **wanted
        )
        made = str(answer["NetworkInterface"]["NetworkInterfaceId"])
        self._later(lambda: self.ec2.delete_network_interface(NetworkInterfaceId=made))
        return made

    def elastic(self) -> str:
        answer = self.ec2.allocate_address(Domain="vpc", **self.tagged("elastic-ip"))
        made = str(answer["AllocationId"])
        self._later(lambda: self.ec2.release_address(AllocationId=made))
        self._later(lambda: self._untie(made))
        return made

    def _untie(self, allocation: str) -> None:
        for one in self.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]:
            if "AssociationId" in one:
                self.ec2.disassociate_address(AssociationId=one["AssociationId"])

    def key(self, name: str) -> str:
        made = self.ec2.import_key_pair(
            KeyName=name, PublicKeyMaterial=KEY, **self.tagged("key-pair")
        )
        self._later(lambda: self.ec2.delete_key_pair(KeyName=name))
        return str(made["KeyPairId"])

    def instance(self, *interfaces: str, **wanted: Any) -> str:
        """One that runs, with these interfaces in this order."""
        nics = [
            {"DeviceIndex": index, "NetworkInterfaceId": one}
            for index, one in enumerate(interfaces)
        ]
        asked: dict[str, Any] = {
            "ImageId": self.image,
            "InstanceType": TYPE,
            "MinCount": 1,
            "MaxCount": 1,
            **self.tagged("instance"),
            **({"NetworkInterfaces": nics} if nics else {}),
            **wanted,
        }
        made = str(self.ec2.run_instances(**asked)["Instances"][0]["InstanceId"])
        self._later(lambda: self.terminate(made))
        self.wait("instance_running", InstanceIds=[made])
        return made

    def stop(self, instance: str) -> None:
        self.ec2.stop_instances(InstanceIds=[instance])
        self.wait("instance_stopped", InstanceIds=[instance])

    def terminate(self, instance: str) -> None:
        self.ec2.terminate_instances(InstanceIds=[instance])
        self.wait("instance_terminated", InstanceIds=[instance])

    def wait(self, state: str, **what: Any) -> None:
        """Ten minutes at most; `state` is the name of one of boto3's waiters."""
        config = {"Delay": self.delay, "MaxAttempts": int(600 / self.delay)}
        self.ec2.get_waiter(state).wait(**what, WaiterConfig=config)

    # Looking

    def shown(self, interface: str) -> Any:
        """An interface as DescribeNetworkInterfaces shows it."""
        asked = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])
        return asked["NetworkInterfaces"][0]

    def addresses(self, interface: str) -> list[str]:
        """Private ones, the primary first."""
        entries = self.shown(interface)["PrivateIpAddresses"]
        return [one["PrivateIpAddress"] for one in sorted(entries, key=lambda e: not e["Primary"])]

    def exists(self, interface: str) -> bool:
        asked = [{"Name": "network-interface-id", "Values": [interface]}]
        return bool(self.ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"])

    def attach(self, interface: str, instance: str, index: int) -> str:
        made = self.ec2.attach_network_interface(
            NetworkInterfaceId=interface, InstanceId=instance, DeviceIndex=index
        )
        return str(made["AttachmentId"])

    def detach(self, attachment: str, interface: str) -> None:
        self.ec2.detach_network_interface(AttachmentId=attachment)
        self.wait("network_interface_available", NetworkInterfaceIds=[interface])

    def _later(self, remove: Callable[[], Any]) -> None:
        """Remove something when all is over, unless it is gone by then."""

        def gone() -> None:
            try:
                remove()
            except ClientError as error:
                if not code(error).endswith(".NotFound"):
                    raise

        self.undo.callback(gone)


@dataclass(frozen=True)
class Network:
    """What most tests need and none changes: a VPC with two subnets and a gateway."""

    vpc: str
    first: str
    """10.77.1.0/24"""
    second: str
    """10.77.2.0/24"""
    gateway: str


def newest_debian(ec2: Any) -> str:
    """The id of the newest of Debian's images."""
    asked = [
        {"Name": "name", "Values": ["debian-13-amd64-*"]},
        {"Name": "architecture", "Values": ["x86_64"]},
    ]
    found = ec2.describe_images(Owners=[DEBIAN], Filters=asked)["Images"]
    return str(max(found, key=lambda image: image["Name"])["ImageId"])


def network(place: Place) -> Network:
    vpc = place.vpc()
    gateway = place.gateway(vpc)
    first, second = (place.subnet(vpc, f"10.77.{number}.0/24") for number in (1, 2))
    return Network(vpc, first, second, gateway)


def code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


@contextmanager
def refused(expected: str, status: int = 400) -> Iterator[None]:
    """What is done inside must be refused with this code and HTTP status."""
    with pytest.raises(ClientError) as caught:
        yield
    told = caught.value.response
    assert code(caught.value) == expected, caught.value
    assert told["ResponseMetadata"]["HTTPStatusCode"] == status
