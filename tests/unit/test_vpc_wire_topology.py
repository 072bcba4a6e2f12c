"""Links, addresses, routes and neighbours of a VPC, as the wire wants them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from vpc_states import (
    GUIDE,
    MANAGEMENT,
    MANAGEMENT_NIC,
    PROVIDER,
    PROVIDER_NIC,
    VPC,
    eni,
    region,
    subnet,
    table,
)

from pileus.model.addresses import Mac
from pileus.system.netns import Neighbour, Route, RoutingRule
from pileus.vpc.state import RegionState, Vpc
from pileus.vpc.wire.frames import straight_numbers, subnet_numbers
from pileus.vpc.wire.names import belongs, device, router_mac
from pileus.vpc.wire.topology import Uplink, nic_links, vpc_config

UPLINK = Uplink(IPv4Network("169.254.0.0/30"), "igw-test")
GATEWAY = IPv4Address("169.254.0.1")
ETH0, ETH1 = device(MANAGEMENT_NIC), device(PROVIDER_NIC)
FIRST, SECOND = (subnet_numbers(GUIDE, VPC)[id] for id in (MANAGEMENT, PROVIDER))
MAIN = 254
"""The table of the VPC's own addresses."""


def routes(state: RegionState, number: int) -> set[tuple[str, str]]:
    found = vpc_config(state, VPC, UPLINK).routes
    return {(str(route.destination), route.device) for route in found if route.table == number}


def test_the_guides_machine_has_two_links_in_device_order() -> None:
    assert [(link.device, link.guest_device, link.guest_mac) for link in nic_links(GUIDE, VPC)] == [
        (ETH0, "eth0", Mac("02:00:00:00:01:01")),
        (ETH1, "eth1", Mac("02:00:00:00:02:01")),
    ]
    assert {link.vpc_mac for link in nic_links(GUIDE, VPC)} == {router_mac(VPC)}


def test_registered_addresses_are_routed_to_their_nic_and_the_rest_of_the_vpc_nowhere() -> None:
    assert routes(GUIDE, MAIN) == {
        ("172.16.10.101/32", ETH0),
        ("172.16.20.101/32", ETH1),
        ("172.16.0.0/16", "nowhere"),
    }
    assert vpc_config(GUIDE, VPC, UPLINK).neighbours == {
        Neighbour(IPv4Address("172.16.10.101"), ETH0, Mac("02:00:00:00:01:01")),
        Neighbour(IPv4Address("172.16.20.101"), ETH1, Mac("02:00:00:00:02:01")),
    }


def test_the_vpc_is_router_of_each_subnet_resolver_and_metadata_service() -> None:
    assert vpc_config(GUIDE, VPC, UPLINK).addresses == {
        (ETH0, IPv4Interface("172.16.10.1/32")),
        (ETH1, IPv4Interface("172.16.20.1/32")),
        ("lo", IPv4Interface("172.16.0.2/32")),
        ("lo", IPv4Interface("169.254.169.254/32")),
        ("igw", IPv4Interface("169.254.0.2/30")),
    }


def test_own_addresses_come_first_then_the_senders_route_table_then_nothing() -> None:
    assert vpc_config(GUIDE, VPC, UPLINK).rules == {
        RoutingRule(100, MAIN, suppress_default=True),
        RoutingRule(200, FIRST, mark=FIRST),
        RoutingRule(200, SECOND, mark=SECOND),
        RoutingRule(300, 900),
    }
    assert routes(GUIDE, 900) == {("0.0.0.0/0", "nowhere")}


def test_subnets_without_a_table_of_their_own_follow_the_main_one() -> None:
    assert routes(GUIDE, FIRST) == routes(GUIDE, SECOND) == {("0.0.0.0/0", "igw")}
    assert (
        Route(IPv4Network("0.0.0.0/0"), "igw", GATEWAY, table=FIRST)
        in vpc_config(GUIDE, VPC, UPLINK).routes
    )


def with_tables(*tables: object) -> RegionState:
    state = region(*tables)
    return replace(GUIDE, route_tables=state.route_tables)


def test_a_subnet_with_a_table_of_its_own_follows_that_alone() -> None:
    state = with_tables(
        table("rtb-main", ("172.16.0.0/16", "local")),
        table("rtb-public", ("0.0.0.0/0", "igw"), subnets=(PROVIDER,)),
    )
    assert routes(state, FIRST) == set()
    assert routes(state, SECOND) == {("0.0.0.0/0", "igw")}


def test_several_routes_of_one_table_all_stand() -> None:
    state = with_tables(table("rtb-main", ("0.0.0.0/0", "igw"), ("203.0.113.0/24", "blackhole")))
    assert routes(state, FIRST) == {("0.0.0.0/0", "igw"), ("203.0.113.0/24", "nowhere")}


@pytest.mark.parametrize("target", ["blackhole", "eni-00000000000000999"])
def test_a_dead_target_swallows_what_a_wider_route_would_carry(target: str) -> None:
    """A NIC that is not there, or not plugged in, is a black hole too."""
    state = with_tables(table("rtb-main", ("0.0.0.0/0", "igw"), ("10.0.0.0/8", target)))
    assert ("10.0.0.0/8", "nowhere") in routes(state, FIRST)


