"""What calls mean for packets: tried where machines are at hand, in a whole simulated region."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from contract_place import Network, Place

from pileus.testing import Instance, Region

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.parametrize("everything", ["region"], indirect=True),
]

FREE = "10.77.1.99"
"""Nobody's."""
PING = {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1}


@pytest.fixture(scope="module")
def groups(everything: Place, net: Network) -> Iterator[tuple[str, str]]:
    """Of those who ask, and of those who are asked and let nobody in."""
    with everything.inner() as inner:
        yield inner.group(net.vpc, "askers"), inner.group(net.vpc, "asked")


@pytest.fixture(scope="module")
def machines(
    everything: Place, net: Network, groups: tuple[str, str], whole_region: Region
) -> Iterator[tuple[Instance, Instance]]:
    """One who asks, and one who is asked, in another subnet."""
    with everything.inner() as inner:
        wanted = zip((net.first, net.second), groups, strict=True)
        enis = [inner.interface(subnet, Groups=[group]) for subnet, group in wanted]
        asker, asked = (Instance(whole_region, inner.instance(eni)) for eni in enis)
        yield asker, asked


def pings(source: Instance, address: str) -> bool:
    return source.run("ping", "-q", "-c", "1", "-W", "0.5", address, check=False).code == 0


@pytest.mark.parametrize("far", ["network", "group"])
def test_a_group_lets_in_what_it_says_as_long_as_it_says_so(
    place: Place, groups: tuple[str, str], machines: tuple[Instance, Instance], far: str
) -> None:
    asker, asked = machines
    ends: dict[str, dict[str, Any]] = {
        "network": {"IpRanges": [{"CidrIp": f"{asker.address}/32"}]},
        "group": {"UserIdGroupPairs": [{"GroupId": groups[0]}]},
    }
    rule: Any = {"GroupId": groups[1], "IpPermissions": [{**PING, **ends[far]}]}
    assert not pings(asker, asked.address)
    place.ec2.authorize_security_group_ingress(**rule)
    assert pings(asker, asked.address)
    assert not pings(asked, asker.address), "the other way round is another matter"
    place.ec2.revoke_security_group_ingress(**rule)
    assert not pings(asker, asked.address)


def test_a_group_without_a_rule_outwards_keeps_all_in(
    place: Place, groups: tuple[str, str], machines: tuple[Instance, Instance]
) -> None:
    asker, asked = machines
    inward: Any = {"GroupId": groups[1]}
    inward["IpPermissions"] = [{**PING, "IpRanges": [{"CidrIp": "10.77.0.0/16"}]}]
    outward: Any = {"GroupId": groups[0], "IpPermissions": [{"IpProtocol": "-1"}]}
    outward["IpPermissions"][0]["IpRanges"] = [{"CidrIp": "0.0.0.0/0"}]
    place.ec2.authorize_security_group_ingress(**inward)
    assert pings(asker, asked.address)
    place.ec2.revoke_security_group_egress(**outward)
    assert not pings(asker, asked.address)
    place.ec2.authorize_security_group_egress(**outward)
    assert pings(asker, asked.address)
    place.ec2.revoke_security_group_ingress(**inward)


def test_an_address_is_there_while_it_is_assigned(
    place: Place, net: Network, machines: tuple[Instance, Instance]
) -> None:
    """Whatever the machine thinks that it has."""
    asker, _ = machines
    with_another = Instance(asker.region, place.instance(SubnetId=net.first))
    group = with_another.describe()["SecurityGroups"][0]["GroupId"]
    rule: Any = {**PING, "IpRanges": [{"CidrIp": "10.77.0.0/16"}]}
    place.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    with_another.run("ip", "addr", "add", f"{FREE}/32", "dev", "eth0")
    assigned: Any = {"NetworkInterfaceId": with_another.eni, "PrivateIpAddresses": [FREE]}
    assert not pings(asker, FREE)
    place.ec2.assign_private_ip_addresses(**assigned)
    assert pings(asker, FREE)
    place.ec2.unassign_private_ip_addresses(**assigned)
    assert not pings(asker, FREE)


def test_a_network_acl_has_no_memory(
    place: Place, net: Network, groups: tuple[str, str], machines: tuple[Instance, Instance]
) -> None:
    asker, asked = machines
    rule: Any = {**PING, "IpRanges": [{"CidrIp": "10.77.0.0/16"}]}
    place.ec2.authorize_security_group_ingress(GroupId=groups[1], IpPermissions=[rule])
    acl = place.acl(net.vpc)
    everything: Any = {"Protocol": "-1", "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}
    place.ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False, **everything)
    found = place.ec2.describe_network_acls(
        Filters=[{"Name": "association.subnet-id", "Values": [net.second]}]
    )["NetworkAcls"][0]
    (tie,) = [one for one in found["Associations"] if one["SubnetId"] == net.second]
    tied = place.ec2.replace_network_acl_association(
        AssociationId=tie["NetworkAclAssociationId"], NetworkAclId=acl
    )
    assert not pings(asker, asked.address), "the answer is denied"
    place.ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=True, **everything)
    assert pings(asker, asked.address)
    place.ec2.replace_network_acl_association(
        AssociationId=tied["NewAssociationId"], NetworkAclId=found["NetworkAclId"]
    )
    place.ec2.revoke_security_group_ingress(GroupId=groups[1], IpPermissions=[rule])


def test_a_route_leads_out_and_an_elastic_ip_is_needed(
    place: Place, net: Network, machines: tuple[Instance, Instance]
) -> None:
    asker, _ = machines
    main = next(
        table["RouteTableId"]
        for table in place.ec2.describe_route_tables(
            Filters=[{"Name": "vpc-id", "Values": [net.vpc]}]
        )["RouteTables"]
        if any(one.get("Main") for one in table["Associations"])
    )
    route: Any = {"RouteTableId": main, "DestinationCidrBlock": "0.0.0.0/0"}
    place.ec2.create_route(**route, GatewayId=net.gateway)
    assert not pings(asker, "8.8.8.8")
    place.ec2.associate_address(AllocationId=place.elastic(), NetworkInterfaceId=asker.eni)
    assert pings(asker, "8.8.8.8")
    place.ec2.delete_route(**route)
    assert not pings(asker, "8.8.8.8")
