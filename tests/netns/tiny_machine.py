"""A machine image of a few files: an init that tells what it finds and does what it is told."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pileus.system import clock, process
from pileus.vpc.disks import Disk

T = TypeVar("T")
INIT = """#!/bin/busybox sh
trap 'busybox poweroff -f' 37  # SIGRTMIN+3: systemd-nspawn asks for a shutdown
trap 'busybox reboot -f' INT   # Ctrl-Alt-Del
[ -p /orders ] || busybox mkfifo /orders
echo "boot $(busybox cat /etc/hostname): $(busybox ls /sys/class/net | busybox tr '\\n' ' ')"
exec 3<>/orders
while read -r order <&3; do
  $order
  echo "did $order"
done
"""


def build(root: Path) -> Path:
    """Make the image's root directory."""
    for name in ("usr", "bin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "var"):
        (root / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox
    shutil.copy(busybox, root / "bin/busybox")
    for library in _libraries(busybox):
        (root / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, root / library[1:])
    (root / "etc/os-release").write_text("ID=tiny\n")
    init = root / "sbin/init"
    init.write_text(INIT)
    init.chmod(0o755)
    return root


def _libraries(program: str) -> list[str]:
    """What a program needs beside itself: busybox is one file in Debian 12, and not in 13."""
    listing = process.run(["ldd", program], check=False)
    return re.findall(r"(/\S+) \(0x", listing.stdout) if listing.code == 0 else []


class TinyMachine:
    """A machine that runs the image, seen from outside."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def boots(self, count: int) -> str:
        """Wait until it has booted so many times; what it said last: its name and devices."""

        def last() -> str | None:
            said = [line for line in self._said() if line.startswith("boot ")]
            return said[-1].removeprefix("boot ") if len(said) >= count else None

        return _wait(last, f"boot {count}")

    def do(self, order: str) -> None:
        """Let it do something, and wait until it is done."""
        before = self._said().count(f"did {order}")
        self.tell(order)
        _wait(lambda: True if self._said().count(f"did {order}") > before else None, order)

    def tell(self, order: str) -> None:
        """Let it do something from which it does not come back."""
        descriptor = os.open(self._disk.root / "orders", os.O_WRONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "w") as orders:
            orders.write(order + "\n")

    def said(self, text: str) -> bool:
        """Whether a line on its console has this in it."""
        return any(text in line for line in self._said())

    def _said(self) -> list[str]:
        console = self._disk.console
        return console.read_text().split("\n") if console.exists() else []


def _wait(look: Callable[[], T | None], what: str) -> T:
    return clock.poll(look, what=f"no {what}", hint="", timeout=20, interval=0.02)
