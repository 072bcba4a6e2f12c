"""The recipe for the gateway's MAC, from every state it can be left in."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address

import pytest

from pileus.model.addresses import Mac
from pileus.model.tenant import GatewayPort, WantedRouter
from pileus.openstack.gateway_mac import (
    BORROWED,
    ROUTER_GATEWAY,
    UNBOUND,
    after,
    is_right,
    own_mac,
    recipe,
)
from pileus.openstack.steps import ReturnGateway, SetMac, UnbindGateway

ADDRESS = IPv4Address("172.16.20.101")
REGISTERED = Mac("02:00:00:00:20:01")
NEUTRONS = Mac("fa:16:3e:00:00:01")
CLONED = WantedRouter("router", ADDRESS, REGISTERED, clone=REGISTERED)
TRANSLATED = WantedRouter("router", ADDRESS, REGISTERED)
STATES = [
    GatewayPort("port", ADDRESS, mac, owner, vif_type, "DOWN")
    for mac, owner, vif_type in itertools.product(
        (REGISTERED, NEUTRONS), (ROUTER_GATEWAY, BORROWED), ("ovs", *sorted(UNBOUND))
    )
]


def test_a_bound_port_goes_all_the_way() -> None:
    port = GatewayPort("port", ADDRESS, NEUTRONS, ROUTER_GATEWAY, "ovs", "ACTIVE")
    assert recipe(CLONED, port) == [
        UnbindGateway("router"),
        SetMac("router", REGISTERED),
        ReturnGateway("router"),
    ]


def test_a_port_with_neutrons_mac_is_left_alone_where_macs_are_translated() -> None:
    port = GatewayPort("port", ADDRESS, NEUTRONS, ROUTER_GATEWAY, "ovs", "ACTIVE")
    assert recipe(TRANSLATED, port) == []


def test_a_clone_of_the_nic_gets_a_mac_of_its_own_that_stays() -> None:
    port = GatewayPort("port", ADDRESS, REGISTERED, ROUTER_GATEWAY, "ovs", "ACTIVE")
    assert recipe(TRANSLATED, port) == [
        UnbindGateway("router"),
        SetMac("router", None),
        ReturnGateway("router"),
    ]
    assert str(own_mac("port")).startswith("fa:16:3e:")
    assert own_mac("port") == own_mac("port") != own_mac("other")


def test_a_port_cut_off_in_between_is_only_handed_back() -> None:
    port = GatewayPort("port", ADDRESS, REGISTERED, BORROWED, "unbound", "DOWN")
    assert recipe(CLONED, port) == [ReturnGateway("router")]


@pytest.mark.parametrize("router", [CLONED, TRANSLATED], ids=["clone", "nat"])
@pytest.mark.parametrize("port", STATES, ids=str)
def test_from_any_state_it_ends_right_and_neutrons_guards_are_kept(
    router: WantedRouter, port: GatewayPort
) -> None:
    for step in recipe(router, port):
        if isinstance(step, SetMac):
            assert port.vif_type in UNBOUND
            assert not after(step, port).owner.startswith("network:")
        port = after(step, port)
    assert is_right(router, port.mac)
    assert port.owner == ROUTER_GATEWAY
    assert recipe(router, port) == []
