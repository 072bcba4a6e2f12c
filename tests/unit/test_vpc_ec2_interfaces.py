"""Interfaces, private addresses and Elastic IPs, as boto3 sees them: each call and its refusals."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from vpc_ec2 import DEBIAN, Region, refused

from pileus.vpc.ec2.settings import Ec2Settings


@pytest.fixture
def region() -> Region:
    return Region()


# Private addresses


def test_a_named_address_is_given_once(region: Region) -> None:
    eni = region.eni(PrivateIpAddress="172.16.10.101", Groups=[region.group])

    assert region.addresses(eni) == ["172.16.10.101"]
    with refused("InvalidIPAddress.InUse", region):
        region.eni(PrivateIpAddress="172.16.10.101")
    with refused("InvalidIPAddress.InUse", region):
        region.eni(PrivateIpAddresses=[{"PrivateIpAddress": "172.16.10.101", "Primary": True}])


@pytest.mark.parametrize(
    "address",
    ["172.16.20.5", "10.0.0.1", "172.16.10.300"]
    + [f"172.16.10.{last}" for last in (0, 1, 2, 3, 255)],
)
def test_addresses_outside_or_reserved_are_refused(region: Region, address: str) -> None:
    with refused("InvalidParameterValue", region):
        region.eni(PrivateIpAddress=address)


def test_random_addresses_never_collide_and_a_full_subnet_says_so(region: Region) -> None:
    small = region.subnet("172.16.30.0/28")
    got = [region.addresses(region.eni(SubnetId=small))[0] for _ in range(11)]

    assert len(set(got)) == 11
    assert {IPv4Address(one) for one in got} == set(list(IPv4Network("172.16.30.0/28"))[4:15])
    with refused("InsufficientFreeAddressesInSubnet", region):
        region.eni(SubnetId=small)


def test_a_primary_and_secondaries_at_creation(region: Region) -> None:
    eni = region.eni(
        PrivateIpAddresses=[
            {"PrivateIpAddress": "172.16.10.12", "Primary": False},
            {"PrivateIpAddress": "172.16.10.11", "Primary": True},
        ]
    )
    assert region.addresses(eni) == ["172.16.10.11", "172.16.10.12"]
    assert len(region.addresses(region.eni(SecondaryPrivateIpAddressCount=3))) == 4

    two_primaries = [
        {"PrivateIpAddress": f"172.16.10.{last}", "Primary": True} for last in (13, 14)
    ]
    with refused("InvalidParameterCombination", region):
        region.eni(PrivateIpAddresses=two_primaries)


def test_a_freed_address_can_be_given_again(region: Region) -> None:
    eni = region.eni(PrivateIpAddress="172.16.10.101")
    region.ec2.delete_network_interface(NetworkInterfaceId=eni)

    region.eni(PrivateIpAddress="172.16.10.101")


def test_assigning_answers_the_new_addresses_only(region: Region) -> None:
    eni = region.eni(PrivateIpAddress="172.16.10.101")
    answer = region.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.10.102"]
    )

    assert answer["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": "172.16.10.102"}]
    more = region.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=2
    )
    assert len(more["AssignedPrivateIpAddresses"]) == 2
    assert len(set(region.addresses(eni))) == 4


def test_an_address_moves_only_when_told_and_its_elastic_ip_comes_along(region: Region) -> None:
    one, other = region.eni(), region.eni()
    assign = region.ec2.assign_private_ip_addresses
    assign(NetworkInterfaceId=one, PrivateIpAddresses=["172.16.10.50"])
    elastic = region.elastic()
    region.ec2.associate_address(
        AllocationId=elastic, NetworkInterfaceId=one, PrivateIpAddress="172.16.10.50"
    )

    with refused("InvalidIPAddress.InUse", region):
        assign(NetworkInterfaceId=other, PrivateIpAddresses=["172.16.10.50"])
    assign(NetworkInterfaceId=other, PrivateIpAddresses=["172.16.10.50"], AllowReassignment=True)

    assert "172.16.10.50" not in region.addresses(one)
    assert "172.16.10.50" in region.addresses(other)
    assert region.state.elastic_ips[elastic].eni == other


def test_a_primary_address_never_moves(region: Region) -> None:
    region.eni(PrivateIpAddress="172.16.10.101")
    other = region.eni()

    with refused("InvalidIPAddress.InUse", region):
        region.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=other,
            PrivateIpAddresses=["172.16.10.101"],
            AllowReassignment=True,
        )


def test_unassigning_takes_secondaries_and_their_elastic_ips(region: Region) -> None:
    eni = region.eni(PrivateIpAddress="172.16.10.101")
    region.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.10.102"]
    )
    elastic = region.elastic()
    region.ec2.associate_address(
        AllocationId=elastic, NetworkInterfaceId=eni, PrivateIpAddress="172.16.10.102"
    )
    unassign = region.ec2.unassign_private_ip_addresses

    for wrong in ("172.16.10.101", "172.16.10.103"):
        with refused("InvalidParameterValue", region):
            unassign(NetworkInterfaceId=eni, PrivateIpAddresses=[wrong])
    unassign(NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.10.102"])

    assert region.addresses(eni) == ["172.16.10.101"]
    assert region.state.elastic_ips[elastic].eni is None


def test_an_instance_type_limits_the_addresses_of_an_interface(region: Region) -> None:
    eni = region.eni()
    region.run(eni)  # m5.large: ten addresses
    assign = region.ec2.assign_private_ip_addresses
    assign(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=9)

    with refused("PrivateIpAddressLimitExceeded", region):
        assign(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=1)


def test_a_batch_is_done_whole_or_not_at_all(region: Region) -> None:
    """One address of the batch cannot be had: none of the others is touched either."""
    eni, other = region.eni(), region.eni(PrivateIpAddress="172.16.10.60")
    assign = region.ec2.assign_private_ip_addresses
    unassign = region.ec2.unassign_private_ip_addresses
    assign(NetworkInterfaceId=other, PrivateIpAddresses=["172.16.10.61"])
    assign(NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.10.50"])

    for wrong, code in (
        ("172.16.10.61", "InvalidIPAddress.InUse"),
        ("172.16.10.3", "InvalidParameterValue"),
        ("172.16.20.9", "InvalidParameterValue"),
    ):
        with refused(code, region):
            assign(NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.10.51", wrong])
    with refused("InvalidIPAddress.InUse", region):  # one may move, the other is a primary
        assign(
            NetworkInterfaceId=eni,
            PrivateIpAddresses=["172.16.10.61", "172.16.10.60"],
            AllowReassignment=True,
        )
    with refused("InvalidParameterValue", region):
        unassign(NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.10.50", "172.16.10.61"])


def test_assigning_what_is_assigned_already_changes_nothing(region: Region) -> None:
    eni = region.eni(PrivateIpAddress="172.16.10.50")
    assign = region.ec2.assign_private_ip_addresses
    for expected in (["172.16.10.51"], []):
        answer = assign(NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.10.51"])
        new = answer.get("AssignedPrivateIpAddresses", [])
        assert [one["PrivateIpAddress"] for one in new] == expected
    assert region.addresses(eni) == ["172.16.10.50", "172.16.10.51"]


@pytest.mark.parametrize(
    ("specs", "code"),
    [
        (
            [{"PrivateIpAddress": "172.16.10.5"}, {"PrivateIpAddress": "172.16.10.5"}],
            "InvalidIPAddress.InUse",
        ),
        ([{}, {"SecondaryPrivateIpAddressCount": 10}], "PrivateIpAddressLimitExceeded"),
        ([{}, {"SecondaryPrivateIpAddressCount": 300}], "InsufficientFreeAddressesInSubnet"),
        ([{}, {}, {}, {}], "AttachmentLimitExceeded"),
    ],
)
def test_a_launch_that_is_refused_leaves_no_interface(
    region: Region, specs: list[dict[str, object]], code: str
) -> None:
    nics = [
        {"DeviceIndex": index, "SubnetId": region.management, **spec}
        for index, spec in enumerate(specs)
    ]
    with refused(code, region):
        region.run(NetworkInterfaces=nics)


# Groups and attributes


def test_groups_must_exist_in_the_same_vpc_and_five_are_enough(region: Region) -> None:
    eni = region.eni()
    elsewhere = region.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    foreign = region.new_group("far", elsewhere)
    modify = region.ec2.modify_network_interface_attribute

    with refused("InvalidGroup.NotFound", region):
        region.eni(Groups=["sg-00000000000000000"])
    with refused("InvalidGroup.NotFound", region):
        modify(NetworkInterfaceId=eni, Groups=["sg-00000000000000000"])
    with refused("InvalidParameterValue", region):
        region.eni(Groups=[foreign])
    six = [region.new_group(f"g{number}") for number in range(6)]
    with refused("SecurityGroupsPerInterfaceLimitExceeded", region):
        modify(NetworkInterfaceId=eni, Groups=six)

    modify(NetworkInterfaceId=eni, Groups=six[:5])
    assert region.state.enis[eni].groups == tuple(six[:5])


def test_the_source_destination_check_can_be_lifted(region: Region) -> None:
    eni = region.eni()
    assert region.state.enis[eni].source_dest_check

    region.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eni, SourceDestCheck={"Value": False}
    )
    assert not region.state.enis[eni].source_dest_check
    assert not region.interface(eni)["SourceDestCheck"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attachment.device-index", "1"),
        ("association.public-ip", "198.51.100.1"),
        ("addresses.association.public-ip", "198.51.100.1"),
        ("addresses.private-ip-address", "172.16.20.*"),
        ("private-ip-address", "172.16.20.10?"),
        ("status", "in-use"),
        ("group-name", "open"),
        ("attachment.status", "attached"),
    ],
)
def test_interfaces_are_found_by_every_filter(region: Region, name: str, value: str) -> None:
    first = region.eni(PrivateIpAddress="172.16.10.101")
    second = region.eni(
        SubnetId=region.provider, PrivateIpAddress="172.16.20.101", Groups=[region.group]
    )
    region.run(first)
    region.ec2.attach_network_interface(
        NetworkInterfaceId=second, InstanceId=region.interface(first)["Attachment"]["InstanceId"],
        DeviceIndex=1,
    )  # fmt: skip
    region.ec2.associate_address(AllocationId=region.elastic(), NetworkInterfaceId=second)

    def find(*values: str) -> list[str]:
        found = region.ec2.describe_network_interfaces(
            Filters=[{"Name": name, "Values": list(values)}]
        )
        return [one["NetworkInterfaceId"] for one in found["NetworkInterfaces"]]

    assert second in find(value)
    assert find("nothing") == []


def test_an_unknown_filter_is_refused(region: Region) -> None:
    wrong = [{"Name": "colour", "Values": ["blue"]}]
    for call in (
        region.ec2.describe_network_interfaces,
        region.ec2.describe_instances,
        region.ec2.describe_addresses,
        region.ec2.describe_vpcs,
        region.ec2.describe_subnets,
        region.ec2.describe_images,
        region.ec2.describe_security_groups,
        region.ec2.describe_route_tables,
        region.ec2.describe_internet_gateways,
        region.ec2.describe_key_pairs,
    ):
        with refused("InvalidParameterValue", region):
            call(Filters=wrong)


# Attachment


def test_an_interface_is_attached_once_and_an_index_taken_once(region: Region) -> None:
    first, second, third = region.eni(), region.eni(), region.eni()
    one, other = region.run(first), region.run(region.eni())
    attach = region.ec2.attach_network_interface
    attach(NetworkInterfaceId=second, InstanceId=one, DeviceIndex=1)

    for eni in (first, second):
        with refused("InvalidNetworkInterface.InUse", region):
            attach(NetworkInterfaceId=eni, InstanceId=other, DeviceIndex=1)
    with refused("InvalidParameterValue", region) as refusal:
        attach(NetworkInterfaceId=third, InstanceId=one, DeviceIndex=1)
    assert refusal.message == (
        f"Instance '{one}' already has an interface attached at device index '1'."
    )


def test_the_instance_type_limits_interfaces(region: Region) -> None:
    instance = region.run(region.eni(), region.eni(), region.eni())  # m5.large: three
    fourth = region.eni()

    with refused("AttachmentLimitExceeded", region):
        region.ec2.attach_network_interface(
            NetworkInterfaceId=fourth, InstanceId=instance, DeviceIndex=3
        )


def test_detaching_frees_all_but_the_primary(region: Region) -> None:
    first, second = region.eni(), region.eni()
    region.run(first, second)

    with refused("OperationNotPermitted", region):
        region.ec2.detach_network_interface(AttachmentId=region.attachment(first))
    with refused("InvalidAttachmentID.NotFound", region):
        region.ec2.detach_network_interface(AttachmentId="eni-attach-0")
    region.ec2.detach_network_interface(AttachmentId=region.attachment(second))

    assert region.interface(second)["Status"] == "available"
    assert region.state.enis[second].instance is None


def test_an_attached_interface_is_not_deleted(region: Region) -> None:
    eni = region.eni()
    region.run(eni)

    with refused("InvalidParameterValue", region) as refusal:
        region.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert refusal.message == f"Network interface '{eni}' is currently in use."
    with refused("InvalidNetworkInterfaceID.NotFound", region):
        region.ec2.delete_network_interface(NetworkInterfaceId="eni-00000000000000000")


# Elastic IPs


def test_elastic_ips_come_from_the_pool_up_to_the_quota(region: Region) -> None:
    got = [region.ec2.allocate_address(Domain="vpc")["PublicIp"] for _ in range(5)]

    assert all(IPv4Address(one) in region.settings.elastic_pool for one in got)
    assert len(set(got)) == 5
    with refused("AddressLimitExceeded", region):
        region.elastic()


def test_the_quota_can_be_raised_and_the_pool_runs_out() -> None:
    settings = Ec2Settings(
        images=(DEBIAN,), elastic_pool=IPv4Network("192.0.2.0/29"), elastic_quota=100
    )
    region = Region(settings)
    for _ in range(6):
        region.elastic()

    with refused("InsufficientAddressCapacity", region):
        region.elastic()


def test_an_elastic_ip_goes_to_the_named_private_address(region: Region) -> None:
    eni = region.eni(PrivateIpAddress="172.16.10.101")
    region.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.10.102"]
    )
    first, second = region.elastic(), region.elastic()
    associate = region.ec2.associate_address
    associate(AllocationId=first, NetworkInterfaceId=eni)
    associate(AllocationId=second, NetworkInterfaceId=eni, PrivateIpAddress="172.16.10.102")

    known = region.state.elastic_ips
    assert str(known[first].private) == "172.16.10.101"
    assert str(known[second].private) == "172.16.10.102"
    shown = {
        entry["PrivateIpAddress"]: entry["Association"]["AllocationId"]
        for entry in region.interface(eni)["PrivateIpAddresses"]
    }
    assert shown == {"172.16.10.101": first, "172.16.10.102": second}
    with refused("InvalidParameterValue", region):
        associate(AllocationId=first, NetworkInterfaceId=eni, PrivateIpAddress="172.16.10.103")


def test_associations_are_replaced_unless_that_is_refused(region: Region) -> None:
    one, other = region.eni(), region.eni()
    first, second = region.elastic(), region.elastic()
    associate = region.ec2.associate_address
    associate(AllocationId=first, NetworkInterfaceId=one)

    with refused("Resource.AlreadyAssociated", region):
        associate(AllocationId=first, NetworkInterfaceId=other, AllowReassociation=False)
    with refused("Resource.AlreadyAssociated", region):
        associate(AllocationId=second, NetworkInterfaceId=one, AllowReassociation=False)
    same = associate(AllocationId=first, NetworkInterfaceId=one)["AssociationId"]
    assert same == region.state.elastic_ips[first].association

    associate(AllocationId=second, NetworkInterfaceId=one)
    assert region.state.elastic_ips[first].eni is None
    associate(AllocationId=second, NetworkInterfaceId=other)
    assert region.state.elastic_ips[second].eni == other
    assert "Association" not in region.interface(one)


def test_an_elastic_ip_needs_an_internet_gateway(region: Region) -> None:
    lonely = region.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = region.ec2.create_subnet(VpcId=lonely, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    eni, elastic = region.eni(SubnetId=subnet), region.elastic()

    with refused("Gateway.NotAttached", region):
        region.ec2.associate_address(AllocationId=elastic, NetworkInterfaceId=eni)


def test_an_instance_with_two_interfaces_must_be_told_which(region: Region) -> None:
    instance, elastic = region.run(region.eni(), region.eni()), region.elastic()

    with refused("InvalidInstanceID", region):
        region.ec2.associate_address(AllocationId=elastic, InstanceId=instance)


def test_an_elastic_ip_in_use_is_not_released(region: Region) -> None:
    elastic = region.elastic()
    region.ec2.associate_address(AllocationId=elastic, NetworkInterfaceId=region.eni())

    with refused("InvalidIPAddress.InUse", region):
        region.ec2.release_address(AllocationId=elastic)
    with refused("InvalidAssociationID.NotFound", region):
        region.ec2.disassociate_address(AssociationId="eipassoc-0")
    with refused("InvalidAllocationID.NotFound", region):
        region.ec2.release_address(AllocationId="eipalloc-0")

    known = region.state.elastic_ips[elastic]
    region.ec2.disassociate_address(AssociationId=known.association)
    region.ec2.release_address(AllocationId=elastic)
    assert region.state.elastic_ips == {}
    assert region.ec2.describe_addresses()["Addresses"] == []


def test_elastic_ips_have_no_reverse_names(region: Region) -> None:
    elastic = region.elastic()
    asked = region.ec2.describe_addresses_attribute(
        AllocationIds=[elastic], Attribute="domain-name"
    )
    public = str(region.state.elastic_ips[elastic].public)
    assert asked["Addresses"] == [{"PublicIp": public, "AllocationId": elastic}]
