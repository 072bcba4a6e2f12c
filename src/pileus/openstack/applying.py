"""Doing what was planned, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pileus.model.tenant import ObservedOpenStack, WantedOpenStack
from pileus.openstack import on_floating, on_networks, on_routers, on_servers
from pileus.openstack.connection import calling
from pileus.openstack.doing import Ours, perform
from pileus.openstack.observing import observe
from pileus.openstack.planning import plan
from pileus.openstack.steps import Step
from pileus.system.clock import seconds

_HOW = (on_networks, on_routers, on_servers, on_floating)
"""Importing them tells `perform` how each step is done."""


@dataclass(frozen=True)
class Took:
    """A step that was done, and how long it took."""

    step: Step
    seconds: float


@dataclass(frozen=True)
class Ensured:
    """What `ensure` did (nothing, when all was right) and what there is now."""

    took: tuple[Took, ...]
    observed: ObservedOpenStack


def ensure(
    connection: Any, wanted: WantedOpenStack, progress: Callable[[str], None] = lambda _: None
) -> Ensured:
    """Make OpenStack what it should be; `progress` is told each step before it is done.

    Raises what `plan` and `apply` raise. It may be interrupted and repeated at any point.
    """
    observed = observe(connection, wanted)
    took = []
    for step in plan(wanted, observed):
        progress(str(step))
        start = seconds()
        apply(connection, wanted, step)
        took.append(Took(step, seconds() - start))
    return Ensured(tuple(took), observe(connection, wanted) if took else observed)


def apply(connection: Any, wanted: WantedOpenStack, step: Step) -> None:
    """Do one step. Raises CloudFault when the API refuses, Fault when it does not come true."""
    with calling(str(step)):
        perform(step, Ours(connection, wanted))
