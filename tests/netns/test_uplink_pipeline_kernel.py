"""The pipeline in a real kernel: real hosts behind a NIC reach the cloud and one another, and what
must not pass is dropped and counted. The cloud's end counts whatever it would not take itself."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import TypeVar

import pytest
from uplink_frames import (
    ALL,
    ARP_UNSENT,
    CLONE,
    INNER,
    MAIL,
    METADATA,
    NEVER,
    NIC,
    NIC_MAC,
    OTHER,
    OUTSIDE,
    REGISTERED,
    ROUTER,
    ROUTER_MAC,
    SPARE,
    STRANGE,
    UNDELIVERED,
    UNSENT,
    WEB,
    arp,
    arriving,
    ask,
    leaving,
    sender,
)
from uplink_world import BRIDGE, Tap, World, made

from pileus.model.uplink import UplinkNic
from pileus.system import netns
from pileus.uplink import pipeline

pytestmark = pytest.mark.netns

T = TypeVar("T")
RESOLVED = "in.UPLINK_RESOLVED"


@pytest.fixture(scope="module")
def hosts() -> Iterator[World]:
    """Two inner hosts, WEB and MAIL, a resolver, and a cloud with a host beyond its router."""
    with made("hosts", 2) as world:
        world.serve(OUTSIDE, sorted(REGISTERED))
        world.resolve()
        world.host(0, INNER, WEB)
        world.host(1, OTHER, MAIL)
        yield world


@pytest.fixture
def world(hosts: World) -> Iterator[World]:
    """Fresh rules; and the cloud is shown no foreign frame whatever a test does."""
    hosts.unload()
    hosts.load()
    hosts.forget()
    before = hosts.foreign()
    yield hosts
    assert hosts.foreign() == before


@pytest.fixture(scope="module")
def silent() -> Iterator[World]:
    """A world in which nobody sends by itself, to count frames in."""
    with made("silent", 2) as world:
        yield world


def ping(world: World, namespace: str, address: IPv4Address, *options: str) -> bool:
    argv = ["ping", "-q", "-i", "0.01", "-W", "1", *(options or ("-c", "3")), str(address)]
    return world.run(namespace, *argv, check=False).code == 0


def from_outside(world: World, address: IPv4Address, *options: str) -> bool:
    return ping(world, world.cloud, address, "-I", str(OUTSIDE), *(options or ("-c", "3")))


# What works.


def test_inner_hosts_reach_the_internet_and_are_reached_from_it(world: World) -> None:
    for inner, address, mac in zip(world.inner, (WEB, MAIL), (INNER, OTHER), strict=True):
        assert ping(world, inner, OUTSIDE)
        assert from_outside(world, address)
        assert pipeline.learned(world.read())[address] == mac
    assert not pipeline.claimed_twice(world.read())


def test_the_first_packet_to_an_address_that_has_not_spoken_arrives(world: World) -> None:
    assert from_outside(world, WEB, "-c", "1")
    assert world.counters()[RESOLVED] == 1
    assert from_outside(world, WEB, "-c", "3")
    assert world.counters()[RESOLVED] == 1, "its answer has taught where it is"


def test_an_address_that_nobody_has_is_asked_for_and_nothing_leaves(world: World) -> None:
    before = world.counters()
    assert not from_outside(world, SPARE, "-c", "1")
    rise = world.rise(before)
    assert rise[RESOLVED] == 1
    assert set(rise) <= {RESOLVED, "passed_in", "out.UPLINK_ARP_PROBE"}


def test_an_address_that_is_not_registered_is_not_reached(world: World) -> None:
    world.load(frozenset({WEB}))
    before = world.counters()
    assert not from_outside(world, MAIL, "-c", "2")
    assert world.rise(before) == {"in.UPLINK_DESTINATION_UNREGISTERED": 2}


def test_two_inner_hosts_reach_each_other_though_the_cloud_answers_for_both(world: World) -> None:
    for inner, peer, mac in ((0, MAIL, OTHER), (1, WEB, INNER)):
        assert ping(world, world.inner[inner], peer)
        known = world.run(world.inner[inner], "ip", "neigh", "show", str(peer)).stdout
        assert str(mac) in known
    assert world.counters()["passed_out"] == 0


def test_a_gratuitous_arp_moves_an_address_at_once(world: World) -> None:
    cloud = Tap.at(world.cloud, "cloud0")
    first, second = (Tap.at(name, "eth0") for name in world.inner)
    assert ping(world, world.inner[0], OUTSIDE)
    assert from_outside(world, WEB)
    second.send(ask(OTHER, WEB, WEB))
    cloud.send(arriving(WEB))
    second.until(arriving(WEB, to=OTHER))
    first.send(ask(INNER, WEB, WEB))
    cloud.send(arriving(WEB))
    first.until(arriving(WEB, to=INNER))


def test_the_clouds_refresh_by_unicast_is_answered(world: World) -> None:
    cloud = Tap.at(world.cloud, "cloud0")
    answer = arp(2, (NIC_MAC, WEB), (ROUTER_MAC, ROUTER), to=ROUTER_MAC)
    for _ in ("before it has spoken", "after"):
        cloud.send(ask(ROUTER_MAC, ROUTER, WEB, to=NIC_MAC))
        cloud.until(answer)
    assert world.counters()[RESOLVED] == 1


def test_large_pings_pass_in_fragments(world: World) -> None:
    assert ping(world, world.inner[0], OUTSIDE, "-c", "3", "-s", "8000")
    assert from_outside(world, WEB, "-c", "3", "-s", "8000")


@pytest.fixture
def opened() -> Iterator[Callable[[str, int, str], socket.socket]]:
    """Sockets in namespaces, closed in the end."""
    sockets: list[socket.socket] = []

    def in_namespace(namespace: str, kind: int, address: str) -> socket.socket:
        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, kind)
            made.settimeout(10)
            made.bind((address, 0))
            return made

        sockets.append(netns.run_inside(namespace, make))
        return sockets[-1]

    yield in_namespace
    for one in sockets:
        one.close()


Opened = Callable[[str, int, str], socket.socket]


def test_later_fragments_are_not_taken_for_dhcp(world: World, opened: Opened) -> None:
    """Data that looks like DHCP's port where a first fragment has its ports."""
    data = b"\x00\x43" * 4000
    inside = opened(world.inner[0], socket.SOCK_DGRAM, str(WEB))
    outside = opened(world.cloud, socket.SOCK_DGRAM, str(OUTSIDE))
    inside.sendto(data, outside.getsockname())
    assert outside.recv(65536) == data
    outside.sendto(data, inside.getsockname())
    assert inside.recv(65536) == data


