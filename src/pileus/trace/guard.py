"""Shows that what comes in by the provider NIC neither reaches the node's stack nor leaves again.

A table of our own counts marked frames on their way: as they arrive at the NIC, before every other
hook; where the node's IP stack would see them; and where they would leave. Marked frames are then
sent to the NIC, as the cloud below would deliver them, and the counters read. The arrival counter
is what gives the zeros a meaning. The table drops nothing and is removed in the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from pileus.model.addresses import Identity, Mac
from pileus.system.clock import poll
from pileus.system.runner import Runner
from pileus.trace.forge import udp_frame

_TABLE = "pileus_probe"
_TABLES = (("netdev", _TABLE), ("inet", _TABLE))
MARKED_PORT = 47911
"""UDP port, source and destination, that tells our frames from all others."""
_SENDER = Identity(Mac("02:66:6f:72:67:67"), IPv4Address("198.51.100.77"))
"""An address of TEST-NET-2: nobody's. [RFC 5737]"""
_ARRIVAL_SECONDS = 5.0


@dataclass(frozen=True)
class Passage:
    """How many of the marked frames were seen where."""

    sent: int
    arrived: int
    in_stack: int
    left: int

    @property
    def ok(self) -> bool:
        """All arrived, and none got any further."""
        return self.arrived == self.sent > 0 and self.in_stack == self.left == 0

    def __str__(self) -> str:
        return (
            f"{self.arrived} of {self.sent} frames arrived, {self.in_stack} reached the node's "
            f"stack, {self.left} left it again"
        )


def render(device: str) -> str:
    """The counting tables as one nft script."""
    mark = f"udp sport {MARKED_PORT} udp dport {MARKED_PORT} counter"
    return f"""\
table netdev {_TABLE} {{
  chain arrived {{
    type filter hook ingress device "{device}" priority -1000; policy accept;
    {mark}
  }}
}}
table inet {_TABLE} {{
  chain in_stack {{
    type filter hook prerouting priority -1000; policy accept;
    {mark}
  }}
  chain left {{
    type filter hook postrouting priority 1000; policy accept;
    {mark}
  }}
}}
"""


def parse(listing: str) -> dict[str, int]:
    """Packets counted per chain, from nft's JSON listing of one of the tables."""
    rules = [entry["rule"] for entry in json.loads(listing)["nftables"] if "rule" in entry]
    return {
        rule["chain"]: int(expression["counter"]["packets"])
        for rule in rules
        for expression in rule["expr"]
        if "counter" in expression
    }


def verify(
    node: Runner,
    device: str,
    nic: Identity,
    others: Sequence[IPv4Address],
    deliver: Callable[[bytes], None],
) -> Passage:
    """Send marked frames to the node's provider NIC and see how far they get.

    `node` runs programs on the node as root; `others` are addresses that a frame must not get to,
    such as the node's management address or one on the internet; `deliver` puts a frame on the
    wire towards the NIC, as the cloud below would. Raises Fault when they do not all arrive.
    """
    frames = [
        udp_frame((_SENDER.mac, _SENDER.address), (nic.mac, address), MARKED_PORT)
        for address in (nic.address, *others)
    ]
    _remove(node)
    node(["nft", "-f", "-"], stdin=render(device))
    try:
        for frame in frames:
            deliver(frame)
        counted = poll(
            lambda: _all_arrived(node, len(frames)),
            what="the frames sent to the provider NIC did not all arrive",
            hint="see whether the NIC is up and the wire lets them through",
            timeout=_ARRIVAL_SECONDS,
            interval=0.1,
        )
    finally:
        _remove(node)
    return Passage(len(frames), counted["arrived"], counted["in_stack"], counted["left"])


def _all_arrived(node: Runner, count: int) -> dict[str, int] | None:
    counted: dict[str, int] = {}
    for family, table in _TABLES:
        listing = node(["nft", "--json", "list", "table", family, table]).stdout
        counted.update(parse(listing))
    return counted if counted["arrived"] >= count else None


def _remove(node: Runner) -> None:
    """`add` before `delete`, as there may be none."""
    script = [
        f"{verb} table {family} {table}" for family, table in _TABLES for verb in ("add", "delete")
    ]
    node(["nft", "-f", "-"], stdin="\n".join(script) + "\n")
