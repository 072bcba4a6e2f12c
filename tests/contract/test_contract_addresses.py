"""Private addresses, prefixes and Elastic IPs."""

from __future__ import annotations

from typing import Any

import pytest
from contract_place import Network, Place, refused


@pytest.mark.parametrize("address", ["10.77.1.0", "10.77.1.1", "10.77.1.2", "10.77.1.3"])
def test_a_subnets_reserved_addresses_are_nobodys(place: Place, net: Network, address: str) -> None:
    with refused("InvalidParameterValue"):
        place.interface(net.first, PrivateIpAddress=address)


@pytest.mark.parametrize("address", ["10.77.1.255", "10.77.2.9", "192.0.2.1", "10.77.1.256"])
def test_an_address_is_one_of_the_subnet(place: Place, net: Network, address: str) -> None:
    with refused("InvalidParameterValue"):
        place.interface(net.first, PrivateIpAddress=address)


def test_an_address_is_on_one_interface(place: Place, net: Network) -> None:
    first = place.interface(net.first, PrivateIpAddress="10.77.1.20")
    with refused("InvalidIPAddress.InUse"):
        place.interface(net.first, PrivateIpAddress="10.77.1.20")
    place.ec2.delete_network_interface(NetworkInterfaceId=first)
    place.interface(net.first, PrivateIpAddress="10.77.1.20")


def test_assigning_tells_what_is_new(place: Place, net: Network) -> None:
    eni = place.interface(net.first, PrivateIpAddress="10.77.1.20")
    assign = place.ec2.assign_private_ip_addresses
    told = assign(NetworkInterfaceId=eni, PrivateIpAddresses=["10.77.1.21"])
    assert told["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": "10.77.1.21"}]
    assert (
        len(
            assign(NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=2)[
                "AssignedPrivateIpAddresses"
            ]
        )
        == 2
    )
    assert place.addresses(eni)[:2] == ["10.77.1.20", "10.77.1.21"]
    assert len(place.addresses(eni)) == 4


def test_an_address_moves_only_when_told(place: Place, net: Network) -> None:
    one = place.interface(net.first, PrivateIpAddress="10.77.1.20")
    other = place.interface(net.first)
    assign = place.ec2.assign_private_ip_addresses
    assign(NetworkInterfaceId=one, PrivateIpAddresses=["10.77.1.30"])
    with refused("InvalidIPAddress.InUse"):
        assign(NetworkInterfaceId=other, PrivateIpAddresses=["10.77.1.30"])
    assign(NetworkInterfaceId=other, PrivateIpAddresses=["10.77.1.30"], AllowReassignment=True)
    assert place.addresses(one) == ["10.77.1.20"]
    assert "10.77.1.30" in place.addresses(other)


@pytest.mark.parametrize("address", ["10.77.1.20", "10.77.1.31"])
def test_what_is_not_a_secondary_address_is_not_unassigned(
    place: Place, net: Network, address: str
) -> None:
    eni = place.interface(net.first, PrivateIpAddress="10.77.1.20")
    with refused("InvalidParameterValue"):
        place.ec2.unassign_private_ip_addresses(
            NetworkInterfaceId=eni, PrivateIpAddresses=[address]
        )


def test_prefixes_are_blocks_of_sixteen(place: Place, net: Network) -> None:
    eni = place.interface(net.first, PrivateIpAddress="10.77.1.20")
    assign, taken = place.ec2.assign_private_ip_addresses, "10.77.1.64/28"
    told = assign(NetworkInterfaceId=eni, Ipv4Prefixes=[taken])
    assert told["AssignedIpv4Prefixes"] == [{"Ipv4Prefix": taken}]
    assert place.shown(eni)["Ipv4Prefixes"] == [{"Ipv4Prefix": taken}]
    with refused("InvalidParameterValue"):
        assign(NetworkInterfaceId=eni, Ipv4Prefixes=["10.77.1.96/27"])
    with refused("InvalidIPAddress.InUse"):
        place.interface(net.first, PrivateIpAddress="10.77.1.70")
    place.ec2.unassign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4Prefixes=[taken])
    assert place.shown(eni).get("Ipv4Prefixes", []) == []


