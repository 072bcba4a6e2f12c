"""Frames for tests of the uplink, and the addresses that they are about."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from pileus.model.addresses import Mac
from pileus.model.uplink import UplinkNic, resolver_mac

NIC_MAC = Mac("02:00:00:00:02:01")
NIC = UplinkNic("eth1", NIC_MAC, "mac-nat", resolver_mac(NIC_MAC))
CLONE = UplinkNic("eth1", NIC_MAC, "mac-clone", resolver_mac(NIC_MAC))

WEB, MAIL, SPARE = (IPv4Address(f"172.16.20.{n}") for n in (101, 102, 103))
REGISTERED = frozenset({WEB, MAIL, SPARE})
STRANGE = IPv4Address("172.16.20.200")
"""In the subnet, but not registered."""
ROUTER, OUTSIDE = IPv4Address("172.16.20.1"), IPv4Address("203.0.113.9")
UNSET = IPv4Address(0)

INNER, OTHER = Mac("fa:16:3e:00:00:01"), Mac("fa:16:3e:00:00:02")
"""MACs of two routers behind the NIC."""
ROUTER_MAC = Mac("02:00:00:00:00:fe")
ALL, NONE = Mac("ff:ff:ff:ff:ff:ff"), Mac("00:00:00:00:00:00")


def ether(source: Mac, destination: Mac, kind: int, payload: bytes) -> bytes:
    """An Ethernet frame."""
    return destination.packed + source.packed + struct.pack("!H", kind) + payload


def tagged(frame: bytes, *, kind: int = 0x8100, vlan: int = 7) -> bytes:
    """The frame with a VLAN tag."""
    return frame[:12] + struct.pack("!HH", kind, vlan) + frame[12:]


def arp(
    operation: int,
    sender: tuple[Mac, IPv4Address],
    target: tuple[Mac, IPv4Address],
    *,
    to: Mac = ALL,
    source: Mac | None = None,
    header: bytes = b"\0\1\x08\0\6\4",
) -> bytes:
    """An ARP packet; `source` is its Ethernet source where that is not the sender's MAC."""
    body = header + struct.pack("!H", operation)
    for mac, address in (sender, target):
        body += mac.packed + address.packed
    return ether(source or sender[0], to, 0x0806, body)


def ask(mac: Mac, address: IPv4Address, wanted: IPv4Address, *, to: Mac = ALL) -> bytes:
    """An ARP request."""
    return arp(1, (mac, address), (NONE, wanted), to=to)


def ipv4(
    source: IPv4Address,
    destination: IPv4Address,
    payload: bytes,
    *,
    protocol: int = 17,
    fragment: int = 0,
    identity: int = 0,
) -> bytes:
    """An IPv4 packet; `fragment` is the field of flags and offset."""
    length = 20 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, length, identity, fragment, 64, protocol, 0)
    head += source.packed + destination.packed
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack("!H", total) + head[12:] + payload


def udp(to_port: int, *, from_port: int = 40000, data: bytes = b"hello") -> bytes:
    """A UDP datagram without a checksum."""
    return struct.pack("!HHHH", from_port, to_port, 8 + len(data), 0) + data


def leaving(
    source: IPv4Address = WEB,
    destination: IPv4Address = OUTSIDE,
    *,
    mac: Mac = INNER,
    to: Mac = ROUTER_MAC,
    port: int = 9,
) -> bytes:
    """A datagram from the inner side."""
    return ether(mac, to, 0x0800, ipv4(source, destination, udp(port)))


def arriving(
    destination: IPv4Address = WEB,
    source: IPv4Address = OUTSIDE,
    *,
    to: Mac = NIC_MAC,
    port: int = 9,
) -> bytes:
    """A datagram from the cloud."""
    return ether(ROUTER_MAC, to, 0x0800, ipv4(source, destination, udp(port)))
