"""What a picture of a cloud shows: nodes in layers, and what joins them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a node stands for; in the order of their layers, from the top."""

    INTERNET = "internet"
    ELASTIC_IP = "Elastic IP"
    NIC = "NIC"
    MACHINE = "machine"
    UPLINK = "uplink"
    BRIDGE = "bridge"
    ROUTER = "router"
    METADATA = "metadata"
    NETWORK = "network"
    SERVER = "server"


_LAYERS = (
    (Kind.INTERNET,),
    (Kind.ELASTIC_IP,),
    (Kind.NIC,),
    (Kind.MACHINE, Kind.UPLINK),
    (Kind.BRIDGE,),
    (Kind.ROUTER,),
    (Kind.METADATA, Kind.NETWORK),
    (Kind.SERVER,),
)


class Mark(StrEnum):
    """What became of a packet there."""

    PASSED = "passed"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True)
class Node:
    """A box of the picture. Its texts hold nothing that a terminal would obey."""

    id: str
    kind: Kind
    name: str
    lines: tuple[str, ...] = ()
    """Addresses, MACs, and what is not as usual; a line each."""
    called: tuple[str, ...] = ()
    """What the hops of a trace call it."""
    mark: Mark | None = None
    why: str = ""
    """The code of a failed hop."""

    @property
    def layer(self) -> int:
        """0 is at the top."""
        return next(n for n, kinds in enumerate(_LAYERS) if self.kind in kinds)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind.value,
            "name": self.name,
            "lines": list(self.lines),
            "mark": self.mark.value if self.mark else None,
            "code": self.why or None,
        }


@dataclass(frozen=True)
class Edge:
    """What joins two nodes: the upper one's layer is above the lower one's."""

    upper: str
    lower: str
    mark: Mark | None = None

    def to_json(self) -> dict[str, Any]:
        mark = self.mark.value if self.mark else None
        return {"upper": self.upper, "lower": self.lower, "mark": mark}


@dataclass(frozen=True)
class Picture:
    """All of it. Raises ValueError for an edge that does not lead down."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    caption: tuple[str, ...] = ()
    """What is said below it, a line each."""

    def __post_init__(self) -> None:
        layers = {node.id: node.layer for node in self.nodes}
        for edge in self.edges:
            if layers[edge.upper] >= layers[edge.lower]:
                raise ValueError(f"{edge.lower} is not below {edge.upper}")

    @property
    def failed(self) -> tuple[Node, ...]:
        """Where packets die."""
        return tuple(node for node in self.nodes if node.mark is Mark.FAILED)

    def with_caption(self, *lines: str) -> Picture:
        """The same, with more said below it."""
        return replace(self, caption=(*self.caption, *map(printable, lines)))

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus graph --json`."""
        return {
            "cloud": self.title,
            "nodes": [node.to_json() for node in self.nodes],
            "edges": [edge.to_json() for edge in self.edges],
            "caption": list(self.caption),
        }


def printable(text: str) -> str:
    """Anyone's text as one line without control, format and direction characters."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
