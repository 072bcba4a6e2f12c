"""VPCs, subnets, gateways, route tables, security groups and network ACLs."""

from __future__ import annotations

from typing import Any

import pytest
from contract_place import Network, Place, refused


@pytest.mark.parametrize("cidr", ["10.0.0.0/15", "10.0.0.0/29"])
def test_a_vpc_is_from_16_to_28_bits(place: Place, cidr: str) -> None:
    with refused("InvalidVpc.Range"):
        place.vpc(cidr)


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [("10.77.1.128/25", "InvalidSubnet.Conflict"), ("10.79.1.0/24", "InvalidSubnet.Range")],
)
def test_subnets_are_inside_and_apart(place: Place, net: Network, cidr: str, expected: str) -> None:
    with refused(expected):
        place.subnet(net.vpc, cidr)


def test_what_is_depended_on_stays(place: Place, net: Network) -> None:
    place.interface(net.first)
    with refused("DependencyViolation"):
        place.ec2.delete_subnet(SubnetId=net.first)
    with refused("DependencyViolation"):
        place.ec2.delete_vpc(VpcId=net.vpc)
    with refused("DependencyViolation"):
        place.ec2.delete_internet_gateway(InternetGatewayId=net.gateway)


def test_a_vpc_has_one_gateway(place: Place, net: Network) -> None:
    other = place.gateway()
    with refused("InvalidParameterValue"):
        place.ec2.attach_internet_gateway(InternetGatewayId=other, VpcId=net.vpc)
    with refused("Resource.AlreadyAssociated"):
        place.ec2.attach_internet_gateway(InternetGatewayId=net.gateway, VpcId=net.vpc)


def test_a_gateway_stays_while_public_addresses_go_through_it(place: Place, net: Network) -> None:
    place.ec2.associate_address(
        AllocationId=place.elastic(), NetworkInterfaceId=place.interface(net.first)
    )
    with refused("DependencyViolation"):
        place.ec2.detach_internet_gateway(InternetGatewayId=net.gateway, VpcId=net.vpc)


# Routes


def routes(place: Place, table: str) -> dict[str, str]:
    (found,) = place.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    return {one["DestinationCidrBlock"]: one["State"] for one in found["Routes"]}


def test_a_route_is_there_once(place: Place, net: Network) -> None:
    wanted = {"RouteTableId": place.table(net.vpc), "GatewayId": net.gateway}
    place.ec2.create_route(**wanted, DestinationCidrBlock="0.0.0.0/0")
    with refused("RouteAlreadyExists"):
        place.ec2.create_route(**wanted, DestinationCidrBlock="0.0.0.0/0")
    with refused("InvalidParameterValue"):
        place.ec2.create_route(**wanted, DestinationCidrBlock="10.77.1.0/24")
    with refused("InvalidRoute.NotFound"):
        place.ec2.delete_route(
            RouteTableId=wanted["RouteTableId"], DestinationCidrBlock="192.0.2.0/24"
        )


def test_a_route_to_an_interface_that_is_gone_is_a_black_hole(place: Place, net: Network) -> None:
    table, eni = place.table(net.vpc), place.interface(net.first)
    place.ec2.create_route(
        RouteTableId=table, DestinationCidrBlock="192.0.2.0/24", NetworkInterfaceId=eni
    )
    assert routes(place, table)["192.0.2.0/24"] == "blackhole"  # it is on no instance
    place.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert routes(place, table) == {"10.77.0.0/16": "active", "192.0.2.0/24": "blackhole"}


def test_the_main_table_stays_and_a_subnet_has_one(place: Place, net: Network) -> None:
    asked = [
        {"Name": "vpc-id", "Values": [net.vpc]},
        {"Name": "association.main", "Values": ["true"]},
    ]
    (main,) = place.ec2.describe_route_tables(Filters=asked)["RouteTables"]
    with refused("DependencyViolation"):
        place.ec2.delete_route_table(RouteTableId=main["RouteTableId"])
    one, other = place.table(net.vpc), place.table(net.vpc)
    subnet = place.subnet(net.vpc, "10.77.3.0/24")
    place.ec2.associate_route_table(RouteTableId=one, SubnetId=subnet)
    with refused("Resource.AlreadyAssociated"):
        place.ec2.associate_route_table(RouteTableId=other, SubnetId=subnet)
    with refused("DependencyViolation"):
        place.ec2.delete_route_table(RouteTableId=one)


