"""The probe for real, in a namespace that looks like a node: what it sees, and that it is all.

Each fault is put into the kernel and told by its code; taken away, nothing is told any more.
"""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from ipaddress import IPv4Address

import pytest

from pileus.model.addresses import Mac
from pileus.model.underlay import Nic, Node, Registered
from pileus.model.verdict import Code
from pileus.system import kernel, netns, process
from pileus.system.runner import here, inside
from pileus.trace import machine
from pileus.trace.machine import Machine
from pileus.trace.on_machine import Expected, judge

pytestmark = pytest.mark.netns

NODE, CLOUD = (f"check{os.getpid()}-{name}" for name in ("node", "cloud"))
ETH0, ETH1 = Mac("02:00:00:e3:9d:57"), Mac("02:00:00:de:0e:f4")
MANAGEMENT, PROVIDER = IPv4Address("172.16.10.101"), IPv4Address("172.16.20.101")
EXPECTED = Expected(
    Node(
        "demo-controller",
        "i-1",
        "running",
        (
            Nic("management", "eni-1", ETH0, (Registered(MANAGEMENT, None),), 0),
            Nic("provider", "eni-2", ETH1, (Registered(PROVIDER, None),), 1),
        ),
    ),
    "ip-172-16-10-101",
    "auto",
)
OF_THE_HOST = {Code.NODE_MEMORY, Code.NODE_DISK, Code.NODE_OTHER_DEPLOYMENT, Code.NODE_HOST_NAME}
"""Where the tests run may be anything; a namespace has no memory, disk and name of its own."""
PIPELINE = """
table netdev pileus_eth1 {
  chain egress { type filter hook egress device "eth1" priority 0; policy drop; }
}
"""
PATIENCE_SECONDS = 15.0
"""Far beyond what the probe waits for anybody: `make bench-trace` holds it to its limit."""


@pytest.fixture
def node() -> Iterator[str]:
    try:
        for name in (NODE, CLOUD):
            netns.remove(name)
            netns.ensure(name)
            # Their link-local addresses would become ready while somebody looks.
            netns.sysctl(name, {"net/ipv6/conf/default/disable_ipv6": "1"})
        for device, mac in (("eth0", ETH0), ("eth1", ETH1)):
            peer = ["type", "veth", "peer", "name", device, "netns", CLOUD]
            ip("link", "add", device, "address", str(mac), *peer)
            ip("link", "set", device, "up")
            process.run(["ip", "-n", CLOUD, "link", "set", device, "up"])
        ip("address", "add", f"{MANAGEMENT}/24", "dev", "eth0")
        ip("route", "add", "default", "via", "172.16.10.1")
        nft(PIPELINE)
        yield NODE
    finally:
        for name in (NODE, CLOUD):
            netns.remove(name)


def ip(*words: str) -> None:
    process.run(["ip", "-n", NODE, *words])


def nft(script: str) -> None:
    process.run(["ip", "netns", "exec", NODE, "nft", "-f", "-"], stdin=script)


def look(clock: str = "") -> Machine:
    return machine.gather(inside(here(), NODE), clock)


def wrong(seen: Machine) -> set[Code]:
    told = judge(seen, EXPECTED)
    return {one.code for one in told if one.ok is False} - OF_THE_HOST


def state() -> list[str]:
    """All that the probe could have changed in the kernel."""
    shown = (
        ["ip", "-n", NODE, "address", "show"],
        ["ip", "-n", NODE, "route", "show", "table", "all"],
        ["ip", "netns", "exec", NODE, "nft", "list", "ruleset"],
        ["ip", "netns", "exec", NODE, "sysctl", "-a", "--pattern", "^net.ipv4.conf"],
    )
    return [process.run(argv, check=False).stdout for argv in shown]


def test_a_node_is_seen_and_left_as_it_was(node: str) -> None:
    before = state()
    seen = look()
    assert state() == before
    assert "pileus_eth1" in before[2]

    assert seen.by_mac(ETH1) is not None
    assert {device.name: device.driver for device in seen.devices} == {
        "eth0": "veth",
        "eth1": "veth",
    }
    assert (seen.default_route, seen.tables) == ("eth0", (("netdev", "pileus_eth1"),))
    assert seen.egress_hook
    assert seen.modules["veth"] is not False, "of which this machine is made"
    assert seen.memory > 1 << 30
    assert seen.disk > seen.free_disk > 0
    assert seen.clock_offset is None
    assert wrong(seen) == set()


