"""Which hops lie between two ends: each kind of pair, there and back."""

from __future__ import annotations

import pytest
from trace_ends import (
    APP,
    CONTROLLER,
    DB,
    GOOGLE,
    INTERNET,
    OPENSTACK,
    OTHER,
    ROUTER,
    UNDERLAY,
    WEB,
    A,
    ends,
)

from pileus.model.ends import Ends, Nobody
from pileus.model.path import Way
from pileus.trace.route import route

OUT_OF_WEB = "server web, port web, switch private, router router"
TO_BELOW = "uplink eth1, nic eni-p, groups eni-p, acl provider, route provider"
FROM_BELOW = "acl provider, groups eni-p, nic eni-p, uplink eth1"
INTO_WEB = "gateway router, nat router, router router, switch private, port web, server web"


def told(given: Ends, way: Way = Way.THERE) -> str:
    return ", ".join(f"{p.stage} {p.subject}" for p in route(given) if p.way is way)


@pytest.mark.parametrize(
    ("given", "there"),
    [
        pytest.param(
            ends(WEB, GOOGLE, "8.8.8.8"),
            f"{OUT_OF_WEB}, nat router, gateway router, {TO_BELOW}, elastic-ip 198.51.100.2, "
            "internet 8.8.8.8",
            id="server to the internet",
        ),
        pytest.param(
            ends(INTERNET, WEB, "198.51.100.2", at="172.16.20.101", through=ROUTER, port=522),
            f"internet internet, elastic-ip 198.51.100.2, {FROM_BELOW}, {INTO_WEB}",
            id="internet to a published port",
        ),
        pytest.param(
            ends(INTERNET, APP, "198.51.100.3", at="172.16.20.102", through=OTHER),
            f"internet internet, elastic-ip 198.51.100.3, {FROM_BELOW}, gateway other, nat other, "
            "router other, switch third, port app, server app",
            id="internet to a floating IP",
        ),
        pytest.param(
            ends(WEB, DB, "192.168.21.5"),
            f"{OUT_OF_WEB}, switch second, port db, server db",
            id="server to a server on another network",
        ),
        pytest.param(
            ends(WEB, WEB, "192.168.20.5"),
            "server web, port web, switch private, port web, server web",
            id="server to a server on the same network",
        ),
        pytest.param(
            ends(WEB, APP, "172.16.20.102", at="172.16.20.102", through=OTHER),
            f"{OUT_OF_WEB}, nat router, gateway router, switch br-ex, gateway other, nat other, "
            "router other, switch third, port app, server app",
            id="server to another router's floating IP, inside",
        ),
        pytest.param(
            ends(DB, WEB, "172.16.20.101", at="172.16.20.101", through=ROUTER, port=522),
            "server db, port db, switch second, router router, nat router, switch private, "
            "port web, server web",
            id="server to its own router's published port, inside",
        ),
        pytest.param(
            ends(WEB, APP, "198.51.100.3", at="172.16.20.102", through=OTHER),
            f"{OUT_OF_WEB}, nat router, gateway router, {TO_BELOW}, elastic-ip 198.51.100.2, "
            f"elastic-ip 198.51.100.3, {FROM_BELOW}, gateway other, nat other, router other, "
            "switch third, port app, server app",
            id="server to another's Elastic IP: out and in again",
        ),
        pytest.param(
            ends(WEB, APP, "192.168.22.5"),
            f"{OUT_OF_WEB}, nat router, gateway router, {TO_BELOW}, elastic-ip 198.51.100.2, "
            "internet 192.168.22.5",
            id="server to a server behind another router, by its private address",
        ),
        pytest.param(
            ends(ROUTER, GOOGLE, "8.8.8.8"),
            f"router router, gateway router, {TO_BELOW}, elastic-ip 198.51.100.2, internet 8.8.8.8",
            id="router to the internet",
        ),
        pytest.param(
            ends(WEB, OPENSTACK, "169.254.169.254", port=80),
            f"{OUT_OF_WEB}, metadata openstack",
            id="server to OpenStack's metadata",
        ),
        pytest.param(
            ends(WEB, UNDERLAY, "169.254.169.254", port=443),
            f"{OUT_OF_WEB}, nat router, gateway router, {TO_BELOW}, metadata underlay",
            id="server towards the metadata below",
        ),
        pytest.param(
            ends(CONTROLLER, GOOGLE, "8.8.8.8"),
            "node controller, nic eni-m, groups eni-m, acl management, route management, "
            "elastic-ip 198.51.100.1, internet 8.8.8.8",
            id="machine to the internet",
        ),
        pytest.param(
            ends(CONTROLLER, ROUTER, "172.16.20.101", at="172.16.20.101", through=ROUTER),
            "node controller, nic eni-m, groups eni-m, acl management, route management, "
            f"{FROM_BELOW}, gateway router, nat router, router router",
            id="machine to a router, inside the VPC",
        ),
        pytest.param(
            ends(WEB, CONTROLLER, "172.16.10.101"),
            f"{OUT_OF_WEB}, nat router, gateway router, {TO_BELOW}, acl management, groups eni-m, "
            "nic eni-m, node controller",
            id="server to the machine",
        ),
        pytest.param(
            ends(INTERNET, Nobody(A("172.16.20.109")), "198.51.100.9", at="172.16.20.109"),
            f"internet internet, elastic-ip 198.51.100.9, {FROM_BELOW}, gateway 172.16.20.109",
            id="internet to a registered address that nobody has",
        ),
        pytest.param(
            ends(WEB, Nobody(A("172.16.20.77")), "172.16.20.77"),
            f"{OUT_OF_WEB}, nat router, gateway router, {TO_BELOW}",
            id="server to an address of the VPC that is not registered",
        ),
    ],
)
def test_the_way_there(given: Ends, there: str) -> None:
    assert told(given) == there


def test_the_answer_takes_the_same_hops_and_asks_the_route_table_where_it_leaves() -> None:
    outwards = ends(WEB, GOOGLE, "8.8.8.8")
    assert told(outwards, Way.BACK) == (
        f"internet 8.8.8.8, elastic-ip 198.51.100.2, {FROM_BELOW}, gateway router, nat router, "
        "router router, switch private, port web, server web"
    )
    inwards = ends(INTERNET, WEB, "198.51.100.2", at="172.16.20.101", through=ROUTER, port=522)
    assert told(inwards, Way.BACK) == (
        f"{OUT_OF_WEB}, nat router, gateway router, {TO_BELOW}, elastic-ip 198.51.100.2, "
        "internet internet"
    )


def test_a_server_without_a_router_gets_no_further_than_its_network() -> None:
    lonely = ends(
        WEB.__class__("lone", "s", "p", A("10.0.0.5"), WEB.mac, WEB.network), GOOGLE, "8.8.8.8"
    )
    assert told(lonely) == "server lone, port lone, switch private"
