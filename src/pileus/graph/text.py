"""A picture as text: box-drawing characters, or plain ASCII."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise

from pileus.graph import box
from pileus.graph.fold import folded
from pileus.graph.layout import Box, Layout, Wire, layout
from pileus.graph.picture import Mark, Node, Picture

WIDEST = 100
"""Columns, where the boxes and lines of a row let it."""
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = dict(zip((3, 12, 9, 5, 10, 6, 11, 7, 14, 13, 15), "│─└┘┌┐├┤┬┴┼", strict=True))
_THIN, _THICK = "┌─┐│└┘┬┴", "╔═╗║╚╝╤╧"
"""Corners and sides of a box, and where lines leave and enter; thick where a packet died."""
_ASCII = str.maketrans("│─└┘┌┐├┤┬┴┼╔═╗║╚╝╤╧→…✗", "|-+++++++++########>.x")
_RED, _RESET = "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True)
class Style:
    """How a terminal wants it."""

    ascii: bool = False
    colour: bool = False
    widest: int = WIDEST


_PLAIN = Style()


def render(picture: Picture, style: Style = _PLAIN) -> str:
    """The picture and its caption, with a line break at the end."""
    if style.ascii:
        picture = _in_ascii(picture)
    canvas = _Canvas()
    found = layout(folded(picture), style.widest)
    for wire in found.wires:
        canvas.wire(wire)
    for one in found.boxes:
        canvas.box(one)
    canvas.ports(found)
    lines = canvas.lines(found.height, colour=style.colour)
    if style.ascii:
        lines = [line.translate(_ASCII) for line in lines]
    rows = [row for line in picture.caption for row in box.wrapped(line, style.widest)]
    return "".join(f"{line}\n" for line in [*lines, *([""] if rows else []), *rows])


def _in_ascii(picture: Picture) -> Picture:
    return replace(
        picture,
        nodes=tuple(map(_node_in_ascii, picture.nodes)),
        caption=tuple(map(_text_in_ascii, picture.caption)),
    )


def _node_in_ascii(node: Node) -> Node:
    lines = tuple(map(_text_in_ascii, node.lines))
    return replace(node, name=_text_in_ascii(node.name), lines=lines)


def _text_in_ascii(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "replace").decode()


@dataclass
class _Canvas:
    """Characters by row and column, and which of them are red."""

    _chars: dict[tuple[int, int], str] = field(default_factory=dict)
    _red: set[tuple[int, int]] = field(default_factory=set)
    _strokes: dict[tuple[int, int], dict[int, int]] = field(default_factory=dict)
    """By cell and net, the directions in which lines leave it."""

    def wire(self, wire: Wire) -> None:
        for (x1, y1), (x2, y2) in pairwise(wire.points):
            if x1 == x2:
                for y in range(y1, y2):
                    self._stroke(y, x1, wire.net, _DOWN)
                    self._stroke(y + 1, x1, wire.net, _UP)
            else:
                for x in range(min(x1, x2), max(x1, x2)):
                    self._stroke(y1, x, wire.net, _RIGHT)
                    self._stroke(y1, x + 1, wire.net, _LEFT)

    def _stroke(self, y: int, x: int, net: int, direction: int) -> None:
        nets = self._strokes.setdefault((y, x), {})
        nets[net] = nets.get(net, 0) | direction
        # Where two nets cross, the one from above goes over the other.
        upright = [mask for mask in nets.values() if mask & (_UP | _DOWN)]
        self._chars[y, x] = _LINES.get((upright or [*nets.values()])[0], " ")

    def box(self, one: Box) -> None:
        edges = _THICK if one.node.mark is Mark.FAILED else _THIN
        inner = one.width - 2
        self._put(one, 0, edges[0] + edges[1] * inner + edges[2])
        for n, text in enumerate(box.rows(one.node), start=1):
            padding = " " * (inner - 1 - box.columns(text))
            self._put(one, n, f"{edges[3]} {text}{padding}{edges[3]}")
        self._put(one, one.height - 1, edges[4] + edges[1] * inner + edges[5])

    def _put(self, one: Box, row: int, text: str) -> None:
        y, x = one.top + row, one.left
        for char in text:
            if box.columns(char) == 0:
                self._chars[y, x - 1] += char
                continue
            self._chars[y, x] = char
            if one.node.mark is Mark.FAILED:
                self._red.add((y, x))
            for beside in range(1, box.columns(char)):
                self._chars[y, x + beside] = ""
            x += box.columns(char)

    def ports(self, found: Layout) -> None:
        """Where lines leave boxes and enter them."""
        thick = {one.node.id for one in found.boxes if one.node.mark is Mark.FAILED}
        for wire in found.wires:
            for id, (x, y), place in (
                (wire.edge.upper, wire.points[0], 6),
                (wire.edge.lower, wire.points[-1], 7),
            ):
                self._chars[y, x] = (_THICK if id in thick else _THIN)[place]

    def lines(self, height: int, *, colour: bool) -> list[str]:
        return ["".join(self._line(y, colour=colour)).rstrip() for y in range(height)]

    def _line(self, y: int, *, colour: bool) -> Iterator[str]:
        width = max((x for row, x in self._chars if row == y), default=-1) + 1
        for red, run in groupby(range(width), key=lambda x: colour and (y, x) in self._red):
            text = "".join(self._chars.get((y, x), " ") for x in run)
            yield f"{_RED}{text}{_RESET}" if red else text
