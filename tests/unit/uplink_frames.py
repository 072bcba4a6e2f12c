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
UNSET, LIMITED = IPv4Address(0), IPv4Address("255.255.255.255")
METADATA = IPv4Address("169.254.169.254")

INNER, OTHER = Mac("fa:16:3e:00:00:01"), Mac("fa:16:3e:00:00:02")
"""MACs of two routers behind the NIC."""
ROUTER_MAC = Mac("02:00:00:00:00:fe")
GROUP = Mac("01:00:5e:00:00:05")
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


def packet(source: IPv4Address, destination: IPv4Address, payload: bytes, protocol: int) -> bytes:
    return ether(INNER, ROUTER_MAC, 0x0800, ipv4(source, destination, payload, protocol=protocol))


def sender(frame: bytes, nic: UplinkNic) -> bytes:
    """The frame as the right router sends it: with mac-clone that one has the NIC's MAC."""
    return frame if nic.mode == "mac-nat" else frame.replace(INNER.packed, nic.mac.packed)


# What must not pass, and under which code. Each frame is wrong in this one thing only.

NEVER: list[tuple[bytes, str]] = [
    (tagged(leaving()), "UPLINK_VLAN"),
    (tagged(ask(INNER, WEB, ROUTER), kind=0x88A8), "UPLINK_VLAN"),
    (ether(INNER, ROUTER_MAC, 0x86DD, b"\x60" + bytes(39)), "UPLINK_IPV6"),
    (ether(INNER, ROUTER_MAC, 0x88CC, bytes(40)), "UPLINK_NOT_CARRIED"),
    (ether(INNER, ROUTER_MAC, 0x0026, bytes(40)), "UPLINK_NOT_CARRIED"),
    (leaving()[:14], "UPLINK_NOT_CARRIED"),
]
SYN = bytes.fromhex("9c40 0050 00000000 00000000 5002 ffff 0000 0000".replace(" ", ""))
UNSENT: list[tuple[bytes, str]] = [
    (leaving(STRANGE), "UPLINK_SOURCE_UNREGISTERED"),
    (leaving(IPv4Address("192.168.20.5")), "UPLINK_SOURCE_UNREGISTERED"),
    (leaving(WEB, METADATA, port=80), "UPLINK_LINK_LOCAL"),
    (packet(WEB, METADATA, SYN, 6), "UPLINK_LINK_LOCAL"),
    (packet(WEB, IPv4Address("169.254.169.123"), udp(123), 17), "UPLINK_LINK_LOCAL"),
    (leaving(IPv4Address("169.254.0.9")), "UPLINK_LINK_LOCAL"),
    (leaving(STRANGE, METADATA), "UPLINK_LINK_LOCAL"),
    (packet(WEB, METADATA, SYN[:4], 6), "UPLINK_LINK_LOCAL"),
    (leaving(WEB, port=67), "UPLINK_DHCP"),
    (leaving(WEB, port=68), "UPLINK_DHCP"),
    (leaving(UNSET, LIMITED, to=ALL, port=67), "UPLINK_DHCP"),
    (leaving(to=ALL), "UPLINK_MULTICAST"),
    (leaving(to=GROUP), "UPLINK_MULTICAST"),
    (packet(UNSET, IPv4Address("224.0.0.22"), b"\x22" + bytes(15), 2), "UPLINK_MULTICAST"),
    (leaving(WEB, LIMITED), "UPLINK_MULTICAST"),
    (leaving(WEB, MAIL), "UPLINK_STAYS_INSIDE"),
    (leaving()[:30], "UPLINK_NOT_CARRIED"),
    (leaving()[:40], "UPLINK_NOT_CARRIED"),
    (leaving()[:14] + b"\x46" + leaving()[15:34], "UPLINK_NOT_CARRIED"),
]
ARP_UNSENT: list[tuple[bytes, str]] = [
    (ask(INNER, STRANGE, ROUTER), "UPLINK_ARP_SENDER_UNREGISTERED"),
    (arp(2, (INNER, ROUTER), (ROUTER_MAC, WEB)), "UPLINK_ARP_SENDER_UNREGISTERED"),
    (ask(INNER, UNSET, WEB), "UPLINK_ARP_PROBE"),
    (ask(INNER, UNSET, ROUTER), "UPLINK_ARP_PROBE"),
    (ask(INNER, WEB, METADATA), "UPLINK_LINK_LOCAL"),
    (ask(INNER, METADATA, ROUTER), "UPLINK_LINK_LOCAL"),
    (ask(INNER, UNSET, METADATA), "UPLINK_LINK_LOCAL"),
    (arp(3, (INNER, WEB), (NONE, ROUTER)), "UPLINK_NOT_CARRIED"),
    (arp(1, (INNER, WEB), (NONE, ROUTER), header=b"\0\6\x08\0\6\4"), "UPLINK_NOT_CARRIED"),
    (arp(1, (INNER, WEB), (NONE, ROUTER), header=b"\0\1\x08\0\x08\4"), "UPLINK_NOT_CARRIED"),
    (arp(1, (INNER, WEB), (NONE, ROUTER), header=b"\0\1\x86\xdd\6\4"), "UPLINK_NOT_CARRIED"),
    (ask(INNER, WEB, ROUTER)[:41], "UPLINK_NOT_CARRIED"),
    (ask(INNER, WEB, ROUTER)[:18], "UPLINK_NOT_CARRIED"),
]
UNDELIVERED: list[tuple[bytes, str]] = [
    (arriving(STRANGE), "UPLINK_DESTINATION_UNREGISTERED"),
    (arriving(METADATA), "UPLINK_LINK_LOCAL"),
    (arriving(WEB, METADATA), "UPLINK_LINK_LOCAL"),
    (arriving(WEB, port=68), "UPLINK_DHCP"),
    (arriving(LIMITED, to=ALL, port=68), "UPLINK_DHCP"),
    (arriving(WEB, to=ALL), "UPLINK_MULTICAST"),
    (arriving(IPv4Address("224.0.0.1")), "UPLINK_MULTICAST"),
    (arriving(WEB)[:38], "UPLINK_NOT_CARRIED"),
    (ask(ROUTER_MAC, ROUTER, STRANGE, to=NIC_MAC), "UPLINK_ARP_NOT_OURS"),
    (arp(2, (ROUTER_MAC, ROUTER), (NIC_MAC, STRANGE), to=NIC_MAC), "UPLINK_ARP_NOT_OURS"),
    (ask(ROUTER_MAC, METADATA, WEB, to=NIC_MAC), "UPLINK_LINK_LOCAL"),
    (arp(8, (ROUTER_MAC, ROUTER), (NIC_MAC, WEB), to=NIC_MAC), "UPLINK_NOT_CARRIED"),
    (ask(ROUTER_MAC, ROUTER, WEB)[:41], "UPLINK_NOT_CARRIED"),
]
