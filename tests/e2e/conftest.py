"""One whole cloud for the suite, brought up as a user would and interrupted on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cloud_under_test import (
    NAME,
    STAGES,
    UP_SECONDS,
    CloudUnderTest,
    WatchArguments,
    cut_off,
    leftovers,
    uplink_watch,
)
from tenants import Town, settle_in

from pileus.rules import apply as rules


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudUnderTest]:
    directory = tmp_path_factory.mktemp("cloud")
    (directory / "pileus.yaml").write_text(f"cloud: {NAME}\n")
    made = CloudUnderTest(directory, {"PILEUS_STATE": str(directory / "state"), "NO_COLOR": "1"})
    made.pileus("image", "build", timeout=1200)
    watch = uplink_watch()
    rules.apply(watch)
    try:
        _cut_off_and_take_down(made)
        for stage in STAGES:
            cut_off(made, stage)
        with WatchArguments(made.arguments_seen):
            done = made.pileus("up", timeout=UP_SECONDS)
        made.up_output = done.stdout + done.stderr
        yield made
    finally:
        made.pileus("down", "--yes", check=False, timeout=300)
        rules.remove(watch.family, watch.name)


@pytest.fixture(scope="session")
def town(cloud: CloudUnderTest) -> Town:
    """What users made on the cloud, with floating IPs."""
    return settle_in(cloud)


def _cut_off_and_take_down(cloud: CloudUnderTest) -> None:
    """A half-made cloud can be removed, and made again after that."""
    cut_off(cloud, "machine")
    cloud.pileus("down", "--yes")
    assert leftovers() == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was lost while things restarted."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    outages = [
        str(value)
        for report in reports
        if report.when == "call"
        for name, value in report.user_properties
        if name == "outage"
    ]
    if outages:
        terminalreporter.section("while things restarted")
        for line in outages:
            terminalreporter.line(line)