# Security groups


def ssh(**far: Any) -> dict[str, Any]:
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    return rule | (far or {"IpRanges": [{"CidrIp": "192.0.2.0/24"}]})


def test_a_rule_is_there_once(place: Place, net: Network) -> None:
    group = place.group(net.vpc, "contract-once")
    allow = place.ec2.authorize_security_group_ingress
    allow(GroupId=group, IpPermissions=[ssh()])
    with refused("InvalidPermission.Duplicate"):
        allow(GroupId=group, IpPermissions=[ssh()])
    with refused("InvalidPermission.NotFound"):
        place.ec2.revoke_security_group_ingress(
            GroupId=group, IpPermissions=[ssh(IpRanges=[{"CidrIp": "198.51.100.0/24"}])]
        )


def test_a_group_that_is_worn_or_named_stays(place: Place, net: Network) -> None:
    worn, named = place.group(net.vpc, "contract-worn"), place.group(net.vpc, "contract-named")
    place.ec2.authorize_security_group_ingress(
        GroupId=worn, IpPermissions=[ssh(UserIdGroupPairs=[{"GroupId": named}])]
    )
    with refused("DependencyViolation"):
        place.ec2.delete_security_group(GroupId=named)
    place.ec2.revoke_security_group_ingress(
        GroupId=worn, IpPermissions=[ssh(UserIdGroupPairs=[{"GroupId": named}])]
    )
    place.interface(net.first, Groups=[worn])
    with refused("DependencyViolation"):
        place.ec2.delete_security_group(GroupId=worn)


def test_the_default_group_lets_its_own_in_and_stays(place: Place, net: Network) -> None:
    asked = [
        {"Name": "vpc-id", "Values": [net.vpc]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    (default,) = place.ec2.describe_security_groups(Filters=asked)["SecurityGroups"]
    (rule,) = default["IpPermissions"]
    assert rule["IpProtocol"] == "-1"
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [default["GroupId"]]
    with refused("CannotDelete"):
        place.ec2.delete_security_group(GroupId=default["GroupId"])


def test_a_new_group_lets_all_out_and_nothing_in(place: Place, net: Network) -> None:
    group = place.group(net.vpc, "contract-new")
    (shown,) = place.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert shown["IpPermissions"] == []
    (out,) = shown["IpPermissionsEgress"]
    assert (out["IpProtocol"], out["IpRanges"]) == ("-1", [{"CidrIp": "0.0.0.0/0"}])
    with refused("InvalidGroup.Duplicate"):
        place.group(net.vpc, "contract-new")


# Network ACLs


def test_entries_have_numbers_of_their_own(place: Place, net: Network) -> None:
    entry = {
        "NetworkAclId": place.acl(net.vpc),
        "RuleNumber": 100,
        "Protocol": "-1",
        "RuleAction": "allow",
        "Egress": False,
        "CidrBlock": "0.0.0.0/0",
    }
    place.ec2.create_network_acl_entry(**entry)
    with refused("NetworkAclEntryAlreadyExists"):
        place.ec2.create_network_acl_entry(**entry)
    with refused("InvalidNetworkAclEntry.NotFound"):
        place.ec2.delete_network_acl_entry(
            NetworkAclId=entry["NetworkAclId"], RuleNumber=101, Egress=False
        )


def test_the_default_acl_stays(place: Place, net: Network) -> None:
    asked = [{"Name": "vpc-id", "Values": [net.vpc]}, {"Name": "default", "Values": ["true"]}]
    (default,) = place.ec2.describe_network_acls(Filters=asked)["NetworkAcls"]
    with refused("InvalidParameterValue"):
        place.ec2.delete_network_acl(NetworkAclId=default["NetworkAclId"])
