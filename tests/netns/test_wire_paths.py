"""Between subnets, by NICs that forward, and at the limits: what passes, and its denied twins.

Alice has a second NIC in another subnet, where Carol is.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from thin_region import (
    ALICE,
    ALL,
    BOB,
    BROADCAST,
    FOREIGN_MAC,
    REGION,
    ROUTER,
    UDP,
    VPC,
    Region,
    arp,
    eni,
    ethernet,
    ipv4,
    serve,
    tap,
    udp,
)

from pileus.model.verdict import Code
from pileus.system import netns
from pileus.vpc.internet import RESOLVER
from pileus.vpc.state import (
    AclEntry,
    Eni,
    NetworkAcl,
    Permission,
    RegionState,
    Route,
    RouteTable,
    SecurityGroup,
    Subnet,
)
from pileus.vpc.wire.frames import SERVICES_RATE
from pileus.vpc.wire.names import machine_namespace
from pileus.vpc.wire.report import plugged, wire_report
from pileus.vpc.wire.topology import JUMBO

pytestmark = pytest.mark.netns

OPEN = SecurityGroup("sg-open", VPC, "open", (ALL,), (ALL,))
SECOND = eni(3, "172.16.20.11", subnet="subnet-b", instance=ALICE.instance, device_index=1)
CAROL = eni(4, "172.16.20.12", subnet="subnet-b")
NICS = [replace(nic, groups=("sg-open",)) for nic in (ALICE, BOB, SECOND, CAROL)]
OUTSIDE = "192.168.50.5"
"""An address behind a NIC."""


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    made = Region(tmp_path_factory.mktemp("region"))
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def first(region: Region) -> RegionState:
    other = Subnet("subnet-b", VPC, IPv4Network("172.16.20.0/24"))
    return replace(
        region.state,
        subnets={**region.state.subnets, other.id: other},
        groups={**region.state.groups, OPEN.id: OPEN},
        enis={nic.id: nic for nic in NICS},
    )


@pytest.fixture
def state(region: Region, first: RegionState) -> RegionState:
    """Two subnets and open groups: what is in force as a test begins."""
    region.become(first)
    return first


def with_nic(state: RegionState, nic: Eni, **changes: object) -> RegionState:
    changed = replace(state.enis[nic.id], **changes)  # type: ignore[arg-type]
    return replace(state, enis={**state.enis, nic.id: changed})


def with_routes(state: RegionState, *routes: tuple[str, str]) -> RegionState:
    made = tuple(Route(IPv4Network(to), target) for to, target in routes)
    return replace(state, route_tables={"rtb": RouteTable("rtb", VPC, made, frozenset(), True)})


def packet(sender: Eni, destination: str, to: object = None, source: str = "") -> bytes:
    """A datagram to the router's MAC, or to the NIC that is named."""
    mac = to.mac if isinstance(to, Eni) else ROUTER
    own = source or str(sender.addresses[0])
    return ethernet(sender.mac, mac, 0x0800, ipv4(own, destination, UDP, udp(9)))


def arriving(seen: socket.socket, destination: str) -> bytes:
    """The next frame for an address. Raises TimeoutError when none comes."""
    while (frame := seen.recv(2000))[30:34] != IPv4Address(destination).packed:
        pass
    return frame


def ping(region: Region, who: Eni, *words: str) -> bool:
    return region.run(who, "ping", "-c", "1", "-W", "1", *words).code == 0


# Two NICs on one machine


def test_each_nic_of_a_machine_answers_by_itself_where_its_routing_is_right(
    region: Region, state: RegionState
) -> None:
    """Bob asks the second NIC; without a rule the answer leaves by the first, which is wrong."""
    machine = machine_namespace(REGION, ALICE.instance or "")
    before = region.counters(ALICE), region.counters(SECOND)
    assert ping(region, ALICE, "172.16.10.12"), "so that Bob's MAC is known"
    assert ping(region, CAROL, "172.16.20.11"), "same subnet: no rule is needed"
    assert not ping(region, BOB, "172.16.20.11")
    assert region.rise(ALICE, before[0]) == {Code.SOURCE_IP: 1}
    back = [f"route add default via 172.16.{10 + 10 * n}.1 dev eth{n} table 10{n}" for n in (0, 1)]
    rules = [f"rule add from 172.16.{10 + 10 * n}.11 table 10{n}" for n in (0, 1)]
    netns.batch(machine, [*back, *rules])
    assert ping(region, BOB, "172.16.20.11")
    assert ping(region, CAROL, "172.16.10.11")
    assert region.rise(ALICE, before[0]) == {Code.SOURCE_IP: 1}
    assert region.rise(SECOND, before[1]) == {}
    netns.batch(machine, [rule.replace("add", "del") for rule in rules])


