"""Keeps the machines of a simulated region equal to its instances.

What an instance is made of, whole or thin, is known to `whole` and `thin`; here is what they have
in common: when they are switched on and off, what their end means, and that they outlive the
region's own process.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pileus.model.errors import PileusError
from pileus.system import netns, process
from pileus.vpc.disks import Disk
from pileus.vpc.state import Instance, InstanceState, RegionState
from pileus.vpc.thin import (
    ThinMachine,
    ThinMachines,
    command_on_thin,
    thin_machine,
)
from pileus.vpc.whole import (
    REBOOTS,
    WholeMachine,
    WholeMachines,
    command_on_whole,
    switch_off,
    whole_machine,
)
from pileus.vpc.wire.names import machine_namespace

log = logging.getLogger(__name__)

OWN_WILL = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
INTERNAL_ERROR = "Server.InternalError: Internal error on launch"
"""Reasons as AWS words them. [EC2 API reference, StateReason]"""


@dataclass
class _Machine:
    """A machine that was switched on."""

    made: WholeMachine | ThinMachine
    reboots: int
    """RebootInstances calls that it has seen."""
    asked: Literal["stop", "reboot"] | None = None
    over: bool = False
    """It has ended in order to boot again."""


class Machines:
    """Keeps the machines equal to the instances of a region.

    `images` maps image names to root directories. `report` is called when a machine has been
    switched on or off, has ended by itself or could not be switched on, with AWS's reason or None;
    `again` when one has to be switched on once more. Both may be called from threads.
    """

    def __init__(
        self,
        region: str,
        directory: Path,
        images: Mapping[str, Path],
        report: Callable[[str, InstanceState, str | None], None],
        again: Callable[[], None],
    ) -> None:
        self._region = region
        self._directory = directory
        self._whole = WholeMachines(region, directory, images)
        self._thin = ThinMachines(region, directory)
        self._report = report
        self._again = again
        self._machines: dict[str, _Machine] = {}

    def adopt(self, state: RegionState) -> None:
        """Take over the machines that an earlier process of the region has left running.

        One that has ended meanwhile is treated as if it did so now. What belongs to no instance is
        removed.
        """
        for path in sorted(self._directory.iterdir()) if self._directory.is_dir() else ():
            instance = state.instances.get(path.name)
            if instance is None or instance.state == "terminated":
                remove_machine(Disk(path))
            elif instance.state in ("pending", "running", "stopping"):
                disk = Disk(path)
                made = thin_machine(disk, state.enis_of(instance.id)) or whole_machine(disk)
                if made is not None:
                    self._keep(instance, made)

    def to_boot(self, state: RegionState) -> list[str]:
        """Instances that the next `follow` will switch on: their NICs are to be new."""
        return [
            instance.id
            for instance in state.instances.values()
            if instance.state in ("pending", "running") and self._live(instance.id) is None
        ]

    def follow(self, state: RegionState) -> None:
        """Boot what should run and end what should not. The machines' NICs must be plugged."""
        ending = [one.id for one in state.instances.values() if one.state == "shutting-down"]
        gone = set(self._machines) - set(state.instances)
        self._discard({*ending, *gone})
        for id in ending:  # also what was stopped, or never booted
            self._report(id, "terminated", None)
        for instance in state.instances.values():
            machine = self._live(instance.id)
            match instance.state:
                case "pending" | "running":
                    if machine is None:
                        self._try_to_boot(state, instance)
                    elif instance.reboots > machine.reboots and machine.asked is None:
                        self._ask(instance.id, machine, "reboot")
                    else:
                        machine.made.follow(state, instance)
                case "stopping":
                    if machine is None:
                        self._report(instance.id, "stopped", None)
                    elif machine.asked != "stop":
                        self._ask(instance.id, machine, "stop")
                case "stopped":
                    self._machines.pop(instance.id, None)

    def _live(self, instance: str) -> _Machine | None:
        machine = self._machines.get(instance)
        return None if machine is None or machine.over else machine

    def _try_to_boot(self, state: RegionState, instance: Instance) -> None:
        """What cannot boot is terminated at its launch, and stopped ever after, as on AWS."""
        launched = Disk(self._directory / instance.id).record.exists()
        kind = self._thin if instance.thin else self._whole
        try:
            made = kind.boot(state, instance)
        except (PileusError, OSError):
            log.exception("instance %s cannot boot", instance.id)
            self._report(instance.id, "stopped" if launched else "shutting-down", INTERNAL_ERROR)
            return
        self._keep(instance, made)
        self._report(instance.id, "running", None)

    def _keep(self, instance: Instance, made: WholeMachine | ThinMachine) -> None:
        self._machines[instance.id] = machine = _Machine(made, instance.reboots)
        if isinstance(made, WholeMachine):
            arguments = (instance.id, machine, made)
            threading.Thread(
                target=self._watch, args=arguments, name=instance.id, daemon=True
            ).start()

    def _watch(self, instance: str, machine: _Machine, made: WholeMachine) -> None:
        self._ended(instance, machine, made.wait())

    def _ended(self, instance: str, machine: _Machine, code: int) -> None:
        if self._machines.get(instance) is not machine:
            return
        if boots_again(machine.asked, code):
            machine.over = True
            self._again()
        else:
            self._silence(instance)
            # Forgotten when the API has taken it: until then another call must not boot it again.
            self._report(instance, "stopped", reason_of_end(machine.asked, code))

    def _silence(self, instance: str) -> None:
        """The kernel of a machine that is off answers nobody, but its namespace is still there."""
        namespace = machine_namespace(self._region, instance)
        if netns.existing(namespace):
            nics = [name for name in netns.links(namespace) if name.startswith("eth")]
            netns.batch(namespace, [f"link set {name} down" for name in nics])

    def _ask(self, instance: str, machine: _Machine, what: Literal["stop", "reboot"]) -> None:
        machine.asked = what
        arguments = (instance, machine, what)
        threading.Thread(
            target=self._do, args=arguments, name=f"{what}-{instance}", daemon=True
        ).start()

    def _do(self, instance: str, machine: _Machine, what: Literal["stop", "reboot"]) -> None:
        if what == "stop":
            machine.made.shut_down()
        else:
            machine.made.press_reset()
        if isinstance(machine.made, ThinMachine):  # nobody waits for it
            self._ended(instance, machine, 0)

    def _discard(self, instances: Collection[str]) -> None:
        if not instances:
            return
        namespaces = [machine_namespace(self._region, one) for one in instances]
        kill_processes(namespaces)
        for instance in instances:
            self._machines.pop(instance, None)
            remove_machine(Disk(self._directory / instance))
        netns.remove(*namespaces)


