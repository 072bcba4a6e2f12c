"""Bytes to fields and back, as the kernel's netdev hooks see frames."""

from __future__ import annotations

import pytest
from uplink_frames import (
    INNER,
    MAIL,
    NIC_MAC,
    NONE,
    OTHER,
    OUTSIDE,
    ROUTER,
    ROUTER_MAC,
    WEB,
    arp,
    ask,
    ether,
    ipv4,
    leaving,
    tagged,
    udp,
)

from pileus.rules.evaluator import Cut
from pileus.rules.frames import parse, patch
from pileus.rules.ruleset import ARP_ETHERNET_IPV4, Field

ETHER = {Field.ETHER_DESTINATION, Field.ETHER_SOURCE, Field.ETHER_TYPE}
PORTS = {Field.UDP_SOURCE, Field.UDP_DESTINATION}


def test_a_datagram_has_its_addresses_and_ports() -> None:
    assert parse(leaving(port=53)) == {
        Field.ETHER_DESTINATION: ROUTER_MAC,
        Field.ETHER_SOURCE: INNER,
        Field.ETHER_TYPE: "ip",
        Field.IP_FRAGMENT: 0,
        Field.IP_PROTOCOL: "udp",
        Field.IP_SOURCE: WEB,
        Field.IP_DESTINATION: OUTSIDE,
        Field.L4_PROTOCOL: "udp",
        Field.UDP_SOURCE: 40000,
        Field.UDP_DESTINATION: 53,
    }


def test_an_arp_packet_has_both_pairs() -> None:
    found = parse(arp(2, (INNER, WEB), (ROUTER_MAC, ROUTER)))
    assert found[Field.ARP_OPERATION] == "reply"
    assert found[Field.ARP_FORMAT] == ARP_ETHERNET_IPV4
    assert (found[Field.ARP_SENDER_MAC], found[Field.ARP_SENDER_IP]) == (INNER, WEB)
    assert (found[Field.ARP_TARGET_MAC], found[Field.ARP_TARGET_IP]) == (ROUTER_MAC, ROUTER)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (tagged(leaving()), "8021q"),
        (tagged(ask(INNER, WEB, ROUTER), kind=0x88A8), "8021ad"),
        (ether(INNER, OTHER, 0x86DD, bytes(40)), "ip6"),
        (ether(INNER, OTHER, 0x88CC, bytes(40)), 0x88CC),
    ],
)
def test_of_other_frames_only_the_ethernet_header_is_read(frame: bytes, kind: object) -> None:
    found = parse(frame)
    assert (set(found), found[Field.ETHER_TYPE]) == (ETHER, kind)


def test_a_field_that_a_frame_is_too_short_for_is_not_there() -> None:
    whole = set(parse(leaving()))
    assert set(parse(leaving()[:14])) == ETHER
    assert parse(leaving()[:32])[Field.IP_DESTINATION] == Cut(OUTSIDE.packed[:2])
    assert whole - set(parse(leaving()[:37])) >= PORTS
    assert Field.ARP_SENDER_IP not in parse(ask(INNER, WEB, ROUTER)[:28])


def inconsistent(first: int, length: int) -> bytes:
    packet = ipv4(WEB, OUTSIDE, udp(9))
    packet = bytes([first]) + packet[1:2] + length.to_bytes(2, "big") + packet[4:]
    return ether(INNER, ROUTER_MAC, 0x0800, packet)


@pytest.mark.parametrize(
    ("first", "length"), [(0x65, 33), (0x44, 33), (0x45, 34), (0x45, 19), (0x46, 20), (0x4F, 33)]
)
def test_a_header_that_contradicts_itself_has_no_protocol(first: int, length: int) -> None:
    found = parse(inconsistent(first, length))
    assert not {Field.L4_PROTOCOL, *PORTS} & set(found)
    assert found[Field.IP_SOURCE] == WEB, "addresses stand where they stand"


def test_options_move_the_ports() -> None:
    found = parse(inconsistent(0x46, 33))
    assert found[Field.UDP_SOURCE] == int.from_bytes(udp(9)[4:6], "big")


def test_only_what_is_rewritten_changes() -> None:
    frame = ask(INNER, WEB, MAIL)
    changed = patch(frame, {Field.ARP_SENDER_MAC: NIC_MAC, Field.ETHER_SOURCE: NIC_MAC})
    assert changed == ask(NIC_MAC, WEB, MAIL)
    answer = patch(frame, {Field.ARP_OPERATION: "reply", Field.ARP_TARGET_IP: ROUTER})
    assert answer == arp(2, (INNER, WEB), (NONE, ROUTER))
    assert patch(frame, {Field.PACKET_TYPE: "host"}) == frame, "which no byte tells"