def test_a_detached_nic_is_gone_and_none_may_send_in_its_name(
    region: Region, state: RegionState
) -> None:
    machine = machine_namespace(REGION, ALICE.instance or "")
    assert "eth1" in netns.links(machine)
    region.become(with_nic(state, SECOND, instance=None, device_index=None))
    assert "eth1" not in netns.links(machine)
    before = region.counters(ALICE)
    late = packet(SECOND, "172.16.20.12")
    region.send(ALICE, late, 3)
    assert region.rise(ALICE, before) == {Code.SOURCE_MAC: 3}
    region.become(state)
    assert set(region.counters(SECOND).values()) == {0}, "plugged in anew, it counts anew"


# Delegated prefixes


def test_every_address_of_a_delegated_prefix_is_the_nics(
    region: Region, state: RegionState
) -> None:
    prefix = IPv4Network("172.16.10.32/28")
    region.become(with_nic(state, ALICE, prefixes=(prefix,)))
    before = region.counters(ALICE)
    with tap(BOB) as seen:
        region.send(ALICE, packet(ALICE, "172.16.10.12", source="172.16.10.47"))
        assert arriving(seen, "172.16.10.12")[26:30] == IPv4Address("172.16.10.47").packed
    with tap(ALICE) as seen:
        region.send(BOB, packet(BOB, "172.16.10.40", ALICE))
        assert arriving(seen, "172.16.10.40")
    region.run(BOB, "ping", "-c", "1", "-W", "1", "172.16.10.41")
    assert f"172.16.10.41 dev eth0 lladdr {ALICE.mac}" in region.run(BOB, "ip", "neigh").stdout
    assert region.rise(ALICE, before) == {}
    region.send(ALICE, packet(ALICE, "172.16.10.12", source="172.16.10.48"), 3)
    assert region.rise(ALICE, before) == {Code.SOURCE_IP: 3}
    region.become(state)
    region.send(ALICE, packet(ALICE, "172.16.10.12", source="172.16.10.47"), 2)
    assert region.rise(ALICE, before) == {Code.SOURCE_IP: 5}


def test_a_range_that_the_vpc_was_given_later_is_the_vpcs(
    region: Region, state: RegionState
) -> None:
    later = replace(state.vpcs[VPC], further=(IPv4Network("100.64.0.0/16"),))
    region.become(replace(state, vpcs={VPC: later}))
    before = region.counters(ALICE)
    region.send(ALICE, packet(ALICE, "100.64.1.1"), 3)
    assert region.rise(ALICE, before) == {Code.NO_SUCH_ADDRESS: 3}
    region.become(state)
    region.send(ALICE, packet(ALICE, "100.64.1.1"), 2)  # which is the internet's again
    assert region.rise(ALICE, before) == {Code.NO_SUCH_ADDRESS: 3}


# NICs that forward


def test_without_the_check_foreign_addresses_pass_and_foreign_macs_never(
    region: Region, state: RegionState
) -> None:
    region.become(with_nic(state, ALICE, source_dest_check=False))
    before = region.counters(ALICE)
    with tap(BOB) as seen:
        region.send(ALICE, packet(ALICE, "172.16.10.12", source=OUTSIDE))
        assert arriving(seen, "172.16.10.12")[26:30] == IPv4Address(OUTSIDE).packed
    foreign = replace(ALICE, mac=FOREIGN_MAC)
    region.send(ALICE, packet(foreign, "172.16.10.12", source=OUTSIDE), 2)
    region.send(ALICE, packet(foreign, "172.16.10.12"), 2)
    claim = arp(1, (ALICE.mac, OUTSIDE), "172.16.10.1")
    region.send(ALICE, ethernet(ALICE.mac, BROADCAST, 0x0806, claim), 3)
    assert region.rise(ALICE, before) == {Code.SOURCE_MAC: 4, Code.ARP_SENDER: 3}


def test_a_route_to_a_nic_needs_its_check_off(region: Region, state: RegionState) -> None:
    routed = with_routes(state, ("192.168.0.0/16", "blackhole"), ("192.168.50.0/24", BOB.id))
    before = region.counters(CAROL), region.counters(BOB)
    region.become(routed)
    region.send(CAROL, packet(CAROL, OUTSIDE), 2)
    assert region.rise(BOB, before[1]) == {Code.NO_SUCH_ADDRESS: 2}
    region.become(with_nic(routed, BOB, source_dest_check=False))
    with tap(BOB) as seen:
        region.send(CAROL, packet(CAROL, OUTSIDE))
        frame = arriving(seen, OUTSIDE)
    assert frame[:6] == BOB.mac.packed
    assert region.rise(CAROL, before[0]) == {}
    region.send(CAROL, packet(CAROL, "192.168.51.1"), 3)
    assert region.rise(CAROL, before[0]) == {Code.NO_ROUTE: 3}


