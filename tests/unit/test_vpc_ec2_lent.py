"""Public addresses that come with a launch: whose they are, and when they come and go."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest
from vpc_ec2 import Region, refused


@pytest.fixture
def region() -> Region:
    """Its management subnet gives public addresses to what is launched there."""
    made = Region()
    made.ec2.modify_subnet_attribute(SubnetId=made.management, MapPublicIpOnLaunch={"Value": True})
    return made


def look(region: Region, instance: str) -> Any:
    found = region.ec2.describe_instances(InstanceIds=[instance])
    return found["Reservations"][0]["Instances"][0]


def public(region: Region, instance: str) -> str | None:
    """As each part of the API shows it, and as the wire has it."""
    shown = look(region, instance)
    (nic,) = shown["NetworkInterfaces"]
    address: str | None = shown.get("PublicIpAddress")
    assert nic.get("Association", {}).get("PublicIp") == address
    on_the_wire = [
        str(one.public)
        for one in region.state.elastic_ips.values()
        if one.eni == nic["NetworkInterfaceId"]
    ]
    assert on_the_wire == ([address] if address else [])
    return address


def launch(region: Region, subnet: str, **nic: Any) -> str:
    if not nic:
        return region.run(SubnetId=subnet)
    return region.run(NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet, **nic}])


def test_the_subnet_or_the_launch_says_who_gets_one(region: Region) -> None:
    assert public(region, launch(region, region.management))
    assert public(region, launch(region, region.provider)) is None
    asked = {"AssociatePublicIpAddress": True}
    assert public(region, launch(region, region.provider, **asked))
    assert public(region, launch(region, region.management, AssociatePublicIpAddress=False)) is None
    assert public(region, region.run(region.eni())) is None, "its interface was there before"

    nics = [{"DeviceIndex": n, "SubnetId": region.provider, **asked} for n in (0, 1)]
    for wrong in (nics, [{"DeviceIndex": 0, "NetworkInterfaceId": region.eni(), **asked}]):
        with refused("InvalidParameterCombination", region):
            region.run(NetworkInterfaces=wrong)


def test_it_is_amazons_and_counts_for_no_quota(region: Region) -> None:
    instances = [launch(region, region.management) for _ in range(6)]
    addresses = {public(region, instance) for instance in instances}
    assert len(addresses) == 6
    assert region.ec2.describe_addresses()["Addresses"] == []
    (nic,) = look(region, instances[0])["NetworkInterfaces"]
    assert nic["Association"]["IpOwnerId"] == "amazon"
    with refused("InvalidAddress.NotFound", region):
        region.ec2.release_address(PublicIp=public(region, instances[0]))
    elastic = region.ec2.allocate_address()
    assert elastic["PublicIp"] not in addresses
    assert IPv4Address(elastic["PublicIp"]) in region.settings.elastic_pool


def test_it_goes_with_a_stop_and_another_one_comes_with_the_start(region: Region) -> None:
    instance = launch(region, region.management)
    first = public(region, instance)
    region.ec2.stop_instances(InstanceIds=[instance])
    assert public(region, instance) is None
    region.ec2.start_instances(InstanceIds=[instance])
    assert public(region, instance) not in (None, first)
    region.ec2.terminate_instances(InstanceIds=[instance])
    assert region.state.elastic_ips == {}


def test_an_elastic_ip_takes_its_place_while_it_is_there(region: Region) -> None:
    instance = launch(region, region.management)
    first = public(region, instance)
    elastic = region.ec2.allocate_address()
    tied = region.ec2.associate_address(AllocationId=elastic["AllocationId"], InstanceId=instance)
    assert public(region, instance) == elastic["PublicIp"]
    with refused("DependencyViolation", region):
        region.ec2.detach_internet_gateway(InternetGatewayId=region.gateway, VpcId=region.vpc)
    region.ec2.disassociate_address(AssociationId=tied["AssociationId"])
    region.ec2.release_address(AllocationId=elastic["AllocationId"])
    assert public(region, instance) not in (None, first, elastic["PublicIp"])
    with refused("DependencyViolation", region):
        region.ec2.detach_internet_gateway(InternetGatewayId=region.gateway, VpcId=region.vpc)


def test_with_a_second_interface_none_comes_back(region: Region) -> None:
    instance = launch(region, region.management)
    region.ec2.attach_network_interface(
        NetworkInterfaceId=region.eni(), InstanceId=instance, DeviceIndex=1
    )
    assert look(region, instance)["PublicIpAddress"]
    region.ec2.stop_instances(InstanceIds=[instance])
    region.ec2.start_instances(InstanceIds=[instance])
    assert "PublicIpAddress" not in look(region, instance)


def test_an_elastic_ip_that_moves_to_the_primary_address_takes_its_place(region: Region) -> None:
    instance = launch(region, region.management, SecondaryPrivateIpAddressCount=1)
    eni = look(region, instance)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    primary, secondary = region.addresses(eni)
    elastic = region.ec2.allocate_address()

    def tie(private: str) -> None:
        region.ec2.associate_address(
            AllocationId=elastic["AllocationId"], NetworkInterfaceId=eni, PrivateIpAddress=private
        )

    lent = public(region, instance)
    tie(secondary)
    assert look(region, instance)["PublicIpAddress"] == lent
    tie(primary)
    assert public(region, instance) == elastic["PublicIp"]
    tie(secondary)
    assert look(region, instance)["PublicIpAddress"] not in (None, elastic["PublicIp"])
    assert len(region.state.elastic_ips) == 2
    tie(primary)
    other = region.ec2.allocate_address()
    region.ec2.associate_address(
        AllocationId=other["AllocationId"], NetworkInterfaceId=eni, PrivateIpAddress=secondary
    )
    region.ec2.associate_address(
        AllocationId=other["AllocationId"], NetworkInterfaceId=eni, PrivateIpAddress=primary
    )
    region.ec2.release_address(AllocationId=elastic["AllocationId"])
    assert public(region, instance) == other["PublicIp"]
