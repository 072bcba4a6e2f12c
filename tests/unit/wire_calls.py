"""Random calls of the API about two VPCs of the same range, each with route tables of its own."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from ipaddress import IPv4Network
from random import Random
from typing import Any

from botocore.exceptions import ClientError
from vpc_ec2 import Region
from wire_by_hand import PORTS

from pileus.vpc.state import Eni

NETWORKS = ("0.0.0.0/0", "172.16.0.0/16", "172.16.10.0/24", "8.8.8.0/24", "192.168.0.0/16")
ROUTED = ("0.0.0.0/0", "192.168.0.0/16", "8.8.8.0/24", "8.8.8.8/32")
RANGE, FURTHER_RANGE = "172.16.0.0/16", "172.20.0.0/16"
SUBNETS = ("172.16.10.0/24", "172.16.20.0/24", "172.16.20.0/24", "172.20.1.0/24")
"""Where the first machines of each VPC are."""
NICS = 12
"""At most, in both VPCs."""


@dataclass
class Caller:
    """Calls the API as it comes; what is refused is refused."""

    region: Region
    random: Random
    gateways: dict[str, str]
    """By VPC."""

    def call(self) -> None:
        chosen = self.random.choice(
            (
                *(self._plug, self._detach, self._check, self._groups, self._assign) * 2,
                *(self._unassign, self._route, self._no_route, self._elastic, self._no_elastic),
                *(self._permit, self._permit, self._permit, self._forbid, self._remove),
                *(self._delegate, self._take_prefix, self._stop, self._plug_second, self._unplug),
                *(self._entry, self._entry, self._no_entry, self._acl, self._cut_off),
                *(self._route, self._tie),
            )
        )
        with contextlib.suppress(ClientError):
            chosen()

    def _vpc(self) -> str:
        return self.random.choice(list(self.gateways))

    def _eni(self) -> Eni:
        """Any; there is always one."""
        return self.random.choice(list(self.region.state.enis.values()))

    def _group(self, vpc: str) -> str:
        groups = self.region.state.groups.values()
        return self.random.choice([one.id for one in groups if one.vpc == vpc])

    def _subnet(self, vpc: str) -> str:
        subnets = self.region.state.subnets.values()
        return self.random.choice([one.id for one in subnets if one.vpc == vpc])

    def _machine(self) -> str:
        """One that is not terminated, where there is one."""
        machines = list(self.region.state.instances.values())
        alive = [one for one in machines if one.state != "terminated"]
        return self.random.choice(alive or machines).id

    def _plug(self) -> None:
        vpc = self._vpc()
        if len(self.region.state.enis) < NICS:
            self.region.run(self.region.eni(SubnetId=self._subnet(vpc), Groups=[self._group(vpc)]))

    def _detach(self) -> None:
        eni = self._eni()
        if eni.instance and self.random.random() < 0.5:
            self.region.ec2.terminate_instances(InstanceIds=[eni.instance])

    def _remove(self) -> None:
        if len(self.region.state.enis) > 1:
            self.region.ec2.delete_network_interface(NetworkInterfaceId=self._eni().id)

    def _check(self) -> None:
        self.region.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=self._eni().id,
            SourceDestCheck={"Value": self.random.random() < 0.5},
        )

    def _groups(self) -> None:
        eni = self._eni()
        groups = list(dict.fromkeys((self._group(eni.vpc), self._group(eni.vpc))))
        self.region.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni.id, Groups=groups)

    def _assign(self) -> None:
        self.region.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=self._eni().id, SecondaryPrivateIpAddressCount=1
        )

    def _unassign(self) -> None:
        eni = self._eni()
        self.region.ec2.unassign_private_ip_addresses(
            NetworkInterfaceId=eni.id, PrivateIpAddresses=[str(eni.addresses[-1])]
        )

    def _delegate(self) -> None:
        self.region.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=self._eni().id, Ipv4PrefixCount=1
        )

    def _take_prefix(self) -> None:
        eni = self._eni()
        if eni.prefixes:
            self.region.ec2.unassign_private_ip_addresses(
                NetworkInterfaceId=eni.id, Ipv4Prefixes=[str(eni.prefixes[-1])]
            )

    def _stop(self) -> None:
        """Or start."""
        machine = self.region.state.instances[self._machine()]
        ec2 = self.region.ec2
        change = ec2.start_instances if machine.state == "stopped" else ec2.stop_instances
        change(InstanceIds=[machine.id])

    def _plug_second(self) -> None:
        self.region.ec2.attach_network_interface(
            NetworkInterfaceId=self._eni().id, InstanceId=self._machine(), DeviceIndex=1
        )

    def _unplug(self) -> None:
        eni = self._eni()
        if eni.device_index:
            self.region.ec2.detach_network_interface(AttachmentId=self.region.attachment(eni.id))

    def _any_acl(self, vpc: str) -> str:
        """The VPC's default one among them."""
        acls = self.region.state.network_acls.values()
        return self.random.choice([one.id for one in acls if one.vpc == vpc])

    def _entry(self) -> None:
        """Beyond, or before, the default ACL's hundredth, which lets everything pass."""
        protocol = self.random.choice(("-1", "tcp", "udp", "icmp"))
        narrow: dict[str, Any] = {}
        if protocol in ("tcp", "udp"):
            first = self.random.choice(PORTS[protocol])
            narrow = {"PortRange": {"From": first, "To": self.random.choice((first, 65535))}}
        if protocol == "icmp":
            narrow = {"IcmpTypeCode": {"Type": self.random.choice((8, -1)), "Code": -1}}
        self.region.ec2.create_network_acl_entry(
            NetworkAclId=self._any_acl(self._vpc()),
            RuleNumber=self.random.randrange(1, 200),
            Protocol=protocol,
            RuleAction=self.random.choice(("allow", "allow", "deny")),
            Egress=self.random.random() < 0.5,
            CidrBlock=self.random.choice(NETWORKS),
            **narrow,
        )

    def _no_entry(self) -> None:
        acl = self.region.state.network_acls[self._any_acl(self._vpc())]
        egress = self.random.random() < 0.5
        entries = [one for one in (acl.egress if egress else acl.ingress) if one.number != 100]
        if entries:
            self.region.ec2.delete_network_acl_entry(
                NetworkAclId=acl.id,
                RuleNumber=self.random.choice(entries).number,
                Egress=egress,
            )

    def _acl(self) -> None:
        """Another one for a subnet; there are three at most in a VPC."""
        ec2, vpc = self.region.ec2, self._vpc()
        acls = ec2.describe_network_acls(Filters=_within(vpc))["NetworkAcls"]
        if len(acls) < 3:
            ec2.create_network_acl(VpcId=vpc)
        ties = [one for acl in acls for one in acl["Associations"]]
        ec2.replace_network_acl_association(
            AssociationId=self.random.choice(ties)["NetworkAclAssociationId"],
            NetworkAclId=self._any_acl(vpc),
        )

    def _cut_off(self) -> None:
        """Or back on: the internet gateway."""
        ec2, vpc = self.region.ec2, self._vpc()
        on = self.region.state.vpcs[vpc].has_internet_gateway
        if on and self.random.random() < 0.7:
            return
        change = ec2.detach_internet_gateway if on else ec2.attach_internet_gateway
        change(InternetGatewayId=self.gateways[vpc], VpcId=vpc)

    def _table(self, vpc: str) -> str:
        """The main one among them."""
        tables = self.region.state.route_tables.values()
        return self.random.choice([one.id for one in tables if one.vpc == vpc])

    def _tie(self) -> None:
        """A subnet to a route table, anew or not; there are three tables at most in a VPC."""
        ec2, vpc = self.region.ec2, self._vpc()
        tables = ec2.describe_route_tables(Filters=_within(vpc))["RouteTables"]
        if len(tables) < 3:
            ec2.create_route_table(VpcId=vpc)
        wanted = self._table(vpc)
        ties = [one for table in tables for one in table["Associations"] if not one["Main"]]
        if not ties or self.random.random() < 0.4:
            ec2.associate_route_table(RouteTableId=wanted, SubnetId=self._subnet(vpc))
            return
        tie = self.random.choice(ties)["RouteTableAssociationId"]
        if self.random.random() < 0.5:
            ec2.disassociate_route_table(AssociationId=tie)
        else:
            ec2.replace_route_table_association(AssociationId=tie, RouteTableId=wanted)

    def _route(self) -> None:
        vpc = self._vpc()
        target = self.random.choice(
            ({"GatewayId": self.gateways[vpc]}, {"NetworkInterfaceId": self._eni().id})
        )
        wanted = {
            "RouteTableId": self._table(vpc),
            "DestinationCidrBlock": self.random.choice(ROUTED),
            **target,
        }
        try:
            self.region.ec2.create_route(**wanted)
        except ClientError:
            self.region.ec2.replace_route(**wanted)

    def _no_route(self) -> None:
        self.region.ec2.delete_route(
            RouteTableId=self._table(self._vpc()), DestinationCidrBlock=self.random.choice(ROUTED)
        )

    def _elastic(self) -> None:
        eni = self._eni()
        held = self.region.state.elastic_ips
        id = self.random.choice(list(held)) if len(held) >= 5 else self.region.elastic()
        self.region.ec2.associate_address(
            AllocationId=id,
            NetworkInterfaceId=eni.id,
            PrivateIpAddress=str(self.random.choice(eni.addresses)),
            AllowReassociation=True,
        )

    def _no_elastic(self) -> None:
        elastic = self.region.state.elastic_ips.values()
        tied = [one.association for one in elastic if one.association]
        if tied:
            self.region.ec2.disassociate_address(AssociationId=self.random.choice(tied))

    def _permission(self, vpc: str) -> dict[str, Any]:
        protocol = self.random.choice(("-1", "tcp", "udp", "icmp"))
        ports: dict[str, int] = {}
        if protocol == "icmp":
            ports = {"FromPort": self.random.choice((*PORTS[protocol], -1)), "ToPort": -1}
        elif protocol != "-1":
            first = self.random.choice((0, *PORTS[protocol]))
            ports = {"FromPort": first, "ToPort": self.random.choice((first, 65535))}
        far: dict[str, Any] = {"IpRanges": [{"CidrIp": self.random.choice(NETWORKS)}]}
        if self.random.random() < 0.4:
            far = {"UserIdGroupPairs": [{"GroupId": self._group(vpc)}]}
        return {"IpProtocol": protocol, **ports, **far}

    def _permit(self) -> None:
        ec2, vpc = self.region.ec2, self._vpc()
        ingress, egress = (
            ec2.authorize_security_group_ingress,
            ec2.authorize_security_group_egress,
        )
        call = self.random.choice((ingress, ingress, egress))
        call(GroupId=self._group(vpc), IpPermissions=[self._permission(vpc)])

    def _forbid(self) -> None:
        group, ec2 = self._group(self._vpc()), self.region.ec2
        found = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        if self.random.random() < 0.3 and found["IpPermissionsEgress"]:
            one = self.random.choice(found["IpPermissionsEgress"])
            ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[one])
        elif found["IpPermissions"]:
            one = self.random.choice(found["IpPermissions"])
            ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[one])