@pytest.mark.parametrize("way", ["out", "in"])
def test_tcp_passes_in_large_segments_unharmed(world: World, opened: Opened, way: str) -> None:
    """Segments that are cut only behind the NIC: far fewer frames than packets."""
    inside = opened(world.inner[0], socket.SOCK_STREAM, str(WEB))
    outside = opened(world.cloud, socket.SOCK_STREAM, str(OUTSIDE))
    here, there = (inside, outside) if way == "out" else (outside, inside)
    data = bytes(range(256)) * 100_000
    there.listen()
    digests: list[str] = []
    reader = threading.Thread(target=lambda: digests.append(received(there.accept()[0])))
    reader.start()
    here.connect(there.getsockname())
    here.sendall(data)
    here.shutdown(socket.SHUT_WR)
    reader.join()
    assert digests == [hashlib.sha256(data).hexdigest()]
    assert world.counters()[f"passed_{way}"] < len(data) / 1448 / 4


def received(connection: socket.socket) -> str:
    digest = hashlib.sha256()
    with connection:
        while part := connection.recv(1 << 16):
            digest.update(part)
    return digest.hexdigest()


def test_the_hosts_own_frames_pass_by_the_bridge(world: World) -> None:
    netns.batch(
        world.node, [f"addr add {SPARE}/24 dev {BRIDGE}", f"route add {OUTSIDE} via {ROUTER}"]
    )
    try:
        assert ping(world, world.node, OUTSIDE)
        assert from_outside(world, SPARE)
        assert ping(world, world.inner[0], SPARE), "and inner hosts reach it"
    finally:
        netns.batch(world.node, [f"addr del {SPARE}/24 dev {BRIDGE}"])


