"""What the pipeline on the provider NIC does with a packet: its own rules are asked. Pure."""

from __future__ import annotations

from typing import Any

from pileus.model.addresses import Mac
from pileus.model.ends import Interface, Router
from pileus.model.path import Headers, Protocol
from pileus.model.scene import UplinkState
from pileus.model.uplink import UplinkNic, resolver_mac
from pileus.rules.evaluator import Learned, Outcome, Packet, follow
from pileus.rules.ruleset import Field
from pileus.uplink import pipeline

_VPC_ROUTER = Mac("02:00:00:00:00:01")
"""Any MAC outside: the rules ask only whether it is one inside."""


def passed(
    nic: Interface, state: UplinkState, protocol: Protocol, headers: Headers, sender: Router | None
) -> Outcome:
    """What becomes of a packet of a router's that leaves, or, without one, of one that comes in."""
    table = pipeline.table(
        UplinkNic(nic.device, nic.mac, state.mode, resolver_mac(nic.mac)), state.registered
    )
    way = pipeline.OUT if sender else pipeline.IN
    return follow(table, f"guard_{way}", _packet(nic, protocol, headers, sender), _known(state))


def _packet(nic: Interface, protocol: Protocol, headers: Headers, sender: Router | None) -> Packet:
    inner = sender.gateway.mac if sender and sender.gateway else None
    packet: dict[Field, Any] = {
        Field.ETHER_TYPE: "ip",
        Field.ETHER_SOURCE: inner or _VPC_ROUTER,
        Field.ETHER_DESTINATION: _VPC_ROUTER if sender else nic.mac,
        Field.IP_FRAGMENT: 0,
        Field.IP_PROTOCOL: protocol,
        Field.IP_SOURCE: headers.source,
        Field.IP_DESTINATION: headers.destination,
        Field.L4_PROTOCOL: protocol,
    }
    ports = {"tcp": Field.TCP_DESTINATION, "udp": Field.UDP_DESTINATION}
    if headers.destination_port is not None and protocol in ports:
        packet[ports[protocol]] = headers.destination_port
    return packet


def _known(state: UplinkState) -> Learned:
    """Who has spoken, as if of late: who has not is asked for by the resolver."""
    inner: dict[str, str] = {str(at): str(mac) for at, mac in state.learned.items()}
    return Learned({pipeline.SPEAKING: frozenset(inner)}, {pipeline.INNER: inner})
