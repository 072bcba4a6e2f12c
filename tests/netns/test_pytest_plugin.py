"""The pytest plugin: the example of docs/sim.md, run by pytest as a user would run it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pileus.system import netns

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.netns

PAGE = Path(__file__).parents[2] / "docs" / "sim.md"


def test_the_documented_example_passes_and_leaves_nothing(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"<!-- example[^\n]*-->\n```python\n(.*?)```", PAGE.read_text(), re.S)
    pytester.makepyfile(example)
    pytester.path.chmod(0o755)
    for parent in pytester.path.parents[:3]:
        parent.chmod(0o755)  # for the name server, which is no longer root
    monkeypatch.setenv("PILEUS_RUN", str(pytester.path / "run"))
    monkeypatch.setenv("PILEUS_DATA", str(pytester.path / "data"))
    before = netns.existing(f"pileus-pytest-{os.getpid()}-")
    result = pytester.runpytest_inprocess("-p", "pileus.pytest_plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4)
    assert netns.existing(f"pileus-pytest-{os.getpid()}-") == before == []
