"""Delegated prefixes, as boto3 sees them: each call and its refusals."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from vpc_ec2 import Region, refused


@pytest.fixture
def region() -> Region:
    return Region()


def prefixes(region: Region, eni: str) -> list[str]:
    shown = region.interface(eni).get("Ipv4Prefixes", [])
    assert [str(one) for one in region.state.enis[eni].prefixes] == [
        one["Ipv4Prefix"] for one in shown
    ]
    return [one["Ipv4Prefix"] for one in shown]


def free_addresses(region: Region) -> int:
    found = region.ec2.describe_subnets(SubnetIds=[region.management])["Subnets"][0]
    return int(found["AvailableIpAddressCount"])


def test_a_prefix_is_named_or_chosen_and_given_back(region: Region) -> None:
    eni = region.eni(PrivateIpAddress="172.16.10.101")
    before = free_addresses(region)
    assign = region.ec2.assign_private_ip_addresses
    named = assign(NetworkInterfaceId=eni, Ipv4Prefixes=["172.16.10.64/28"])
    assert named["AssignedIpv4Prefixes"] == [{"Ipv4Prefix": "172.16.10.64/28"}]
    chosen = assign(NetworkInterfaceId=eni, Ipv4PrefixCount=2)["AssignedIpv4Prefixes"]

    blocks = [IPv4Network(one) for one in prefixes(region, eni)]
    assert [str(one) for one in blocks[1:]] == [one["Ipv4Prefix"] for one in chosen]
    assert len({address for block in blocks for address in block}) == 48
    assert all(IPv4Address("172.16.10.101") not in block for block in blocks)
    assert before - free_addresses(region) == 48
    region.ec2.unassign_private_ip_addresses(
        NetworkInterfaceId=eni, Ipv4Prefixes=[one["Ipv4Prefix"] for one in chosen]
    )
    assert prefixes(region, eni) == ["172.16.10.64/28"]
    assert region.addresses(eni) == ["172.16.10.101"]


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("172.16.10.64/27", "InvalidParameterValue"),
        ("172.16.10.65/28", "InvalidParameterValue"),
        ("172.16.20.64/28", "InvalidParameterValue"),
        ("172.16.10.0/28", "InvalidParameterValue"),
        ("172.16.10.240/28", "InvalidParameterValue"),
        ("a prefix", "InvalidParameterValue"),
        ("172.16.10.96/28", "InvalidIPAddress.InUse"),
        ("172.16.10.112/28", "InvalidIPAddress.InUse"),
    ],
)
def test_a_prefix_that_cannot_be_had_is_refused(region: Region, prefix: str, code: str) -> None:
    region.eni(PrivateIpAddress="172.16.10.101", SubnetId=region.management)
    other = [{"Ipv4Prefix": "172.16.10.112/28"}]
    region.eni(PrivateIpAddress="172.16.10.151", Ipv4Prefixes=other)
    eni = region.eni(PrivateIpAddress="172.16.10.150")
    with refused(code, region):
        region.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=eni, Ipv4Prefixes=["172.16.10.32/28", prefix]
        )
    with refused(code, region):
        region.eni(Ipv4Prefixes=[{"Ipv4Prefix": prefix}])


def test_addresses_of_a_prefix_are_nobody_elses(region: Region) -> None:
    eni = region.eni(
        PrivateIpAddress="172.16.10.101", Ipv4Prefixes=[{"Ipv4Prefix": "172.16.10.64/28"}]
    )
    other, elastic = region.eni(), region.elastic()
    taken = "172.16.10.70"
    with refused("InvalidIPAddress.InUse", region):
        region.eni(PrivateIpAddress=taken)
    for reassign in (False, True):
        with refused("InvalidIPAddress.InUse", region):
            region.ec2.assign_private_ip_addresses(
                NetworkInterfaceId=other, PrivateIpAddresses=[taken], AllowReassignment=reassign
            )
    with refused("InvalidParameterValue", region):
        region.ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=[taken])
    with refused("InvalidParameterValue", region):
        region.ec2.unassign_private_ip_addresses(
            NetworkInterfaceId=other, Ipv4Prefixes=["172.16.10.64/28"]
        )
    with refused("InvalidParameterValue", region):
        region.ec2.associate_address(
            AllocationId=elastic, NetworkInterfaceId=eni, PrivateIpAddress=taken
        )


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"Ipv4PrefixCount": -1},
        {"Ipv4PrefixCount": 1, "Ipv4Prefixes": ["172.16.10.64/28"]},
        {"Ipv4PrefixCount": 1, "SecondaryPrivateIpAddressCount": 1},
        {"Ipv4Prefixes": ["172.16.10.64/28"], "PrivateIpAddresses": ["172.16.10.50"]},
    ],
)
def test_one_thing_is_assigned_at_a_time(region: Region, asked: dict[str, Any]) -> None:
    eni = region.eni()
    with refused("InvalidParameterCombination", region):
        region.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, **asked)


def test_a_new_interface_has_prefixes_or_several_addresses(region: Region) -> None:
    with refused("InvalidParameterCombination", region):
        region.eni(Ipv4PrefixCount=1, SecondaryPrivateIpAddressCount=1)
    with refused("InvalidIPAddress.InUse", region):
        region.eni(
            Ipv4Prefixes=[{"Ipv4Prefix": "172.16.10.64/28"}], PrivateIpAddress="172.16.10.70"
        )
    eni = region.eni(Ipv4PrefixCount=1, PrivateIpAddress="172.16.10.101")
    assert len(prefixes(region, eni)) == 1


def test_a_prefix_is_one_of_the_addresses_that_a_type_allows(region: Region) -> None:
    eni = region.eni(Ipv4PrefixCount=5)
    region.run(eni)  # m5.large: ten, the primary one among them
    assign = region.ec2.assign_private_ip_addresses
    assign(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=4)
    for more in ({"Ipv4PrefixCount": 1}, {"SecondaryPrivateIpAddressCount": 1}):
        with refused("PrivateIpAddressLimitExceeded", region):
            assign(NetworkInterfaceId=eni, **more)
    many = region.eni(SubnetId=region.provider, Ipv4PrefixCount=10)
    with refused("PrivateIpAddressLimitExceeded", region):
        region.run(many)


def test_a_subnet_has_so_many_and_a_refused_launch_keeps_none(region: Region) -> None:
    wanted = {"SubnetId": region.management, "Ipv4PrefixCount": 9}
    specs = [{"DeviceIndex": index, **wanted} for index in range(2)]
    with refused("InsufficientCidrBlocks", region):
        region.run(NetworkInterfaces=specs)
    instance = region.run(NetworkInterfaces=specs[:1])
    (nic,) = region.state.enis_of(instance)
    assert len(nic.prefixes) == 9


def test_only_nitro_delegates(region: Region) -> None:
    eni = region.eni(Ipv4PrefixCount=1)
    with refused("UnsupportedOperation", region):
        region.run(eni, InstanceType="m4.large")
    plain = region.eni()
    region.run(plain, InstanceType="m4.large")
    with refused("UnsupportedOperation", region):
        region.ec2.assign_private_ip_addresses(NetworkInterfaceId=plain, Ipv4PrefixCount=1)