def associated(place: Place, allocation: str) -> dict[str, Any]:
    (one,) = place.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    return dict(one)


def test_an_elastic_ip_stands_for_one_private_address(place: Place, net: Network) -> None:
    eni = place.interface(net.first, PrivateIpAddress="10.77.1.20")
    place.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.77.1.21"])
    primary, secondary = place.elastic(), place.elastic()
    associate = place.ec2.associate_address
    associate(AllocationId=primary, NetworkInterfaceId=eni)
    associate(AllocationId=secondary, NetworkInterfaceId=eni, PrivateIpAddress="10.77.1.21")
    assert associated(place, primary)["PrivateIpAddress"] == "10.77.1.20"
    assert associated(place, secondary)["PrivateIpAddress"] == "10.77.1.21"
    with refused("InvalidParameterValue"):
        associate(AllocationId=primary, NetworkInterfaceId=eni, PrivateIpAddress="10.77.1.22")
    with refused("InvalidIPAddress.InUse"):
        place.ec2.release_address(AllocationId=primary)


def test_an_elastic_ip_goes_along_or_is_let_go(place: Place, net: Network) -> None:
    one, other = place.interface(net.first), place.interface(net.first)
    assign = place.ec2.assign_private_ip_addresses
    assign(NetworkInterfaceId=one, PrivateIpAddresses=["10.77.1.30"])
    elastic = place.elastic()
    place.ec2.associate_address(
        AllocationId=elastic, NetworkInterfaceId=one, PrivateIpAddress="10.77.1.30"
    )
    assign(NetworkInterfaceId=other, PrivateIpAddresses=["10.77.1.30"], AllowReassignment=True)
    assert associated(place, elastic)["NetworkInterfaceId"] == other
    place.ec2.unassign_private_ip_addresses(
        NetworkInterfaceId=other, PrivateIpAddresses=["10.77.1.30"]
    )
    assert "AssociationId" not in associated(place, elastic)


def test_an_association_is_replaced_unless_that_is_refused(place: Place, net: Network) -> None:
    one, other, elastic = place.interface(net.first), place.interface(net.first), place.elastic()
    associate = place.ec2.associate_address
    associate(AllocationId=elastic, NetworkInterfaceId=one)
    with refused("Resource.AlreadyAssociated"):
        associate(AllocationId=elastic, NetworkInterfaceId=other, AllowReassociation=False)
    associate(AllocationId=elastic, NetworkInterfaceId=other)
    assert associated(place, elastic)["NetworkInterfaceId"] == other


def test_an_elastic_ip_needs_a_gateway(place: Place) -> None:
    lonely = place.vpc("10.78.0.0/16")
    eni, elastic = place.interface(place.subnet(lonely, "10.78.1.0/24")), place.elastic()
    with refused("Gateway.NotAttached"):
        place.ec2.associate_address(AllocationId=elastic, NetworkInterfaceId=eni)


def test_what_is_not_there_is_not_found(place: Place, net: Network) -> None:
    with refused("InvalidAllocationID.NotFound"):
        place.ec2.release_address(AllocationId="eipalloc-00000000000000000")
    with refused("InvalidAssociationID.NotFound"):
        place.ec2.disassociate_address(AssociationId="eipassoc-00000000000000000")
    with refused("InvalidNetworkInterfaceID.NotFound"):
        place.shown("eni-00000000000000000")
    with refused("InvalidSubnetID.NotFound"):
        place.interface("subnet-00000000000000000")
    with refused("InvalidGroup.NotFound"):
        place.interface(net.first, Groups=["sg-00000000000000000"])
