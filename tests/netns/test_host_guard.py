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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Address, IPv4Network

import pytest

from pileus.rules import apply as rules
from pileus.rules.ruleset import Chain, Count, Drop, Field, Hook, Match, Rule, Table
from pileus.system import clock, netns, process
from pileus.vpc.internet import HostLink, host_guard

pytestmark = pytest.mark.netns

HOST, REAL, INTERNET = (f"guard{os.getpid()}-{name}" for name in ("host", "real", "internet"))
LINK = HostLink("to-internet", IPv4Network("198.19.128.0/24"))
"""Not a pool that regions choose, as the guard of one would stop the other."""
UPLINK, TARGET = "192.0.2.2", "192.0.2.1"
GUARD = "pileus_guarded"
SILENT = dict.fromkeys(("unasked", "forwarded", "past_the_link", "about_nothing"), 0)
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
    rules.apply(host_guard(GUARD, LINK), namespace=host)
    assert ping(host, TARGET), "the host's own traffic is none of the guard's business"
    before = sent_by_uplink()
    assert not ping(INTERNET, TARGET)
    assert sent_by_uplink() == before
    assert counters() == {**SILENT, "forwarded": 2}


def test_the_real_network_does_not_reach_the_simulation(host: str) -> None:
    assert ping(REAL, str(LINK.internet_end))
    rules.apply(host_guard(GUARD, LINK), namespace=host)
    assert not ping(REAL, str(LINK.internet_end))
    assert counters() == {**SILENT, "forwarded": 2}


def test_the_host_reaches_in_and_is_not_reached(host: str) -> None:
    assert ping(INTERNET, str(LINK.host_end))
    rules.apply(host_guard(GUARD, LINK), namespace=host)
    assert ping(host, str(LINK.internet_end))
    assert not ping(INTERNET, str(LINK.host_end))
    assert not ping(INTERNET, UPLINK)
    assert counters() == {**SILENT, "unasked": 4}


def test_a_server_of_the_host_is_not_reached_by_any_of_its_addresses(host: str) -> None:
    rules.apply(host_guard(GUARD, LINK), namespace=host)
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


def test_without_a_route_to_it_nothing_for_the_pool_leaves(host: str) -> None:
    """The twin: by the default route it would."""
    netns.batch(HOST, [f"route del {LINK.pool} via {LINK.internet_end} dev {LINK.device}"])
    before, public = sent_by_uplink(), str(LINK.elastic_ips.network_address + 1)
    assert not ping(host, public)
    assert sent_by_uplink() > before
    rules.apply(host_guard(GUARD, LINK), namespace=host)
    before = sent_by_uplink()
    assert not ping(host, public)
    assert sent_by_uplink() == before
    assert counters() == {**SILENT, "past_the_link": 2}


def strays(namespace: str) -> None:
    """Let packets wait for ARP while their route goes; until the kernel has given them up."""
    netns.batch(namespace, ["route replace 172.16.99.99 dev eth0"])
    with netns.run_inside(namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as s:
        s.sendto(b"?", ("172.16.99.99", 9))
        netns.batch(namespace, ["route del 172.16.99.99 dev eth0"])
        clock.poll(
            lambda: "INCOMPLETE" not in neighbours(namespace) or None,
            what="the kernel did not give them up",
            hint="see `ip neigh`",
            timeout=10,
        )


def neighbours(namespace: str) -> str:
    return process.run(["ip", "-n", namespace, "neigh"]).stdout


@contextmanager
def stopping(priority: str) -> Iterator[Callable[[], int]]:
    """How many errors about the real namespace's packets came to here; none goes on."""
    name = f"pileus_test_strays_{os.getpid()}"
    error = (Match(Field.ICMP_TYPE, "destination-unreachable"),)
    to_it = Match(Field.IP_DESTINATION, frozenset({IPv4Address(TARGET)}))
    rule = Rule("stopped", (*error, to_it, Count("stopped"), Drop()))
    hook = Hook("filter", "output", priority, "accept")
    rules.apply(Table("inet", name, (Chain("out", (rule,), hook),)))

    def stopped() -> int:
        seen = rules.read("inet", name)
        assert seen
        return seen.counters["stopped"]

    try:
        yield stopped
    finally:
        rules.remove("inet", name)


def test_the_kernel_answers_a_stray_packet_from_the_host_itself(host: str) -> None:
    """The twin: looked at before any guard, in the test's own first namespace."""
    with stopping("-20") as stopped:
        strays(REAL)
        assert stopped() == 1


def test_with_the_guard_no_such_error_leaves(host: str) -> None:
    """The guard of a region that runs beside this test would do, too."""
    rules.apply(host_guard(GUARD, LINK))
    try:
        with stopping("0") as stopped:
            strays(REAL)
            assert stopped() == 0
    finally:
        rules.remove("inet", GUARD)


def test_the_hosts_own_errors_leave_as_before(host: str) -> None:
    rules.apply(host_guard(GUARD, LINK), namespace=host)

    def call() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(2)
            client.connect((UPLINK, 9))
            client.send(b"?")
            client.recv(1)

    with pytest.raises(ConnectionRefusedError):
        netns.run_inside(REAL, call)
    assert counters() == SILENT