def test_the_longest_prefix_decides_and_a_black_hole_swallows(
    region: Region, state: RegionState
) -> None:
    region.become(with_routes(state, ("0.0.0.0/0", "igw"), (f"{RESOLVER}/32", "blackhole")))
    before = region.counters(ALICE)
    region.send(ALICE, packet(ALICE, str(RESOLVER)), 2)
    assert region.rise(ALICE, before) == {Code.NO_ROUTE: 2}
    region.send(ALICE, packet(ALICE, "8.8.4.4"), 2)
    assert region.rise(ALICE, before) == {Code.NO_ROUTE: 2}


def test_a_frame_to_a_neighbours_mac_does_not_ask_the_route_table(
    region: Region, state: RegionState
) -> None:
    unrouted = with_routes(with_nic(state, BOB, source_dest_check=False))
    region.become(unrouted)
    before = region.counters(ALICE)
    with tap(BOB) as seen:
        region.send(ALICE, packet(ALICE, OUTSIDE, BOB))
        frame = arriving(seen, OUTSIDE)
        assert (frame[6:12], frame[14 + 8]) == (ALICE.mac.packed, 64), "its own MAC, its own TTL"
        region.send(ALICE, packet(ALICE, "172.16.20.12", BOB))
        assert arriving(seen, "172.16.20.12"), "also where the VPC has the address elsewhere"
    assert region.rise(ALICE, before) == {}
    region.send(ALICE, packet(ALICE, OUTSIDE), 2)
    assert region.rise(ALICE, before) == {Code.NO_ROUTE: 2}
    region.send(ALICE, packet(ALICE, OUTSIDE, CAROL), 3)
    assert region.rise(ALICE, before) == {Code.NO_ROUTE: 2, Code.NOT_CARRIED: 3}


# Network ACLs and groups

EVERYTHING = (AclEntry(100, True, "-1", None, IPv4Network("0.0.0.0/0")),)
PING = (AclEntry(100, True, "icmp", None, IPv4Network("0.0.0.0/0")),)


def guarded(
    state: RegionState, ingress: tuple[AclEntry, ...], egress: tuple[AclEntry, ...]
) -> RegionState:
    acl = NetworkAcl("acl", VPC, ingress, egress, frozenset({"subnet-b"}))
    return replace(state, network_acls={acl.id: acl})


def test_a_network_acl_filters_both_ways_without_memory(region: Region, state: RegionState) -> None:
    region.become(guarded(state, PING, PING))
    before = region.counters(CAROL)
    assert ping(region, BOB, "172.16.20.12")
    assert region.rise(CAROL, before) == {}
    region.send(BOB, packet(BOB, "172.16.20.12"), 3)
    assert region.rise(CAROL, before) == {Code.ACL_INGRESS: 3}
    region.become(guarded(state, EVERYTHING, ()))
    assert not ping(region, BOB, "172.16.20.12"), "the answer is denied"
    assert region.rise(CAROL, before) == {Code.ACL_INGRESS: 3, Code.ACL_EGRESS: 1}
    assert ping(region, SECOND, "-I", "eth1", "172.16.20.12"), "not inside the subnet"
    region.become(state)
    assert region.rise(CAROL, before) == {Code.ACL_INGRESS: 3, Code.ACL_EGRESS: 1}, "it stays told"


def test_a_group_may_let_in_the_members_of_another(region: Region, state: RegionState) -> None:
    friends = SecurityGroup("sg-friends", VPC, "friends", (), (ALL,))
    shut = SecurityGroup(
        "sg-shut",
        VPC,
        "shut",
        (Permission("icmp", (8, -1), groups=frozenset({"sg-friends"})),),
        (ALL,),
    )
    groups = {**state.groups, friends.id: friends, shut.id: shut}
    closed = with_nic(replace(state, groups=groups), CAROL, groups=("sg-shut",))
    region.become(closed)
    before = region.counters(CAROL)
    assert not ping(region, BOB, "172.16.20.12")
    assert region.rise(CAROL, before) == {Code.GROUP_INGRESS: 1}
    region.become(with_nic(closed, BOB, groups=("sg-open", "sg-friends")))
    assert ping(region, BOB, "172.16.20.12"), "the answer too"
    assert region.rise(CAROL, before) == {Code.GROUP_INGRESS: 1}
    region.send(BOB, packet(BOB, "172.16.20.12"), 2)
    assert region.rise(CAROL, before) == {Code.GROUP_INGRESS: 3}