FAULTS: dict[Code, tuple[Callable[[], None], Callable[[], None]]] = {
    Code.NODE_NIC_DOWN: (
        lambda: ip("link", "set", "eth1", "down"),
        lambda: ip("link", "set", "eth1", "up"),
    ),
    Code.NODE_MAC_CHANGED: (
        lambda: ip("link", "set", "eth1", "address", "02:66:6f:72:67:65"),
        lambda: ip("link", "set", "eth1", "address", str(ETH1)),
    ),
    Code.NODE_PROVIDER_ADDRESS: (
        lambda: ip("address", "add", f"{PROVIDER}/24", "dev", "eth1"),
        lambda: ip("address", "flush", "dev", "eth1"),
    ),
    Code.NODE_PROVIDER_ROUTE: (
        lambda: ip("route", "add", "172.16.20.0/24", "dev", "eth1"),
        lambda: ip("route", "del", "172.16.20.0/24", "dev", "eth1"),
    ),
    Code.NODE_DEFAULT_ROUTE: (
        lambda: ip("route", "del", "default"),
        lambda: ip("route", "add", "default", "via", "172.16.10.1"),
    ),
    Code.NODE_MTU: (
        lambda: ip("link", "set", "eth0", "mtu", "1400"),
        lambda: ip("link", "set", "eth0", "mtu", "1500"),
    ),
    Code.NODE_FOREIGN_RULES: (
        lambda: nft("table inet firewalld { chain c { type filter hook forward priority 0; }; }\n"),
        lambda: nft("delete table inet firewalld\n"),
    ),
}


@pytest.mark.parametrize("code", list(FAULTS), ids=str)
def test_a_fault_in_the_kernel_is_told_by_its_code_until_it_is_mended(
    node: str, code: Code
) -> None:
    breaking, mending = FAULTS[code]
    breaking()
    assert wrong(look()) == {code}
    mending()
    assert wrong(look()) == set()


def test_strict_filtering_is_read_as_the_kernel_applies_it(node: str) -> None:
    ip("address", "add", f"{PROVIDER}/24", "dev", "eth1")

    def filters(everywhere: str, here: str) -> set[Code]:
        values = {"net/ipv4/conf/all/rp_filter": everywhere, "net/ipv4/conf/eth1/rp_filter": here}
        netns.sysctl(NODE, values)
        return wrong(look()) - {Code.NODE_PROVIDER_ADDRESS}

    assert filters("0", "0") == set()
    assert filters("0", "1") == filters("1", "0") == {Code.NODE_REVERSE_PATH_FILTER}
    assert filters("2", "1") == set()


def test_a_port_that_another_program_has_is_told_with_its_name(node: str) -> None:
    server = kernel.inside(NODE, lambda: http.server.HTTPServer(("127.0.0.1", 9292), Late))
    try:
        seen = look()
        assert wrong(seen) == {Code.NODE_PORT_TAKEN}
        assert seen.listening[9292][0].program
    finally:
        server.server_close()
    assert wrong(look()) == set()


class Late(http.server.BaseHTTPRequestHandler):
    """Refuses, as instance metadata does without a token, and tells a time an hour ahead."""

    def do_GET(self) -> None:
        self.send_response_only(401)
        self.send_header("Date", formatdate(time.time() + 3600, usegmt=True))
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_the_clock_is_held_against_what_metadata_tells(node: str) -> None:
    server = kernel.inside(NODE, lambda: http.server.HTTPServer(("127.0.0.1", 8169), Late))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        seen = look("http://127.0.0.1:8169/")
    finally:
        server.shutdown()
        server.server_close()
    assert seen.clock_offset == pytest.approx(-3600, abs=2)
    assert wrong(seen) == {Code.NODE_CLOCK}
    assert wrong(replace(seen, clock_offset=0.0)) == set()


def test_metadata_that_does_not_answer_is_not_waited_for_long(node: str) -> None:
    start = time.monotonic()
    assert look("http://172.16.10.1/").clock_offset is None
    assert time.monotonic() - start < PATIENCE_SECONDS
