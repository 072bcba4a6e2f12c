"""Where a picture's boxes and lines are: no overlap, and no line that looks like another's."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations, pairwise

import pytest
from graph_scenes import DEFAULT, TWO_PROJECTS, pictures
from hypothesis import given, settings
from trace_scene import SCENE

from pileus.graph.contents import picture
from pileus.graph.fold import folded
from pileus.graph.layout import Box, Layout, layout
from pileus.graph.picture import Edge, Kind, Node, Picture
from pileus.model.scene import Scene

Cell = tuple[int, int]


def drawn(found: Layout) -> dict[Cell, dict[int, set[str]]]:
    """By cell and net, whether its lines lie there across, upright, or both."""
    cells: dict[Cell, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for wire in found.wires:
        for (x1, y1), (x2, y2) in pairwise(wire.points):
            across = y1 == y2
            assert across or x1 == x2
            for x in range(min(x1, x2), max(x1, x2) + 1):
                for y in range(min(y1, y2), max(y1, y2) + 1):
                    cells[x, y][wire.net].add("across" if across else "upright")
    return cells


def apart(one: Box, other: Box) -> bool:
    beside = one.right + 1 < other.left or other.right + 1 < one.left
    return beside or one.bottom < other.top or other.bottom < one.top


def check(found: Layout) -> None:
    boxes = {one.node.id: one for one in found.boxes}
    assert list(boxes) == [node.id for node in found.picture.nodes]
    for pair in combinations(found.boxes, 2):
        assert apart(*pair)
    assert [wire.edge for wire in found.wires] == list(found.picture.edges)
    for wire in found.wires:
        upper, lower = boxes[wire.edge.upper], boxes[wire.edge.lower]
        (x1, y1), (x2, y2) = wire.points[0], wire.points[-1]
        assert y1 == upper.bottom
        assert upper.left < x1 < upper.right
        assert y2 == lower.top
        assert lower.left < x2 < lower.right
        assert all(a[1] <= b[1] for a, b in pairwise(wire.points))
    ends = {wire.points[end] for wire in found.wires for end in (0, -1)}
    inside = {
        (x, y)
        for one in found.boxes
        for x in range(one.left, one.right + 1)
        for y in range(one.top, one.bottom + 1)
    }
    for cell, nets in drawn(found).items():
        assert cell in ends or cell not in inside
        if len(nets) > 1:
            # Another net's line may be crossed, but never run along or bent upon.
            assert sorted(map(sorted, nets.values())) == [["across"], ["upright"]]


@settings(max_examples=100)
@given(pictures())
def test_boxes_do_not_overlap_and_lines_end_on_them(drawing: Picture) -> None:
    for widest in (60, 100):
        found = layout(drawing, widest)
        check(found)
        assert layout(drawing, widest) == found


@pytest.mark.parametrize("scene", [DEFAULT, TWO_PROJECTS, SCENE])
@pytest.mark.parametrize("widest", [100, 150])
def test_no_line_crosses_another_where_it_need_not(scene: Scene, widest: int) -> None:
    found = layout(folded(picture("demo", scene)), widest)
    check(found)
    assert found.width <= widest
    assert all(len(nets) == 1 for nets in drawn(found).values())


def test_a_crossing_that_can_be_avoided_is() -> None:
    """Servers are listed in the other order than the networks that they are on."""
    networks = [Node(f"n{n}", Kind.NETWORK, "") for n in range(4)]
    servers = [Node(f"s{n}", Kind.SERVER, "") for n in range(8)]
    edges = [Edge(f"n{3 - n // 2}", f"s{n}") for n in range(8)]
    found = layout(Picture("", (*networks, *servers), tuple(edges)), 200)
    assert all(len(nets) == 1 for nets in drawn(found).values())


def test_a_layer_that_is_too_wide_goes_on_below() -> None:
    nodes = [Node(f"s{n}", Kind.SERVER, f"server-{n}") for n in range(30)]
    edges = tuple(Edge("net", node.id) for node in nodes)
    drawing = Picture("", (Node("net", Kind.NETWORK, "net"), *nodes), edges)
    found = layout(drawing, 100)
    check(found)
    assert found.width <= 100
    assert len({one.top for one in found.boxes}) > 3
