"""Control groups for machines on a host without systemd.

Two machines in one group would see each other's processes as their own. Where systemd runs on the
host, systemd-nspawn asks it for a scope of its own; elsewhere these groups stand in for it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

_ENTER = 'for group; do shift; [ "$group" = -- ] && break; echo $$ >"$group/cgroup.procs"; done'
_SCRIPT = f'{_ENTER}; exec "$@"'


def host_has_systemd() -> bool:
    """Whether systemd is this host's init. [sd_booted(3)]"""
    return Path("/run/systemd/system").is_dir()


def hierarchies() -> list[Path]:
    """Where the unified hierarchy is mounted, and systemd's own named one of cgroup v1."""
    rows = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [
        Path(row[1]) for row in rows if row[2] == "cgroup2" or "name=systemd" in row[3].split(",")
    ]


def command_in(name: str, argv: list[str]) -> list[str]:
    """The argument list that runs a program in a group of its own in each hierarchy."""
    groups = [hierarchy / name for hierarchy in hierarchies()]
    for group in groups:
        group.mkdir(exist_ok=True)
    return ["sh", "-c", _SCRIPT, "sh", *(str(group) for group in groups), "--", *argv]


def remove(name: str) -> None:
    """Remove a group and those below it; what still has processes stays. Safe to repeat."""
    for hierarchy in hierarchies():
        group = hierarchy / name
        if group.is_dir():
            below = [path for path in group.rglob("*") if path.is_dir()]
            for path in [*sorted(below, reverse=True), group]:
                with contextlib.suppress(OSError):
                    path.rmdir()
