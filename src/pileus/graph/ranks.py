"""Who stands in which row of a picture, and in which order: few lines cross, none is too wide.

What several nodes are joined to all alike, as Elastic IPs to their NIC, they share one line for: a
`Net`. Where a net passes a row in which it does not end, it has a `Slot` of its own there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pileus.graph import box
from pileus.graph.picture import Node, Picture

GAP = 2
"""Columns between two boxes."""
_PASSING = 3
"""Columns of a slot that a net passes: its line, and room beside it."""
_SWEEPS = 6


@dataclass(frozen=True)
class Net:
    """A line that joins all of its upper nodes to all of its lower ones."""

    uppers: frozenset[str]
    lowers: frozenset[str]


@dataclass(frozen=True)
class Slot:
    """A place in a row: a node's box, or where a net passes."""

    node: Node | None = None
    net: Net | None = None

    @property
    def width(self) -> int:
        return box.width(self.node) if self.node else _PASSING

    @property
    def height(self) -> int:
        return box.height(self.node) if self.node else 1


Row = tuple[Slot, ...]


@dataclass(frozen=True)
class Joint:
    """What a net joins between one row and the next: all of the upper with all of the lower."""

    net: Net
    uppers: tuple[Slot, ...]
    lowers: tuple[Slot, ...]


@dataclass(frozen=True)
class Ranked:
    """Rows from the top, and the joints below each but the last."""

    rows: tuple[Row, ...]
    joints: tuple[tuple[Joint, ...], ...]


def ranked(picture: Picture, widest: int) -> Ranked:
    """The rows of a picture, at most `widest` columns each if the boxes and lines let it."""
    nets = _nets(picture)
    broken = _broken(_layers(picture), nets, widest)
    rows = _untangled(_with_passing(broken, nets), nets)
    return Ranked(rows, joints(rows, nets))


def span(row: Sequence[Slot]) -> int:
    """Columns that a row needs."""
    return sum(slot.width for slot in row) + sum(gap(*pair) for pair in pairwise(row))


def gap(left: Slot, right: Slot) -> int:
    """Columns between two neighbours; a line has room of its own."""
    return GAP if left.node and right.node else 0


def _nets(picture: Picture) -> list[Net]:
    lowers: dict[str, dict[str, None]] = {}
    for edge in picture.edges:
        lowers.setdefault(edge.upper, {})[edge.lower] = None
    uppers: dict[frozenset[str], list[str]] = {}
    for upper, below in lowers.items():
        uppers.setdefault(frozenset(below), []).append(upper)
    return [Net(frozenset(above), below) for below, above in uppers.items()]


def _layers(picture: Picture) -> list[list[Node]]:
    """Layer by layer, what hangs together side by side: a tree drawn so has no crossing."""
    below: dict[str, list[str]] = {}
    for edge in picture.edges:
        below.setdefault(edge.upper, []).append(edge.lower)
    order: dict[str, None] = {}

    def visit(id: str) -> None:
        if id not in order:
            order[id] = None
            for lower in below.get(id, ()):
                visit(lower)

    by_id = {node.id: node for node in picture.nodes}
    for node in sorted(picture.nodes, key=lambda node: node.layer):
        visit(node.id)
    found: dict[int, list[Node]] = {}
    for id in order:
        found.setdefault(by_id[id].layer, []).append(by_id[id])
    return [found[layer] for layer in sorted(found)]


def _broken(
    layers: Iterable[Sequence[Node]], nets: Sequence[Net], widest: int
) -> list[tuple[Node, ...]]:
    """Layers that are too wide go on in further rows."""
    rows: list[tuple[Node, ...]] = []
    for layer in layers:
        row: tuple[Node, ...] = ()
        for node in layer:
            if row and _needs(rows, (*row, node), nets) > widest:
                rows.append(row)
                row = ()
            row = (*row, node)
        rows.append(row)
    return rows