def test_a_route_may_lead_to_a_nic() -> None:
    state = with_tables(table("rtb-main", ("192.168.20.0/24", PROVIDER_NIC)))
    wanted = Route(IPv4Network("192.168.20.0/24"), ETH1, IPv4Address("172.16.20.101"), table=FIRST)
    assert wanted in vpc_config(state, VPC, UPLINK).routes


def test_what_is_addressed_to_a_nic_without_the_check_goes_there_before_all_else() -> None:
    unchecked = replace(GUIDE.enis[PROVIDER_NIC], source_dest_check=False)
    state = replace(GUIDE, enis={**GUIDE.enis, PROVIDER_NIC: unchecked})
    (mark,) = straight_numbers([unchecked]).values()
    assert RoutingRule(50, mark, mark=mark) in vpc_config(state, VPC, UPLINK).rules
    assert routes(state, mark) == {("0.0.0.0/0", ETH1)}


def test_every_address_of_a_delegated_prefix_leads_to_its_nic() -> None:
    delegated = replace(GUIDE.enis[PROVIDER_NIC], prefixes=(IPv4Network("172.16.20.16/28"),))
    state = replace(GUIDE, enis={**GUIDE.enis, PROVIDER_NIC: delegated})
    assert {("172.16.20.16/32", ETH1), ("172.16.20.31/32", ETH1)} <= routes(state, MAIN)
    assert ("172.16.20.32/32", ETH1) not in routes(state, MAIN)


def test_without_an_internet_gateway_its_routes_lead_nowhere() -> None:
    state = replace(GUIDE, vpcs={VPC: Vpc(VPC, IPv4Network("172.16.0.0/16"))})
    assert routes(state, FIRST) == routes(state, SECOND) == {("0.0.0.0/0", "nowhere")}


def test_an_unplugged_nic_is_not_there() -> None:
    unplugged = replace(GUIDE.enis[PROVIDER_NIC], instance=None, device_index=None)
    state = replace(GUIDE, enis={**GUIDE.enis, PROVIDER_NIC: unplugged})
    assert [link.device for link in nic_links(state, VPC)] == [ETH0]
    config = vpc_config(state, VPC, UPLINK)
    assert ETH1 not in str(config)
    assert ("172.16.20.101/32", ETH1) not in routes(state, MAIN)
    assert not any("172.16.20.101" in str(route.destination) for route in config.routes)


def test_secondary_addresses_lead_to_the_same_nic() -> None:
    more = eni(PROVIDER_NIC, PROVIDER, "172.16.20.101", "172.16.20.102", device_index=1)
    state = replace(GUIDE, enis={**GUIDE.enis, PROVIDER_NIC: more})
    assert {("172.16.20.101/32", ETH1), ("172.16.20.102/32", ETH1)} <= routes(state, MAIN)


def test_vpcs_with_the_same_network_do_not_see_each_other() -> None:
    twin = "vpc-0ffffffffffffffff"
    other = region(
        Vpc(twin, IPv4Network("172.16.0.0/16"), has_internet_gateway=True),
        subnet("subnet-0000000000000000c", "172.16.10.0/24", vpc=twin),
        replace(table("rtb-twin", ("0.0.0.0/0", "igw")), vpc=twin),
        eni(
            "eni-00000000000000301",
            "subnet-0000000000000000c",
            "172.16.10.101",
            vpc=twin,
            instance="i-2",
        ),
    )
    both = RegionState(
        vpcs={**GUIDE.vpcs, twin: other.vpcs[twin]},
        subnets={**other.subnets, **GUIDE.subnets},
        route_tables={**other.route_tables, **GUIDE.route_tables},
        groups=GUIDE.groups,
        enis={**other.enis, **GUIDE.enis},
        elastic_ips=GUIDE.elastic_ips,
    )
    assert vpc_config(both, VPC, UPLINK) == vpc_config(GUIDE, VPC, UPLINK)
    assert nic_links(both, VPC) == nic_links(GUIDE, VPC)
    assert [link.instance for link in nic_links(both, twin)] == ["i-2"]
    assert router_mac(twin) != router_mac(VPC)


def test_another_subnet_moves_no_route_of_the_others() -> None:
    state = replace(
        GUIDE,
        subnets={**GUIDE.subnets, "subnet-f": subnet("subnet-f", "172.16.30.0/24")},
    )
    assert routes(state, FIRST) == routes(GUIDE, FIRST)
    assert MANAGEMENT in state.subnets


def test_names_fit_the_kernel_and_tell_objects_apart() -> None:
    assert len(device(MANAGEMENT_NIC)) <= 15
    assert device(MANAGEMENT_NIC) != device(PROVIDER_NIC)
    assert router_mac(VPC).packed[0] & 0b11 == 0b10, "locally administered, unicast"


@pytest.mark.parametrize(
    ("namespace", "region", "its"),
    [
        ("pileus-demo-internet", "demo", True),
        ("pileus-demo-vpc-0a1b", "demo", True),
        ("pileus-demo-i-0a1b", "demo", True),
        ("pileus-demo-2-internet", "demo", False),
        ("pileus-demo-2-internet", "demo-2", True),
        ("pileus-demo-i-0a1b-internet", "demo", False),
        ("pileus-demo-internet-internet", "demo", False),
        ("pileus-demonstration", "demo", False),
        ("qrouter-demo-internet", "demo", False),
    ],
)
def test_a_namespace_belongs_to_one_region(namespace: str, region: str, its: bool) -> None:
    assert belongs(namespace, region) is its
