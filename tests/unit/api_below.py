"""A cloud below as an API to look at, and progress that nobody looks at, for commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from healthy_underlay import CALLER, XLARGE

from pileus.model.limits import Limits
from pileus.model.underlay import InstanceType, ObservedUnderlay
from pileus.model.underlay_steps import Step
from pileus.system.workspace import Workspace


@dataclass
class Below:
    """Answers with what there is, and remembers what it was to do without doing it."""

    observed: ObservedUnderlay
    elastic_ips: int = 5
    """The account's quota."""
    asked_to: list[Step] = field(default_factory=list)

    def observe(self, _: str) -> ObservedUnderlay:
        return self.observed

    def limits(self, _: str) -> Limits:
        return Limits(XLARGE, (XLARGE,), self.elastic_ips, len(self.observed.elastic_ips))

    def instance_type(self, _: str) -> InstanceType:
        return XLARGE

    def caller_address(self) -> IPv4Address:
        return CALLER.address

    def apply(self, _: str, step: Step) -> None:
        self.asked_to.append(step)


class Silent:
    """Progress that nobody looks at."""

    @contextmanager
    def stage(self, name: str) -> Iterator[Silent]:
        yield self

    def note(self, text: str) -> None:
        pass


def workspace_in(directory: Path) -> Workspace:
    """The state of cloud `demo`, which has a key; $PILEUS_STATE is `directory`."""
    workspace = Workspace("demo")
    assert workspace.directory.parent == directory
    workspace.prepare()
    workspace.private_key.touch()
    workspace.private_key.with_suffix(".pub").write_text(CALLER.public_key)
    return workspace
