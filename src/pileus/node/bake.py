"""Put into an image all that does not depend on the instance."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pileus.node import runner
from pileus.system import process

PACKAGE = Path(__file__).parent


def image_key() -> str:
    """A short name of what `build_base` and `bake` would make now: another content, another key."""
    digest = hashlib.sha256()
    code = [PACKAGE / name for name in ("bake.py", "operations.py", "prepare.py", "units.py")]
    files = (path for path in (PACKAGE / "files").rglob("*") if path.is_file())
    for path in sorted([*code, *files, PACKAGE.parent / "vpc/base_image.py"]):
        digest.update(str(path.relative_to(PACKAGE.parent)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def bake(root: Path, *, log: Path) -> None:
    """Make of a bare Debian 13's file system that of a controller without configuration.

    Safe to repeat, also after an interruption. The same deploy prepares a running machine. What
    the tools print goes to `log`. Raises CommandFailed when a package cannot be had.
    """
    with _inside(root):
        job = {"deploy": "prepare", "stamp": image_key(), "user": "root"}
        runner.run(runner.in_chroot(root, job), log=log)
    _forget(root)
    for name in ("etc/.updated", "var/.updated"):
        # Else the first boot would rebuild the linker's cache. [systemd-update-done.service(8)]
        (root / name).touch()


def _forget(root: Path) -> None:
    """Take out what every machine must have of its own, and what only the bake needed."""
    (root / "etc/machine-id").write_text("")
    for pattern in (
        "var/lib/dbus/machine-id",
        "var/lib/rabbitmq/.erlang.cookie",
        "etc/ssh/ssh_host_*",
        "etc/openvswitch/system-id.conf",
        "var/lib/apt/lists/*_*",
        "var/cache/apt/archives/*.deb",
    ):
        for path in root.glob(pattern):
            path.unlink()


@contextlib.contextmanager
def _inside(root: Path) -> Iterator[None]:
    """What programs in a chroot need of the kernel, and the host's way to look names up."""
    resolver = root / "etc/resolv.conf"
    own = resolver.read_text() if resolver.exists() else ""
    mounts = (
        ("-t", "proc", "proc", "proc"),
        ("-t", "sysfs", "-o", "ro", "sysfs", "sys"),
        ("-t", "tmpfs", "tmpfs", "dev"),
        ("-t", "tmpfs", "tmpfs", "run"),
        ("-t", "tmpfs", "tmpfs", "tmp"),
    )
    with contextlib.ExitStack() as undo:
        for *words, place in mounts:
            process.run(["mount", *words, str(root / place)])
            undo.callback(process.run, ["umount", "--lazy", str(root / place)], check=False)
        _devices(root / "dev")
        undo.callback(resolver.write_text, own)
        resolver.write_text(Path("/etc/resolv.conf").read_text())
        yield


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
