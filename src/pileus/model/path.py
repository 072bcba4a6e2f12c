"""The way of a packet through both clouds, hop by hop: what should become of it, and what did.

Two halves tell it apart from each other: one reads what the clouds' APIs and our rules say
(*predicted*), the other sends marked packets and watches (*observed*). Both speak in these nouns,
so that they can be laid side by side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any, Literal

from pileus.model.verdict import EXPLANATIONS, Code

Protocol = Literal["icmp", "tcp", "udp"]


class Way(StrEnum):
    """The question, or the answer to it."""

    THERE = "there"
    BACK = "back"


class Stage(StrEnum):
    """Where a packet can be seen or stopped, from a server outwards.

    On its way in it passes them the other way round. A path between two servers passes the inner
    ones twice.
    """

    SERVER = "server"
    """The guest itself: its address, routes and firewall."""
    PORT = "port"
    """The server's Neutron port: bound, up, its address, its security groups."""
    SWITCH = "switch"
    """br-int, and br-tun between nodes."""
    ROUTER = "router"
    """The router's namespace: its inner device (qr-) and its routes."""
    NAT = "nat"
    """Floating IP, SNAT to the gateway's address, published ports and port forwardings."""
    GATEWAY = "gateway"
    """The router's outer device (qg-) on br-ex."""
    UPLINK = "uplink"
    """The pipeline on the provider NIC."""
    NIC = "nic"
    """The NIC as the cloud below has it: attached, with the address, the source check."""
    GROUPS = "groups"
    """The security groups of the NIC."""
    ACL = "acl"
    """The network ACL of the subnet."""
    ROUTE = "route"
    """The route table of the subnet."""
    ELASTIC_IP = "elastic-ip"
    """The internet gateway's 1:1 translation."""
    INTERNET = "internet"
    """The host out there."""
    METADATA = "metadata"
    """OpenStack's own metadata service, or the one of the cloud below."""
    NODE = "node"
    """The machine that carries OpenStack, as an end of its own."""


class Fate(StrEnum):
    """What became of a packet at a hop, or will."""

    PASSES = "passes"
    DIES = "dies"
    UNKNOWN = "unknown"
    """It cannot be told from here, as inside of a real cloud's network."""


@dataclass(frozen=True)
class Headers:
    """The addresses of a packet at one hop; ports are None for ICMP and where nobody knows."""

    source: IPv4Address
    destination: IPv4Address
    source_port: int | None = None
    destination_port: int | None = None

    def __str__(self) -> str:
        return f"{_socket(self.source, self.source_port)} → " + _socket(
            self.destination, self.destination_port
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "source": str(self.source),
            "destination": str(self.destination),
            "source_port": self.source_port,
            "destination_port": self.destination_port,
        }


def _socket(address: IPv4Address, port: int | None) -> str:
    return f"{address}:{port}" if port is not None else str(address)


@dataclass(frozen=True)
class Place:
    """Where a packet passes: the key by which the hops of two halves are laid side by side."""

    way: Way
    stage: Stage
    subject: str
    outwards: bool = field(default=True, compare=False)
    """Whether it is passed from a server towards the internet, or the other way."""


@dataclass(frozen=True)
class Hop:
    """One hop, as one half tells it."""

    way: Way
    stage: Stage
    subject: str
    """Which one: `web`, `router1`, `eth1`, `eni-…`, `8.8.8.8`. Both halves name it alike."""
    fate: Fate
    headers: Headers | None = None
    """As the packet leaves the hop: after the translation that is done here."""
    code: Code | None = None
    """Why it dies, if that is known; where it passes, what is wrong there nevertheless."""
    detail: str = ""
    """What was read or seen: the rule that lets it pass, the counter that rose."""

    @property
    def key(self) -> Place:
        return Place(self.way, self.stage, self.subject)

    def to_json(self) -> dict[str, Any]:
        return {
            "fate": self.fate.value,
            "headers": self.headers.to_json() if self.headers else None,
            "code": self.code.value if self.code else None,
            "sentence": EXPLANATIONS[self.code].sentence if self.code else None,
            "hint": EXPLANATIONS[self.code].hint if self.code else None,
            "detail": self.detail,
        }


