"""Benchmarks: an interval that holds, pairs in turn, a verdict in case of doubt."""

from __future__ import annotations

import math
import random
from statistics import median

import pytest
from bench_figures import (
    MICROSECONDS,
    MILLISECONDS,
    RATIO,
    Bar,
    Figure,
    Interval,
    interleaved,
    interval,
    table,
    verdict,
)
from hypothesis import given
from hypothesis import strategies as st

WITHIN = "MET (bar within the interval)"


def test_of_twenty_values_the_sixth_from_either_end_is_the_limit() -> None:
    """With 1 - 2 * 21700 / 2**20: that many of the tosses have five heads at most."""
    found = interval([float(number) for number in range(20, 0, -1)])
    assert (found.low, found.median, found.high) == (6, 10.5, 15)
    assert found.confidence == pytest.approx(0.9586, abs=1e-4)


@pytest.mark.parametrize(
    ("count", "confidence"), [(1, 0.0), (2, 0.5), (3, 0.75), (5, 0.9375), (6, 0.96875)]
)
def test_few_values_give_all_that_they_can_and_say_how_little_it_is(
    count: int, confidence: float
) -> None:
    values = [float(number) for number in range(count)]
    assert interval(values) == Interval(median(values), 0, count - 1, confidence)


def test_nothing_measured_is_no_figure() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        interval([])


@given(st.integers(6, 200))
def test_the_interval_is_as_narrow_as_its_confidence_allows(count: int) -> None:
    found = interval([float(number) for number in range(count)])
    rank = int(found.low)
    assert found.high == count - 1 - rank
    outside = 2 * sum(math.comb(count, heads) for heads in range(rank + 1)) / 2**count
    assert found.confidence == pytest.approx(1 - outside)
    assert found.confidence >= 0.95 > found.confidence - 2 * math.comb(count, rank + 1) / 2**count


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    """Whatever the distribution is: here a skewed one, as times are."""
    chance, true, tries = random.Random(1), math.log(2), 4000  # noqa: S311
    held = sum(
        found.low <= true <= found.high
        for found in (interval([chance.expovariate(1) for _ in range(20)]) for _ in range(tries))
    )
    assert held / tries == pytest.approx(0.9586, abs=0.015)


@pytest.mark.parametrize(
    ("bar", "low", "high", "word"),
    [
        (Bar("at least", 0.9), 0.95, 0.99, "MET"),
        (Bar("at least", 0.9), 0.90, 0.99, "MET"),
        (Bar("at least", 0.9), 0.70, 0.91, WITHIN),
        (Bar("at least", 0.9), 0.70, 0.90, WITHIN),
        (Bar("at least", 0.9), 0.70, 0.89, "MISSED"),
        (Bar("at most", 25.0), 10.0, 20.0, "MET"),
        (Bar("at most", 25.0), 10.0, 25.0, "MET"),
        (Bar("at most", 25.0), 24.0, 90.0, WITHIN),
        (Bar("at most", 25.0), 25.0, 90.0, WITHIN),
        (Bar("at most", 25.0), 26.0, 90.0, "MISSED"),
    ],
)
def test_missed_is_only_what_lies_wholly_beyond_the_bar(
    bar: Bar, low: float, high: float, word: str
) -> None:
    assert verdict(Interval((low + high) / 2, low, high, 0.95), bar) == word
    assert verdict(Interval((low + high) / 2, low, high, 0.75), bar) == "unsure"


def test_of_a_pair_each_is_first_in_turn() -> None:
    order: list[str] = []

    def measured(name: str) -> str:
        order.append(name)
        return name

    pairs = interleaved(4, lambda: measured("a"), lambda: measured("b"))
    assert pairs == (("a", "b"),) * 4
    assert "".join(order) == "abbaabba"


def test_the_table_has_units_verdicts_and_how_often_it_was_measured() -> None:
    ratio = Figure("mac-nat / bridged", RATIO, (0.5,) * 20, Bar("at least", 0.9))
    added = Figure("round trip added", MICROSECONDS, (3e-6, 2e-6, 4e-6), Bar("at most", 25e-6))
    told = Figure("told only", RATIO, (1.0,) * 6, None)
    lines = [line.split("  ") for line in table([ratio, added, told]).splitlines()]
    _, first, second, third = ([text.strip() for text in line if text.strip()] for line in lines)
    assert first == ["mac-nat / bridged", "0.50", "0.50 to 0.50", "at least 0.90", "MISSED", "20"]
    assert second == [
        "round trip added",
        "3.0 µs",
        "2.0 to 4.0 (75% only)",
        "at most 25.0 µs",
        "unsure",
        "3",
    ]
    assert third == ["told only", "1.00", "1.00 to 1.00", "none", "6"]


def test_the_worst_of_all_is_held_against_a_bar_of_its_own() -> None:
    bar = Bar("never more than", 0.25)
    values = tuple([0.01] * 199 + [0.24])
    assert "240.0 ms at worst" in table([Figure("effect", MILLISECONDS, values, bar)])
    assert "MET" in table([Figure("effect", MILLISECONDS, values, bar)])
    assert "MISSED" in table([Figure("effect", MILLISECONDS, (*values, 0.26), bar)])
