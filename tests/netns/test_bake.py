"""A bake that is cut off leaves nothing behind that the next one would meet."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

from tiny_machine import build

from pileus.system import process

BAKE = (
    "import sys; from pathlib import Path; from pileus import node; "
    "node.bake(Path(sys.argv[1]), log=Path(sys.argv[2]))"
)
APT_GET = """#!/bin/sh
# Reads what a chroot must have, and goes on in a session of its own, as what apt starts may.
[ -e /proc/self/stat ] && head -c 1 /dev/urandom >/dev/null && [ -e /sys/class/net ] || exit 1
setsid sh -c 'exec >/told; echo begun; sleep 60'
"""
"""Stands in for the real one, which takes minutes."""
MAKE_DIRECTORY = """#!/bin/sh
for last; do :; done
exec mkdir "$last"
"""
"""install(1), which not every busybox has, as far as it is needed here."""


def small_root(root: Path) -> None:
    build(root)
    process.run(["chroot", str(root), "/bin/busybox", "--install", "-s", "/bin"])
    (root / "etc/resolv.conf").write_text("# none\n")
    for name, text in (("apt-get", APT_GET), ("install", MAKE_DIRECTORY)):
        (root / "bin" / name).unlink(missing_ok=True)
        (root / "bin" / name).write_text(text)
        (root / "bin" / name).chmod(0o755)


def next_word(pipe: int, *, seconds: float) -> str | None:
    """What is written next; nothing where no writer is left, None where neither comes in time."""
    ready, _, _ = select.select([pipe], [], [], seconds)
    return os.read(pipe, 100).decode().strip() if ready else None


def test_a_bake_cut_off_leaves_no_process_and_no_mount(tmp_path: Path) -> None:
    root, log = tmp_path / "unfinished", tmp_path / "log"
    for _ in range(2):
        small_root(root)
        os.mkfifo(root / "told")
        told = os.open(root / "told", os.O_RDONLY | os.O_NONBLOCK)
        with subprocess.Popen([sys.executable, "-c", BAKE, str(root), str(log)]) as baking:
            assert next_word(told, seconds=60) == "begun", log.read_text()
            assert str(root) not in Path("/proc/mounts").read_text(), "no mount is seen outside"
            baking.kill()
        assert next_word(told, seconds=10) == "", "what apt-get started has ended"
        os.close(told)
        assert (root / "etc/resolv.conf").read_text() == "# none\n"
        shutil.rmtree(root)
