"""Times `up` with the image baked, on a cloud of its own, and holds it against the limits.

With `--cold` it times `up` from nothing: in a data directory where no image is.
Prints each stage with its seconds and the CPU seconds that the whole machine spent in it, the peak
memory, and MET or MISSED for each limit. The exit code says whether it ran, not how fast it was.
Run it on an idle machine: processes that others start meanwhile are counted as ours.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from pileus.api import down, images, sim, up
from pileus.spec import Spec, loads
from pileus.system.progress import Duration, PlainFace, Progress, Stage
from pileus.system.workspace import Workspace

SSH_SECONDS = 150.0
COLD_SECONDS = 720.0
AGAIN_SECONDS = 20.0
MEMORY_BYTES = 6e9
SAMPLE_SECONDS = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """CPU time that the machine has spent so far, idle left out. [proc(5), /proc/stat]"""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def processes() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def pss_bytes(pids: set[int]) -> int:
    """Summed proportional set size. [proc(5), /proc/PID/smaps_rollup]"""
    total = 0
    for pid in pids:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(
                int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")
            )
    return total * 1024


@dataclass
class Memory:
    """The most that new processes used together, sampled."""

    peak: int = 0
    before: set[int] = field(default_factory=processes)

    @contextmanager
    def watched(self) -> Iterator[None]:
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,))
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, pss_bytes(processes() - self.before))


class Recorder(PlainFace):
    """Plain lines, and for each stage the machine's CPU seconds, for each note its time."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.started_at = time.monotonic()
        self.cpu: dict[str, float] = {}
        self.notes: list[tuple[float, str]] = []

    def started(self, stage: Stage) -> None:
        self.cpu[stage.name] = -cpu_seconds()
        super().started(stage)

    def noted(self, stage: Stage) -> None:
        self.notes.append((time.monotonic() - self.started_at, stage.text))
        super().noted(stage)

    def ended(self, stage: Stage, duration: Duration) -> None:
        self.cpu[stage.name] += cpu_seconds()
        super().ended(stage, duration)

    def ssh_seconds(self) -> float:
        """When the server answered SSH on the Elastic IP; the checks note what they have seen."""
        return next(at for at, text in self.notes if text.startswith("SSH to the Elastic IP"))


def verdict(what: str, value: float, limit: float, unit: str) -> None:
    word = "MET" if value <= limit else "MISSED"
    print(f"{word:<7} {what}: {value:.1f} {unit}, limit {limit:.1f} {unit}")


def measure(spec: Spec, workspace: Workspace, *, cold: bool) -> None:
    memory, face = Memory(), Recorder()
    told = Progress(face)
    with memory.watched():
        up.up(spec, workspace, told)
    print(f"\n{'stage':<28} {'seconds':>8} {'CPU s':>8}")
    for duration in told.durations:
        print(f"{duration.stage:<28} {duration.seconds:8.1f} {face.cpu[duration.stage]:8.1f}")
    print(f"{'all':<28} {sum(d.seconds for d in told.durations):8.1f}\n")
    what, limit = ("from nothing", COLD_SECONDS) if cold else ("image baked", SSH_SECONDS)
    verdict(f"from `up` to SSH on the Elastic IP, {what}", face.ssh_seconds(), limit, "s")
    verdict("peak memory (summed PSS)", memory.peak / 1e9, MEMORY_BYTES / 1e9, "GB")
    began = time.monotonic()
    again = up.up(spec, workspace, Progress(PlainFace(sys.stderr)))
    verdict("`up` again", time.monotonic() - began, AGAIN_SECONDS, "s")
    print(f"{'MET' if not again.changed else 'MISSED':<7} `up` again changes nothing")


@contextmanager
def nothing_baked() -> Iterator[None]:
    """Have images and disks in a new directory, beside where they are otherwise."""
    data = images.images_directory().parent
    data.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("PILEUS_DATA")
    with tempfile.TemporaryDirectory(prefix="cold-", dir=data) as fresh:
        Path(fresh).chmod(0o755)  # as a data directory is
        os.environ["PILEUS_DATA"] = fresh
        try:
            yield
        finally:
            if before is None:
                del os.environ["PILEUS_DATA"]
            else:
                os.environ["PILEUS_DATA"] = before


def main() -> None:
    options = argparse.ArgumentParser(description="Time `up` and hold it against the limits.")
    options.add_argument("--cold", action="store_true", help="from nothing: the image is baked too")
    cold = options.parse_args().cold
    spec = loads(b"cloud: bench", name="bench")
    workspace = Workspace(spec.cloud)
    quiet = Progress(PlainFace(sys.stderr))
    down.down(spec, workspace, quiet)
    with nothing_baked() if cold else nullcontext():
        if not cold:
            sim.image_build(spec, workspace, quiet)
        try:
            measure(spec, workspace, cold=cold)
        finally:
            down.down(spec, workspace, quiet)


if __name__ == "__main__":
    main()
