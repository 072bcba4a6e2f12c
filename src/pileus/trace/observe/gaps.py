"""Where a packet was lost: between the place where it was seen last and the next one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pileus.model.path import Place, Way
from pileus.trace.observe.sights import Seen
from pileus.trace.observe.stations import At, Point, Station


@dataclass(frozen=True)
class Gap:
    """A stretch of the way on which a packet was lost."""

    way: Way
    line: tuple[Station, ...]
    last: int
    """Index of the point where it was seen last; -1 for its source."""
    at: int
    """Index of the next one that was watched, or at which nothing can pass."""

    @property
    def next(self) -> Point:
        point = self.line[self.at]
        assert isinstance(point, Point)  # noqa: S101 - for the type checker: `find_gap` made it
        return point

    @property
    def from_point(self) -> Point | None:
        point = self.line[self.last] if self.last >= 0 else None
        return point if isinstance(point, Point) else None

    @property
    def places(self) -> tuple[Place, ...]:
        """The hops in it, in order."""
        return tuple(one for one in self.line[self.last + 1 : self.at] if isinstance(one, Place))

    @property
    def beyond(self) -> tuple[Place, ...]:
        """The hops in it and all that follow."""
        return tuple(one for one in self.line[self.last + 1 :] if isinstance(one, Place))


def find_gap(line: Sequence[Station], way: Way, seen: Seen) -> Gap | None:
    """None where the packet was seen at the last place that can be watched."""
    last = last_seen(line, way, seen)
    for at in range(last + 1, len(line)):
        point = line[at]
        if isinstance(point, Point) and (seen.told(point).watched or seen.told(point).broken):
            return Gap(way, tuple(line), last, at)
    return None


def last_seen(line: Sequence[Station], way: Way, seen: Seen) -> int:
    """Index of the last point at which the packet was seen; -1 for none."""
    return max(
        (at for at, one in enumerate(line) if isinstance(one, Point) and _seen(one, way, seen)),
        default=-1,
    )


def _seen(point: Point, way: Way, seen: Seen) -> bool:
    """A packet that is put into the switch as if a server had sent it is not seen at its tap."""
    put_in = way is Way.THERE and point.eye.kind is At.TAP and not point.out
    return seen.told(point).watched if put_in else seen.at(point, way) is not None
