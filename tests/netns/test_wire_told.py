"""The wire explains itself: the last dropped frames, and a capture of one NIC."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from thin_region import (
    ALICE,
    BOB,
    FOREIGN_MAC,
    REGION,
    ROUTER,
    UDP,
    VPC,
    Region,
    ethernet,
    ipv4,
    udp,
)

from pileus.model.status import DroppedFrame
from pileus.model.verdict import Code
from pileus.system import clock, files, sniff
from pileus.vpc.wire.droplog import KEPT, DropLog
from pileus.vpc.wire.drops import LOG_RATE
from pileus.vpc.wire.names import device, vpc_namespace
from pileus.vpc.wire.pcap import pcap

pytestmark = pytest.mark.netns

SPOOFED = ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.99", "8.8.8.8", UDP, udp(53)))
FOREIGN = ethernet(FOREIGN_MAC, ROUTER, 0x0800, ipv4("172.16.10.11", "8.8.8.8"))
FLOOD = 3000


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    made = Region(tmp_path_factory.mktemp("region"))
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def told(region: Region, tmp_path: Path) -> Iterator[Path]:
    log = DropLog(REGION, tmp_path / "drops.json")
    log.follow(region.state)
    try:
        yield tmp_path / "drops.json"
    finally:
        log.stop()


def drops(path: Path, wanted: Code) -> list[DroppedFrame]:
    """All that is told, once a frame is told of that code."""

    def look() -> list[DroppedFrame] | None:
        found = [DroppedFrame.from_json(one) for one in files.read_json(path) or []]
        return found if any(one.code is wanted for one in found) else None

    return clock.poll(look, what=f"{wanted} was not told", hint="-", timeout=20, interval=0.02)


def test_a_dropped_frame_is_told_with_its_nic_and_what_was_wrong(
    region: Region, told: Path
) -> None:
    region.send(ALICE, SPOOFED)
    (one,) = [drop for drop in drops(told, Code.SOURCE_IP) if drop.code is Code.SOURCE_IP]
    assert (one.way, one.eni, one.instance, one.device) == ("from", ALICE.id, "i-1", "eth0")
    assert {name: one.fields[name] for name in one.offending} == {"source": "172.16.10.99"}
    assert (one.fields["source_mac"], one.fields["destination_port"]) == (str(ALICE.mac), "53")
    region.send(ALICE, FOREIGN)
    (other,) = [drop for drop in drops(told, Code.SOURCE_MAC) if drop.code is Code.SOURCE_MAC]
    assert {other.fields[name] for name in other.offending} == {str(FOREIGN_MAC)}
    assert one.time <= other.time, "the newest last"


def test_a_tagged_frame_is_told_as_such(region: Region, told: Path) -> None:
    tagged = SPOOFED[:12] + b"\x81\0\0\7" + SPOOFED[12:]
    region.send(ALICE, tagged)
    (one,) = [d for d in drops(told, Code.NOT_CARRIED) if d.code is Code.NOT_CARRIED]
    assert one.fields["ether_type"] == "8021q"


def test_what_a_group_keeps_out_is_told_at_the_receiver(region: Region, told: Path) -> None:
    packet = ipv4("172.16.10.11", "172.16.10.12", UDP, udp(9))
    region.send(ALICE, ethernet(ALICE.mac, BOB.mac, 0x0800, packet))
    (one,) = [d for d in drops(told, Code.GROUP_INGRESS) if d.code is Code.GROUP_INGRESS]
    assert (one.way, one.eni) == ("to", BOB.id)
    assert (one.fields["source"], one.fields["destination_port"]) == ("172.16.10.11", "9")


def test_a_flood_is_counted_whole_and_told_in_part(region: Region, told: Path) -> None:
    before = region.counters(ALICE)
    start = clock.seconds()
    region.send(ALICE, FOREIGN, FLOOD)
    took = clock.seconds() - start
    assert region.rise(ALICE, before) == {Code.SOURCE_MAC: FLOOD}
    region.send(ALICE, SPOOFED)
    found = drops(told, Code.SOURCE_IP)
    told_of = [one for one in found if one.code is Code.SOURCE_MAC]
    assert 0 < len(told_of) <= min(KEPT, LOG_RATE * (2 + took))


def test_a_namespace_that_is_listened_to_no_more_may_go(region: Region, tmp_path: Path) -> None:
    log = DropLog(REGION, tmp_path / "drops.json")
    log.follow(region.state)
    log.leave(VPC)
    region.send(ALICE, SPOOFED)
    log.stop()
    log.stop()
    assert not (tmp_path / "drops.json").exists()


def test_a_capture_has_the_frames_of_a_nic_both_ways_also_those_that_are_dropped(
    region: Region,
) -> None:
    inside = vpc_namespace(REGION, VPC)
    stream = pcap(sniff.frames(inside, device(ALICE.id), count=3, seconds=10))
    assert len(next(stream)) == 24
    region.send(ALICE, FOREIGN)
    region.run(ALICE, "ip", "neigh", "flush", "dev", "eth0")
    region.run(ALICE, "ping", "-c", "1", "-W", "1", "172.16.10.1")
    frames = [record[16:] for record in stream]
    assert frames[0] == FOREIGN
    kinds = [struct.unpack_from("!H", frame, 12)[0] for frame in frames]
    assert kinds == [0x0800, 0x0806, 0x0806], "and the answer of the VPC"
    assert frames[2][6:12] == ROUTER.packed


def test_a_capture_ends_when_its_time_is_up(region: Region) -> None:
    assert list(sniff.frames(vpc_namespace(REGION, VPC), device(BOB.id), seconds=0.05)) == []
    with pytest.raises(OSError, match="No such device"):
        sniff.frames(vpc_namespace(REGION, VPC), "eni-none")
