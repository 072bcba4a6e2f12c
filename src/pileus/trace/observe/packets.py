"""Marked packets, made by hand. Pure.

ICMP and UDP carry a token and the probe's number; TCP's sequence number tells both. So an answer is
known whatever addresses and ports are translated on the way. All forbid fragmentation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from pileus.model.addresses import Mac
from pileus.model.path import Headers, Protocol
from pileus.trace.observe.watcher import PROTOCOLS, SHIFT

SMALL = 60
"""Bytes of a small probe, its IP header included."""
_SYN = 2
_DONT_FRAGMENT = 0x4000
_TTL = 64


@dataclass(frozen=True)
class Mark:
    """What the probes of one trace have in common, chosen at random."""

    token: bytes
    sequence: int
    """TCP's, of the probe with number 0."""
    port: int
    """Where TCP and UDP are sent from. Each probe of TCP has the next port, so that it is a new
    connection to everyone who remembers the last one."""


def probe(mark: Mark, protocol: Protocol, headers: Headers, number: int, size: int) -> bytes:
    """The IP packet of a probe. [RFC 791, 792, 768, 9293]"""
    to = headers.destination_port or 0
    if protocol == "tcp":
        sequence = (mark.sequence + (number << SHIFT)) % (1 << 32)
        head = struct.pack(
            "!HHIIBBHHH", mark.port + number, to, sequence, 0, 5 << 4, _SYN, 0xFFFF, 0, 0
        )
        body, at = head + bytes(max(0, size - 40) if size > SMALL else 0), 16
    elif protocol == "udp":
        data = payload(mark, number, size - 28)
        body, at = struct.pack("!HHHH", mark.port, to, 8 + len(data), 0) + data, 6
    else:
        body, at = echo(mark, number, size - 28), 2
    total = _checksum(body if protocol == "icmp" else _pseudo(protocol, headers, body) + body)
    body = body[:at] + struct.pack("!H", total or 0xFFFF) + body[at + 2 :]
    return _ip(protocol, headers, body)


def payload(mark: Mark, number: int, length: int) -> bytes:
    """What is known again in an answer's, or in an error's quote."""
    return (mark.token + bytes([number])).ljust(length, b".")


def echo(mark: Mark, number: int, length: int) -> bytes:
    """An ICMP echo request without its checksum."""
    return struct.pack("!BBHHH", 8, 0, 0, mark.port, number) + payload(mark, number, length)


def framed(source: Mac, destination: Mac, packet: bytes) -> bytes:
    """An Ethernet frame."""
    return destination.packed + source.packed + b"\x08\x00" + packet


def _ip(protocol: Protocol, headers: Headers, body: bytes) -> bytes:
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(body),
        0,
        _DONT_FRAGMENT,
        _TTL,
        PROTOCOLS[protocol],
        0,
        headers.source.packed,
        headers.destination.packed,
    )
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + body


def _pseudo(protocol: Protocol, headers: Headers, body: bytes) -> bytes:
    ends: tuple[IPv4Address, IPv4Address] = (headers.source, headers.destination)
    return b"".join(one.packed for one in ends) + struct.pack("!HH", PROTOCOLS[protocol], len(body))


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
