"""One vocabulary: a code without a page, a sentence, a hint or a test does not get in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.model.verdict import EXPLANATIONS, FAMILIES, Code

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "reference" / "codes.md").read_text()


def told(module: ast.Module) -> Iterator[str]:
    """What a test's code names, a code by its member or value; what its docstrings say is talk."""
    talk = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and _is_code(node.value):
            yield f"Code.{node.attr}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in talk:
            yield from re.findall(r"\b[A-Z][A-Z_0-9]+\b", node.value)


def _is_code(node: ast.expr) -> bool:
    """`Code`, or `verdict.Code`."""
    return getattr(node, "id", getattr(node, "attr", None)) == "Code"


@pytest.fixture(scope="module")
def tested() -> frozenset[str]:
    modules = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    return frozenset(word for path in modules for word in told(ast.parse(path.read_text())))


@pytest.mark.parametrize("code", list(Code), ids=str)
def test_every_code_says_what_it_means_and_what_to_do(code: Code) -> None:
    meaning = EXPLANATIONS[code]
    assert re.fullmatch(r"[A-Z/].*\.", meaning.sentence), "a whole sentence"
    assert meaning.component
    assert meaning.hint
    assert not meaning.hint.endswith("."), "a hint is told behind `hint:`"
    assert code.family in FAMILIES
    assert re.fullmatch(r"[A-Z]+(_[A-Z0-9]+)+", code.value)


@pytest.mark.parametrize("code", list(Code), ids=str)
def test_every_code_is_on_the_page_with_all_that_it_says(code: Code) -> None:
    entry = PAGE.partition(f"\n## {code}\n")[2].partition("\n## ")[0]
    meaning = EXPLANATIONS[code]
    assert all(part in entry for part in (meaning.component, meaning.sentence, meaning.hint))


@pytest.mark.parametrize("code", list(Code), ids=str)
def test_every_code_is_named_by_a_test(code: Code, tested: frozenset[str]) -> None:
    assert {f"Code.{code.name}", code.value} & tested


COUNTED_BY_THE_KERNEL_ALONE = {Code.SERVICE_RATE}
"""What no evaluator can tell, and `tests/netns/test_wire_paths.py` does."""


@pytest.mark.parametrize("code", list(Code), ids=str)
def test_every_code_is_told_by_pileus_itself(code: Code, produced: set[Code]) -> None:
    """A verdict with it was made while the unit tests ran, and not by a test."""
    assert (code in produced) is (code not in COUNTED_BY_THE_KERNEL_ALONE)


def test_no_two_codes_say_the_same() -> None:
    said = [(meaning.component, meaning.sentence) for meaning in EXPLANATIONS.values()]
    assert len(set(said)) == len(said)
    assert len({code.value for code in Code}) == len(Code)
    assert set(EXPLANATIONS) == set(Code)


def test_every_family_has_codes_and_is_on_the_page() -> None:
    assert {code.family for code in Code} == set(FAMILIES)
    assert all(f"- `{family}_…`: {about}\n" in PAGE for family, about in FAMILIES.items())


def test_what_only_talks_of_a_code_produces_none() -> None:
    talk = ast.parse('"""UPLINK_VLAN"""\ndef f():\n    "UPLINK_IPV6"\n    # UPLINK_DHCP\n')
    assert set(told(talk)) == set()
    shown = ast.parse('assert x == Code.SOURCE_MAC\nassert "out.UPLINK_VLAN" in y\n')
    assert {"Code.SOURCE_MAC", "UPLINK_VLAN"} <= set(told(shown))
