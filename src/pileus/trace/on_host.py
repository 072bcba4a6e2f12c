"""What a host must have before a simulated region is started on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pileus.model.finding import Finding
from pileus.model.verdict import Code
from pileus.trace.on_machine import GIB, MEMORY_GIB, ROOT_GIB

DISK_GIB = 4
"""A running cloud writes some 2 GiB; twice that is asked for."""
BAKE_GIB = 10
"""Baking unpacks 4 GiB beside the packages that it downloads."""


@dataclass(frozen=True)
class Host:
    """What was found on the host; sizes in bytes."""

    is_root: bool
    missing: tuple[str, ...]
    """Programs that are not installed."""
    free_disk: int
    free_memory: int
    disk: int
    """Of the file system that images and machines go to, whatever is on it."""


def judge(host: Host, *, baked: bool) -> Iterator[Finding]:
    """Everything that the host must have; `baked` says that the machine image is there."""
    yield user(is_root=host.is_root)
    missing = ", ".join(host.missing)
    told = f"programs are missing on this host: {missing}" if missing else "all there"
    yield Finding(Code.HOST_PROGRAM, "programs", not missing, told)
    yield _free(Code.HOST_DISK, "disk", host.free_disk, DISK_GIB if baked else BAKE_GIB)
    told = f"the file system has {host.disk / GIB:.1f} GiB, {ROOT_GIB:.0f} GiB are needed"
    yield Finding(Code.HOST_DISK, "disk size", host.disk >= ROOT_GIB * GIB, told)
    yield _free(Code.HOST_MEMORY, "memory", host.free_memory, MEMORY_GIB)


def user(*, is_root: bool) -> Finding:
    """Whether the user may have a simulated region, or use one that runs."""
    told = "root" if is_root else "the simulated region needs root"
    return Finding(Code.HOST_NOT_ROOT, "user", is_root, told)


def _free(code: Code, what: str, free: int, needed: int) -> Finding:
    told = f"{free / GIB:.1f} GiB of {what} are free, {needed} GiB are needed"
    return Finding(code, what, free >= needed * GIB, told)
