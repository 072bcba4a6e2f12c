"""Network ACLs, as boto3 sees them."""

from __future__ import annotations

from typing import Any

import pytest
from vpc_ec2 import Region, refused

from pileus.vpc.state import NetworkAcl

ALL = "0.0.0.0/0"
SSH = {"From": 22, "To": 22}


@pytest.fixture
def region() -> Region:
    return Region()


@pytest.fixture
def acl(region: Region) -> str:
    return made(region)


def made(region: Region) -> str:
    return str(region.ec2.create_network_acl(VpcId=region.vpc)["NetworkAcl"]["NetworkAclId"])


def entry(acl: str, **changes: Any) -> dict[str, Any]:
    return {
        "NetworkAclId": acl,
        "RuleNumber": 100,
        "Protocol": "6",
        "RuleAction": "allow",
        "Egress": False,
        "CidrBlock": "10.9.9.9/8",
        "PortRange": SSH,
        **changes,
    }


def shown(region: Region, acl: str) -> list[tuple[Any, ...]]:
    """The entries as (egress, number, action, protocol), in that order."""
    (found,) = region.ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
    return sorted(
        (one["Egress"], one["RuleNumber"], one["RuleAction"], one["Protocol"])
        for one in found["Entries"]
    )


def default_of(region: Region) -> dict[str, Any]:
    """The default ACL of the region's only VPC."""
    filters = [{"Name": "default", "Values": ["true"]}]
    (found,) = region.ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    return dict(found)


def on_the_wire(region: Region, acl: str) -> NetworkAcl:
    return region.state.network_acls[acl]


def test_a_vpc_has_one_that_lets_everything_through_and_has_every_subnet(region: Region) -> None:
    default = default_of(region)
    subnet = region.ec2.create_subnet(VpcId=region.vpc, CidrBlock="172.16.99.0/24")["Subnet"]

    assert shown(region, default["NetworkAclId"]) == [
        (False, 100, "allow", "-1"),
        (False, 32767, "deny", "-1"),
        (True, 100, "allow", "-1"),
        (True, 32767, "deny", "-1"),
    ]
    has = [one["SubnetId"] for one in default_of(region)["Associations"]]
    assert subnet["SubnetId"] in has
    region.ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    assert subnet["SubnetId"] not in [one["SubnetId"] for one in default_of(region)["Associations"]]


def test_a_new_one_lets_nothing_through(region: Region, acl: str) -> None:
    assert shown(region, acl) == [(False, 32767, "deny", "-1"), (True, 32767, "deny", "-1")]
    assert on_the_wire(region, acl).ingress == ()


def test_an_entry_reaches_the_wire_in_aws_spelling(region: Region, acl: str) -> None:
    region.ec2.create_network_acl_entry(**entry(acl, Protocol="tcp"))
    assert (False, 100, "allow", "6") in shown(region, acl)
    (kept,) = on_the_wire(region, acl).ingress
    assert str(kept.network) == "10.0.0.0/8"

    region.ec2.replace_network_acl_entry(**entry(acl, RuleAction="deny"))
    assert (False, 100, "deny", "6") in shown(region, acl)

    region.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False)
    assert on_the_wire(region, acl).ingress == ()


def test_an_entry_of_icmp(region: Region, acl: str) -> None:
    ping = entry(acl, Protocol="1", IcmpTypeCode={"Type": 8, "Code": -1})
    region.ec2.create_network_acl_entry(**ping)
    (kept,) = on_the_wire(region, acl).ingress
    assert (kept.protocol, kept.ports) == ("icmp", (8, -1))
    region.ec2.replace_network_acl_entry(**{**ping, "IcmpTypeCode": {"Type": -1, "Code": -1}})
    (kept,) = on_the_wire(region, acl).ingress
    assert kept.protocol == "icmp"


def test_a_number_is_used_once_in_each_direction(region: Region, acl: str) -> None:
    region.ec2.create_network_acl_entry(**entry(acl))
    region.ec2.create_network_acl_entry(**entry(acl, Egress=True))
    with refused("NetworkAclEntryAlreadyExists", region):
        region.ec2.create_network_acl_entry(**entry(acl))


