"""Which codes Pileus itself tells while the unit tests run: not what a test wrote down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

import pileus
from pileus.model.finding import Finding
from pileus.model.path import Hop
from pileus.model.verdict import Code, Drop
from pileus.rules.evaluator import Outcome
from pileus.trace.checks import Judged
from pileus.trace.observe.reasons import Reason

HERE = Path(__file__).parent
OURS = str(Path(pileus.__file__).parent)
PRODUCED: set[Code] = set()
LAST = "test_every_code_is_told_by_pileus_itself"


def _codes(verdict: Any) -> Iterator[Code]:
    match verdict:
        case Finding(ok=False, code=Code() as code) | Judged(ok=False, code=Code() as code):
            yield code
        case Hop(code=Code() as code) | Reason(code=Code() as code):
            yield code
        case Drop(reason=code):
            yield code
        case Outcome(counted=counted):
            names = {name.rpartition(".")[2] for name in counted}
            yield from (code for code in Code if code.value in names)


def _watch(kind: type[Any]) -> None:
    made = kind.__init__

    @wraps(made)
    def init(self: Any, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        if sys._getframe(1).f_code.co_filename.startswith(OURS):
            PRODUCED.update(_codes(self))

    kind.__init__ = init


for _kind in (Finding, Judged, Hop, Reason, Drop, Outcome):
    _watch(_kind)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What counts the codes of all others runs after them."""
    items.sort(key=lambda item: item.name.startswith(LAST))


@pytest.fixture(scope="session")
def produced(request: pytest.FixtureRequest) -> set[Code]:
    """Of a run of all unit tests; others have not seen enough."""
    ran = {item.path.name for item in request.session.items}
    whole = {path.name for path in HERE.glob("test_*.py")} <= ran
    if not whole or request.config.getoption("keyword") or request.session.testsfailed:
        pytest.skip("not all unit tests ran, or some failed")
    return PRODUCED
