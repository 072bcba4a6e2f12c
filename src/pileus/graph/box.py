"""What stands in a node's box, and how many columns a text takes on a grid of characters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from pileus.graph.picture import Kind, Node

WIDEST = 34
"""Columns of text in a box; longer texts go on in the next row."""
_NAME_ROWS = 2
_BORDERS = 4
"""Columns of a box beside its text: a line and a space on each side."""


def title(node: Node) -> str:
    """What it is, and its name."""
    return node.name if node.kind is Kind.INTERNET else f"{node.kind} {node.name}"


@lru_cache
def rows(node: Node) -> tuple[str, ...]:
    """The text of a box: what it is, then its lines, then why a packet died there."""
    name = wrapped(title(node))
    if len(name) > _NAME_ROWS:
        name = [*name[: _NAME_ROWS - 1], name[_NAME_ROWS - 1][:-2] + "…"]
    rest = [row for line in node.lines for row in wrapped(line)]
    return (*name, *rest, *(wrapped(f"✗ {node.why}") if node.why else ()))


@lru_cache
def width(node: Node) -> int:
    """Columns, borders included."""
    return max(map(columns, rows(node))) + _BORDERS


def height(node: Node) -> int:
    """Rows, borders included."""
    return len(rows(node)) + 2


def columns(text: str) -> int:
    """How wide a terminal draws a text: Chinese characters take two, accents none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrapped(text: str, widest: int = WIDEST) -> list[str]:
    """A text in rows; a row ends after a space, or else an underscore, if it has one."""
    if columns(text) <= widest:
        return [text.rstrip()]
    found, row = [], ""
    for char in text:
        if columns(row + char) > widest:
            cut = row.rfind(" ") + 1 or row.rfind("_") + 1 or len(row)
            found.append(row[:cut].rstrip())
            row = row[cut:]
        row += char
    return [*found, row.rstrip()]
