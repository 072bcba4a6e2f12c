"""What the host must have before a simulated region is started on it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pileus.model.errors import UserError
from pileus.system import process

PROGRAMS = (
    "ip",
    "nft",
    "ethtool",
    "conntrack",
    "dnsmasq",
    "mmdebstrap",
    "systemd-nspawn",
    "nsenter",
    "ssh",
    "ssh-keygen",
    "mount",
    "umount",
)
GIB = 1 << 30
DISK_GIB = 4
"""A running cloud writes some 2 GiB; twice that is asked for."""
BAKE_GIB = 10
"""Baking unpacks 4 GiB beside the packages that it downloads."""
MEMORY_GIB = 6


@dataclass(frozen=True)
class Host:
    """What was found on the host; sizes in bytes."""

    is_root: bool
    missing: tuple[str, ...]
    free_disk: int
    free_memory: int


def look(data: Path) -> Host:
    """Look at the host; `data` is where images and disks go."""
    existing = next(path for path in (data, *data.parents) if path.exists())
    return Host(
        os.geteuid() == 0,
        tuple(process.missing_programs(PROGRAMS)),
        shutil.disk_usage(existing).free,
        _available_memory(Path("/proc/meminfo").read_text()),
    )


def _available_memory(meminfo: str) -> int:
    (line,) = [line for line in meminfo.splitlines() if line.startswith("MemAvailable:")]
    return int(line.split()[1]) * 1024


def require(host: Host, *, baked: bool) -> None:
    """Raise UserError, with how to mend it, for the first thing that the host lacks."""
    if not host.is_root:
        raise UserError(
            "the simulated region needs root: it makes namespaces and boots machines",
            hint="run the same command as root (`sudo ./pileus …`)",
        )
    if host.missing:
        raise UserError(
            f"programs are missing on this host: {', '.join(host.missing)}",
            hint="run `make install` as root",
        )
    needed = DISK_GIB if baked else BAKE_GIB
    if host.free_disk < needed * GIB:
        raise UserError(
            f"{host.free_disk / GIB:.1f} GiB of disk are free, {needed} GiB are needed",
            hint="free some, or set PILEUS_DATA to a directory on another disk",
        )
    if host.free_memory < MEMORY_GIB * GIB:
        raise UserError(
            f"{host.free_memory / GIB:.1f} GiB of memory are free, {MEMORY_GIB} GiB are needed",
            hint="end other programs, or take a larger machine",
        )
