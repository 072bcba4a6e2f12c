"""Ethernet frames as the kernel's netdev hooks see them: bytes to fields and back. Pure.

A field that a frame is too short for, or that does not apply to it, is not there. Addresses of ARP
and IPv4 stand at fixed offsets, whatever the headers say of their lengths; ports are there only of
a packet whose IP header is whole and consistent. Later fragments seem to have ports as well, made
of their data: the kernel sees it so as long as these bytes are in the first part of its buffer.
[include/net/netfilter/nf_tables_ipv4.h of Linux; fragments as tried on 6.18]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

from pileus.model.addresses import Mac
from pileus.rules.evaluator import Cut, Learned, Outcome, Packet, follow
from pileus.rules.ruleset import Field, Table

HEADER = 14
"""Bytes of an Ethernet header; what follows it is the network header."""
_ETHER_TYPES = {
    0x0800: "ip",
    0x0806: "arp",
    0x8100: "8021q",
    0x88A8: "8021ad",
    0x86DD: "ip6",
}
_OPERATIONS = {1: "request", 2: "reply"}
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}


def _mac(raw: bytes) -> Mac:
    return Mac(":".join(f"{byte:02x}" for byte in raw))


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def _named(names: Mapping[int, str]) -> Callable[[bytes], int | str]:
    return lambda raw: names.get(_number(raw), _number(raw))


def _offset(raw: bytes) -> int:
    """Without the three flags. [RFC 791, 3.1]"""
    return _number(raw) & 0x1FFF


_Place = tuple[int, int, Callable[[bytes], Any]]
_ETHER: Mapping[Field, _Place] = {
    Field.ETHER_DESTINATION: (0, 6, _mac),
    Field.ETHER_SOURCE: (6, 6, _mac),
    Field.ETHER_TYPE: (12, 2, _named(_ETHER_TYPES)),
}
_ARP: Mapping[Field, _Place] = {
    Field.ARP_FORMAT: (14, 6, _number),
    Field.ARP_HARDWARE: (14, 2, _number),
    Field.ARP_OPERATION: (20, 2, _named(_OPERATIONS)),
    Field.ARP_SENDER_MAC: (22, 6, _mac),
    Field.ARP_SENDER_IP: (28, 4, IPv4Address),
    Field.ARP_TARGET_MAC: (32, 6, _mac),
    Field.ARP_TARGET_IP: (38, 4, IPv4Address),
}
_IP: Mapping[Field, _Place] = {
    Field.IP_FRAGMENT: (20, 2, _offset),
    Field.IP_PROTOCOL: (23, 1, _named(_PROTOCOLS)),
    Field.IP_SOURCE: (26, 4, IPv4Address),
    Field.IP_DESTINATION: (30, 4, IPv4Address),
}
_PLACES = {**_ETHER, **_ARP, **_IP}


def parse(frame: bytes) -> Packet:
    """The fields of a frame. A tagged one has those of its Ethernet header alone."""
    packet = dict(_read(frame, _ETHER))
    kind = packet.get(Field.ETHER_TYPE)
    if kind == "arp":
        packet.update(_read(frame, _ARP))
    if kind == "ip":
        packet.update(_read(frame, _IP))
        packet.update(_transport(frame))
    return packet


def _read(frame: bytes, places: Mapping[Field, _Place]) -> Iterator[tuple[Field, Any]]:
    for field, (start, length, form) in places.items():
        found = frame[start : start + length]
        if len(found) == length:
            yield field, form(found)
        elif found and form is IPv4Address:
            yield field, Cut(found)


def _transport(frame: bytes) -> Iterator[tuple[Field, Any]]:
    header = frame[HEADER:]
    if len(header) < 20 or header[0] >> 4 != 4:
        return
    start, total = (header[0] & 15) * 4, _number(header[2:4])
    if start < 20 or not start <= total <= len(header):
        return
    protocol = _named(_PROTOCOLS)(header[9:10])
    yield Field.L4_PROTOCOL, protocol
    # The kernel reads ports where they would stand, even past the length that the header tells.
    source, destination = header[start : start + 2], header[start + 2 : start + 4]
    if protocol == "udp" and len(source) == 2:
        yield Field.UDP_SOURCE, _number(source)
    if len(destination) == 2 and protocol in ("tcp", "udp"):
        port = Field.UDP_DESTINATION if protocol == "udp" else Field.TCP_DESTINATION
        yield port, _number(destination)


def patch(frame: bytes, rewritten: Mapping[Field, Any]) -> bytes:
    """The frame with these fields set; those that are not in its bytes change nothing."""
    changed = bytearray(frame)
    for field, value in rewritten.items():
        if field in _PLACES:
            start, length, _ = _PLACES[field]
            changed[start : start + length] = _bytes(value, length)
    return bytes(changed)


def _bytes(value: Any, length: int) -> bytes:
    if isinstance(value, (Mac, IPv4Address)):
        return value.packed
    numbers = {name: number for number, name in {**_ETHER_TYPES, **_OPERATIONS}.items()}
    number: int = numbers[value] if isinstance(value, str) else value
    return number.to_bytes(length, "big")


def send(
    table: Table,
    base: str,
    frame: bytes,
    learned: Learned | None = None,
    beside: Packet | None = None,
) -> tuple[Outcome, bytes]:
    """Follow a frame through a table: what became of it, and its bytes afterwards.

    `beside` is what goes with the frame and is not in it: the device that it came by.
    """
    outcome = follow(table, base, {**parse(frame), **(beside or {})}, learned)
    return outcome, patch(frame, outcome.rewritten)
