"""What the host must have before a simulated region is started on it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pileus.model.finding import require as require_all
from pileus.system import process
from pileus.trace import on_host
from pileus.trace.on_host import Host

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
    """Raise Refused, with how to mend it, for the first thing that the host lacks."""
    require_all(on_host.judge(host, baked=baked))
