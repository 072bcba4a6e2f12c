"""VPCs, subnets, gateways, routes and security groups, as boto3 sees them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
from vpc_ec2 import Region, refused

from pileus.vpc.state import Permission

ALL = "0.0.0.0/0"
ANYWHERE = [{"CidrIp": ALL}]
TOLD = {"Description": "from anywhere"}


@pytest.fixture
def region() -> Region:
    return Region()


def ssh(**changes: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": ANYWHERE, **changes}


# VPCs and subnets


def test_a_fresh_region_has_nothing_in_it() -> None:
    region = Region()
    vpcs = region.ec2.describe_vpcs()["Vpcs"]

    assert [vpc["VpcId"] for vpc in vpcs] == [region.vpc]
    assert not vpcs[0]["IsDefault"]
    assert len(region.ec2.describe_images()["Images"]) == 1
    with refused("VPCIdNotSpecified", region):
        region.ec2.create_security_group(GroupName="g", Description="g")


def test_five_vpcs_are_the_quota(region: Region) -> None:
    for _ in range(4):
        region.ec2.create_vpc(CidrBlock="172.16.0.0/16")  # the same range as often as one likes

    with refused("VpcLimitExceeded", region):
        region.ec2.create_vpc(CidrBlock="10.0.0.0/16")


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "10.0.0.0/29", "10.0.0.0", "ten", "10.0.0.0/33"])
def test_a_vpcs_range_has_16_to_28_bits(region: Region, cidr: str) -> None:
    code = "InvalidVpc.Range" if cidr in ("10.0.0.0/8", "10.0.0.0/29") else "InvalidParameterValue"

    with refused(code, region):
        region.ec2.create_vpc(CidrBlock=cidr)


def test_host_bits_are_taken_off(region: Region) -> None:
    made = region.ec2.create_subnet(VpcId=region.vpc, CidrBlock="172.16.30.7/24")["Subnet"]

    assert made["CidrBlock"] == "172.16.30.0/24"
    assert not made["MapPublicIpOnLaunch"]


@pytest.mark.parametrize(
    ("cidr", "code"),
    [
        ("172.16.10.128/25", "InvalidSubnet.Conflict"),
        ("10.0.0.0/24", "InvalidSubnet.Range"),
        ("172.16.30.0/29", "InvalidSubnet.Range"),
    ],
)
def test_subnets_lie_in_their_vpc_and_do_not_overlap(region: Region, cidr: str, code: str) -> None:
    with refused(code, region):
        region.subnet(cidr)


def test_nothing_is_deleted_that_something_depends_on(region: Region) -> None:
    ec2 = region.ec2
    eni = region.eni(Groups=[region.group])

    with refused("DependencyViolation", region):
        ec2.delete_vpc(VpcId=region.vpc)
    with refused("DependencyViolation", region):
        ec2.delete_subnet(SubnetId=region.management)
    with refused("DependencyViolation", region):
        ec2.delete_security_group(GroupId=region.group)
    with refused("DependencyViolation", region):
        ec2.delete_internet_gateway(InternetGatewayId=region.gateway)

    ec2.delete_network_interface(NetworkInterfaceId=eni)
    for subnet in (region.management, region.provider):
        ec2.delete_subnet(SubnetId=subnet)
    for blocker in ("group", "gateway"):
        with refused("DependencyViolation", region):
            ec2.delete_vpc(VpcId=region.vpc)
        if blocker == "group":
            ec2.delete_security_group(GroupId=region.group)
        else:
            ec2.detach_internet_gateway(InternetGatewayId=region.gateway, VpcId=region.vpc)
            ec2.delete_internet_gateway(InternetGatewayId=region.gateway)
    ec2.delete_vpc(VpcId=region.vpc)

    state = region.state
    assert (state.vpcs, state.subnets, state.route_tables, state.groups) == ({}, {}, {}, {})


@pytest.mark.parametrize(
    ("call", "parameters", "code"),
    [
        ("delete_vpc", {"VpcId": "vpc-0"}, "InvalidVpcID.NotFound"),
        ("delete_subnet", {"SubnetId": "subnet-0"}, "InvalidSubnetID.NotFound"),
        ("describe_vpcs", {"VpcIds": ["vpc-0"]}, "InvalidVpcID.NotFound"),
        ("describe_subnets", {"SubnetIds": ["subnet-0"]}, "InvalidSubnetID.NotFound"),
        ("describe_security_groups", {"GroupIds": ["sg-0"]}, "InvalidGroup.NotFound"),
        ("delete_security_group", {"GroupId": "sg-0"}, "InvalidGroup.NotFound"),
        (
            "delete_internet_gateway",
            {"InternetGatewayId": "igw-0"},
            "InvalidInternetGatewayID.NotFound",
        ),
        ("delete_route_table", {"RouteTableId": "rtb-0"}, "InvalidRouteTableID.NotFound"),
        (
            "create_tags",
            {"Resources": ["eni-00000000000000000"], "Tags": [{"Key": "a", "Value": "b"}]},
            "InvalidNetworkInterfaceID.NotFound",
        ),
    ],
)
def test_what_is_not_there_is_not_found(
    region: Region, call: str, parameters: dict[str, Any], code: str
) -> None:
    with refused(code, region):
        getattr(region.ec2, call)(**parameters)


def test_tags_go_with_their_resource(region: Region) -> None:
    subnet = region.subnet("172.16.30.0/24")
    region.ec2.create_tags(Resources=[subnet], Tags=[{"Key": "pileus", "Value": "demo"}])
    wanted = [{"Name": "tag:pileus", "Values": ["demo"]}]
    assert len(region.ec2.describe_subnets(Filters=wanted)["Subnets"]) == 1

    region.ec2.delete_subnet(SubnetId=subnet)

    assert region.ec2.describe_tags()["Tags"] == []


# Internet gateways


def test_a_vpc_has_one_internet_gateway(region: Region) -> None:
    second = region.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    other = region.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    attach = region.ec2.attach_internet_gateway

    with refused("InvalidParameterValue", region):
        attach(InternetGatewayId=second, VpcId=region.vpc)
    with refused("Resource.AlreadyAssociated", region):
        attach(InternetGatewayId=region.gateway, VpcId=other)
    with refused("Gateway.NotAttached", region):
        region.ec2.detach_internet_gateway(InternetGatewayId=second, VpcId=region.vpc)


def test_a_gateway_stays_while_public_addresses_are_mapped(region: Region) -> None:
    region.ec2.associate_address(AllocationId=region.elastic(), NetworkInterfaceId=region.eni())

    with refused("DependencyViolation", region):
        region.ec2.detach_internet_gateway(InternetGatewayId=region.gateway, VpcId=region.vpc)


# Routes


def table(region: Region, vpc: str | None = None) -> str:
    made = region.ec2.create_route_table(VpcId=vpc or region.vpc)
    return str(made["RouteTable"]["RouteTableId"])


def targets(region: Region, rtb: str) -> dict[str, str]:
    return {str(route.destination): route.target for route in region.state.route_tables[rtb].routes}


def test_routes_to_the_gateway_turn_black_when_it_is_detached(region: Region) -> None:
    rtb = table(region)
    region.ec2.create_route(
        RouteTableId=rtb, DestinationCidrBlock="0.0.0.0/0", GatewayId=region.gateway
    )
    assert targets(region, rtb) == {"172.16.0.0/16": "local", "0.0.0.0/0": "igw"}

    region.ec2.detach_internet_gateway(InternetGatewayId=region.gateway, VpcId=region.vpc)

    assert targets(region, rtb)["0.0.0.0/0"] == "blackhole"
    found = region.ec2.describe_route_tables(RouteTableIds=[rtb])["RouteTables"][0]["Routes"]
    assert [route["State"] for route in found] == ["active", "blackhole"]


def test_routes_to_a_gateway_that_went_to_another_network_stay_black(region: Region) -> None:
    rtb = table(region)
    region.ec2.create_route(
        RouteTableId=rtb, DestinationCidrBlock="0.0.0.0/0", GatewayId=region.gateway
    )
    other = region.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    region.ec2.detach_internet_gateway(InternetGatewayId=region.gateway, VpcId=region.vpc)
    region.ec2.attach_internet_gateway(InternetGatewayId=region.gateway, VpcId=other)
    assert targets(region, rtb)["0.0.0.0/0"] == "blackhole"
    new = region.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    region.ec2.attach_internet_gateway(InternetGatewayId=new, VpcId=region.vpc)
    assert targets(region, rtb)["0.0.0.0/0"] == "blackhole"


def test_routes_to_an_interface_work_while_a_machine_has_it(region: Region) -> None:
    rtb, eni = table(region), region.eni()
    region.ec2.create_route(
        RouteTableId=rtb, DestinationCidrBlock="192.168.20.0/24", NetworkInterfaceId=eni
    )
    assert targets(region, rtb)["192.168.20.0/24"] == "blackhole"

    instance = region.run(eni)
    assert targets(region, rtb)["192.168.20.0/24"] == eni

    region.ec2.terminate_instances(InstanceIds=[instance])
    assert targets(region, rtb)["192.168.20.0/24"] == "blackhole"
    region.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert targets(region, rtb)["192.168.20.0/24"] == "blackhole"


def test_routes_are_refused_that_could_not_work(region: Region) -> None:
    rtb, loose = table(region), region.ec2.create_internet_gateway()["InternetGateway"]
    create = region.ec2.create_route
    create(RouteTableId=rtb, DestinationCidrBlock="0.0.0.0/0", GatewayId=region.gateway)

    with refused("RouteAlreadyExists", region):
        create(RouteTableId=rtb, DestinationCidrBlock="0.0.0.0/0", GatewayId=region.gateway)
    with refused("InvalidParameterValue", region):
        create(
            RouteTableId=rtb,
            DestinationCidrBlock="8.8.8.8/32",
            GatewayId=loose["InternetGatewayId"],
        )
    with refused("InvalidParameterValue", region):
        create(RouteTableId=rtb, DestinationCidrBlock="172.16.10.0/24", GatewayId=region.gateway)
    with refused("InvalidParameterValue", region):
        region.ec2.delete_route(RouteTableId=rtb, DestinationCidrBlock="172.16.0.0/16")
    with refused("InvalidRoute.NotFound", region):
        region.ec2.delete_route(RouteTableId=rtb, DestinationCidrBlock="9.9.9.9/32")


def test_a_table_has_fifty_routes(region: Region) -> None:
    rtb = table(region)
    wanted = {"RouteTableId": rtb, "GatewayId": region.gateway}
    for number in range(50):
        region.ec2.create_route(**wanted, DestinationCidrBlock=f"10.{number}.0.0/16")
    with refused("RouteLimitExceeded", region):
        region.ec2.create_route(**wanted, DestinationCidrBlock="10.50.0.0/16")
    region.ec2.replace_route(**wanted, DestinationCidrBlock="10.49.0.0/16")


def test_a_subnet_has_one_route_table(region: Region) -> None:
    one, other = table(region), table(region)
    associate = region.ec2.associate_route_table
    made = associate(RouteTableId=one, SubnetId=region.management)["AssociationId"]
    assert associate(RouteTableId=one, SubnetId=region.management)["AssociationId"] == made

    with refused("Resource.AlreadyAssociated", region):
        associate(RouteTableId=other, SubnetId=region.management)
    with refused("DependencyViolation", region):
        region.ec2.delete_route_table(RouteTableId=one)
    foreign = table(region, region.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
    with refused("InvalidParameterValue", region):
        associate(RouteTableId=foreign, SubnetId=region.provider)

    region.ec2.replace_route_table_association(AssociationId=made, RouteTableId=other)
    assert region.state.route_tables[other].subnets == {region.management}
    region.ec2.delete_route_table(RouteTableId=one)


def test_the_main_table_stays(region: Region) -> None:
    (main,) = [rtb for rtb in region.state.route_tables.values() if rtb.main]

    with refused("DependencyViolation", region):
        region.ec2.delete_route_table(RouteTableId=main.id)


# Security groups


def test_rules_reach_the_state_in_one_spelling(region: Region) -> None:
    region.permit(**ssh(IpRanges=[{"CidrIp": "203.0.113.7/24"}]))
    region.permit(IpProtocol="6", FromPort=80, ToPort=90, IpRanges=ANYWHERE)
    region.permit(IpProtocol="icmp", FromPort=-1, ToPort=-1, IpRanges=ANYWHERE)
    region.permit(IpProtocol="-1", UserIdGroupPairs=[{"GroupId": region.group}])

    rules = region.state.groups[region.group].ingress
    assert [(rule.protocol, rule.ports) for rule in rules] == [
        ("tcp", (22, 22)),
        ("tcp", (80, 90)),
        ("icmp", None),
        ("-1", None),
    ]
    assert rules[0].networks == {IPv4Network("203.0.113.0/24")}
    assert rules[3].groups == {region.group}


def test_a_rule_is_there_once_and_a_refused_call_adds_none_of_its_rules(region: Region) -> None:
    region.permit(**ssh())

    with refused("InvalidPermission.Duplicate", region):
        region.permit(**ssh(IpProtocol="6"))
    with refused("InvalidPermission.Duplicate", region):
        region.ec2.authorize_security_group_ingress(
            GroupId=region.group, IpPermissions=[ssh(FromPort=80, ToPort=80), ssh()]
        )


@pytest.mark.parametrize(
    "wrong",
    [
        ssh(FromPort=0, ToPort=70000),
        ssh(FromPort=23),
        ssh(IpProtocol="teleport"),
        ssh(IpProtocol="256"),
        ssh(IpRanges=[{"CidrIp": "everywhere"}]),
        {"IpProtocol": "tcp", "IpRanges": ANYWHERE},
    ],
)
def test_rules_that_mean_nothing_are_refused(region: Region, wrong: dict[str, Any]) -> None:
    with refused("InvalidParameterValue", region):
        region.permit(**wrong)


def test_a_rule_is_revoked_as_it_was_authorised(region: Region) -> None:
    revoke = region.ec2.revoke_security_group_ingress
    region.permit(**ssh())

    with refused("InvalidPermission.NotFound", region):
        revoke(GroupId=region.group, IpPermissions=[ssh(), ssh(FromPort=80, ToPort=80)])
    revoke(GroupId=region.group, IpPermissions=[ssh(IpProtocol="6")])
    assert region.state.groups[region.group].ingress == ()


def test_rules_are_modified_where_they_are_all_or_none(region: Region) -> None:
    friends = region.new_group("friends")
    made = region.ec2.authorize_security_group_ingress(
        GroupId=region.group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": ALL}]},
            {
                "IpProtocol": "tcp",
                "FromPort": 80,
                "ToPort": 80,
                "UserIdGroupPairs": [{"GroupId": region.group}],
            },
        ],
    )["SecurityGroupRules"]
    network, group = (one["SecurityGroupRuleId"] for one in made)

    def modify(**rules: dict[str, Any]) -> None:
        changes = [
            {"SecurityGroupRuleId": id, "SecurityGroupRule": rule}
            for id, rule in zip((network, group, "sgr-0"), rules.values(), strict=False)
        ]
        region.ec2.modify_security_group_rules(GroupId=region.group, SecurityGroupRules=changes)

    web = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    narrow, ours = {**web, "CidrIpv4": "192.0.2.7/24"}, {**web, "ReferencedGroupId": friends}
    with refused("InvalidGroup.NotFound", region):
        modify(first=narrow, second={**web, "ReferencedGroupId": "sg-0"})
    with refused("InvalidParameterValue", region):
        modify(first=narrow, second=narrow)
    with refused("InvalidSecurityGroupRuleId.NotFound", region):
        modify(first=narrow, second=ours, third=narrow)
    modify(first=narrow, second=ours)

    assert region.state.groups[region.group].ingress == (
        Permission("tcp", (443, 443), frozenset({IPv4Network("192.0.2.0/24")})),
        Permission("tcp", (443, 443), groups=frozenset({friends})),
    )


def test_descriptions_are_no_part_of_a_rule(region: Region) -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    region.permit(**rule, IpRanges=[{"CidrIp": ALL}])
    before = region.state
    region.ec2.update_security_group_rule_descriptions_ingress(
        GroupId=region.group, IpPermissions=[{**rule, "IpRanges": [{"CidrIp": ALL, **TOLD}]}]
    )
    assert region.state == before
    shown = region.ec2.describe_security_groups(GroupIds=[region.group])["SecurityGroups"][0]
    assert shown["IpPermissions"][0]["IpRanges"] == [{"CidrIp": ALL, **TOLD}]


def test_a_route_to_an_instance_is_one_to_its_only_interface(region: Region) -> None:
    alone, pair = region.eni(), (region.eni(), region.eni())
    instance, other = region.run(alone), region.run(*pair)
    table = region.ec2.create_route_table(VpcId=region.vpc)["RouteTable"]["RouteTableId"]
    route = {"RouteTableId": table, "DestinationCidrBlock": "10.9.0.0/16"}
    with refused("InvalidInstanceID", region):
        region.ec2.create_route(**route, InstanceId=other)
    region.ec2.create_route(**route, InstanceId=instance)
    assert region.state.route_tables[table].routes[-1].target == alone
    region.ec2.replace_route(**route, NetworkInterfaceId=pair[0])
    region.ec2.replace_route(**route, InstanceId=instance)
    assert region.state.route_tables[table].routes[-1].target == alone


def test_a_group_that_another_one_names_stays(region: Region) -> None:
    named = region.new_group("named")
    rule = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": named}]}
    region.permit(**rule)

    with refused("DependencyViolation", region):
        region.ec2.delete_security_group(GroupId=named)
    region.ec2.revoke_security_group_ingress(GroupId=region.group, IpPermissions=[rule])
    region.ec2.delete_security_group(GroupId=named)


def test_names_are_unique_and_default_is_taken(region: Region) -> None:
    with refused("InvalidGroup.Duplicate", region):
        region.new_group("open")
    with refused("InvalidParameterValue", region):
        region.new_group("default")
    (default,) = [g for g in region.state.groups.values() if g.name == "default"]
    with refused("CannotDelete", region):
        region.ec2.delete_security_group(GroupId=default.id)
    with refused("InvalidGroup.NotFound", region):
        region.permit(IpProtocol="-1", UserIdGroupPairs=[{"GroupId": "sg-00000000000000000"}])


def test_a_route_is_replaced(region: Region) -> None:
    rtb, eni = table(region), region.eni()
    region.run(eni)
    replace = region.ec2.replace_route
    everything = {"RouteTableId": rtb, "DestinationCidrBlock": "0.0.0.0/0"}
    with refused("InvalidParameterValue", region):
        replace(**everything, NetworkInterfaceId=eni)
    region.ec2.create_route(**everything, GatewayId=region.gateway)

    replace(**everything, NetworkInterfaceId=eni)
    assert targets(region, rtb)["0.0.0.0/0"] == eni
    with refused("InvalidParameterCombination", region):
        replace(**everything, NetworkInterfaceId=eni, GatewayId=region.gateway)


@pytest.mark.parametrize(
    "specifications",
    [
        [{"ResourceType": "subnet", "Tags": [{"Key": "a", "Value": "b"}]}],
        [{"Tags": [{"Key": "a", "Value": "b"}]}],
        [{"ResourceType": "vpc", "Tags": [{"Value": "b"}]}],
    ],
)
def test_tags_name_what_is_made_and_have_keys(region: Region, specifications: Any) -> None:
    code = "InvalidParameterValue" if len(specifications[0]) == 2 else "MissingParameter"
    code = code if "Key" in specifications[0]["Tags"][0] else "MissingParameter"
    with refused(code, region):
        region.ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=specifications)


def test_a_tag_without_a_value_is_empty(region: Region) -> None:
    region.ec2.create_tags(Resources=[region.vpc], Tags=[{"Key": "empty"}])

    (tag,) = region.ec2.describe_tags()["Tags"]
    assert (tag["Key"], tag["Value"]) == ("empty", "")


@pytest.mark.parametrize(
    "zone",
    [
        {"AvailabilityZone": "us-west-2a"},
        {"AvailabilityZone": "us-east-1z"},
        {"AvailabilityZoneId": "usw2-az1"},
        {"AvailabilityZone": "us-east-1a", "AvailabilityZoneId": "use1-az99"},
    ],
)
def test_a_subnet_is_in_a_zone_of_the_region(region: Region, zone: dict[str, str]) -> None:
    with refused("InvalidParameterValue", region) as refusal:
        region.ec2.create_subnet(VpcId=region.vpc, CidrBlock="172.16.40.0/24", **zone)
    assert "us-east-1b" in refusal.message
    assert "us-west" not in refusal.message.partition("zones:")[2]


@pytest.mark.parametrize(
    ("name", "description"),
    [("sg-mine", "x"), ("n\u00e4her", "x"), ("a" * 256, "x"), ("mine", "\u2713"), ("mine", "")],
)
def test_a_groups_name_and_description_have_their_form(
    region: Region, name: str, description: str
) -> None:
    with refused("InvalidParameterValue", region):
        region.ec2.create_security_group(GroupName=name, Description=description, VpcId=region.vpc)


def test_a_rule_names_groups_of_its_own_vpc(region: Region) -> None:
    far = region.new_group("far", region.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
    with refused("InvalidGroup.NotFound", region):
        region.permit(IpProtocol="tcp", FromPort=1, ToPort=2, UserIdGroupPairs=[{"GroupId": far}])
    with refused("InvalidParameterValue", region):
        region.permit(
            IpProtocol="icmp", FromPort=999, ToPort=-1, IpRanges=[{"CidrIp": "0.0.0.0/0"}]
        )


def test_the_main_association_stays(region: Region) -> None:
    asked = [{"Name": "association.main", "Values": ["true"]}]
    (main,) = region.ec2.describe_route_tables(Filters=asked)["RouteTables"]
    with refused("InvalidParameterValue", region):
        region.ec2.disassociate_route_table(
            AssociationId=main["Associations"][0]["RouteTableAssociationId"]
        )


def test_one_attribute_is_changed_at_a_time(region: Region) -> None:
    eni, on = region.eni(), {"Value": True}
    several: dict[str, dict[str, Any]] = {"SourceDestCheck": on, "Description": {"Value": "x"}}
    for asked in ({}, several):
        with refused("InvalidParameterCombination", region):
            region.ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, **asked)
    for wrong in ({}, {"EnableDnsSupport": on, "EnableDnsHostnames": on}):
        with refused("InvalidParameterCombination", region):
            region.ec2.modify_vpc_attribute(VpcId=region.vpc, **wrong)
