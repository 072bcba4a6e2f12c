"""Elastic IPs that are all alike, as those of one NIC, in one box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pileus.graph.picture import Edge, Kind, Node, Picture

_FEWEST = 3


def folded(picture: Picture) -> Picture:
    """With one node for several Elastic IPs that lead to the same.

    What a packet passes stays apart from the rest, and where one died by itself.
    """
    alike: dict[object, list[Node]] = {}
    for node in picture.nodes:
        if node.kind is Kind.ELASTIC_IP and not node.why:
            joined = frozenset(_joined(node, picture.edges))
            alike.setdefault((node.mark, joined), []).append(node)
    groups = [group for group in alike.values() if len(group) >= _FEWEST]
    one = {node.id: group[0].id for group in groups for node in group}
    boxes = {group[0].id: _together(group) for group in groups}
    edges = (
        replace(edge, upper=one.get(edge.upper, edge.upper), lower=one.get(edge.lower, edge.lower))
        for edge in picture.edges
    )
    return replace(
        picture,
        nodes=tuple(
            boxes.get(node.id, node)
            for node in picture.nodes
            if one.get(node.id, node.id) == node.id
        ),
        edges=tuple(dict.fromkeys(edges)),
    )


def _joined(node: Node, edges: Sequence[Edge]) -> Iterator[tuple[object, ...]]:
    """What a node hangs from, and what hangs from it."""
    for edge in edges:
        if node.id in (edge.upper, edge.lower):
            yield (
                edge.lower == node.id,
                edge.upper if edge.lower == node.id else edge.lower,
                edge.mark,
            )


def _together(group: Sequence[Node]) -> Node:
    lines = tuple(" ".join((node.name, *node.lines)) for node in group)
    return replace(group[0], name=f"({len(group)})", lines=lines)
