"""What cannot carry a controller, and who may not have one, is refused before anything is made."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from pileus.api import environment
from pileus.api.environment import Cloud
from pileus.model.errors import Refused, UserError
from pileus.model.underlay import InstanceType, ObservedUnderlay
from pileus.spec import loads
from pileus.system.progress import PlainFace, Progress
from pileus.system.workspace import Workspace
from pileus.underlay.aws import Aws


@dataclass
class Types:
    """A cloud that is asked for one instance type only."""

    facts: InstanceType
    asked: list[str] = field(default_factory=list)

    def instance_type(self, name: str) -> InstanceType:
        self.asked.append(name)
        return self.facts


def require(memory_mib: int, nics: int) -> None:
    facts = InstanceType("some.type", memory_mib, nics, 10, False)
    environment.require_instance_type(cast(Aws, Types(facts)), "some.type")


def test_the_guides_minimum_is_enough() -> None:
    require(6 * 1024, 2)


@pytest.mark.parametrize(
    ("memory_mib", "nics", "message"),
    [(6 * 1024 - 1, 2, "6 GiB are needed"), (8 * 1024, 1, "has 1 NIC, 2 are needed")],
)
def test_less_is_refused_with_a_larger_type_as_hint(
    memory_mib: int, nics: int, message: str
) -> None:
    with pytest.raises(Refused, match=message) as refused:
        require(memory_mib, nics)
    assert "m5.xlarge" in refused.value.hint


def test_a_cloud_without_a_machine_is_said_to_have_none() -> None:
    with pytest.raises(UserError, match="no machine") as missing:
        environment.require_node(ObservedUnderlay())
    assert "pileus up" in missing.value.hint


@pytest.mark.parametrize(
    "use",
    [
        environment.find_aws,
        environment.reach_aws,
        lambda cloud: environment.open_simulated(cloud, Progress(PlainFace(io.StringIO()))),
    ],
    ids=["look", "use", "bring up"],
)
def test_a_region_that_is_there_is_roots(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, use: Callable[[Cloud], object]
) -> None:
    """Whether it runs or its process has died; and nothing is written for who is not root."""
    monkeypatch.setenv("PILEUS_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    cloud = Cloud(loads(b"{}", name="pileus.yaml"), Workspace("demo"))
    assert environment.find_aws(cloud) is None
    (tmp_path / "run/demo").mkdir(parents=True)
    (tmp_path / "run/demo/settings.json").write_text("{}")
    with pytest.raises(Refused, match="needs root") as refused:
        use(cloud)
    assert "sudo" in refused.value.hint
    assert not (tmp_path / "state").exists()