def test_the_hosts_own_frames_pass_by_the_nic_itself(world: World) -> None:
    netns.batch(
        world.node,
        [
            "link set eth1 nomaster",
            f"addr add {SPARE}/24 dev eth1",
            f"route add {OUTSIDE} via {ROUTER}",
        ],
    )
    try:
        assert ping(world, world.node, OUTSIDE)
        assert from_outside(world, SPARE)
        assert pipeline.learned(world.read()) == {SPARE: NIC_MAC}
    finally:
        netns.batch(world.node, [f"addr del {SPARE}/24 dev eth1", f"link set eth1 master {BRIDGE}"])
        world.run(world.node, "bridge", "fdb", "del", str(NIC_MAC), "dev", "eth1", "master")


def test_with_mac_clone_the_one_router_has_the_nics_mac(world: World) -> None:
    world.load(nic=CLONE)
    world.host(0, NIC_MAC, WEB)
    try:
        assert ping(world, world.inner[0], OUTSIDE)
        assert from_outside(world, WEB)
        before = world.counters()
        assert not ping(world, world.inner[1], OUTSIDE, "-c", "1")
        rise = world.rise(before)
        assert set(rise) == {"out.UPLINK_SOURCE_MAC"}
    finally:
        world.host(0, INNER, WEB)


# What does not pass.


def test_no_inner_host_reaches_the_metadata_service(world: World, opened: Opened) -> None:
    """By a router or on the link, by ARP, UDP, TCP or a forged source: where it would answer."""
    cloud, inner = Tap.at(world.cloud, "cloud0"), world.inner[0]
    netns.batch(world.cloud, [f"addr add {METADATA}/32 dev lo"])
    assert ping(world, inner, OUTSIDE)
    try:
        for route in (f"{METADATA} via {ROUTER}", f"{METADATA} dev eth0"):
            netns.batch(inner, [f"route replace {route}"])
            assert not ping(world, inner, METADATA, "-c", "1", "-W", "0.3")
            for port in (80, 443, 53):
                tried = opened(inner, socket.SOCK_STREAM, str(WEB))
                tried.settimeout(0.1)
                with pytest.raises(OSError, match=r"timed out|No route to host"):
                    tried.connect((str(METADATA), port))
                opened(inner, socket.SOCK_DGRAM, str(WEB)).sendto(b"?", (str(METADATA), port))
            # What waits for ARP while its route goes is answered with an ICMP error by the kernel's
            # first network namespace, the host's own.
            netns.batch(inner, ["neigh flush dev eth0"])
        assert world.counters()["out.UPLINK_LINK_LOCAL"] >= 8
        assert not any(METADATA.packed in frame for frame in cloud.drained())
    finally:
        netns.batch(world.cloud, [f"addr del {METADATA}/32 dev lo"])
        netns.batch(inner, [f"route del {METADATA}"])


@pytest.mark.parametrize("nic", [NIC, CLONE], ids=lambda nic: str(nic.mode))
def test_what_must_not_leave_is_counted_frame_by_frame(silent: World, nic: UplinkNic) -> None:
    silent.unload()
    silent.load(nic=nic)
    inner, cloud = Tap.at(silent.inner[0], "eth0"), Tap.at(silent.cloud, "cloud0")
    last = sender(leaving(SPARE), nic)
    for frame, code in (*NEVER, *UNSENT, *ARP_UNSENT):
        before = silent.counters()
        inner.send(sender(frame, nic), times=3)
        inner.send(last)
        assert cloud.until(leaving(SPARE, mac=NIC_MAC)) == []
        assert silent.rise(before) == {f"out.{code}": 3, "passed_out": 1}, frame.hex()


@pytest.mark.parametrize("nic", [NIC, CLONE], ids=lambda nic: str(nic.mode))
def test_what_must_not_come_in_is_counted_frame_by_frame(silent: World, nic: UplinkNic) -> None:
    silent.unload()
    silent.load(nic=nic)
    inner, cloud = Tap.at(silent.inner[0], "eth0"), Tap.at(silent.cloud, "cloud0")
    inner.send(sender(leaving(SPARE), nic))
    cloud.until(leaving(SPARE, mac=NIC_MAC))
    last = sender(arriving(SPARE, to=INNER), nic)
    for frame, code in (*NEVER, *UNDELIVERED):
        before = silent.counters()
        cloud.send(frame, times=3)
        cloud.send(arriving(SPARE))
        assert inner.until(last) == []
        assert silent.rise(before) == {f"in.{code}": 3, "passed_in": 1}, frame.hex()


