"""What the host must have before a simulated region is started on it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pileus.model.finding import require as require_all
from pileus.model.verdict import Code
from pileus.system import process
from pileus.trace import on_host
from pileus.trace.on_host import Host

PROGRAMS = (
    "ip",
    "nft",
    "conntrack",
    "dnsmasq",
    "mmdebstrap",
    "systemd-nspawn",
    "nsenter",
    "unshare",
    "ssh",
    "ssh-keygen",
    "mount",
    "umount",
)


REGION_PROGRAMS = ("ip", "nft", "conntrack", "dnsmasq", "nsenter", "unshare", "mount")
"""Those of a region with thin machines alone."""


def look(data: Path, programs: Sequence[str] = PROGRAMS) -> Host:
    """Look at the host; `data` is where images and disks go."""
    existing = next(path for path in (data, *data.parents) if path.exists())
    disk = shutil.disk_usage(existing)
    return Host(
        is_root=os.geteuid() == 0,
        missing=tuple(process.missing_programs(programs)),
        free_disk=disk.free,
        free_memory=_available_memory(Path("/proc/meminfo").read_text()),
        disk=disk.total,
    )


def _available_memory(meminfo: str) -> int:
    (line,) = [line for line in meminfo.splitlines() if line.startswith("MemAvailable:")]
    return int(line.split()[1]) * 1024


def require(host: Host, *, baked: bool) -> None:
    """Raise Refused, with how to mend it, for the first thing that the host lacks."""
    require_all(on_host.judge(host, baked=baked))


def require_root() -> None:
    """Raise Refused for a user who can do nothing with a simulated region of this host."""
    require_all([on_host.user(is_root=os.geteuid() == 0)])


def require_region() -> None:
    """The same for a region on its own, whose machines need little: root, and some programs."""
    found = on_host.judge(look(Path("/"), REGION_PROGRAMS), baked=True)
    require_all(one for one in found if one.code in (Code.HOST_NOT_ROOT, Code.HOST_PROGRAM))
