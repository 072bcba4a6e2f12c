"""Figures of a benchmark: pairs in turn, medians with an interval, verdicts. Pure.

The interval is that of order statistics, which assumes nothing of how times are distributed: the
median of what is measured lies between the k-th value from below and the k-th from above with the
probability that a coin tossed n times shows heads at least k times, and tails too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median
from typing import Literal, TypeVar

CONFIDENCE = 0.95
T = TypeVar("T")


@dataclass(frozen=True)
class Interval:
    """Where the median lies, and with what probability at least."""

    median: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class Bar:
    """What a figure is held against: its median shall be at least `limit`, or at most; or no
    value of it shall be more."""

    kind: Literal["at least", "at most", "never more than"]
    limit: float


@dataclass(frozen=True)
class Unit:
    """How figures are printed: in parts of `size`, with so many digits after the point."""

    name: str
    size: float = 1.0
    digits: int = 2

    def text(self, value: float) -> str:
        return f"{value / self.size:.{self.digits}f}"


RATIO = Unit("")
GBIT = Unit("Gbit/s", 1e9, 1)
SECONDS, MILLISECONDS, MICROSECONDS = Unit("s", digits=3), Unit("ms", 1e-3, 1), Unit("µs", 1e-6, 1)


@dataclass(frozen=True)
class Figure:
    """What was measured, once for each pair or repetition, in seconds or as a ratio."""

    name: str
    unit: Unit
    values: tuple[float, ...]
    bar: Bar | None
    """None where it is told to judge others by."""


def interval(values: Sequence[float]) -> Interval:
    """The median and its interval of 95 %, or of less where there are fewer than six values.

    Raises ValueError where there is none.
    """
    if not values:
        raise ValueError("nothing was measured")
    ordered, count = sorted(values), len(values)
    outside = [2 * tail / 2**count for tail in _tails(count)]
    rank = max((n for n, missed in enumerate(outside) if missed <= 1 - CONFIDENCE), default=0)
    return Interval(median(ordered), ordered[rank], ordered[-1 - rank], 1 - outside[rank])


def _tails(count: int) -> Iterator[int]:
    """In how many ways of tossing so many coins at most 0, 1, 2, … of them show heads."""
    return accumulate(math.comb(count, heads) for heads in range((count + 1) // 2))


def verdict(found: Interval, bar: Bar) -> str:
    """MISSED where the whole interval lies beyond the bar, else MET, which says so where the bar
    is within the interval; unsure after a few values."""
    if found.confidence < CONFIDENCE:
        return "unsure"
    at_least = bar.kind == "at least"
    worst, best = (found.low, found.high) if at_least else (found.high, found.low)
    if best < bar.limit if at_least else best > bar.limit:
        return "MISSED"
    clear = worst >= bar.limit if at_least else worst <= bar.limit
    return "MET" if clear else "MET (bar within the interval)"


def interleaved(
    count: int, first: Callable[[], T], second: Callable[[], T]
) -> tuple[tuple[T, T], ...]:
    """Measure two things in turn, A B, B A, A B, …: neither is always the earlier one."""

    def pair(swapped: bool) -> tuple[T, T]:
        if swapped:
            late = second()
            return first(), late
        return first(), second()

    return tuple(pair(bool(number % 2)) for number in range(count))


def table(figures: Sequence[Figure]) -> str:
    """A line for each figure: median, interval, bar and verdict."""
    head = ("figure", "median", "95 % interval", "bar", "", "of")
    rows = [head, *map(_row, figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(figure: Figure) -> tuple[str, ...]:
    if figure.bar is not None and figure.bar.kind == "never more than":
        return _worst_row(figure, figure.bar)
    found, unit, bar = interval(figure.values), figure.unit, figure.bar
    return (
        figure.name,
        f"{unit.text(found.median)} {unit.name}".rstrip(),
        f"{unit.text(found.low)} to {unit.text(found.high)}"
        + ("" if found.confidence >= CONFIDENCE else f" ({found.confidence:.0%} only)"),
        f"{bar.kind} {unit.text(bar.limit)} {unit.name}".rstrip() if bar else "none",
        verdict(found, bar) if bar else "",
        str(len(figure.values)),
    )


def _worst_row(figure: Figure, bar: Bar) -> tuple[str, ...]:
    worst, unit = max(figure.values), figure.unit
    return (
        figure.name,
        f"{unit.text(worst)} {unit.name} at worst",
        "",
        f"{bar.kind} {unit.text(bar.limit)} {unit.name}",
        "MISSED" if worst > bar.limit else "MET",
        str(len(figure.values)),
    )
