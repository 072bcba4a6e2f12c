"""Further address ranges of a VPC, as boto3 sees them."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from vpc_ec2 import Region, refused


@pytest.fixture
def region() -> Region:
    return Region()


def grow(region: Region, cidr: str) -> str:
    made = region.ec2.associate_vpc_cidr_block(VpcId=region.vpc, CidrBlock=cidr)
    return str(made["CidrBlockAssociation"]["AssociationId"])


def local(region: Region) -> list[set[str]]:
    """The local routes of each table."""
    return [
        {str(route.destination) for route in table.routes if route.target == "local"}
        for table in region.state.route_tables.values()
    ]


def test_a_vpc_grows_and_shrinks(region: Region) -> None:
    region.ec2.create_route_table(VpcId=region.vpc)
    association = grow(region, "172.20.0.0/16")
    region.ec2.create_route_table(VpcId=region.vpc)
    assert region.state.vpcs[region.vpc].further == (IPv4Network("172.20.0.0/16"),)
    assert local(region) == [{"172.16.0.0/16", "172.20.0.0/16"}] * 3
    subnet = region.subnet("172.20.1.0/24")
    with refused("InvalidCidrBlock.InUse", region):
        region.ec2.disassociate_vpc_cidr_block(AssociationId=association)
    region.ec2.delete_subnet(SubnetId=subnet)
    region.ec2.disassociate_vpc_cidr_block(AssociationId=association)
    assert region.state.vpcs[region.vpc].further == ()
    assert local(region) == [{"172.16.0.0/16"}] * 3
    (shown,) = region.ec2.describe_vpcs()["Vpcs"]
    assert [one["CidrBlock"] for one in shown["CidrBlockAssociationSet"]] == ["172.16.0.0/16"]
    with refused("InvalidSubnet.Range", region):
        region.subnet("172.20.1.0/24")


@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("172.20.0.0/15", "InvalidVpc.Range"),
        ("172.20.0.0/29", "InvalidVpc.Range"),
        ("10.0.0.0/16", "InvalidVpc.Range"),
        ("192.168.0.0/16", "InvalidVpc.Range"),
        ("169.254.8.0/24", "InvalidVpc.Range"),
        ("172.16.128.0/20", "CidrConflict"),
        ("100.64.0.0/16", "CidrConflict"),
        ("no range", "InvalidParameterValue"),
    ],
)
def test_a_range_is_of_the_family_and_apart(region: Region, cidr: str, code: str) -> None:
    (main,) = region.state.route_tables
    region.ec2.create_route(
        RouteTableId=main, DestinationCidrBlock="100.64.9.0/24", GatewayId=region.gateway
    )
    with refused(code, region):
        grow(region, cidr)


def test_a_vpc_has_five_ranges_and_keeps_the_first(region: Region) -> None:
    for number in range(4):
        grow(region, f"100.{64 + number}.0.0/16")
    with refused("CidrLimitExceeded", region):
        grow(region, "100.80.0.0/16")
    (shown,) = region.ec2.describe_vpcs()["Vpcs"]
    first = shown["CidrBlockAssociationSet"][0]["AssociationId"]
    with refused("OperationNotPermitted", region):
        region.ec2.disassociate_vpc_cidr_block(AssociationId=first)
    with refused("InvalidVpcCidrBlockAssociationID.NotFound", region):
        region.ec2.disassociate_vpc_cidr_block(AssociationId="vpc-cidr-assoc-0")
    with refused("InvalidParameterValue", region):  # of a further range too
        region.ec2.create_route(
            RouteTableId=next(iter(region.state.route_tables)),
            DestinationCidrBlock="100.64.1.0/24",
            GatewayId=region.gateway,
        )
