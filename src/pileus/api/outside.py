"""A host of the internet, and what the cloud below tells of dropped frames, where it tells."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.api.environment import Cloud
from pileus.model.underlay import Node
from pileus.system import process
from pileus.system.process import Done
from pileus.trace.checks import Counters
from pileus.vpc import control


class Outside:
    """The simulated internet's client host; for a real cloud, the user's own machine."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def run(self, argv: Sequence[str]) -> Done:
        """Run a program there to its end, whatever its exit code."""
        command = list(argv)
        if self._cloud.simulated:
            command = control.internet_command(self._cloud.region, command)
        return process.run(command, check=False)


class WireView:
    """The drop counters of the cloud's NICs. A real cloud shows none."""

    def __init__(self, cloud: Cloud, machine: Node) -> None:
        self._cloud = cloud
        self._enis = {nic.eni_id for nic in machine.nics}

    def counters(self) -> Counters | None:
        if not self._cloud.simulated:
            return None
        return {
            report.nic.mac: report.dropped
            for report in control.counters(self._cloud.region)
            if report.nic.eni in self._enis
        }
