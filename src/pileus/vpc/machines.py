"""Machines of the simulated region: Debian with systemd, booted by systemd-nspawn.

Each instance has a directory with the writable half of its disk (an overlay on the image) and a
record of its process, so that it can be found and ended by a later run.
"""

from __future__ import annotations

import logging
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pileus.model.errors import Fault, PileusError
from pileus.system import cgroup, files, netns, process
from pileus.system.process import ProcessId
from pileus.vpc.state import Instance, InstanceState, RegionState
from pileus.vpc.wire.names import machine_namespace

log = logging.getLogger(__name__)

STOP_SECONDS = 60.0
"""How long a machine may take to shut down before it is switched off."""

REBOOTS = 133
"""With --keep-unit, systemd-nspawn ends with this code for a machine that wants to boot again."""

OWN_WILL = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
INTERNAL_ERROR = "Server.InternalError: Internal error on launch"
"""Reasons as AWS words them. [EC2 API reference, StateReason]"""

_ENVIRONMENT = {
    # Hosts with cgroup v1 or hybrid: the guest's systemd needs the unified tree.
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    # Otherwise /proc/sys is read-only and Neutron cannot make routers.
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",
}


@dataclass(frozen=True)
class Disk:
    """Where an instance's files are."""

    directory: Path

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def upper(self) -> Path:
        return self.directory / "upper"

    @property
    def work(self) -> Path:
        return self.directory / "work"

    @property
    def record(self) -> Path:
        return self.directory / "machine.json"

    @property
    def console(self) -> Path:
        return self.directory / "console.log"


@dataclass
class _Machine:
    """A machine that was switched on."""

    process: ProcessId
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
        self._images = images
        self._report = report
        self._again = again
        self._machines: dict[str, _Machine] = {}

    def to_boot(self, state: RegionState) -> list[str]:
        """Instances that the next `follow` will switch on: their NICs are to be new."""
        return [
            instance.id
            for instance in state.instances.values()
            if instance.state in ("pending", "running") and self._live(instance.id) is None
        ]

    def follow(self, state: RegionState) -> None:
        """Boot what should run and end what should not. The machines' NICs must be plugged."""
        for instance in state.instances.values():
            machine = self._live(instance.id)
            match instance.state:
                case "pending" | "running":
                    if machine is None:
                        self._try_to_boot(instance)
                    elif instance.reboots > machine.reboots and machine.asked is None:
                        self._ask(instance.id, machine, "reboot")
                case "stopping":
                    if machine is None:
                        self._report(instance.id, "stopped", None)
                    elif machine.asked != "stop":
                        self._ask(instance.id, machine, "stop")
                case "stopped":
                    self._machines.pop(instance.id, None)
                case "shutting-down":  # also what was stopped, or never booted
                    self._discard(instance.id)
                    self._report(instance.id, "terminated", None)
        for gone in set(self._machines) - set(state.instances):
            self._discard(gone)

    def _live(self, instance: str) -> _Machine | None:
        machine = self._machines.get(instance)
        return None if machine is None or machine.over else machine

    def _try_to_boot(self, instance: Instance) -> None:
        """What cannot boot is terminated at its launch, and stopped ever after, as on AWS."""
        disk = Disk(self._directory / instance.id)
        launched = disk.record.exists()
        try:
            self._boot(instance, disk)
        except (PileusError, OSError):
            log.exception("instance %s cannot boot", instance.id)
            self._report(instance.id, "stopped" if launched else "shutting-down", INTERNAL_ERROR)

    def _boot(self, instance: Instance, disk: Disk) -> None:
        self._prepare(instance, disk)
        cgroup.remove(_group(instance.id))  # a boot before left groups of its own in it
        command = self._command(instance, disk)
        child = process.spawn_child(command, log=disk.console, env=_ENVIRONMENT)
        files.write_json(disk.record, {"pid": child.id.pid, "started": child.id.started})
        self._machines[instance.id] = machine = _Machine(child.id, instance.reboots)
        self._report(instance.id, "running", None)
        arguments = (instance.id, machine, child)
        threading.Thread(target=self._watch, args=arguments, name=instance.id, daemon=True).start()

    def _prepare(self, instance: Instance, disk: Disk) -> None:
        first_boot = not disk.upper.exists()
        for path in (disk.root, disk.upper, disk.work):
            path.mkdir(parents=True, exist_ok=True)
        if not disk.root.is_mount():
            layers = f"lowerdir={self._image(instance)},upperdir={disk.upper},workdir={disk.work}"
            process.run(["mount", "-t", "overlay", "pileus", "-o", layers, str(disk.root)])
        if first_boot:
            # Before the first boot: services remember the name that they were first started with.
            files.write(disk.root / "etc/hostname", f"{instance.hostname}\n")

    def _image(self, instance: Instance) -> Path:
        try:
            return self._images[instance.image]
        except KeyError:
            raise Fault(
                f"the image {instance.image!r} has no root file system here",
                hint="run `pileus image build`",
            ) from None

    def _command(self, instance: Instance, disk: Disk) -> list[str]:
        namespace = netns.DIRECTORY / machine_namespace(self._region, instance.id)
        devices = ["/dev/net/tun"] + (["/dev/kvm"] if instance.nested_virtualization else [])
        boot = [
            # Not by nspawn's own option for it: /sys would show the host's NICs in the machine.
            "nsenter",
            f"--net={namespace}",
            "systemd-nspawn",
            f"--directory={disk.root}",
            f"--machine={instance.id}",
            "--boot",
            "--register=no",
            "--capability=all",
            "--console=pipe",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            *(f"--bind={device}" for device in devices if Path(device).exists()),
        ]
        if cgroup.host_has_systemd():
            return boot
        return cgroup.command_in(_group(instance.id), [*boot, "--keep-unit"])

    def _watch(self, instance: str, machine: _Machine, child: process.Child) -> None:
        code = child.wait()
        if self._machines.get(instance) is not machine:
            return
        if boots_again(machine.asked, code):
            machine.over = True
            self._again()
        else:
            # Forgotten when the API has taken it: until then another call must not boot it again.
            self._report(instance, "stopped", reason_of_end(machine.asked, code))

    def _ask(self, instance: str, machine: _Machine, what: Literal["stop", "reboot"]) -> None:
        machine.asked = what
        act = _shut_down if what == "stop" else _press_reset
        threading.Thread(
            target=act, args=(machine.process,), name=f"{what}-{instance}", daemon=True
        ).start()

    def _discard(self, instance: str) -> None:
        self._machines.pop(instance, None)
        remove_machine(Disk(self._directory / instance))
        netns.remove(machine_namespace(self._region, instance))


