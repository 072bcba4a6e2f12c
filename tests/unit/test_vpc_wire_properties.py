"""Random sequences of API calls: what the state says, by a model, is what the wire's rules do.

10,000 probes, some after each call.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

from botocore.exceptions import ClientError
from vpc_ec2 import Region
from wire_by_hand import PORTS, Wire, probes
from wire_model import Model

from pileus.model.verdict import Code
from pileus.vpc.state import Eni

SEQUENCES, CASES, PROBES = 8, 1250, 12
FEW = 50
"""How often each fate is met at least: a test that drops all alike tells nothing."""
NETWORKS = ("0.0.0.0/0", "172.16.0.0/16", "172.16.10.0/24", "8.8.8.0/24", "192.168.0.0/16")


@dataclass
class Caller:
    """Calls the API as it comes; what is refused is refused."""

    region: Region
    random: Random

    def call(self) -> None:
        chosen = self.random.choice(
            (
                *(self._plug, self._detach, self._check, self._groups, self._assign) * 2,
                *(self._unassign, self._route, self._no_route, self._elastic, self._no_elastic),
                *(self._permit, self._permit, self._permit, self._forbid, self._remove),
                *(self._delegate, self._take_prefix, self._stop, self._plug_second, self._unplug),
                *(self._entry, self._entry, self._no_entry, self._acl, self._cut_off),
            )
        )
        with contextlib.suppress(ClientError):
            chosen()

    def _eni(self) -> Eni:
        """Any; there is always one."""
        return self.random.choice(list(self.region.state.enis.values()))

    def _group(self) -> str:
        groups = self.region.state.groups.values()
        return self.random.choice([one.id for one in groups if one.vpc == self.region.vpc])

    def _plug(self) -> None:
        if len(self.region.state.enis) >= 6:
            return
        subnet = self.random.choice(list(self.region.state.subnets))
        self.region.run(self.region.eni(SubnetId=subnet, Groups=[self._group()]))

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
        groups = list(dict.fromkeys((self._group(), self._group())))
        self.region.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=self._eni().id, Groups=groups
        )

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
        machine = self.random.choice(list(self.region.state.instances.values()))
        ec2 = self.region.ec2
        change = ec2.start_instances if machine.state == "stopped" else ec2.stop_instances
        change(InstanceIds=[machine.id])

    def _plug_second(self) -> None:
        machine = self.random.choice(list(self.region.state.instances))
        self.region.ec2.attach_network_interface(
            NetworkInterfaceId=self._eni().id, InstanceId=machine, DeviceIndex=1
        )

    def _unplug(self) -> None:
        eni = self._eni()
        if eni.device_index:
            self.region.ec2.detach_network_interface(AttachmentId=self.region.attachment(eni.id))

    def _any_acl(self) -> str:
        """The VPC's default one among them."""
        acls = self.region.state.network_acls.values()
        return self.random.choice([one.id for one in acls if one.vpc == self.region.vpc])

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
            NetworkAclId=self._any_acl(),
            RuleNumber=self.random.randrange(1, 200),
            Protocol=protocol,
            RuleAction=self.random.choice(("allow", "allow", "deny")),
            Egress=self.random.random() < 0.5,
            CidrBlock=self.random.choice(NETWORKS),
            **narrow,
        )

    def _no_entry(self) -> None:
        acl = self.region.state.network_acls[self._any_acl()]
        egress = self.random.random() < 0.5
        entries = [one for one in (acl.egress if egress else acl.ingress) if one.number != 100]
        if entries:
            self.region.ec2.delete_network_acl_entry(
                NetworkAclId=acl.id,
                RuleNumber=self.random.choice(entries).number,
                Egress=egress,
            )

    def _acl(self) -> None:
        """Another one for a subnet; there are three at most."""
        ec2 = self.region.ec2
        acls = ec2.describe_network_acls()["NetworkAcls"]
        if len(acls) < 3:
            ec2.create_network_acl(VpcId=self.region.vpc)
        ties = [one for acl in acls for one in acl["Associations"]]
        ec2.replace_network_acl_association(
            AssociationId=self.random.choice(ties)["NetworkAclAssociationId"],
            NetworkAclId=self._any_acl(),
        )

    def _cut_off(self) -> None:
        """Or back on: the internet gateway."""
        ec2, vpc = self.region.ec2, self.region.vpc
        on = self.region.state.vpcs[vpc].has_internet_gateway
        if on and self.random.random() < 0.7:
            return
        change = ec2.detach_internet_gateway if on else ec2.attach_internet_gateway
        change(InternetGatewayId=self.region.gateway, VpcId=vpc)

    def _table(self) -> str:
        return next(
            one.id for one in self.region.state.route_tables.values() if one.vpc == self.region.vpc
        )

    def _route(self) -> None:
        to = self.random.choice(("0.0.0.0/0", "192.168.0.0/16", "8.8.8.0/24", "8.8.8.8/32"))
        target = self.random.choice(
            ({"GatewayId": self.region.gateway}, {"NetworkInterfaceId": self._eni().id})
        )
        wanted = {"RouteTableId": self._table(), "DestinationCidrBlock": to, **target}
        try:
            self.region.ec2.create_route(**wanted)
        except ClientError:
            self.region.ec2.replace_route(**wanted)

    def _no_route(self) -> None:
        to = self.random.choice(("0.0.0.0/0", "192.168.0.0/16", "8.8.8.0/24", "8.8.8.8/32"))
        self.region.ec2.delete_route(RouteTableId=self._table(), DestinationCidrBlock=to)

    def _elastic(self) -> None:
        eni = self._eni()
        held = self.region.state.elastic_ips
        id = self.random.choice(list(held)) if len(held) >= 3 else self.region.elastic()
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

    def _permission(self) -> dict[str, Any]:
        protocol = self.random.choice(("-1", "tcp", "udp", "icmp"))
        ports: dict[str, int] = {}
        if protocol == "icmp":
            ports = {"FromPort": self.random.choice((8, 0, -1)), "ToPort": -1}
        elif protocol != "-1":
            first = self.random.choice((0, *PORTS[protocol]))
            ports = {"FromPort": first, "ToPort": self.random.choice((first, 65535))}
        far: dict[str, Any] = {"IpRanges": [{"CidrIp": self.random.choice(NETWORKS)}]}
        if self.random.random() < 0.4:
            far = {"UserIdGroupPairs": [{"GroupId": self._group()}]}
        return {"IpProtocol": protocol, **ports, **far}

    def _permit(self) -> None:
        ec2 = self.region.ec2
        ingress, egress = (
            ec2.authorize_security_group_ingress,
            ec2.authorize_security_group_egress,
        )
        call = self.random.choice((ingress, ingress, egress))
        call(GroupId=self._group(), IpPermissions=[self._permission()])

    def _forbid(self) -> None:
        group, ec2 = self._group(), self.region.ec2
        found = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        if self.random.random() < 0.3 and found["IpPermissionsEgress"]:
            one = self.random.choice(found["IpPermissionsEgress"])
            ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[one])
        elif found["IpPermissions"]:
            one = self.random.choice(found["IpPermissions"])
            ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=[one])


