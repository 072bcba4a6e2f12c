"""A table of packet rules as frozen data.

It covers the part of nftables that Pileus uses, and nothing that could not be evaluated without a
kernel: matches on fields, counters, verdicts, lookups in sets and maps, rewriting, and learning
from packets. Runs on Python 3.9, as all of `rules` does: nodes have what they have.
Each rule has a name; with a digest of its text it becomes the rule's comment in the kernel, which
is how a rule is recognised when it is read back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Union

from pileus.model.addresses import Mac


class Field(str, Enum):
    """A field of a packet or of its path; the value is its nft expression."""

    ETHER_GROUP = "ether daddr & 01:00:00:00:00:00"
    """The bit that tells broadcast and multicast from unicast."""
    ETHER_SOURCE = "ether saddr"
    ETHER_DESTINATION = "ether daddr"
    ETHER_TYPE = "ether type"
    ARP_HARDWARE = "arp htype"
    ARP_FORMAT = "@nh,0,48"
    """Types and lengths of both kinds of address in one number; see ARP_ETHERNET_IPV4."""
    ARP_OPERATION = "arp operation"
    ARP_SENDER_MAC = "arp saddr ether"
    ARP_SENDER_IP = "arp saddr ip"
    ARP_TARGET_MAC = "arp daddr ether"
    ARP_TARGET_IP = "arp daddr ip"
    IP_SOURCE = "ip saddr"
    IP_DESTINATION = "ip daddr"
    IP_PROTOCOL = "ip protocol"
    IP_TTL = "ip ttl"
    IP_FRAGMENT = "ip frag-off & 0x1fff"
    """Where in its packet a fragment's data belong, in units of 8 bytes."""
    L4_PROTOCOL = "meta l4proto"
    """In netdev tables only of a packet with a whole and consistent IP header."""
    TCP_DESTINATION = "tcp dport"
    UDP_DESTINATION = "udp dport"
    UDP_SOURCE = "udp sport"
    ICMP_TYPE = "icmp type"
    ICMP_CODE = "icmp code"
    IN_INTERFACE = "iifname"
    OUT_INTERFACE = "oifname"
    PACKET_TYPE = "meta pkttype"
    MARK = "meta mark"
    """A number that goes with the packet as long as it stays in its namespace; 0 at first."""
    CT_STATE = "ct state"
    CT_STATUS = "ct status"
    CT_DIRECTION = "ct direction"

    def __str__(self) -> str:
        return str(self.value)


ARP_ETHERNET_IPV4 = 0x0001_0800_06_04
"""ARP_FORMAT of Ethernet (1, 6 bytes) and IPv4 (0x0800, 4 bytes). [RFC 826]"""

Key = Union[Field, tuple[Field, ...]]
"""What is looked up: a field, or several of the same packet side by side."""


@dataclass(frozen=True)
class Range:
    """Inclusive at both ends."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


Single = Union[int, str, Mac, IPv4Address, IPv4Network, Range]
Atom = Union[Single, tuple[Single, ...]]
"""An element; a tuple where several fields are looked up side by side."""


@dataclass(frozen=True)
class SetName:
    """A reference to a named set of the same table."""

    name: str


@dataclass(frozen=True)
class Match:
    """The packet goes on in this rule only if the field has (or, negated, has not) the value."""

    field: Key
    value: Atom | frozenset[Atom] | SetName
    negate: bool = False


@dataclass(frozen=True)
class Count:
    """Add the packet to a named counter; its number survives changes of the rules."""

    counter: str


@dataclass(frozen=True)
class CountEach:
    """Count the packet for its key, in a dynamic set that has a counter with each element.

    The counter is there from a key's first packet on, and needs no change of the rules.
    """

    set: str
    key: Field

    def name(self, key: str) -> str:
        """What the counter of one key is called."""
        return f"{key}.{self.set}"


@dataclass(frozen=True)
class Exceeds:
    """The packet goes on in this rule only if its key has more than `rate` packets a second.

    `set` is a dynamic one, which keeps account of each key; as many again may come at once.
    """

    set: str
    key: Field
    rate: int


@dataclass(frozen=True)
class Log:
    """Hand the packet's first `length` bytes to who listens to a group, with a text.

    Not more than `rate` packets a second: beyond, the rule ends here.
    """

    text: str
    group: int
    rate: int
    length: int


@dataclass(frozen=True)
class Accept:
    pass


@dataclass(frozen=True)
class Drop:
    pass


@dataclass(frozen=True)
class Return:
    pass


@dataclass(frozen=True)
class Jump:
    chain: str


@dataclass(frozen=True)
class Goto:
    chain: str


@dataclass(frozen=True)
class Dispatch:
    """Take the verdict that a map holds for the field's value; without one, go on."""

    field: Field
    map: str


