"""Frames made by hand, and the one-shot program that sends them from a node's NIC."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from pileus.model.addresses import Mac
from pileus.system.runner import Runner

FOREIGN_MAC = Mac("02:66:6f:72:67:65")
"""Locally administered, and registered nowhere."""
BROADCAST = Mac("ff:ff:ff:ff:ff:ff")
_UDP = 17

_SEND = """\
import socket, sys
device, frame = sys.argv[1], bytes.fromhex(sys.argv[2])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS: a frame not sent is an error
    wire.bind((device, 0))
    try:
        wire.send(frame)
    except OSError as error:
        sys.exit(f"not sent by {device}: {error}")
"""


def udp_frame(
    source: tuple[Mac, IPv4Address], destination: tuple[Mac, IPv4Address], port: int
) -> bytes:
    """An Ethernet frame with an empty UDP datagram from and to `port`. [RFC 791, RFC 768]"""
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0, 64, _UDP, 0, source[1].packed, destination[1].packed
    )
    packet = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    datagram = struct.pack("!HHHH", port, port, 8, 0)
    return destination[0].packed + source[0].packed + b"\x08\x00" + packet + datagram


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def send_forged(node: Runner, device: str, registered_mac: Mac, registered: IPv4Address) -> None:
    """Send exactly one frame with a foreign source MAC and the registered source address.

    Raises CommandFailed when the node cannot send it, or stops it by an egress rule of its own:
    then the cloud below was not put to the test.
    """
    foreign = FOREIGN_MAC if registered_mac != FOREIGN_MAC else Mac("02:66:6f:72:67:66")
    frame = udp_frame((foreign, registered), (BROADCAST, IPv4Address("8.8.8.8")), 9)
    send(node, device, frame)


def sending(device: str, frame: bytes) -> list[str]:
    """The argument list that sends one frame, for root."""
    return ["python3", "-c", _SEND, device, frame.hex()]


def send(node: Runner, device: str, frame: bytes) -> None:
    """Send one frame by a NIC of the machine that `node` runs programs on, as root."""
    node(["python3", "-", device, frame.hex()], stdin=_SEND)
