"""What programs in a chroot need of the kernel, and the host's way to look names up."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pileus.system import process

MOUNTS = (
    ("-t", "proc", "proc", "proc"),
    ("-t", "sysfs", "-o", "ro", "sysfs", "sys"),
    ("-t", "tmpfs", "tmpfs", "dev"),
    ("-t", "tmpfs", "tmpfs", "run"),
    ("-t", "tmpfs", "tmpfs", "tmp"),
    ("--bind", "/etc/resolv.conf", "etc/resolv.conf"),
)


def furnish(root: Path) -> None:
    """Mount into `root` what a chroot needs. For a process with mounts of its own.

    Nothing takes it back: it is gone with the last process that sees it. Raises CommandFailed.
    """
    for *words, place in MOUNTS:
        process.run(["mount", *words, str(root / place)])
    _devices(root / "dev")


def _devices(directory: Path) -> None:
    """The nodes that every program expects. The host's own stay out of reach."""
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        node = directory / name
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        node.chmod(0o666)
    (directory / "shm").mkdir(mode=0o1777)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1")):
        (directory / name).symlink_to(target)
    (directory / "stderr").symlink_to("fd/2")
