"""Ways to break the cloud: `check connectivity` fails for each, and a trace names hop and code."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import broken
import pytest
from cloud_under_test import CloudUnderTest, until
from faults import FAULTS, Fault, World
from gallery import check, examine
from tenants import Town

from pileus.api import connectivity
from pileus.api.environment import Cloud
from pileus.spec import load
from pileus.system.workspace import Workspace

HEALS_SECONDS = 120.0


@pytest.fixture(scope="module")
def world(cloud: CloudUnderTest, town: Town) -> Iterator[World]:
    """The cloud to be broken, asked in this process: forty times the command would cost more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILEUS_STATE", cloud.environment["PILEUS_STATE"])
        spec = load(cloud.directory / "pileus.yaml")
        yield broken.enter(Cloud(spec, Workspace(spec.cloud)))


def wrong(world: World) -> list[str]:
    """All that fails of everything that can be tried."""
    report = connectivity.check_connectivity(world.cloud.spec, world.cloud.workspace)
    return [f"{one.name}: {one.detail}" for one in report.failed]


def test_there_are_enough_of_them() -> None:
    assert len(FAULTS) >= 30
    assert sum(not fault.changes_api_state for fault in FAULTS) >= 10
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_before_that_nothing_is_wrong(world: World) -> None:
    assert wrong(world) == []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One fault of each hop; with --gallery all of them, which takes some minutes more."""
    if "fault" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--gallery", False)
        faults = FAULTS if whole else {fault.stage: fault for fault in reversed(FAULTS)}.values()
        metafunc.parametrize("fault", faults, ids=lambda fault: fault.name)


def test_a_fault_is_told_where_it_is(
    world: World, fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    told = examine(world, fault)
    record_property("fault", told)
    assert told.failed, "check must fail"
    assert told.row, "a trace must name the hop"
    assert (told.code, told.row.place.stage) == (fault.code, fault.stage)
    until("it is well again", lambda: not check(world, fault), HEALS_SECONDS)


def test_after_that_nothing_is_wrong(world: World) -> None:
    assert wrong(world) == []