def _within(vpc: str) -> list[dict[str, Any]]:
    return [{"Name": "vpc-id", "Values": [vpc]}]


def caller(random: Random) -> Caller:
    """A region with two VPCs of the same range, and machines with the same addresses in both."""
    region = Region()
    ec2, gateways = region.ec2, {region.vpc: region.gateway}
    second = str(ec2.create_vpc(CidrBlock=RANGE)["Vpc"]["VpcId"])
    gateways[second] = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateways[second], VpcId=second)
    for vpc, gateway in gateways.items():
        first, *_ = _machines(region, vpc)
        ec2.associate_address(AllocationId=region.elastic(), NetworkInterfaceId=first)
        main = next(one.id for one in region.state.route_tables.values() if one.vpc == vpc)
        ec2.create_route(RouteTableId=main, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    return Caller(region, random, gateways)


def _machines(region: Region, vpc: str) -> list[str]:
    """Their NICs. Some let everybody in, and the others get no further than inside."""
    ec2 = region.ec2
    ec2.associate_vpc_cidr_block(VpcId=vpc, CidrBlock=FURTHER_RANGE)
    subnets = {str(one.cidr): one.id for one in region.state.subnets.values() if one.vpc == vpc}
    for cidr in SUBNETS:
        if cidr not in subnets:
            made = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]
            subnets[cidr] = str(made["SubnetId"])
    groups = [region.new_group(f"group-{number}", vpc) for number in range(len(SUBNETS))]
    inside: Any = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": RANGE}]}]
    everywhere: Any = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=groups[0], IpPermissions=everywhere)
    ec2.revoke_security_group_egress(GroupId=groups[1], IpPermissions=everywhere)
    ec2.authorize_security_group_egress(GroupId=groups[1], IpPermissions=inside)
    nics = []
    for number, cidr in enumerate(SUBNETS):
        address = str(IPv4Network(cidr).network_address + 101 + number)
        nics.append(
            region.eni(
                SubnetId=subnets[cidr], Groups=[groups[number % 2]], PrivateIpAddress=address
            )
        )
        region.run(nics[-1])
    return nics
