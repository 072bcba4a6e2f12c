"""The guard of the provider NIC, and that its verification sees it missing: in fresh namespaces."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from pileus.model.addresses import Identity, Mac
from pileus.model.errors import CommandFailed, Fault
from pileus.system import netns
from pileus.system.runner import Runner, here, inside
from pileus.trace import guard
from pileus.trace.forge import send_forged

pytestmark = pytest.mark.netns

CLOUD, NODE = (f"guard{os.getpid()}-{name}" for name in ("cloud", "node"))
NIC = Identity(Mac("02:00:00:00:20:01"), IPv4Address("172.16.20.101"))
MANAGEMENT = IPv4Address("172.16.10.101")
FAR = IPv4Address("8.8.8.8")
CLOSED = """\
table netdev closed {
  chain in { type filter hook ingress device "eth1" priority 0; policy drop; }
}
"""


@pytest.fixture
def node() -> Iterator[Runner]:
    """A node with two NICs that forwards, as one with an L3 agent may, and no guard yet."""
    try:
        for name in (CLOUD, NODE):
            netns.remove(name)
            netns.ensure(name)
        for device in ("eth0", "eth1"):
            netns.batch(
                None, [f"link add {device} netns {NODE} type veth peer name {device} netns {CLOUD}"]
            )
            netns.batch(CLOUD, [f"link set {device} up"])
        netns.batch(
            NODE,
            [
                f"link set eth1 address {NIC.mac}",
                "link set eth0 up",
                "link set eth1 up",
                f"addr add {MANAGEMENT}/24 dev eth0",
                "route add default via 172.16.10.1",
                "neigh add 172.16.10.1 lladdr 02:00:00:00:10:01 dev eth0",
            ],
        )
        netns.sysctl(
            NODE,
            {
                "net/ipv4/ip_forward": "1",
                "net/ipv4/conf/all/rp_filter": "0",
                "net/ipv4/conf/eth1/rp_filter": "0",
            },
        )
        yield inside(here(), NODE)
    finally:
        for name in (CLOUD, NODE):
            netns.remove(name)


def deliver(frame: bytes) -> None:
    """Put a frame on the wire towards the provider NIC."""

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("eth1", 0))
            wire.send(frame)

    netns.run_inside(CLOUD, send)


def test_behind_a_closed_nic_nothing_reaches_the_stack_or_leaves(node: Runner) -> None:
    node(["nft", "-f", "-"], stdin=CLOSED)
    passage = guard.verify(node, "eth1", NIC, [MANAGEMENT, FAR], deliver)
    assert (passage.arrived, passage.in_stack, passage.left) == (3, 0, 0)
    assert passage.ok


def test_without_a_guard_the_verification_says_so(node: Runner) -> None:
    passage = guard.verify(node, "eth1", NIC, [MANAGEMENT, FAR], deliver)
    assert passage.in_stack == 3
    assert passage.left >= 1  # the one for the internet; forwarded out of eth0
    assert not passage.ok


def test_frames_that_never_arrive_prove_nothing(node: Runner) -> None:
    with pytest.raises(Fault, match="did not all arrive"):
        guard.verify(node, "eth1", NIC, [FAR], lambda frame: None)


def test_the_verification_leaves_no_table(node: Runner) -> None:
    node(["nft", "-f", "-"], stdin=CLOSED)
    before = node(["nft", "list", "ruleset"]).stdout
    guard.verify(node, "eth1", NIC, [], deliver)
    assert node(["nft", "list", "ruleset"]).stdout == before


def test_exactly_one_forged_frame_leaves(node: Runner) -> None:
    cloud = inside(here(), CLOUD)
    seen = "table netdev seen { chain in { type filter hook ingress device eth1 priority 0; "
    seen += f"ether saddr != {NIC.mac} ip saddr {NIC.address} counter; }}; }}\n"
    cloud(["nft", "-f", "-"], stdin=seen)
    send_forged(node, "eth1", NIC.mac, NIC.address)
    listing = cloud(["nft", "--json", "list", "table", "netdev", "seen"]).stdout
    assert guard.parse(listing) == {"in": 1}


def test_a_forged_frame_that_the_nodes_own_rules_stop_is_told(node: Runner) -> None:
    node(["nft", "-f", "-"], stdin=CLOSED.replace("ingress", "egress"))
    with pytest.raises(CommandFailed, match="not sent"):
        send_forged(node, "eth1", NIC.mac, NIC.address)
