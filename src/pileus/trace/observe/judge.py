"""From what was seen to hops: where a packet passed, where it was translated, where it died. Pure.

A packet that was seen at a place has passed all hops before it. Where it was seen last, and not at
the next place that was watched, it died in between; why is a matter of `reasons`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pileus.model.ends import Ends
from pileus.model.path import Fate, Half, Headers, Hop, Place, Stage, Way
from pileus.trace.observe.gaps import Gap, find_gap, last_seen
from pileus.trace.observe.reasons import Reason, Reasons
from pileus.trace.observe.sights import TOO_BIG, Seen, Sight
from pileus.trace.observe.stations import Point, Station, stations

_TRANSLATING = (Stage.NAT, Stage.ELASTIC_IP, Stage.METADATA)
_OF_THE_CLOUD = (Stage.NIC, Stage.GROUPS, Stage.ACL, Stage.ROUTE, Stage.ELASTIC_IP)


@dataclass(frozen=True)
class Judge:
    """One trace's ends, what was seen of its probes, and what else was read."""

    ends: Ends
    places: tuple[Place, ...]
    seen: Seen
    """Of the small probes."""
    full: Seen | None
    """Of those of full size; None where none was sent."""
    reasons: Reasons

    def half(self) -> Half:
        """The observed half. It ends where the packet dies, or where nothing more can be seen."""
        hops = self._there()
        notes = list(self.reasons.notes(self.places))
        if self.seen.answered and not _ends(hops):
            hops = (*hops, *self._back())
            if self.full and not _ends(hops):
                told = self._told_of_size(self.full)
                notes += [told] if told else []
                hops = hops if told else self._sized(hops, self.full)
        return Half(hops, tuple(notes))

    def _line(self, way: Way) -> tuple[Station, ...]:
        return stations(self.ends, [place for place in self.places if place.way is way])

    def _there(self) -> tuple[Hop, ...]:
        line = self._line(Way.THERE)
        gap = find_gap(line, Way.THERE, self.seen)
        if gap and not (self.seen.answered and self.seen.told(gap.next).broken):
            return self._until(line, Way.THERE, gap)
        hops = tuple(self._hop(line, at, Way.THERE) for at in _places(line))
        if not self.seen.answered:
            return self._unanswered(line, hops)
        end = self.reasons.at_the_end(self.places, self.seen)
        return (*hops[:-1], _dead(hops[-1], end)) if end else hops

    def _unanswered(self, line: Sequence[Station], hops: tuple[Hop, ...]) -> tuple[Hop, ...]:
        """Where all that can be watched was passed, and nothing came back."""
        last = last_seen(line, Way.THERE, self.seen)
        passed = sum(at < last for at in _places(line))
        tail = hops[passed:]
        if not any(hop.stage in _OF_THE_CLOUD for hop in tail):
            end = self.reasons.silence(self.places)
            return (*hops[:-1], _dead(hops[-1], end)) if end else hops
        return (*hops[:passed], *(replace(hop, fate=Fate.UNKNOWN, headers=None) for hop in tail))

    def _back(self) -> tuple[Hop, ...]:
        line = self._line(Way.BACK)
        gap = find_gap(line, Way.BACK, self.seen)
        if gap and not self.seen.at_user:
            return self._until(line, Way.BACK, gap)
        return tuple(self._hop(line, at, Way.BACK) for at in _places(line))

    def _until(self, line: Sequence[Station], way: Way, gap: Gap) -> tuple[Hop, ...]:
        """The hops up to the one where the packet died."""
        reason = self.reasons.why(gap, self.seen)
        hops: list[Hop] = []
        for at in _places(line):
            hop = self._hop(line, at, way)
            if line[at] == reason.place:
                died = replace(hop, headers=self._before(line, at, way))
                return (*hops, _dead(died, reason))
            doubtful = at > gap.last and reason.code is None
            hops.append(replace(hop, fate=Fate.UNKNOWN) if doubtful else hop)
        return tuple(hops)

    def _hop(self, line: Sequence[Station], at: int, way: Way) -> Hop:
        """A hop that was passed, with the headers that the packet left it with."""
        place = line[at]
        assert isinstance(place, Place)  # noqa: S101 - for the type checker
        headers, by = self._leaves(line, at, way), self._by(line, at)
        unkept = self.reasons.unkept(place)
        made = ""
        if place.stage is Stage.NAT and way is Way.THERE:
            made = self.reasons.tracked(place, self._before(line, at, way))
        detail = "; ".join(filter(None, (made, by, unkept.detail if unkept else "")))
        code = unkept.code if unkept else None
        return Hop(way, place.stage, place.subject, Fate.PASSES, headers, code, detail)

    def _by(self, line: Sequence[Station], at: int) -> str:
        """Which device it was seen at right behind a hop, or before it where there is none."""
        for number in (at + 1, at - 1):
            near = line[number] if 0 <= number < len(line) else None
            if isinstance(near, Point) and self._sight(near):
                return f"seen {near}"
        return ""

    def _sight(self, point: Point) -> Sight | None:
        return self.seen.at(point, point.owner.way)

    def _leaves(self, line: Sequence[Station], at: int, way: Way) -> Headers | None:
        """As it was seen behind the hop, unless it is translated in between: then as before.

        None where nobody can see what a translation has made of it."""
        for station in line[at + 1 :]:
            if isinstance(station, Point):
                if sight := self._sight(station):
                    return sight.headers
            elif station.stage in _TRANSLATING:
                break
        place = line[at]
        here = isinstance(place, Place) and place.stage in _TRANSLATING
        return None if here else self._before(line, at, way)

    def _before(self, line: Sequence[Station], at: int, way: Way) -> Headers | None:
        """As it came to the hop."""
        for station in reversed(line[:at]):
            if isinstance(station, Point):
                if sight := self._sight(station):
                    return sight.headers
            elif station.stage in _TRANSLATING:
                return None
        return self.ends.first if way is Way.THERE else None

    def _told_of_size(self, full: Seen) -> str:
        """A sender that learns that its packets are too large sends smaller ones."""
        home = [one for one in self._line(Way.BACK) if isinstance(one, Point)][-1:]
        for sight in full.problems(TOO_BIG):
            if any((sight.at, sight.out) == (point.eye.key, point.out) for point in home):
                return f"packets of full size are too large on the way: {sight.headers.source} says"
        return ""

    def _sized(self, hops: tuple[Hop, ...], full: Seen) -> tuple[Hop, ...]:
        """The same hops, up to where packets of full size die."""
        gap = find_gap(self._line(Way.THERE), Way.THERE, full)
        if gap is None and full.answered:
            gap = find_gap(self._line(Way.BACK), Way.BACK, full)
        if gap is None:
            return hops
        reason = self.reasons.too_big(gap, full)
        for at, hop in enumerate(hops):
            if hop.key == reason.place:
                return (*hops[:at], _dead(hop, reason))
        return hops


def _places(line: Sequence[Station]) -> Iterator[int]:
    return (at for at, station in enumerate(line) if isinstance(station, Place))


def _ends(hops: Sequence[Hop]) -> bool:
    return any(hop.fate is Fate.DIES for hop in hops)


def _dead(hop: Hop, reason: Reason) -> Hop:
    return replace(hop, fate=Fate.DIES, code=reason.code, detail=reason.detail)
