"""Ways to break the cloud: `check connectivity` fails for each, and a trace names hop and code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import broken
import pytest
from cloud_under_test import PRIVATE, CloudUnderTest, until
from faults import FAULTS, Fault, World
from gallery import check, examine
from tenants import FLOATING, Town

from pileus.api import check as preflight
from pileus.api import connectivity
from pileus.api.environment import Cloud
from pileus.spec import load
from pileus.system.workspace import Workspace

HEALS_SECONDS = 120.0
NETWORKS = f"[{PRIVATE}, {{name: other, cidr: 192.168.21.0/24}}]"
SERVERS = (
    '[{name: web, network: private, publish: ["522:22"]},'
    " {name: db, network: private}, {name: app, network: other}]"
)
NO_ELASTIC_IP = FAULTS[0]


@pytest.fixture(scope="module")
def world(cloud: CloudUnderTest, town: Town) -> Iterator[World]:
    """The cloud to be broken, with a server more on its network and one on another one.

    It is asked in this process: forty times the command would cost more.
    """
    cloud.write(floating_ips=FLOATING, networks=NETWORKS, servers=SERVERS)
    cloud.pileus("up", timeout=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILEUS_STATE", cloud.environment["PILEUS_STATE"])
        spec = load(cloud.directory / "pileus.yaml")
        yield broken.enter(Cloud(spec, Workspace(spec.cloud)))


def wrong(world: World) -> list[str]:
    """All that fails of everything that can be looked at and tried."""
    cloud = world.cloud.spec, world.cloud.workspace
    found = [f"{one.code}: {one.detail}" for one in preflight.check(*cloud).failed]
    tried = connectivity.check_connectivity(*cloud).failed
    return [*found, *(f"{one.name}: {one.detail}" for one in tried)]


def test_there_are_enough_of_them() -> None:
    assert len(FAULTS) >= 30
    assert sum(not fault.changes_api_state for fault in FAULTS) >= 10
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_before_that_nothing_is_wrong(world: World) -> None:
    assert wrong(world) == []


def test_the_commands_say_so(cloud: CloudUnderTest, world: World, tmp_path: Path) -> None:
    assert cloud.json("check")["ok"]
    told = tmp_path / "told.xml"
    report = cloud.json("check", "connectivity", "--junit-xml", str(told))
    names = {case["name"] for case in report["cases"]}
    assert {"web-reaches-db", "web-reaches-app", "app-reaches-web", "app-fetches-page"} <= names
    assert f'tests="{len(names)}" failures="0"' in told.read_text()
    answer = cloud.json("trace", "web", "app")
    assert answer["ok"]
    assert not [hop for hop in answer["hops"] if hop["differs"]]
    assert "192.168.21.0/24" in cloud.pileus("graph", "--svg", "-").stdout


def test_the_commands_say_what_is_wrong_and_end_with_1(cloud: CloudUnderTest, world: World) -> None:
    code, case, way = NO_ELASTIC_IP.code, NO_ELASTIC_IP.case, ("router", "8.8.8.8")
    with broken.broken(world, NO_ELASTIC_IP):
        looked = cloud.pileus("check", check=False)
        tried = cloud.pileus("check", "connectivity", case, check=False)
        traced = cloud.pileus("trace", *way, check=False)
        drawn = cloud.pileus("graph", "--trace", *way, "--svg", "-")
    for done in (looked, tried, traced, drawn):
        assert code in done.stdout
    assert [done.code for done in (looked, tried, traced)] == [1, 1, 1]
    assert "hint:" in traced.stdout


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """For each hop a fault that the clouds' APIs show and one that they do not, where there is one;
    with --gallery all of them, which takes some minutes more."""
    if "fault" in metafunc.fixturenames:
        some = {(fault.stage, fault.changes_api_state): fault for fault in reversed(FAULTS)}
        faults = FAULTS if metafunc.config.getoption("--gallery", False) else some.values()
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