# Sizes and rates


def test_packets_may_be_9001_bytes_inside_and_1500_outside(
    region: Region, state: RegionState
) -> None:
    whole = ["-M", "do", "-s"]
    assert ping(region, ALICE, *whole, str(9001 - 28), "172.16.10.12")
    assert ping(region, BOB, *whole, str(9001 - 28), "172.16.20.12")
    assert ping(region, ALICE, *whole, str(1500 - 28), str(RESOLVER))
    told = region.run(ALICE, "ping", "-c", "1", "-W", "1", *whole, str(1501 - 28), str(RESOLVER))
    assert told.code != 0
    assert "From 172.16.10.1 " in told.stdout
    assert "Frag needed and DF set (mtu = 1500)" in told.stdout
    region.run(ALICE, "ip", "route", "flush", "cache")


def test_what_a_stream_is_cut_into_arrives_whole(region: Region, state: RegionState) -> None:
    """A guest that reads raw frames has nobody to finish a checksum or cut a segment for it."""
    frames = []
    region.run(BOB, "ethtool", "-K", "eth0", "gro", "off")
    with serve(region, BOB, 5001) as server, tap(BOB) as seen:
        with netns.run_inside(
            machine_namespace(REGION, ALICE.instance or ""),
            lambda: socket.create_connection(("172.16.10.12", 5001), timeout=5),
        ) as alice:
            alice.sendall(b"x" * 60_000)
        with server.accept()[0] as accepted:
            assert len(accepted.makefile("rb").read()) == 60_000
        seen.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            while True:
                frames.append(seen.recv(70_000))
    segments = [one[14:] for one in frames if one[23] == socket.IPPROTO_TCP]
    assert sum(map(len, segments)) > 60_000
    assert max(map(len, segments)) <= JUMBO
    assert {checksum_of(segment) for segment in segments} == {0}


def checksum_of(segment: bytes) -> int:
    """What a receiver computes of a TCP segment in an IPv4 packet; zero where it is right."""
    body = segment[20:] + b"\0" * (len(segment) % 2)
    pseudo = segment[12:20] + struct.pack("!HH", socket.IPPROTO_TCP, len(segment) - 20)
    total: int = sum(struct.unpack(f"!{(len(pseudo) + len(body)) // 2}H", pseudo + body))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def test_fragments_of_an_allowed_packet_arrive_and_those_of_another_do_not(
    region: Region, state: RegionState
) -> None:
    data = b"x" * 3000
    region.run(ALICE, "ip", "link", "set", "eth0", "mtu", "1500")
    with serve_datagrams(BOB, 9) as server, speaker(ALICE) as alice:
        alice.sendto(data, ("172.16.10.12", 9))
        assert server.recv(4000) == data
        shut = with_nic(state, BOB, groups=("sg-closed",))
        region.become(shut)
        before = region.counters(BOB)
        alice.sendto(data, ("172.16.10.12", 10))
        assert region.rise(BOB, before) == {Code.GROUP_INGRESS: 1}, "what is put together again"
    region.run(ALICE, "ip", "link", "set", "eth0", "mtu", "9001")


def serve_datagrams(nic: Eni, port: int) -> socket.socket:
    made = speaker(nic)
    made.bind(("", port))
    made.settimeout(2)
    return made


def speaker(nic: Eni) -> socket.socket:
    def make() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    return netns.run_inside(machine_namespace(REGION, nic.instance or ""), make)


def test_a_nic_may_ask_1024_times_a_second(region: Region, state: RegionState) -> None:
    """Each NIC for itself; other traffic is not counted in."""

    def passed(nic: Eni) -> int:
        (report,) = (r for r in wire_report(REGION, plugged(region.state)) if r.nic.eni == nic.id)
        return report.passed_out

    before, through = region.counters(ALICE), passed(ALICE)
    question = ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.11", "172.16.0.2", UDP, udp(53)))
    region.send(ALICE, question, 3 * SERVICES_RATE)
    answered, dropped = passed(ALICE) - through, region.rise(ALICE, before)
    assert answered >= SERVICES_RATE
    assert dropped == {Code.SERVICE_RATE: 3 * SERVICES_RATE - answered}
    region.send(ALICE, packet(ALICE, "172.16.10.12"), 10)
    assert region.rise(ALICE, before) == dropped
    bobs = region.counters(BOB)
    other = ethernet(BOB.mac, ROUTER, 0x0800, ipv4("172.16.10.12", "172.16.0.2", UDP, udp(53)))
    region.send(BOB, other, SERVICES_RATE)
    assert region.rise(BOB, bobs) == {}