def test_the_wire_does_what_the_state_says_after_any_calls() -> None:
    seen: Counter[str] = Counter()
    for number in range(SEQUENCES):
        seen += after_any_calls(Random(f"calls {number}"))  # noqa: S311 - repeatable, not secret
    codes = {
        Code.SOURCE_IP, Code.NOT_CARRIED, Code.NO_SUCH_ADDRESS, Code.GROUP_EGRESS,
        Code.GROUP_INGRESS, Code.ACL_EGRESS, Code.ACL_INGRESS, Code.NO_ROUTE,
        Code.NO_PUBLIC_ADDRESS,
    }  # fmt: skip
    assert set(seen) == {"delivered", *(code.value for code in codes)}
    assert min(seen.values()) > FEW, seen


def after_any_calls(random: Random) -> Counter[str]:
    """One sequence; how often each fate was met."""
    region = Region()
    caller = Caller(region, random)
    region.ec2.associate_vpc_cidr_block(VpcId=region.vpc, CidrBlock="172.20.0.0/16")
    subnets = (region.management, region.provider, region.provider, region.subnet("172.20.1.0/24"))
    for number, subnet in enumerate(subnets):
        region.new_group(f"group-{number}")
        region.run(region.eni(SubnetId=subnet, Groups=[region.group]))
    region.ec2.create_route(
        RouteTableId=next(iter(region.state.route_tables)),
        DestinationCidrBlock="0.0.0.0/0",
        GatewayId=region.gateway,
    )
    seen: Counter[str] = Counter()
    while seen.total() < CASES:
        caller.call()
        model = Model(region.state, region.vpc)
        if not model.nics:
            continue
        wire = Wire(region.state, region.vpc)
        for probe in probes(random, model, PROBES):
            expected = model.fate(probe)
            assert wire.fate(probe) == expected, probe
            seen[expected.code.value if expected.code else "delivered"] += 1
    return seen
