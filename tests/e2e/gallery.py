"""What Pileus tells of a fault: the case that fails, and the hop and code that a trace names."""

from __future__ import annotations

from dataclasses import dataclass

from broken import broken
from faults import PREFLIGHT, Fault, World

from pileus.api import check as preflight
from pileus.api import connectivity, trace
from pileus.model.connectivity import Tried
from pileus.model.finding import Finding
from pileus.model.path import Asked, Row, Trace
from pileus.system.clock import seconds

TAKES_EFFECT_SECONDS = 60.0


@dataclass(frozen=True)
class Told:
    """What was told of one fault."""

    fault: str
    failed: tuple[Tried, ...]
    row: Row | None
    """What a trace names."""
    seconds: float
    """What it took to check and to trace."""

    @property
    def code(self) -> str:
        return str(self.row.code) if self.row and self.row.code else "-"

    @property
    def hop(self) -> str:
        return f"{self.row.place.stage} {self.row.place.subject}" if self.row else "-"

    def __str__(self) -> str:
        cases = ", ".join(one.name for one in self.failed) or "-"
        return f"{self.fault:66}  {cases:28}  {self.hop:32}  {self.code:32}  {self.seconds:4.1f} s"


def examine(world: World, fault: Fault) -> Told:
    """Break the cloud, ask what is wrong, and mend it.

    It is asked again where nothing is: OpenStack's agents do a moment later what its API was told.
    """
    with broken(world, fault):
        end = seconds() + TAKES_EFFECT_SECONDS
        while True:
            start = seconds()
            failed = check(world, fault)
            took = seconds() - start
            if failed or seconds() > end:
                break
    row = next((named(one.trace) for one in failed if one.trace), None)
    return Told(fault.name, failed, row, took)


def named(trace: Trace) -> Row | None:
    """Where the packet dies; where it arrives, what is wrong on its way."""
    return trace.failing or next((row for row in trace.rows if row.code), None)


def check(world: World, fault: Fault) -> tuple[Tried, ...]:
    """What fails of a fault's case, and of getting to where it is tried."""
    spec, workspace = world.cloud.spec, world.cloud.workspace
    if fault.case == PREFLIGHT:
        found = preflight.check(spec, workspace).failed
        return tuple(_traced(world, finding) for finding in found)
    return connectivity.check_connectivity(spec, workspace, [fault.case], again=False).failed


def _traced(world: World, found: Finding) -> Tried:
    """What `check` found before anything is tried, with a trace of what is tried first."""
    asked = Asked("router", "8.8.8.8", "icmp", None)
    answer = trace.trace(world.cloud.spec, world.cloud.workspace, asked)
    return Tried(PREFLIGHT, found.sentence, False, found.detail, asked, answer)