@pytest.mark.parametrize("call", ["replace_network_acl_entry", "delete_network_acl_entry"])
def test_what_is_not_there_cannot_be_changed(region: Region, acl: str, call: str) -> None:
    whole = entry(acl)
    if call.startswith("delete"):
        whole = {name: whole[name] for name in ("NetworkAclId", "RuleNumber", "Egress")}
    with refused("InvalidNetworkAclEntry.NotFound", region):
        getattr(region.ec2, call)(**whole)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"RuleNumber": 0}, "InvalidParameterValue"),
        ({"RuleNumber": 32767}, "InvalidParameterValue"),
        ({"RuleAction": "perhaps"}, "InvalidParameterValue"),
        ({"CidrBlock": "ten"}, "InvalidParameterValue"),
        ({"CidrBlock": ""}, "MissingParameter"),
        ({"Protocol": "256"}, "InvalidParameterValue"),
        ({"PortRange": {"From": 23, "To": 22}}, "InvalidParameterValue"),
        ({"PortRange": {"From": 22}}, "MissingParameter"),
        ({"Protocol": "1"}, "MissingParameter"),
        ({"Ipv6CidrBlock": "::/0"}, "UnsupportedOperation"),
        ({"NetworkAclId": "acl-0"}, "InvalidNetworkAclID.NotFound"),
    ],
    ids=str,
)
def test_a_wrong_entry_is_refused(
    region: Region, acl: str, changes: dict[str, Any], code: str
) -> None:
    with refused(code, region):
        region.ec2.create_network_acl_entry(**entry(acl, **changes))


def test_twenty_rules_a_direction(region: Region, acl: str) -> None:
    for number in range(1, 21):
        region.ec2.create_network_acl_entry(**entry(acl, RuleNumber=number))
    with refused("NetworkAclEntryLimitExceeded", region):
        region.ec2.create_network_acl_entry(**entry(acl, RuleNumber=21))
    region.ec2.create_network_acl_entry(**entry(acl, RuleNumber=21, Egress=True))


def test_a_subnet_goes_from_one_to_another(region: Region, acl: str) -> None:
    (association, *_) = default_of(region)["Associations"]
    moved = region.ec2.replace_network_acl_association(
        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
    )

    assert association["SubnetId"] in on_the_wire(region, acl).subnets
    with refused("DependencyViolation", region):
        region.ec2.delete_network_acl(NetworkAclId=acl)
    with refused("InvalidAssociationID.NotFound", region):
        region.ec2.replace_network_acl_association(
            AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
        )
    region.ec2.replace_network_acl_association(
        AssociationId=moved["NewAssociationId"], NetworkAclId=default_of(region)["NetworkAclId"]
    )
    region.ec2.delete_network_acl(NetworkAclId=acl)


def test_not_to_one_of_another_vpc(region: Region) -> None:
    other = region.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    foreign = region.ec2.create_network_acl(VpcId=other)["NetworkAcl"]["NetworkAclId"]
    filters = [{"Name": "vpc-id", "Values": [region.vpc]}]
    (own,) = region.ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    with refused("InvalidParameterValue", region):
        region.ec2.replace_network_acl_association(
            AssociationId=own["Associations"][0]["NetworkAclAssociationId"], NetworkAclId=foreign
        )


def test_the_default_one_goes_with_its_vpc_and_no_sooner(region: Region) -> None:
    vpc = region.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    (default,) = region.ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    own = region.ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]

    with refused("InvalidParameterValue", region):
        region.ec2.delete_network_acl(NetworkAclId=default["NetworkAclId"])
    with refused("DependencyViolation", region):
        region.ec2.delete_vpc(VpcId=vpc)
    region.ec2.delete_network_acl(NetworkAclId=own)
    region.ec2.delete_vpc(VpcId=vpc)
    assert region.ec2.describe_network_acls(Filters=filters)["NetworkAcls"] == []


def test_one_may_be_tagged_as_it_is_made(region: Region) -> None:
    tags = [{"Key": "for", "Value": "test"}]
    made = region.ec2.create_network_acl(
        VpcId=region.vpc, TagSpecifications=[{"ResourceType": "network-acl", "Tags": tags}]
    )
    assert made["NetworkAcl"]["Tags"] == tags