def _needs(rows: Sequence[tuple[Node, ...]], row: tuple[Node, ...], nets: Sequence[Net]) -> int:
    """Columns of a row, with the nets from above that go on below it."""
    above = {node.id for one in rows for node in one}
    here = above | {node.id for node in row}
    passing = sum(bool(net.uppers & above) and not net.lowers <= here for net in nets)
    return span([Slot(node) for node in row]) + passing * _PASSING


def _with_passing(rows: Sequence[tuple[Node, ...]], nets: Iterable[Net]) -> list[Row]:
    at = {node.id: rank for rank, row in enumerate(rows) for node in row}
    found: list[list[Slot]] = [[Slot(node) for node in row] for row in rows]
    for net in nets:
        for rank in range(min(at[id] for id in net.uppers) + 1, max(at[id] for id in net.lowers)):
            found[rank].append(Slot(net=net))
    return [tuple(row) for row in found]


def joints(rows: Sequence[Row], nets: Sequence[Net]) -> tuple[tuple[Joint, ...], ...]:
    """Between each row and the next, what is joined."""
    return tuple(tuple(_joints(upper, lower, nets)) for upper, lower in pairwise(rows))


def _joints(upper: Row, lower: Row, nets: Iterable[Net]) -> Iterator[Joint]:
    for net in nets:
        above = tuple(s for s in upper if s.net == net or (s.node and s.node.id in net.uppers))
        below = tuple(s for s in lower if s.net == net or (s.node and s.node.id in net.lowers))
        if above and below:
            yield Joint(net, above, below)


def _untangled(rows: Sequence[Row], nets: Sequence[Net]) -> tuple[Row, ...]:
    """Each row in the order of what it is joined to, down and up again, as long as it helps."""
    best = now = tuple(rows)
    fewest = _crossings(best, nets)
    for _ in range(_SWEEPS):
        if not fewest:
            break
        now = _swept(now, nets)
        now = tuple(reversed(_swept(tuple(reversed(now)), nets, upwards=True)))
        count = _crossings(now, nets)
        if count < fewest:
            best, fewest = now, count
    return best


def _swept(rows: tuple[Row, ...], nets: Sequence[Net], *, upwards: bool = False) -> tuple[Row, ...]:
    done: list[Row] = [rows[0]]
    for row in rows[1:]:
        pair = (row, done[-1]) if upwards else (done[-1], row)
        places = _neighbours(_joints(*pair, nets), done[-1], upwards=upwards)
        keys = {slot: _mean(places.get(slot, ())) for slot in row}
        now = len(done[-1]) / len(row)
        done.append(
            tuple(
                slot
                for _, _, slot in sorted(
                    (
                        (keys[s] if keys[s] is not None else n * now, n, s)
                        for n, s in enumerate(row)
                    ),
                    key=lambda item: item[:2],
                )
            )
        )
    return tuple(done)


def _neighbours(found: Iterable[Joint], beside: Row, *, upwards: bool) -> Mapping[Slot, list[int]]:
    """Where in the row beside them the neighbours of each slot stand."""
    at = {slot: place for place, slot in enumerate(beside)}
    places: dict[Slot, list[int]] = {}
    for joint in found:
        mine, theirs = (joint.uppers, joint.lowers) if upwards else (joint.lowers, joint.uppers)
        for slot in mine:
            places.setdefault(slot, []).extend(at[other] for other in theirs)
    return places


def _mean(places: Sequence[int]) -> float | None:
    return sum(places) / len(places) if places else None


def _crossings(rows: Sequence[Row], nets: Sequence[Net]) -> int:
    """How many pairs of links, of two nets each, change sides between two rows."""
    return sum(_crossings_between(*pair, nets) for pair in pairwise(rows))


def _crossings_between(upper: Row, lower: Row, nets: Sequence[Net]) -> int:
    above = {slot: place for place, slot in enumerate(upper)}
    below = {slot: place for place, slot in enumerate(lower)}
    links = [
        (above[a], below[b], number)
        for number, joint in enumerate(_joints(upper, lower, nets))
        for a in joint.uppers
        for b in joint.lowers
    ]
    return sum(
        one[2] != other[2] and (one[0] - other[0]) * (one[1] - other[1]) < 0
        for n, one in enumerate(links)
        for other in links[:n]
    )
