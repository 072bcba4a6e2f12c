"""A trace laid over a picture: where a packet went, and where it died."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from pileus.graph.picture import Edge, Kind, Mark, Node, Picture, printable
from pileus.model.path import Fate, Place, Row, Stage, Trace
from pileus.model.verdict import EXPLANATIONS
from pileus.trace.route import PROVIDER_BRIDGE

_KINDS = {
    Stage.SERVER: Kind.SERVER,
    Stage.PORT: Kind.SERVER,
    Stage.SWITCH: Kind.NETWORK,
    Stage.ROUTER: Kind.ROUTER,
    Stage.NAT: Kind.ROUTER,
    Stage.GATEWAY: Kind.ROUTER,
    Stage.UPLINK: Kind.UPLINK,
    Stage.NIC: Kind.NIC,
    Stage.GROUPS: Kind.NIC,
    Stage.ACL: Kind.NIC,
    Stage.ROUTE: Kind.NIC,
    Stage.ELASTIC_IP: Kind.ELASTIC_IP,
    Stage.INTERNET: Kind.INTERNET,
    Stage.METADATA: Kind.METADATA,
    Stage.NODE: Kind.MACHINE,
}
_WORSE = (None, Mark.PASSED, Mark.UNKNOWN, Mark.FAILED)


def marked(picture: Picture, trace: Trace) -> Picture:
    """The picture with a packet's way in it; hops that it lacks are added.

    Of a hop that a cloud should have and has not, such as an Elastic IP, the picture of the scene
    has nothing to show.
    """
    rows = [row for row in trace.rows if row.told]
    picture = _completed(picture, [row.place for row in rows])
    marks, why = _marks(picture, rows, trace.failing)
    way = [_node_of(picture, row.place).id for row in rows]
    steps = [step for pair in pairwise(way) for step in pairwise(_between(picture, *pair))]
    for step in steps:
        for id in step:
            marks.setdefault(id, Mark.PASSED)
    passed = {frozenset(step) for step in steps}
    return replace(
        picture,
        nodes=tuple(
            replace(node, mark=marks.get(node.id), why=why.get(node.id, ""))
            for node in picture.nodes
        ),
        edges=tuple(
            replace(edge, mark=Mark.PASSED if {edge.upper, edge.lower} in passed else None)
            for edge in picture.edges
        ),
    ).with_caption(*_caption(trace))


def _marks(
    picture: Picture, rows: Iterable[Row], failing: Row | None
) -> tuple[dict[str, Mark], dict[str, str]]:
    """What became of the packet, and the code of its death, by the node's id."""
    marks: dict[str, Mark] = {}
    why: dict[str, str] = {}
    for row in rows:
        id, mark = _node_of(picture, row.place).id, _fate(row, failing)
        marks[id] = max(marks.get(id), mark, key=_WORSE.index) or mark
        if row is failing:
            why[id] = f"{row.place.stage}: {row.code or 'why is not known'}"
    return marks, why


def _fate(row: Row, failing: Row | None) -> Mark:
    """What was seen counts more than what was to be expected."""
    told = row.observed or row.predicted
    if row is failing:
        return Mark.FAILED
    return Mark.UNKNOWN if told and told.fate is Fate.UNKNOWN else Mark.PASSED


def _completed(picture: Picture, places: Iterable[Place]) -> Picture:
    """With a node for each place that it lacks, hanging from where the packet was before."""
    before: Node | None = None
    for place in places:
        node = _find(picture.nodes, place)
        if node is None:
            node = _missing(place)
            edges = picture.edges
            if before and before.layer != node.layer:
                upper, lower = sorted((before, node), key=lambda one: one.layer)
                edges = (*edges, Edge(upper.id, lower.id))
            picture = replace(picture, nodes=(*picture.nodes, node), edges=edges)
        before = node
    return picture


def _missing(place: Place) -> Node:
    kind = _kind(place)
    there = ("not there",) if kind is not Kind.METADATA else ()
    id = f"{place.stage}:{place.subject}"
    return Node(id, kind, printable(place.subject), there, (place.subject,))


def _node_of(picture: Picture, place: Place) -> Node:
    node = _find(picture.nodes, place)
    assert node is not None  # noqa: S101 - for the type checker: `_completed` added it
    return node


def _find(nodes: Iterable[Node], place: Place) -> Node | None:
    kind = _kind(place)
    for node in nodes:
        if node.kind is kind and (kind is Kind.INTERNET or place.subject in node.called):
            return node
    return None


def _kind(place: Place) -> Kind:
    return Kind.BRIDGE if place.subject == PROVIDER_BRIDGE else _KINDS[place.stage]


def _between(picture: Picture, start: str, end: str) -> list[str]:
    """The shortest way between two nodes, both included; nothing where they are not joined."""
    beside = _neighbours(picture)
    ways, seen = [[start]], {start}
    for way in ways:
        if way[-1] == end:
            return way
        for next_ in beside.get(way[-1], ()):
            if next_ not in seen:
                seen.add(next_)
                ways.append([*way, next_])
    return []


def _neighbours(picture: Picture) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for edge in picture.edges:
        found.setdefault(edge.upper, []).append(edge.lower)
        found.setdefault(edge.lower, []).append(edge.upper)
    return found


def _caption(trace: Trace) -> Iterator[str]:
    yield str(trace.asked)
    failing = trace.failing
    if failing is None:
        yield trace.arrival
        return
    yield f"✗ {failing.place.stage} {failing.place.subject}, on its way {failing.place.way}"
    if failing.code:
        yield f"{failing.code}: {EXPLANATIONS[failing.code].sentence}"
    yield f"hint: {trace.hint}"
