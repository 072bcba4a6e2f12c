"""What a dropped frame was: its fields, and which of them it was dropped for. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pileus.model.status import DroppedFrame
from pileus.model.verdict import Code
from pileus.rules import frames
from pileus.rules.evaluator import Cut, Packet
from pileus.rules.ruleset import Field

_ETHER = {
    "source_mac": Field.ETHER_SOURCE,
    "destination_mac": Field.ETHER_DESTINATION,
    "ether_type": Field.ETHER_TYPE,
}
_ARP = {
    "operation": Field.ARP_OPERATION,
    "sender_mac": Field.ARP_SENDER_MAC,
    "sender": Field.ARP_SENDER_IP,
    "target": Field.ARP_TARGET_IP,
}
_IP = {
    "source": Field.IP_SOURCE,
    "destination": Field.IP_DESTINATION,
    "protocol": Field.IP_PROTOCOL,
}
_ENDS = ("source", "destination", "protocol", "destination_port", "type")
_OFFENDING: dict[Code, tuple[str, ...]] = {
    Code.SOURCE_MAC: ("source_mac",),
    Code.SOURCE_IP: ("source",),
    Code.ARP_SENDER: ("sender_mac", "sender"),
    Code.ARP_SILENT: ("operation", "sender", "target"),
    Code.NOT_CARRIED: ("destination_mac", "ether_type", "destination"),
    Code.LINK_LOCAL: ("source", "destination", "protocol", "destination_port"),
    Code.SERVICE_RATE: ("destination",),
    Code.DHCP_SERVER: ("source_port", "destination_port"),
    Code.GROUP_INGRESS: _ENDS,
    Code.GROUP_EGRESS: _ENDS,
    Code.ACL_INGRESS: _ENDS,
    Code.ACL_EGRESS: _ENDS,
    Code.NO_PUBLIC_ADDRESS: ("source",),
    Code.NO_ROUTE: ("destination",),
    Code.NO_SUCH_ADDRESS: ("destination_mac", "destination"),
    Code.INVALID: (*_ENDS, "source_port"),
    Code.ROUTER_SILENT: ("destination", "protocol", "destination_port"),
}


def fields(frame: bytes) -> dict[str, str]:
    """What a frame says, by the names that people read. One that is cut has fewer."""
    packet = frames.parse(frame)
    names = {**_ETHER, **_ARP, **_IP}
    found = {name: str(packet[field]) for name, field in names.items() if _whole(packet, field)}
    return {**found, **dict(_transport(frame, found.get("protocol", "")))}


def _whole(packet: Packet, field: Field) -> bool:
    return field in packet and not isinstance(packet[field], Cut)


def _transport(frame: bytes, protocol: str) -> Iterator[tuple[str, str]]:
    """Ports, or ICMP's type and code, of a packet whose first bytes are there."""
    start = frames.HEADER + (frame[frames.HEADER] & 15) * 4 if protocol else 0
    late_fragment = protocol and struct.unpack_from("!H", frame, frames.HEADER + 6)[0] & 0x1FFF
    if late_fragment:
        return
    if protocol in ("tcp", "udp") and len(frame) >= start + 4:
        source, destination = struct.unpack_from("!HH", frame, start)
        yield from (("source_port", str(source)), ("destination_port", str(destination)))
    if protocol == "icmp" and len(frame) >= start + 2:
        yield from (("type", str(frame[start])), ("code", str(frame[start + 1])))


def offending(code: Code, told: dict[str, str]) -> tuple[str, ...]:
    """The names of those fields that a frame was dropped for, as far as it has them."""
    return tuple(name for name in _OFFENDING.get(code, ()) if name in told)


def described(
    when: str, nic: tuple[str, str, str], way: str, code: Code, frame: bytes
) -> DroppedFrame:
    """`nic` is the interface, its instance and its device there; `way` is "from" or "to" it."""
    told = fields(frame)
    return DroppedFrame(when, *nic, way, code, told, offending(code, told))