def boots_again(asked: str | None, code: int) -> bool:
    """Whether a machine that has ended was to reboot, by its own will or when asked."""
    return asked == "reboot" or (asked is None and code == REBOOTS)


def reason_of_end(asked: str | None, code: int) -> str | None:
    """AWS's reason for a machine that is off: None where the API itself asked for it."""
    if asked is not None:
        return None
    return OWN_WILL if code == 0 else f"Server.InternalError: The machine ended with code {code}"


def _shut_down(nspawn: ProcessId) -> None:
    process.end(nspawn, grace=STOP_SECONDS)


def _press_reset(nspawn: ProcessId) -> None:
    """Ctrl-Alt-Del, which any init takes for a reboot; what does not listen is cut off."""
    first = _first_process(nspawn)
    if first is not None:
        process.end(first, grace=STOP_SECONDS, first=signal.SIGINT)
    if not process.wait_for_exit(nspawn, timeout=10):
        process.end(nspawn)


def _group(instance: str) -> str:
    return f"pileus-{instance}"


def remove_machine(disk: Disk) -> None:
    """End a machine at once and delete its disk. Safe to repeat, also after a crash."""
    record = files.read_json(disk.record)
    if record:
        _switch_off(ProcessId(record["pid"], record["started"]))
    cgroup.remove(_group(disk.directory.name))
    if disk.root.is_mount():
        process.run(["umount", "--lazy", str(disk.root)])
    shutil.rmtree(disk.directory, ignore_errors=True)


def remove_machines(directory: Path) -> None:
    """Remove every machine whose files are in `directory`."""
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            remove_machine(Disk(path))


def _switch_off(nspawn: ProcessId) -> None:
    """Kill the machine's first process: the kernel ends all others, and nspawn cleans up."""
    first = _first_process(nspawn)
    if first is not None:
        process.end(first, first=signal.SIGKILL)
        process.wait_for_exit(nspawn, timeout=10)
    process.end(nspawn, grace=5)


def _first_process(nspawn: ProcessId) -> ProcessId | None:
    """The machine's pid 1, a child of nspawn or of nspawn's own helper process."""
    waiting = [nspawn.pid] if process.alive(nspawn) else []
    while waiting:
        pid = waiting.pop()
        if _inner_pid(pid) == 1:
            return process.identify(pid)
        waiting += _children(pid)
    return None


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def _inner_pid(pid: int) -> int | None:
    """The process's number in its own pid namespace, where that is not ours. [proc(5), NSpid]"""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    (line,) = [line for line in status.splitlines() if line.startswith("NSpid:")]
    numbers = line.split()[1:]
    return int(numbers[-1]) if len(numbers) > 1 else None
