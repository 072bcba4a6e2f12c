"""What tests ask of a packet's outcome."""

from __future__ import annotations

from pileus.rules.evaluator import Outcome


def dropped(outcome: Outcome, counter: str) -> bool:
    """Whether the packet was dropped by a rule of this counter's code, counted there alone."""
    code = counter.partition(".")[2]
    return (outcome.verdict, outcome.counted, outcome.code) == ("drop", (counter,), code)
