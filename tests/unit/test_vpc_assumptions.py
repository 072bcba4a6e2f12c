"""What is assumed of AWS is in the documentation as it is in the code."""

from __future__ import annotations

import importlib
from pathlib import Path

from pileus.vpc.assumptions import ASSUMPTIONS

LIMITS = Path(__file__).parents[2] / "docs" / "limits.md"


def test_the_documentation_lists_every_assumption_and_what_it_rests_on() -> None:
    told = " ".join(LIMITS.read_text().split())
    for one in ASSUMPTIONS:
        assert f"{one.sentence} ({one.basis})" in told


def test_every_assumption_names_a_module_of_the_region() -> None:
    for one in ASSUMPTIONS:
        importlib.import_module(f"pileus.vpc.{one.module}")
