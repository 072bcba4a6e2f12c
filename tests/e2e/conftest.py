"""A whole cloud for all tests, brought up as a user would and interrupted on the way.

The suite has two halves, which may run side by side, each with a cloud of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_under_test import (
    STAGES,
    UP_SECONDS,
    CloudUnderTest,
    WatchArguments,
    cut_off,
    leftovers,
)
from host_watch import watched
from tenants import Town, settle_in

CHANGES = (
    "test_mac_clone",
    "test_restarts",
    "test_several_nics",
    "test_switching",
    "test_taken_down",
)
"""Modules of the half in which the cloud changes; the other half has all others."""
NAMES = {"found": "e2e", "changed": "anew"}
"""The cloud's name, by the half."""
FIRST: dict[str, dict[str, object]] = {"found": {}, "changed": {"uplink": "mac-clone"}}
"""What is in the pileus.yaml that the cloud first comes up with."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cloud",
        type=Path,
        metavar="DIRECTORY",
        help="use the cloud of these tests that is up already, with its pileus.yaml and its state "
        "in this directory, and leave it up: for work on one test",
    )
    parser.addoption(
        "--half", choices=NAMES, default="found", help="which half of the suite to run"
    )
    parser.addoption(
        "--gallery",
        action="store_true",
        help="break the cloud in all ways, not in one for each hop",
    )


@pytest.fixture(scope="session")
def cloud(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[CloudUnderTest]:
    half = request.config.getoption("--half", "found")
    name = NAMES[half]
    if there := request.config.getoption("--cloud", None):
        yield _cloud(name, there)
        return
    made = _cloud(name, tmp_path_factory.mktemp("cloud"))
    made.write(**FIRST[half])
    made.pileus("image", "build", timeout=1200)
    with watched(made.watch):
        try:
            if half == "found":
                _interrupt(made)
            with WatchArguments(made.arguments_seen):
                done = made.pileus("up", timeout=UP_SECONDS)
            made.up_output = done.stdout + done.stderr
            yield made
        finally:
            made.pileus("down", "--yes", check=False, timeout=300)


def _cloud(name: str, directory: Path) -> CloudUnderTest:
    environment = {"PILEUS_STATE": str(directory / "state"), "NO_COLOR": "1"}
    return CloudUnderTest(name, directory, environment)


@pytest.fixture(scope="session")
def town(cloud: CloudUnderTest) -> Town:
    """What users made on the cloud, with floating IPs."""
    return settle_in(cloud)


def _interrupt(cloud: CloudUnderTest) -> None:
    """A half-made cloud can be removed, made again after that, and completed from any stage."""
    cut_off(cloud, "machine")
    cloud.pileus("down", "--yes")
    assert leftovers(cloud.name) == []
    for stage in STAGES:
        cut_off(cloud, stage)


SECTIONS = {"outage": "while things restarted", "fault": "what was broken, and what was told of it"}
"""Headings of what tests record, by the name of the property."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the half that is asked for; only below this directory can it be."""
    changed = config.getoption("--half", "found") == "changed"
    others = [one for one in items if (one.path.stem in CHANGES) != changed]
    config.hook.pytest_deselected(items=others)
    items[:] = [one for one in items if one not in others]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was lost while things restarted, and what was told of each fault."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    told = [pair for one in reports if one.when == "call" for pair in one.user_properties]
    for recorded, heading in SECTIONS.items():
        lines = [str(value) for name, value in told if name == recorded]
        if lines:
            terminalreporter.section(heading)
        for line in lines:
            terminalreporter.line(line)
