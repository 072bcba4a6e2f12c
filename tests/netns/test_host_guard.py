"""Nothing simulated leaves by the host's uplink.

A namespace plays a container host: it forwards, hides what it forwards behind its own address, and
has a default route by an uplink to a real network. The simulated internet sends towards that
network by every way it has. With the guard its packets are dropped and counted; the twin without
the guard sees them arrive, so this test can fail.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Network

import pytest

from pileus.rules import apply as rules
from pileus.system import netns, process
from pileus.vpc.internet import HostLink, host_guard

pytestmark = pytest.mark.netns

HOST, REAL, INTERNET = (f"guard{os.getpid()}-{name}" for name in ("host", "real", "internet"))
LINK = HostLink("to-internet", IPv4Network("198.51.100.0/24"))
UPLINK, TARGET = "192.0.2.2", "192.0.2.1"
GUARD = "pileus_guarded"
MASQUERADE = """
table ip users {
  chain hide { type nat hook postrouting priority 100; oifname "uplink" masquerade; };
}
"""


@pytest.fixture
def host() -> Iterator[str]:
    names = (HOST, REAL, INTERNET)
    try:
        for name in names:
            netns.remove(name)
            netns.ensure(name)
        pair(HOST, "uplink", f"{UPLINK}/24", REAL, "eth0", f"{TARGET}/24")
        pair(HOST, LINK.device, f"{LINK.host_end}/32", INTERNET, "host", f"{LINK.internet_end}/32")
        netns.sysctl(HOST, {"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0"})
        netns.batch(
            HOST,
            [
                f"route add default via {TARGET}",
                f"route add {LINK.internet_end}/32 dev {LINK.device}",
                f"route add {LINK.pool} via {LINK.internet_end} dev {LINK.device}",
            ],
        )
        # More than the real one has: somebody inside found a way to route by the host.
        netns.batch(
            INTERNET,
            [f"route add {LINK.host_end}/32 dev host", f"route add default via {LINK.host_end}"],
        )
        netns.batch(REAL, [f"route add {LINK.pool} via {UPLINK}"])
        process.run(["ip", "netns", "exec", HOST, "nft", "-f", "-"], stdin=MASQUERADE)
        yield HOST
    finally:
        for name in names:
            netns.remove(name)


def pair(left: str, one: str, first: str, right: str, other: str, second: str) -> None:
    netns.batch(None, [f"link add {one} netns {left} type veth peer name {other} netns {right}"])
    for where, device, address in ((left, one, first), (right, other, second)):
        netns.sysctl(where, {f"net/ipv6/conf/{device}/disable_ipv6": "1"})
        netns.batch(where, [f"addr add {address} dev {device}", f"link set {device} up"])


def ping(who: str, target: str) -> bool:
    command = ["ip", "netns", "exec", who, "ping", "-c", "2", "-i", "0.1", "-W", "1", target]
    return process.run(command, check=False).code == 0


def sent_by_uplink() -> int:
    """Packets on the host's uplink, counted by the device itself."""
    shown = process.run(["ip", "-n", HOST, "-s", "-json", "link", "show", "uplink"]).stdout
    return int(json.loads(shown)[0]["stats64"]["tx"]["packets"])


def counters() -> dict[str, int]:
    table = rules.read("inet", GUARD, namespace=HOST)
    assert table
    return dict(table.counters)


def test_a_container_host_would_carry_simulated_packets_to_its_real_network(host: str) -> None:
    """The twin: everything else as below, but no guard."""
    before = sent_by_uplink()
    assert ping(INTERNET, TARGET)
    assert sent_by_uplink() > before


def test_with_the_guard_not_one_packet_reaches_the_uplink(host: str) -> None:
    rules.apply(host_guard(GUARD, LINK.device), namespace=host)
    assert ping(host, TARGET), "the host's own traffic is none of the guard's business"
    before = sent_by_uplink()
    assert not ping(INTERNET, TARGET)
    assert sent_by_uplink() == before
    assert counters() == {"unasked": 0, "forwarded": 2}


def test_the_real_network_does_not_reach_the_simulation(host: str) -> None:
    assert ping(REAL, str(LINK.internet_end))
    rules.apply(host_guard(GUARD, LINK.device), namespace=host)
    assert not ping(REAL, str(LINK.internet_end))
    assert counters() == {"unasked": 0, "forwarded": 2}


def test_the_host_reaches_in_and_is_not_reached(host: str) -> None:
    assert ping(INTERNET, str(LINK.host_end))
    rules.apply(host_guard(GUARD, LINK.device), namespace=host)
    assert ping(host, str(LINK.internet_end))
    assert not ping(INTERNET, str(LINK.host_end))
    assert not ping(INTERNET, UPLINK)
    assert counters() == {"unasked": 4, "forwarded": 0}


def test_a_server_of_the_host_is_not_reached_by_any_of_its_addresses(host: str) -> None:
    rules.apply(host_guard(GUARD, LINK.device), namespace=host)
    server = netns.run_inside(host, lambda: socket.create_server(("", 0)))
    with server:
        port = server.getsockname()[1]

        def call(address: str) -> None:
            with socket.create_connection((address, port), timeout=0.5):
                pass

        netns.run_inside(host, lambda: call(UPLINK))  # it does answer
        for address in (str(LINK.host_end), UPLINK):
            with pytest.raises(TimeoutError):
                netns.run_inside(INTERNET, partial(call, address))
