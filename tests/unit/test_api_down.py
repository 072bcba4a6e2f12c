"""`down` from any state: also where the simulated region itself is broken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from api_below import Silent

from pileus.api import environment
from pileus.api.down import down
from pileus.model.errors import CloudFault, Refused
from pileus.spec import Spec, loads
from pileus.system.workspace import Workspace
from pileus.vpc import control

SIMULATED = loads(b"cloud: demo\n", name="pileus.yaml")
REAL = SIMULATED.model_copy(
    update={"underlay": SIMULATED.underlay.model_copy(update={"endpoint": "aws"})}
)


BROKEN = CloudFault("TerminateInstances", "InternalError", "an error", hint="again", retryable=True)


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A cloud below that fails at every removal; what else was removed."""
    gone: list[str] = []

    def fail(*_: object) -> list[str]:
        raise BROKEN

    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(environment, "find_aws", lambda cloud: object())
    monkeypatch.setattr(environment, "remove", fail)
    monkeypatch.setattr(control, "remove", gone.append)
    Workspace("demo").record_wanted({})
    return gone


def take_down(spec: Spec) -> list[str]:
    return down(spec, Workspace("demo"), Silent())


def test_a_simulated_region_that_fails_goes_as_a_whole(removed: list[str]) -> None:
    assert take_down(SIMULATED) == []
    assert removed == ["demo"]
    assert not Workspace("demo").exists()


def test_a_real_cloud_that_fails_keeps_what_is_needed_to_try_again(removed: list[str]) -> None:
    with pytest.raises(CloudFault):
        take_down(REAL)
    assert removed == []
    assert Workspace("demo").exists()


def test_who_is_not_root_takes_no_region_down(
    removed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Refused, match="needs root"):
        take_down(SIMULATED)
    assert removed == []
    assert Workspace("demo").exists()
