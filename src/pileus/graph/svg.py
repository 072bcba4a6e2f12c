"""A picture as SVG: one file that needs nothing else, in the colours of a light or dark page."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from pileus.graph import box
from pileus.graph.fold import folded
from pileus.graph.layout import Box, Layout, layout
from pileus.graph.picture import Kind, Picture

WIDEST = 150
"""Columns, where the boxes and lines of a row let it."""
_COLUMN, _ROW, _MARGIN = 8, 18, 16
"""Pixels; letters of 13 pixels are less than 8 wide in every usual monospaced font."""
_CAPTION = 110
_COLOURS = {
    "page": ("#ffffff", "#0d1117"),
    "ink": ("#1b1f24", "#e6edf3"),
    "line": ("#8c959f", "#6e7681"),
    "box": ("#f6f8fa", "#161b22"),
    "way": ("#0969da", "#58a6ff"),
    "wrong": ("#cf222e", "#ff7b72"),
    "wrong-box": ("#ffebe9", "#3c1618"),
}
"""On a light page and on a dark one."""
_SHAPES = """
text { font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre;
  fill: ink; }
.page { fill: page; }
.wire { fill: none; stroke: line; stroke-width: 1.5; stroke-linejoin: round; }
.wire.passed { stroke: way; stroke-width: 3; }
.node rect { fill: box; stroke: line; stroke-width: 1.5; }
.node .name { font-weight: bold; }
.node.passed rect { stroke: way; stroke-width: 2.5; }
.node.unknown rect { stroke: way; stroke-width: 2.5; stroke-dasharray: 6 4; }
.node.failed rect { fill: wrong-box; stroke: wrong; stroke-width: 3.5; }
.node.failed .why, .caption.failed { fill: wrong; font-weight: bold; }
"""


def _style() -> str:
    """Each colour as it is, then as a variable that dark pages change: programs that know no
    variables stay with the first. [CSS Cascading and Inheritance, section 4.2]"""
    light, dark = (
        " ".join(f"--{name}: {shades[page]};" for name, shades in _COLOURS.items())
        for page in (0, 1)
    )
    shapes = re.sub(rf"(\w+): ({'|'.join(_COLOURS)});", _shade, _SHAPES)
    return (
        f"\n:root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}{shapes}"
    )


def _shade(found: re.Match[str]) -> str:
    what, name = found.groups()
    return f"{what}: {_COLOURS[name][0]}; {what}: var(--{name});"


def render(picture: Picture) -> str:
    """The picture as an SVG document, with a line break at the end."""
    found = layout(folded(picture), WIDEST)
    captions = [row for line in picture.caption for row in box.wrapped(line, _CAPTION)]
    columns = max([found.width, *map(box.columns, captions)])
    rows = found.height + (len(captions) + 1 if captions else 0)
    width, height = columns * _COLUMN + 2 * _MARGIN, rows * _ROW + 2 * _MARGIN
    root = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width} {height}",
            "width": str(width),
            "height": str(height),
            "role": "img",
            "aria-labelledby": "title desc",
        },
    )
    _texts(root, picture)
    SubElement(root, "rect", {"class": "page", "width": "100%", "height": "100%"})
    grid = SubElement(root, "g", {"transform": f"translate({_MARGIN} {_MARGIN})"})
    _wires(grid, found)
    for one in found.boxes:
        _box(grid, one)
    for n, row in enumerate(captions):
        failed = bool(picture.failed) and row.startswith("✗")
        shade = "caption failed" if failed else "caption"
        _text(grid, shade, 0, (found.height + 1 + n) * _ROW + _ROW // 2, row)
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _texts(root: Element, picture: Picture) -> None:
    """For who hears the picture: what it is about, and every box in a sentence."""
    SubElement(root, "title", {"id": "title"}).text = f"Pileus cloud {picture.title}"
    kinds = [
        f"{count} {kind}" + ("s" if count > 1 else "")
        for kind in Kind
        if (count := sum(node.kind is kind for node in picture.nodes))
    ]
    joined = [f"From the internet down to the servers: {', '.join(kinds)}.", *picture.caption]
    SubElement(root, "desc", {"id": "desc"}).text = " ".join(joined)
    SubElement(root, "style").text = _style()


def _wires(grid: Element, found: Layout) -> None:
    """A packet's way last, so that it is on top."""
    for wire in sorted(found.wires, key=lambda wire: bool(wire.edge.mark)):
        points = " ".join(_point(x, y) for x, y in wire.points)
        mark = f" {wire.edge.mark}" if wire.edge.mark else ""
        SubElement(grid, "polyline", {"class": f"wire{mark}", "points": points})


def _point(x: int, y: int) -> str:
    return f"{x * _COLUMN + _COLUMN // 2},{y * _ROW + _ROW // 2}"


def _box(grid: Element, one: Box) -> None:
    node = one.node
    mark = f" {node.mark}" if node.mark else ""
    told = (box.title(node), *node.lines, node.why)
    group = SubElement(grid, "g", {"class": f"node {node.kind.name.lower()}{mark}"})
    SubElement(group, "title").text = "\n".join(filter(None, told))
    left, top = one.left * _COLUMN + _COLUMN // 2, one.top * _ROW + _ROW // 2
    shape = {
        "x": left,
        "y": top,
        "width": (one.width - 1) * _COLUMN,
        "height": (one.height - 1) * _ROW,
        "rx": 4,
    }
    SubElement(group, "rect", {key: str(value) for key, value in shape.items()})
    rows = box.rows(node)
    first_of_why = len(rows) - len(box.wrapped(f"✗ {node.why}")) if node.why else len(rows)
    for n, row in enumerate(rows):
        kind = "name" if n == 0 else "why" if n >= first_of_why else "line"
        y = (one.top + 1 + n) * _ROW + _ROW // 2
        _text(group, kind, (one.left + 2) * _COLUMN, y, row)


def _text(parent: Element, kind: str, x: int, y: int, text: str) -> None:
    at = {"class": kind, "x": str(x), "y": str(y), "dominant-baseline": "central"}
    SubElement(parent, "text", at).text = text
