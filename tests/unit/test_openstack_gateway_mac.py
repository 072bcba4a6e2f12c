"""The recipe for the gateway's MAC, from every state it can be left in."""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address

import pytest

from pileus.model.addresses import Mac
from pileus.model.tenant import GatewayPort
from pileus.openstack.gateway_mac import BORROWED, ROUTER_GATEWAY, UNBOUND, after, recipe
from pileus.openstack.steps import CloneMac, ReturnGateway, UnbindGateway

REGISTERED = Mac("02:00:00:00:20:01")
NEUTRONS = Mac("fa:16:3e:00:00:01")
STATES = [
    GatewayPort("port", IPv4Address("172.16.20.101"), mac, owner, vif_type, "DOWN")
    for mac, owner, vif_type in itertools.product(
        (REGISTERED, NEUTRONS), (ROUTER_GATEWAY, BORROWED), ("ovs", *sorted(UNBOUND))
    )
]


def test_a_bound_port_goes_all_the_way() -> None:
    port = GatewayPort(
        "port", IPv4Address("172.16.20.101"), NEUTRONS, ROUTER_GATEWAY, "ovs", "ACTIVE"
    )
    assert recipe("router", port, REGISTERED) == [
        UnbindGateway("router"),
        CloneMac("router", REGISTERED),
        ReturnGateway("router"),
    ]


def test_a_port_cut_off_in_between_is_only_handed_back() -> None:
    port = GatewayPort(
        "port", IPv4Address("172.16.20.101"), REGISTERED, BORROWED, "unbound", "DOWN"
    )
    assert recipe("router", port, REGISTERED) == [ReturnGateway("router")]


@pytest.mark.parametrize("port", STATES, ids=str)
def test_from_any_state_it_ends_right_and_neutrons_guards_are_kept(port: GatewayPort) -> None:
    for step in recipe("router", port, REGISTERED):
        if isinstance(step, CloneMac):
            assert port.vif_type in UNBOUND
            assert not after(step, port).owner.startswith("network:")
        port = after(step, port)
    assert (port.mac, port.owner) == (REGISTERED, ROUTER_GATEWAY)
    assert recipe("router", port, REGISTERED) == []