# Learning, and changes.


def test_an_address_claimed_by_two_macs_is_counted_and_reported(silent: World) -> None:
    silent.unload()
    silent.load()
    first, second = (Tap.at(name, "eth0") for name in silent.inner)
    cloud = Tap.at(silent.cloud, "cloud0")
    for tap, mac in ((first, INNER), (second, OTHER)):
        tap.send(leaving(WEB, mac=mac), times=5)
        for _ in range(5):
            cloud.until(leaving(WEB, mac=NIC_MAC))
    assert silent.counters()["out.UPLINK_ADDRESS_CLAIMED_TWICE"] == 1
    assert pipeline.claimed_twice(silent.read()) == {WEB: frozenset({INNER, OTHER})}
    silent.load(frozenset({MAIL}))
    assert pipeline.claimed_twice(silent.read()) == {}


def test_a_silent_address_is_asked_for_anew_though_it_is_known_where_it_was(
    silent: World,
) -> None:
    """By a packet and by the cloud's refresh; and all of what was learned ends by itself."""
    silent.unload()
    silent.load()
    cloud, first, second = (
        Tap.at(silent.cloud, "cloud0"),
        *(Tap.at(name, "eth0") for name in silent.inner),
    )
    question = ask(ROUTER_MAC, ROUTER, WEB, to=NIC_MAC)
    first.send(ask(INNER, WEB, ROUTER))
    cloud.until(ask(NIC_MAC, WEB, ROUTER))
    cloud.send(question)
    first.until(ask(ROUTER_MAC, ROUTER, WEB, to=INNER))
    end_soon = ["delete element {0} {{ {1} }}", "add element {0} {{ {1} timeout 1ms{2} }}"]
    for name, value in ((pipeline.INNER, f" : {INNER}"), (pipeline.SPEAKING, "")):
        where = f"netdev pileus_eth1 {name}"
        commands = "; ".join(end_soon).format(where, WEB, value)
        silent.run(silent.node, "nft", commands)
    cloud.send(question)
    second.until(ask(ROUTER_MAC, ROUTER, WEB, to=ALL))
    cloud.send(arriving(WEB))
    second.until(arriving(WEB, to=NIC.resolver))


def test_a_change_keeps_counters_and_what_stays_and_forgets_what_goes(world: World) -> None:
    for inner in world.inner:
        assert ping(world, inner, OUTSIDE)
    before = world.counters()
    world.load(frozenset({WEB, SPARE}))
    kernel = world.read()
    assert pipeline.learned(kernel) == {WEB: INNER}
    assert {claim.split()[0] for claim in kernel.sets[pipeline.CLAIMS]} == {str(WEB)}
    assert kernel.sets[pipeline.SPEAKING] == {str(WEB)}
    assert all(kernel.counters[name] >= before[name] for name in before)
    assert not ping(world, world.inner[1], OUTSIDE, "-c", "1")
    assert world.counters()["out.UPLINK_SOURCE_UNREGISTERED"] > 0
    world.load()
    assert ping(world, world.inner[1], OUTSIDE)


def test_traffic_goes_on_while_other_addresses_come_and_go(world: World) -> None:
    results: list[str] = []
    pings = ["ping", "-q", "-i", "0.002", "-c", "400", "-W", "1", str(OUTSIDE)]
    running = threading.Thread(
        target=lambda: results.append(world.run(world.inner[0], *pings, check=False).stdout)
    )
    running.start()
    changes = 0
    while running.is_alive():
        world.load(frozenset({WEB, STRANGE} if changes % 2 else {WEB, MAIL}))
        changes += 1
    assert "400 received" in results[0]
    assert changes > 4


def test_changing_the_mode_and_back_keeps_what_was_counted(world: World) -> None:
    assert ping(world, world.inner[0], OUTSIDE)
    passed = world.counters()["passed_out"]
    for nic in (CLONE, NIC):
        world.load(nic=nic)
        assert world.counters()["passed_out"] >= passed
    assert ping(world, world.inner[0], OUTSIDE)
