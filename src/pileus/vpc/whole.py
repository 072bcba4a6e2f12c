"""Whole machines of the simulated region: Debian with systemd, booted by systemd-nspawn.

Each has a directory with the writable half of its disk (an overlay on the image) and a record of
its process. That is a shell which waits for the machine and writes down how it ended: so a machine
goes on, and its end is known, when the region's own process is killed and started again.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pileus.model.errors import Fault
from pileus.system import cgroup, files, netns, process
from pileus.system.process import ProcessId
from pileus.vpc.disks import Disk
from pileus.vpc.state import Instance, RegionState
from pileus.vpc.wire.names import machine_namespace

STOP_SECONDS = 60.0
"""How long a machine may take to shut down before it is switched off."""

REBOOTS = 133
"""With --keep-unit, systemd-nspawn ends with this code for a machine that wants to boot again."""

_ENVIRONMENT = {
    # Hosts with cgroup v1 or hybrid: the guest's systemd needs the unified tree.
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    # Otherwise /proc/sys is read-only and Neutron cannot make routers.
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",
}
_KEEPER = 'told=$1; shift; "$@"; code=$?; echo $code >"$told.new"; mv "$told.new" "$told"'
"""The machine is tied to it: who kills the keeper kills the machine."""


@dataclass(frozen=True)
class WholeMachine:
    """A machine that was switched on."""

    keeper: ProcessId
    disk: Disk

    def wait(self) -> int:
        """Wait until it has ended; its exit code, negative for a signal that ended it."""
        process.wait_for_exit(self.keeper, timeout=None)
        try:
            code = int(self.disk.exit.read_text())
        except (FileNotFoundError, ValueError):
            return -signal.SIGKILL  # it went with its keeper
        return 128 - code if code > 128 and code != REBOOTS else code

    def follow(self, state: RegionState, instance: Instance) -> None:
        """The guest's own system sees to its NICs."""

    def shut_down(self) -> None:
        """Shut down; what takes too long is switched off."""
        nspawn = self._nspawn()
        if nspawn is not None:
            process.end(nspawn, grace=STOP_SECONDS)

    def press_reset(self) -> None:
        """Ctrl-Alt-Del, which any init takes for a reboot; what does not listen is cut off."""
        first = first_process(self.keeper)
        if first is not None:
            process.end(first, grace=STOP_SECONDS, first=signal.SIGINT)
        if not process.wait_for_exit(self.keeper, timeout=10):
            process.end(self.keeper)

    def switch_off(self) -> None:
        """Kill its first process: the kernel ends all others, and nspawn cleans up."""
        first = first_process(self.keeper)
        if first is not None:
            process.end(first, first=signal.SIGKILL)
            process.wait_for_exit(self.keeper, timeout=10)
        process.end(self.keeper, grace=5)

    def _nspawn(self) -> ProcessId | None:
        children = _children(self.keeper.pid) if process.alive(self.keeper) else []
        return process.identify(children[0]) if children else None


class WholeMachines:
    """How whole machines are made. `images` maps image names to root directories."""

    def __init__(self, region: str, directory: Path, images: Mapping[str, Path]) -> None:
        self._region = region
        self._directory = directory
        self._images = images

    def boot(self, state: RegionState, instance: Instance) -> WholeMachine:  # noqa: ARG002
        """Switch a machine on. Its NICs must be plugged. Raises PileusError and OSError."""
        disk = Disk(self._directory / instance.id)
        self._prepare(instance, disk)
        cgroup.remove(_group(instance.id))  # a boot before left groups of its own in it
        disk.exit.unlink(missing_ok=True)
        tied = ["setpriv", "--pdeathsig", "KILL", "--", *self._command(instance, disk)]
        command = ["sh", "-c", _KEEPER, "sh", str(disk.exit), *tied]
        keeper = process.spawn(command, log=disk.console, env=_ENVIRONMENT)
        files.write_json(disk.record, {"pid": keeper.pid, "started": keeper.started})
        return WholeMachine(keeper, disk)

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


def whole_machine(disk: Disk) -> WholeMachine | None:
    """The machine that an earlier run switched on, whether or not it has ended since; or None."""
    record = files.read_json(disk.record) or {}
    if "pid" not in record:
        return None
    return WholeMachine(ProcessId(record["pid"], record["started"]), disk)


def switch_off(disk: Disk) -> None:
    """End a machine at once and unmount its disk. Safe to repeat, also after a crash."""
    machine = whole_machine(disk)
    if machine is not None:
        machine.switch_off()
    cgroup.remove(_group(disk.directory.name))
    if disk.root.is_mount():
        process.run(["umount", "--lazy", str(disk.root)])


def command_on_whole(disk: Disk, argv: list[str]) -> list[str] | None:
    """The argument list that runs a program in a machine; None where it does not run."""
    machine = whole_machine(disk)
    first = first_process(machine.keeper) if machine else None
    if first is None:
        return None
    spaces = ("--mount", "--uts", "--ipc", "--net", "--pid")
    return ["nsenter", f"--target={first.pid}", *spaces, "--", *argv]


def first_process(keeper: ProcessId) -> ProcessId | None:
    """The machine's pid 1, a child of nspawn or of nspawn's own helper process."""
    waiting = [keeper.pid] if process.alive(keeper) else []
    while waiting:
        pid = waiting.pop()
        if _inner_pid(pid) == 1:
            return process.identify(pid)
        waiting += _children(pid)
    return None


def _group(instance: str) -> str:
    return f"pileus-{instance}"


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
