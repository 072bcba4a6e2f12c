"""Instance types that cannot carry a controller are refused before anything is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from pileus.api import environment
from pileus.model.errors import Refused, UserError
from pileus.model.underlay import InstanceType, ObservedUnderlay
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
