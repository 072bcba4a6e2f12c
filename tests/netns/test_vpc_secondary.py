"""Secondary addresses on the wire: theirs while they are registered, nobody's afterwards.

Alice has a second address with an Elastic IP of its own. Each thing that she may do with it has
its twin after the address, or its Elastic IP, was taken away.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from thin_region import ALICE, ALL, BOB, BROADCAST, ROUTER, Region, arp, ethernet, ipv4, serve

from pileus.model.verdict import Code
from pileus.vpc.internet import RESOLVER, WEB
from pileus.vpc.state import ElasticIp, Permission, RegionState

pytestmark = pytest.mark.netns

SECOND = IPv4Address("172.16.10.21")
HOSTS = frozenset({IPv4Network("0.0.0.0/0")})
ICMP = Permission("icmp", None, HOSTS)
QUICKLY = 0.5


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    made = Region(tmp_path_factory.mktemp("region"))
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def bare(region: Region) -> RegionState:
    """Alice with one address; both machines may be pinged and may say anything."""
    groups = {
        id: replace(group, ingress=(*group.ingress, ICMP), egress=(ALL,))
        for id, group in region.state.groups.items()
    }
    first = ElasticIp("e", region.public(9), ALICE.id, ALICE.addresses[0], "eipassoc")
    nics = {ALICE.id: ALICE, BOB.id: BOB}
    return replace(region.state, groups=groups, enis=nics, elastic_ips={"e": first})


@pytest.fixture
def given(region: Region, bare: RegionState) -> RegionState:
    """Alice with a second address and an Elastic IP for it: what is in force as a test begins."""
    second = replace(ALICE, addresses=(*ALICE.addresses, SECOND))
    public = ElasticIp("e2", region.public(10), ALICE.id, SECOND, "eipassoc-2")
    state = replace(
        bare,
        enis={**bare.enis, ALICE.id: second},
        elastic_ips={**bare.elastic_ips, public.id: public},
    )
    region.become(state)
    return state


def test_it_speaks_is_found_and_has_a_public_face_of_its_own(
    region: Region, given: RegionState
) -> None:
    before = region.counters(ALICE), region.counters(BOB)
    fetch = ["curl", "-s", "--max-time", "5", "--interface", str(SECOND), f"http://{WEB}/ip"]
    assert region.run(ALICE, *fetch).stdout.strip() == str(region.public(10))

    region.run(BOB, "ip", "neigh", "flush", "dev", "eth0")
    assert region.run(BOB, "ping", "-c", "1", "-W", "2", str(SECOND)).code == 0
    assert f"{SECOND} dev eth0 lladdr {ALICE.mac}" in region.run(BOB, "ip", "neigh").stdout

    with serve(region, ALICE, 80) as server, call(region, 10):
        assert server.accept()[0].getsockname()[0] == str(SECOND)
    assert (region.rise(ALICE, before[0]), region.rise(BOB, before[1])) == ({}, {})


def test_taken_off_it_can_neither_speak_nor_be_found(
    region: Region, given: RegionState, bare: RegionState
) -> None:
    region.become(bare)
    alice, bob = region.counters(ALICE), region.counters(BOB)
    region.send(ALICE, ethernet(ALICE.mac, ROUTER, 0x0800, ipv4(str(SECOND), str(RESOLVER))), 2)
    question = arp(1, (ALICE.mac, str(SECOND)), "172.16.10.1")
    region.send(ALICE, ethernet(ALICE.mac, BROADCAST, 0x0806, question), 3)
    assert region.rise(ALICE, alice) == {Code.SOURCE_IP: 2, Code.ARP_SENDER: 3}

    mine = str(BOB.addresses[0])
    region.send(BOB, ethernet(BOB.mac, ROUTER, 0x0800, ipv4(mine, str(SECOND))), 2)
    where = arp(1, (BOB.mac, mine), str(SECOND))
    region.send(BOB, ethernet(BOB.mac, BROADCAST, 0x0806, where), 3)
    assert region.rise(BOB, bob) == {Code.NO_SUCH_ADDRESS: 2, Code.ARP_SILENT: 3}
    with pytest.raises(TimeoutError):
        call(region, 10)


def test_without_its_elastic_ip_it_is_private(region: Region, given: RegionState) -> None:
    """Its neighbour the primary address keeps its own."""
    region.become(without(given, "e2"))
    before = region.counters(ALICE)
    ping = ["ping", "-c", "1", "-W", "1"]
    assert region.run(ALICE, *ping, "-I", str(SECOND), str(RESOLVER)).code != 0
    assert region.rise(ALICE, before) == {Code.NO_PUBLIC_ADDRESS: 1}
    assert region.run(ALICE, *ping, str(RESOLVER)).code == 0


def test_moved_to_another_nic_it_works_there_with_its_elastic_ip(
    region: Region, given: RegionState
) -> None:
    region.become(moved(given))
    region.run(ALICE, "ip", "addr", "del", f"{SECOND}/24", "dev", "eth0")
    fetch = ["curl", "-s", "--max-time", "5", "--interface", str(SECOND), f"http://{WEB}/ip"]
    assert region.run(BOB, *fetch).stdout.strip() == str(region.public(10))

    before = region.counters(ALICE)
    region.send(ALICE, ethernet(ALICE.mac, ROUTER, 0x0800, ipv4(str(SECOND), str(RESOLVER))), 2)
    assert region.rise(ALICE, before) == {Code.SOURCE_IP: 2}
    region.run(BOB, "ip", "addr", "del", f"{SECOND}/24", "dev", "eth0")


@pytest.mark.parametrize("change", ["disassociated", "unassigned", "moved", "to another address"])
def test_flows_under_way_end_with_what_they_went_by_and_no_others(
    region: Region, given: RegionState, bare: RegionState, change: str
) -> None:
    with serve(region, ALICE, 80) as server:
        kept, cut = Talk(region, server, 9), Talk(region, server, 10)
        for talk in (kept, cut):
            assert (talk.says(b"hello"), talk.answers(b"hello")) == (b"hello", b"hello")

        other = replace(given.elastic_ips["e2"], eni=BOB.id, private=BOB.addresses[0])
        region.become(
            {
                "disassociated": without(given, "e2"),
                "unassigned": bare,
                "moved": moved(given),
                "to another address": replace(
                    given, elastic_ips={**given.elastic_ips, "e2": other}
                ),
            }[change]
        )
        assert (cut.answers(b"still?"), cut.says(b"still?")) == (None, None)
        assert (kept.answers(b"still?"), kept.says(b"still?")) == (b"still?", b"still?")
    for machine in (ALICE, BOB):
        region.run(machine, "ip", "addr", "del", f"{SECOND}/24", "dev", "eth0")


class Talk:
    """A connection from this host to an Elastic IP, and its other end at the machine."""

    def __init__(self, region: Region, server: socket.socket, number: int) -> None:
        self._here = call(region, number)
        self._there = server.accept()[0]
        for end in (self._here, self._there):
            end.settimeout(QUICKLY)

    def says(self, text: bytes) -> bytes | None:
        """What arrives at the machine, None when nothing does."""
        return _through(self._here, self._there, text)

    def answers(self, text: bytes) -> bytes | None:
        """What arrives here, None when nothing does."""
        return _through(self._there, self._here, text)


def _through(near: socket.socket, far: socket.socket, text: bytes) -> bytes | None:
    try:
        near.send(text)
        return far.recv(100)
    except OSError:
        return None


def call(region: Region, number: int) -> socket.socket:
    return socket.create_connection((str(region.public(number)), 80), timeout=1)


def without(state: RegionState, elastic: str) -> RegionState:
    left = {id: one for id, one in state.elastic_ips.items() if id != elastic}
    return replace(state, elastic_ips=left)


def moved(state: RegionState) -> RegionState:
    """The second address, and its Elastic IP with it, are Bob's."""
    nics = {ALICE.id: ALICE, BOB.id: replace(BOB, addresses=(*BOB.addresses, SECOND))}
    public = replace(state.elastic_ips["e2"], eni=BOB.id)
    return replace(state, enis=nics, elastic_ips={**state.elastic_ips, "e2": public})
