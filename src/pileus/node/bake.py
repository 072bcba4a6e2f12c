"""Put into an image all that does not depend on the instance."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pileus.node import runner

PACKAGE = Path(__file__).parent
PARTS = ("bake.py", "furnish.py", "operations.py", "prepare.py", "units.py")
"""The modules that an image's content comes from."""


def image_key() -> str:
    """A short name of what `build_base` and `bake` would make now: another content, another key."""
    digest = hashlib.sha256()
    code = [PACKAGE / name for name in PARTS]
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
