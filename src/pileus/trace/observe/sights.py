"""What the watchers saw, as values. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.path import Headers, Way
from pileus.trace.observe.stations import Point

SMALL, FULL = (0, 1), (2, 3)
"""Numbers of the probes: small ones, and those of full size."""
UNREACHABLE_PORT, TOO_BIG = "3/3", "3/4"
"""ICMP's type and code. [RFC 792, RFC 1191]"""


@dataclass(frozen=True)
class Sight:
    """A packet of ours, an answer to one, or an error about one, seen at one place."""

    at: str
    """The key of the eye."""
    out: bool
    kind: str
    """`probe`, `answer`, `error`, or `datagram`, which may be an answer."""
    number: int | None
    headers: Headers
    size: int = 0
    refused: bool = False
    icmp: str = ""
    to: str = ""
    """The frame's destination MAC."""

    @property
    def answers(self) -> bool:
        """Whether the far end sent it."""
        return self.kind == "answer" or (self.kind == "error" and self.icmp == UNREACHABLE_PORT)


@dataclass(frozen=True)
class Told:
    """What an eye is like: `up`, or why nothing can be seen there."""

    state: str
    mtu: int | None = None
    mac: Mac | None = None
    running: bool = True
    """Whether it has a carrier."""

    @property
    def watched(self) -> bool:
        return self.state == "up" and self.running

    @property
    def broken(self) -> bool:
        """Nothing can pass there. `none` is a device that is not to be there."""
        return not self.watched and self.state != "none"


@dataclass(frozen=True)
class Seen:
    """All that was seen on one way, there or back, of probes with some numbers."""

    sights: tuple[Sight, ...]
    eyes: Mapping[str, Told]
    errors: tuple[str, ...] = ()
    """Why a probe could not be sent."""
    at_user: bool = False
    """Whether the program that sent as a user got an answer."""
    numbers: Collection[int] = field(default=SMALL)

    @property
    def answered(self) -> bool:
        """Whether an answer was seen anywhere."""
        return self.at_user or any(True for _ in self.of(Way.BACK))

    @property
    def refused(self) -> bool:
        """Whether the far end answered that nothing listens."""
        back = [*self.of(Way.BACK)]
        return bool(back) and all(one.refused or one.kind == "error" for one in back)

    def of(self, way: Way) -> Iterator[Sight]:
        """Of probes on the way there, of answers on the way back."""
        for sight in self.sights:
            if way is Way.THERE and sight.kind == "probe" and sight.number in self.numbers:
                yield sight
            if way is Way.BACK and self._comes_back(sight):
                yield sight

    def _comes_back(self, sight: Sight) -> bool:
        if sight.kind == "datagram":
            return any(
                one.at == sight.at and one.headers == reverse(sight.headers)
                for one in self.sights
                if one.kind == "probe"
            )
        return sight.answers and sight.number in self.numbers

    def at(self, point: Point, way: Way) -> Sight | None:
        """The first sight of a packet at a point."""
        for sight in self.of(way):
            if (sight.at, sight.out) == (point.eye.key, point.out):
                return sight
        return None

    def told(self, point: Point) -> Told:
        """A place that nobody could be asked to watch is none."""
        return self.eyes.get(point.eye.key, Told("none"))

    def problems(self, icmp: str = "") -> tuple[Sight, ...]:
        """ICMP errors about our packets, of one kind or any."""
        return tuple(
            sight
            for sight in self.sights
            if sight.kind == "error" and sight.number in self.numbers
            if not sight.answers and icmp in ("", sight.icmp)
        )


def reverse(headers: Headers) -> Headers:
    return Headers(
        headers.destination, headers.source, headers.destination_port, headers.source_port
    )


def parse_eyes(document: Mapping[str, Any]) -> dict[str, Told]:
    """What a watcher said of its eyes. Raises KeyError or ValueError for what is none."""
    return {
        key: Told(
            told["state"],
            told.get("mtu"),
            Mac.parse(told["mac"]) if told.get("mac") else None,
            told.get("running", True),
        )
        for key, told in document.items()
    }


def parse(records: Collection[Mapping[str, Any]]) -> tuple[Sight, ...]:
    """What a watcher recorded, in order. Raises KeyError or ValueError for what is none."""
    return tuple(
        Sight(
            record["at"],
            record["out"],
            record["kind"],
            record["number"],
            Headers(
                IPv4Address(record["source"]),
                IPv4Address(record["destination"]),
                record.get("source_port"),
                record.get("destination_port"),
            ),
            record["size"],
            record.get("refused", False),
            record.get("icmp", ""),
            record.get("to", ""),
        )
        for record in records
    )