def boots_again(asked: str | None, code: int) -> bool:
    """Whether a machine that has ended was to reboot, by its own will or when asked."""
    return asked == "reboot" or (asked is None and code == REBOOTS)


def reason_of_end(asked: str | None, code: int) -> str | None:
    """AWS's reason for a machine that is off: None where the API itself asked for it."""
    if asked is not None:
        return None
    return OWN_WILL if code == 0 else f"Server.InternalError: The machine ended with code {code}"


def command_on(disk: Disk, argv: list[str]) -> list[str] | None:
    """The argument list that runs a program on a machine; None where it does not run."""
    return command_on_thin(disk, argv) or command_on_whole(disk, argv)


def remove_machine(disk: Disk) -> None:
    """End a whole machine at once, and delete any one's files. Safe to repeat, also after a crash.

    What runs in a thin one's namespace is ended with that: see `kill_processes`.
    """
    if whole_machine(disk) is not None or disk.root.exists():
        switch_off(disk)
    shutil.rmtree(disk.directory, ignore_errors=True)


def kill_processes(namespaces: Collection[str]) -> None:
    """End at once what runs in these namespaces."""
    for one in netns.processes(*namespaces):
        process.end(one, first=signal.SIGKILL)


def remove_machines(directory: Path) -> None:
    """Remove every machine whose files are in `directory`."""
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            remove_machine(Disk(path))
