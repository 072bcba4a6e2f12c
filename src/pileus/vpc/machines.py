"""Machines of the simulated region: Debian with systemd, booted by systemd-nspawn.

Each instance has a directory with the writable half of its disk (an overlay on the image) and a
record of its process, so that it can be found and ended by a later run.
"""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pileus.model.errors import Fault
from pileus.system import cgroup, files, netns, process
from pileus.system.process import ProcessId
from pileus.vpc.state import Instance, InstanceState, RegionState
from pileus.vpc.wire.names import machine_namespace

STOP_SECONDS = 60.0
"""How long a machine may take to shut down before it is switched off."""

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


class Machines:
    """Keeps the machines equal to the instances of a region.

    `images` maps image names to root directories. `report` is called when a machine has
    been switched on or off, or has ended by itself; then from a thread.
    """

    def __init__(
        self,
        region: str,
        directory: Path,
        images: Mapping[str, Path],
        report: Callable[[str, InstanceState], None],
    ) -> None:
        self._region = region
        self._directory = directory
        self._images = images
        self._report = report
        self._running: dict[str, ProcessId] = {}
        self._ending: set[str] = set()

    def follow(self, state: RegionState) -> None:
        """Boot what should run and end what should not. The machines' NICs must be plugged."""
        for instance in state.instances.values():
            runs = instance.id in self._running
            match instance.state:
                case "pending" | "running" if not runs:
                    self._boot(instance)
                case "stopping" if runs and instance.id not in self._ending:
                    self._end(instance.id)
                case "stopped":
                    self._running.pop(instance.id, None)
                case "shutting-down":  # also what was stopped, or never booted
                    self._discard(instance.id)
                    self._report(instance.id, "terminated")
        for gone in set(self._running) - set(state.instances):
            self._discard(gone)

    def _boot(self, instance: Instance) -> None:
        disk = Disk(self._directory / instance.id)
        self._prepare(instance, disk)
        started = process.spawn(self._command(instance, disk), log=disk.console, env=_ENVIRONMENT)
        files.write_json(disk.record, {"pid": started.pid, "started": started.started})
        self._running[instance.id] = started
        self._report(instance.id, "running")
        threading.Thread(
            target=self._watch, args=(instance.id, started), name=instance.id, daemon=True
        ).start()

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

    def _watch(self, instance: str, started: ProcessId) -> None:
        process.wait_for_exit(started, timeout=None)
        if self._running.get(instance) == started:
            # Forgotten when the API has taken it: until then another call must not boot it again.
            self._report(instance, "stopped")

    def _end(self, instance: str) -> None:
        self._ending.add(instance)
        arguments = (instance, self._running[instance])
        threading.Thread(target=self._stop, args=arguments, daemon=True).start()

    def _stop(self, instance: str, running: ProcessId) -> None:
        process.end(running, grace=STOP_SECONDS)
        self._ending.discard(instance)

    def _discard(self, instance: str) -> None:
        self._running.pop(instance, None)
        remove_machine(Disk(self._directory / instance))
        netns.remove(machine_namespace(self._region, instance))


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
