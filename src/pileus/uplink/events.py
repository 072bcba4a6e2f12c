"""Which of the kernel's events concern the uplink: netlink messages, read as far as needed. Pure.

Layouts: linux/netlink.h, rtnetlink.h, if_link.h, netfilter/nfnetlink.h, nf_tables.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
"""The two upper bits of an attribute's type are flags."""
_LINK_BODY, _NFTABLES_BODY = 16, 4
"""Sizes of ifinfomsg and nfgenmsg."""
_NEW_LINK, _DELETE_LINK, _DELETE_QUEUE, _DELETE_FILTER = 16, 17, 37, 45
_QUEUE_INDEX = struct.Struct("=4xi")
"""The device in a tcmsg."""
_IFLA_ADDRESS, _IFLA_IFNAME = 1, 3
_NAME_OF_TABLE = 1
"""NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE and so on are all 1."""
_NFTABLES, _NEW_GENERATION = 10, 15
"""The subsystem, in the upper byte of a message's type; NFT_MSG_NEWGEN ends each change."""


@dataclass(frozen=True)
class LinkEvent:
    """A device that came, changed or went."""

    name: str
    address: str
    """Its MAC, empty where it has none of six bytes."""


def link_events(data: bytes) -> Iterator[LinkEvent]:
    """The devices in what was read from a route netlink socket."""
    for kind, body in _messages(data):
        if kind not in (_NEW_LINK, _DELETE_LINK):
            continue
        found = dict(_attributes(body[_LINK_BODY:]))
        mac = found.get(_IFLA_ADDRESS, b"")
        address = ":".join(f"{byte:02x}" for byte in mac) if len(mac) == 6 else ""
        yield LinkEvent(_text(found.get(_IFLA_IFNAME, b"")), address)


def loosened(data: bytes) -> Iterator[int]:
    """The indexes of devices from which somebody removed traffic control."""
    for kind, body in _messages(data):
        if kind in (_DELETE_QUEUE, _DELETE_FILTER) and len(body) >= _QUEUE_INDEX.size:
            yield int(_QUEUE_INDEX.unpack_from(body)[0])


def changed_tables(data: bytes) -> Iterator[str]:
    """The names of the tables in what was read from a netfilter netlink socket."""
    for kind, body in _messages(data):
        if kind >> 8 == _NFTABLES and kind & 0xFF != _NEW_GENERATION:
            found = dict(_attributes(body[_NFTABLES_BODY:]))
            yield _text(found.get(_NAME_OF_TABLE, b""))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind = _HEADER.unpack_from(data)[:2]
        if length < _HEADER.size:
            return
        yield kind, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _TYPE_MASK, data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")