@dataclass(frozen=True)
class Lookup:
    """The value that a map holds for a field; without one, the rule ends here."""

    field: Key
    map: str


@dataclass(frozen=True)
class Rewrite:
    """Set a field of the packet."""

    field: Field
    value: Atom | Lookup


@dataclass(frozen=True)
class TranslateDestination:
    """Stateful destination NAT to the address a map holds."""

    to: Lookup


@dataclass(frozen=True)
class TranslateSource:
    """Stateful source NAT to the address a map holds."""

    to: Lookup


@dataclass(frozen=True)
class AnswerArp:
    """Turn an ARP request round into its reply, with the owner's MAC from a map, and send it back.

    The kernel does it by moving payload bytes, the request's target MAC serving as scratch space.
    """

    owners: str


@dataclass(frozen=True)
class Remember:
    """Add the packet's key to a dynamic set, or start its timeout anew.

    The rule ends here when the set is full.
    """

    set: str
    key: Key


@dataclass(frozen=True)
class Learn:
    """Make a dynamic map hold the packet's `value` for its `key`, whatever it held before.

    The rule ends here when the map is full.
    """

    map: str
    key: Key
    value: Field


Verdict = Union[Accept, Drop, Return, Jump, Goto]
Translate = Union[TranslateDestination, TranslateSource]
Tally = Union[Count, CountEach, Exceeds, Log]
Statement = Union[Match, Tally, Verdict, Dispatch, Rewrite, Translate, AnswerArp, Remember, Learn]


@dataclass(frozen=True)
class Rule:
    """`name` says what the rule is for; drops are named by their code."""

    name: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Hook:
    """Where a base chain is attached. `device` only for netdev chains."""

    type: str
    hook: str
    priority: str
    policy: str
    device: str | None = None


@dataclass(frozen=True)
class Chain:
    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


@dataclass(frozen=True)
class Dynamic:
    """Elements belong to the kernel: rules add them, from packets.

    `timeout` in seconds, None for elements that stay. `within` names a set with wanted elements:
    what was learned for a (first) key that is no longer there is forgotten.
    """

    size: int
    timeout: int | None = None
    within: str | None = None


@dataclass(frozen=True)
class NamedSet:
    """`kind` is the nft type of the elements; `interval` for networks and ranges."""

    name: str
    kind: str
    elements: frozenset[Atom] = frozenset()
    interval: bool = False
    dynamic: Dynamic | None = None


@dataclass(frozen=True)
class NamedMap:
    """From atoms to atoms, or to verdicts where `value_kind` is "verdict"."""

    name: str
    key_kind: str
    value_kind: str
    elements: Mapping[Any, Atom | Jump | Goto] = field(default_factory=dict)
    """Keys are atoms too (`Mapping` is invariant in its keys, so the type cannot say it)."""
    dynamic: Dynamic | None = None


@dataclass(frozen=True)
class Table:
    """The whole wanted content of one nftables table that is ours alone."""

    family: str
    name: str
    chains: tuple[Chain, ...]
    sets: tuple[NamedSet, ...] = ()
    maps: tuple[NamedMap, ...] = ()

    @property
    def counters(self) -> tuple[str, ...]:
        """Names of the counters that the rules use, in order of first use."""
        names: dict[str, None] = {}
        for chain in self.chains:
            for rule in chain.rules:
                for statement in rule.statements:
                    if isinstance(statement, Count):
                        names[statement.counter] = None
        return tuple(names)


def digest(text: str) -> str:
    """A short fingerprint of a rule's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