@dataclass(frozen=True)
class Asked:
    """What a trace was asked for, its ends already found."""

    source: str
    """As given: a server, a router, a node, `internet`, or an address."""
    destination: str
    protocol: Protocol
    port: int | None
    """The destination's; None for ICMP."""

    def __str__(self) -> str:
        port = f" port {self.port}" if self.port is not None else ""
        return f"{self.source} → {self.destination}, {self.protocol}{port}"

    def to_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "destination": self.destination,
            "protocol": self.protocol,
            "port": self.port,
        }


@dataclass(frozen=True)
class Half:
    """What one half tells, hop by hop in order.

    It ends where the packet dies. A hop that it cannot see is UNKNOWN, or left out.
    """

    hops: tuple[Hop, ...]
    notes: tuple[str, ...] = ()
    """What else is worth knowing, a sentence each."""

    @property
    def death(self) -> Hop | None:
        """Where the packet ends, as this half tells it."""
        return next((hop for hop in self.hops if hop.fate is Fate.DIES), None)


@dataclass(frozen=True)
class Row:
    """One hop as both halves tell it; None where a half says nothing of it."""

    place: Place
    predicted: Hop | None = None
    observed: Hop | None = None

    @property
    def told(self) -> bool:
        """Whether a half says anything of it."""
        return bool(self.predicted or self.observed)

    @property
    def differs(self) -> bool:
        """Whether the halves contradict each other here."""
        fates = {hop.fate for hop in (self.predicted, self.observed) if hop}
        return {Fate.PASSES, Fate.DIES} <= fates

    @property
    def code(self) -> Code | None:
        """Why it dies here: what was seen counts more than what was to be expected.

        Where both say that it dies, an API tells the cause, of which the effect was seen.
        """
        hops = [hop for hop in (self.observed, self.predicted) if hop]
        dying = [hop.code for hop in hops if hop.fate is Fate.DIES and hop.code]
        if len(dying) == 2:
            return dying[-1]
        return next((hop.code for hop in hops if hop.code), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "way": self.place.way.value,
            "stage": self.place.stage.value,
            "subject": self.place.subject,
            "differs": self.differs,
            "predicted": self.predicted.to_json() if self.predicted else None,
            "observed": self.observed.to_json() if self.observed else None,
        }


_UNEXPLAINED = "nothing that was read says why: `pileus check` may, or the logs of what is there"


@dataclass(frozen=True)
class Trace:
    """Both halves of a packet's way, side by side."""

    cloud: str
    asked: Asked
    rows: tuple[Row, ...]
    failing: Row | None
    """Where the packet dies, or where the halves differ; None where it arrives and is answered."""
    notes: tuple[str, ...]
    seconds: float
    """How long it took."""

    @property
    def ok(self) -> bool:
        return self.failing is None

    @property
    def answered(self) -> bool | None:
        """Whether an answer was seen; None where nobody looked."""
        seen = [row.place.way for row in self.rows if row.observed]
        return Way.BACK in seen if seen else None

    @property
    def hint(self) -> str | None:
        """What to do about it; None where nothing is wrong."""
        if self.failing is None:
            return None
        return EXPLANATIONS[self.codes[0]].hint if self.codes else _UNEXPLAINED

    @property
    def arrival(self) -> str:
        """How far it gets where it does not die, in words."""
        match self.answered:
            case None:
                return "it should arrive, and be answered"
            case True:
                return "it arrives, and is answered"
        owed = ", which UDP owes nobody" if self.asked.protocol == "udp" else ""
        return f"it arrives; no answer was seen{owed}"

    @property
    def codes(self) -> tuple[Code, ...]:
        """Why it dies, and then what else is wrong on its way."""
        rows = [row for row in (self.failing, *self.rows) if row]
        return tuple(dict.fromkeys(row.code for row in rows if row.code))

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus trace --json`."""
        failing = self.failing
        code = failing.code if failing else None
        return {
            "cloud": self.cloud,
            "asked": self.asked.to_json(),
            "ok": self.ok,
            "failing": failing.to_json() if failing else None,
            "code": code.value if code else None,
            "hint": self.hint,
            "codes": [one.value for one in self.codes],
            "hops": [row.to_json() for row in self.rows],
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }
