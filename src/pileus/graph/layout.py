"""Places for a picture on a grid of characters: boxes that do not overlap, lines that end on them.

Lines run straight down, and sideways only between two rows, where each has a track of its own. No
two nets share a column there, so that a line that crosses another never looks like a branch of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from pileus.graph.picture import Edge, Node, Picture
from pileus.graph.ranks import Joint, Net, Ranked, Row, Slot, gap, ranked, span

_ALIGNINGS = 6
Point = tuple[int, int]
"""Column and row."""


@dataclass(frozen=True)
class Box:
    """A node's place; its borders are in the outermost columns and rows."""

    node: Node
    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width - 1

    @property
    def bottom(self) -> int:
        return self.top + self.height - 1


@dataclass(frozen=True)
class Wire:
    """An edge as a line from the lower border of one box to the upper border of another."""

    edge: Edge
    net: int
    """Wires of one net run together."""
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Layout:
    picture: Picture
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    width: int
    height: int


def layout(picture: Picture, widest: int) -> Layout:
    """Lay a picture out, at most `widest` columns wide where its boxes and lines let it."""
    if not picture.nodes:
        return Layout(picture, (), (), 0, 0)
    found = ranked(picture, widest)
    return _Builder(picture, found, _aligned(found, widest)).build()


# Columns.


def _aligned(found: Ranked, widest: int) -> list[dict[Slot, int]]:
    """The left column of each slot, row by row: below and above what it is joined to."""
    room = max(widest, *map(span, found.rows))
    lefts = [_spread(row, {}, room) for row in found.rows]
    for turn in range(_ALIGNINGS):
        downwards = bool(turn % 2)
        order = range(len(lefts)) if downwards else range(len(lefts) - 1, -1, -1)
        for rank in order:
            beside = rank - 1 if downwards else rank + 1
            if 0 <= beside < len(lefts):
                between = found.joints[min(rank, beside)]
                wanted = _wanted(between, lefts[beside], downwards=downwards)
                known = {slot: _middle(slot, left) for slot, left in lefts[rank].items()}
                lefts[rank] = _spread(found.rows[rank], {**known, **wanted}, room)
    margin = min(left for row in lefts for left in row.values())
    return [{slot: left - margin for slot, left in row.items()} for row in lefts]


def _middle(slot: Slot, left: int) -> float:
    return left + slot.width // 2


def _wanted(
    between: Iterable[Joint], beside: Mapping[Slot, int], *, downwards: bool
) -> dict[Slot, float]:
    """The middle of a slot's neighbours in the row beside its own."""
    columns: dict[Slot, list[float]] = {}
    for joint in between:
        mine, theirs = (joint.lowers, joint.uppers) if downwards else (joint.uppers, joint.lowers)
        middles = [_middle(slot, beside[slot]) for slot in theirs]
        for slot in mine:
            columns.setdefault(slot, []).extend(
                middles if len(mine) == 1 else _shared(middles, mine, slot)
            )
    return {slot: sum(found) / len(found) for slot, found in columns.items()}


def _shared(middles: Sequence[float], mine: Sequence[Slot], slot: Slot) -> list[float]:
    """Several at one line stand side by side around its middle, not one in the middle."""
    middle = sum(middles) / len(middles)
    edges = list(accumulate((one.width + 2 for one in mine), initial=0))
    place = mine.index(slot)
    return [middle + (edges[place] + edges[place + 1] - edges[-1]) / 2]


def _spread(row: Row, wanted: Mapping[Slot, float], room: int) -> dict[Slot, int]:
    """Lefts as near as can be to the wanted middles, in order and without overlap.

    The least squares under these constraints: neighbours that would overlap move as one block.
    """
    steps = [left.width + gap(left, right) for left, right in pairwise(row)]
    offsets = list(accumulate(steps, initial=0))
    blocks: list[tuple[float, int]] = []
    for slot, offset in zip(row, offsets, strict=True):
        mean, count = wanted.get(slot, 0.0) - slot.width // 2 - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, members = blocks.pop()
            mean = (before * members + mean * count) / (members + count)
            count += members
        blocks.append((mean, count))
    shifts = [mean for mean, count in blocks for _ in range(count)]
    most = room - span(row)
    return {
        slot: int(min(max(shift, 0), most) + 0.5) + offset
        for slot, offset, shift in zip(row, offsets, shifts, strict=True)
    }


# Rows and lines.


@dataclass(frozen=True)
class _Run:
    """A joint with its columns: where each of its ends leaves the upper row or enters the lower."""

    joint: Joint
    uppers: Mapping[Slot, int]
    lowers: Mapping[Slot, int]

    @property
    def left(self) -> int:
        return min(*self.uppers.values(), *self.lowers.values())

    @property
    def right(self) -> int:
        return max(*self.uppers.values(), *self.lowers.values())

    @property
    def bent(self) -> bool:
        return self.left < self.right

    def spans(self, column: int) -> bool:
        return self.left <= column <= self.right

    def crossings_above(self, other: _Run) -> int:
        """How often the two cross where this one's track is above the other's."""
        return sum(map(other.spans, self.lowers.values())) + sum(
            map(self.spans, other.uppers.values())
        )


class _Builder:
    """From columns to boxes and wires, row by row from the top."""

    def __init__(self, picture: Picture, found: Ranked, lefts: Sequence[Mapping[Slot, int]]):
        self._picture = picture
        self._found = found
        self._lefts = lefts
        self._boxes: dict[str, Box] = {}
        self._runs: list[dict[Net, tuple[_Run, int]]] = []
        """Below each row, every net's run and the row of its track."""

    def build(self) -> Layout:
        ports: dict[Slot, int] = {}
        top = 0
        for rank, row in enumerate(self._found.rows):
            for slot, left in self._lefts[rank].items():
                if slot.node:
                    box = Box(slot.node, left, top, slot.width, slot.height)
                    self._boxes[slot.node.id] = box
                    ports[slot] = left + slot.width // 2
            top += max(slot.height for slot in row)
            if rank < len(self._found.joints):
                top, ports = self._channel(rank, top, ports)
        boxes = tuple(self._boxes[node.id] for node in self._picture.nodes)
        wires = tuple(self._wires())
        columns = [x for wire in wires for x, _ in wire.points]
        width = max([*columns, *(box.right for box in boxes)]) + 1
        return Layout(self._picture, boxes, wires, width, top)

    def _channel(
        self, rank: int, top: int, ports: Mapping[Slot, int]
    ) -> tuple[int, dict[Slot, int]]:
        """Lay the tracks below a row: where the next row begins, and where nets pass it."""
        joints = self._found.joints[rank]
        uppers = [{slot: ports[slot] for slot in joint.uppers} for joint in joints]
        lowers = _landings(joints, uppers, self._lefts[rank + 1])
        runs = [_Run(*item) for item in zip(joints, uppers, lowers, strict=True)]
        tracks = _tracks(runs)
        self._runs.append(
            {run.joint.net: (run, top + track) for run, track in zip(runs, tracks, strict=True)}
        )
        passing = {slot: at for run in runs for slot, at in run.lowers.items() if slot.net}
        return top + max([0, *tracks]) + 1, passing

    def _wires(self) -> Iterator[Wire]:
        nets: dict[Net, int] = {}
        for edge in self._picture.edges:
            points = [(-1, self._boxes[edge.upper].bottom)]
            for runs in self._runs:
                for net, (run, track) in runs.items():
                    if edge.upper in net.uppers and edge.lower in net.lowers:
                        number = nets.setdefault(net, len(nets))
                        points = self._extended(points, edge, run, track)
            last = (points[-1][0], self._boxes[edge.lower].top)
            yield Wire(edge, number, _bends([*points, last]))

    def _extended(self, points: list[Point], edge: Edge, run: _Run, track: int) -> list[Point]:
        """A wire through one channel; unchanged above its upper box and below its lower one."""
        upper, lower = self._boxes[edge.upper], self._boxes[edge.lower]
        if not upper.bottom < track < lower.top:
            return points
        leaves = _at(run.uppers, edge.upper)
        enters = _at(run.lowers, edge.lower)
        if points[0][0] < 0:
            points = [(leaves, upper.bottom)]
        return [*points, (points[-1][0], track), (enters, track)]


def _at(columns: Mapping[Slot, int], id: str) -> int:
    """The column of a node in a run, or else of the net as it passes."""
    named = [at for slot, at in columns.items() if slot.node and slot.node.id == id]
    return named[0] if named else next(at for slot, at in columns.items() if slot.net)


def _bends(points: Sequence[Point]) -> tuple[Point, ...]:
    """A line without the points in the middle of straight stretches."""
    kept = [points[0]]
    for before, point, after in zip(points, points[1:], points[2:], strict=False):
        straight = before[0] == point[0] == after[0] or before[1] == point[1] == after[1]
        if not straight and point != kept[-1]:
            kept.append(point)
    return (*kept, points[-1])


def _landings(
    joints: Sequence[Joint],
    uppers: Sequence[Mapping[Slot, int]],
    lefts: Mapping[Slot, int],
) -> list[dict[Slot, int]]:
    """In which column each net enters each slot of the lower row: in none that another one uses."""
    found: list[dict[Slot, int]] = [{} for _ in joints]
    for slot, left in lefts.items():
        nets = [n for n, joint in enumerate(joints) if slot in joint.lowers]
        nets.sort(key=lambda n: sum(uppers[n].values()) / len(uppers[n]))
        room = range(left + 1, left + slot.width - 1) if slot.node else range(left, left + 3)
        taken: set[int] = set()
        for place, n in enumerate(nets):
            wanted = left + slot.width * (place + 1) // (len(nets) + 1)
            foreign = {at for m, ports in enumerate(uppers) if m != n for at in ports.values()}
            if len(nets) == 1:
                own = [at for at in uppers[n].values() if at in room]
                wanted = min(own, key=lambda at: abs(at - wanted), default=wanted)
            free = [at for at in room if at not in foreign | taken] or room
            at = min(free, key=lambda at: abs(at - wanted))
            taken.add(at)
            found[n][slot] = at
    return found


def _tracks(runs: Sequence[_Run]) -> list[int]:
    """The track of each run, 0 at the top, so that few cross; those apart share one."""
    order = list(range(len(runs)))
    improved = True
    while improved:
        improved = False
        for place, (one, other) in enumerate(pairwise(order)):
            now = runs[one].crossings_above(runs[other])
            if runs[other].crossings_above(runs[one]) < now:
                order[place : place + 2] = [other, one]
                improved = True
                break
    tracks: dict[int, int] = {}
    for n in order:
        if runs[n].bent:
            over = [track + 1 for m, track in tracks.items() if _overlap(runs[m], runs[n])]
            tracks[n] = max(over, default=0)
    return [tracks.get(n, 0) for n in range(len(runs))]


def _overlap(one: _Run, other: _Run) -> bool:
    return one.left <= other.right and other.left <= one.right
