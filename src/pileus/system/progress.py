"""What a run is doing, told on stderr: one live line on a terminal, plain lines elsewhere.

Durations are kept, so that a benchmark can print them afterwards.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Group

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Duration:
    """How long a stage took. `cpu` counts this process and the programs it waited for.

    Stages that run side by side each count the whole; machines' own work is not in it.
    """

    stage: str
    seconds: float
    cpu: float
    failed: bool


@dataclass
class Stage:
    """A stage that is running. `note` tells the reader what it is at."""

    name: str
    started: float
    _show: Callable[[Stage], None]
    text: str = ""
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say in a few words what happens now. Control characters are left out."""
        self.text = "".join(letter for letter in text if letter.isprintable())
        self.notes.append(self.text)
        self._show(self)


class Face(Protocol):
    """How stages are shown."""

    def started(self, stage: Stage) -> None: ...
    def noted(self, stage: Stage) -> None: ...
    def ended(self, stage: Stage, duration: Duration) -> None: ...
    def close(self) -> None: ...


class Progress:
    """Tells and times the stages of a run. `journal` is called with (stage, event) as they go.

    `now` is in seconds, monotonic.
    """

    def __init__(
        self,
        face: Face,
        *,
        journal: Callable[[str, str], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.durations: list[Duration] = []
        self._face = face
        self.journal = journal
        self._now = now
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[Stage]:
        """Run the body as a stage. An error in it marks the stage as failed and goes on up."""
        stage = Stage(name, self._now(), self._noted)
        cpu = _cpu_seconds()
        failed = True
        with self._lock:
            self._face.started(stage)
        self._write(name, "started")
        try:
            yield stage
            failed = False
        finally:
            seconds = self._now() - stage.started
            duration = Duration(name, seconds, _cpu_seconds() - cpu, failed)
            with self._lock:
                self.durations.append(duration)
                self._face.ended(stage, duration)
            self._write(name, "failed" if failed else "ended")

    def close(self) -> None:
        """Leave the terminal clean. Safe to repeat."""
        with self._lock:
            self._face.close()

    def _noted(self, stage: Stage) -> None:
        _LOGGER.info("%s: %s", stage.name, stage.text)
        with self._lock:
            self._face.noted(stage)

    def _write(self, name: str, event: str) -> None:
        _LOGGER.info("%s: %s", name, event)
        if self.journal is not None:
            self.journal(name, event)


def progress(
    stream: TextIO | None = None, *, journal: Callable[[str, str], None] | None = None
) -> Progress:
    """The progress that suits a stream (stderr): live on a terminal, plain lines elsewhere."""
    stream = stream or sys.stderr
    live = stream.isatty() and os.environ.get("TERM") != "dumb"
    return Progress(LiveFace(stream) if live else PlainFace(stream), journal=journal)


class PlainFace:
    """A line per event: `[  12.3s] machine: boots`."""

    def __init__(self, stream: TextIO, *, now: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._now = now
        self._began = now()

    def started(self, stage: Stage) -> None:
        self._line(stage.name)

    def noted(self, stage: Stage) -> None:
        self._line(f"{stage.name}: {stage.text}")

    def ended(self, stage: Stage, duration: Duration) -> None:
        how = "failed after" if duration.failed else "done in"
        self._line(f"{stage.name}: {how} {duration.seconds:.1f}s")

    def close(self) -> None:
        """Nothing to clean."""

    def _line(self, text: str) -> None:
        elapsed = self._now() - self._began
        print(f"[{elapsed:6.1f}s] {text}", file=self._stream, flush=True)


class LiveFace:
    """A line per running stage that counts its seconds, and one that stays for each that ended."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream, highlight=False)
        self._running: list[Stage] = []
        self._live = Live(
            get_renderable=self._lines,
            console=self._console,
            refresh_per_second=4,
            transient=True,
        )

    def started(self, stage: Stage) -> None:
        self._running = [*self._running, stage]
        self._live.start(refresh=True)

    def noted(self, stage: Stage) -> None:  # noqa: ARG002 - the lines tell all stages
        self._live.refresh()

    def ended(self, stage: Stage, duration: Duration) -> None:
        from rich.text import Text

        self._running = [other for other in self._running if other is not stage]
        mark = ("✗ ", "red") if duration.failed else ("✓ ", "green")
        self._console.print(Text.assemble(mark, f"{stage.name:<24} {duration.seconds:7.1f}s"))
        if not self._running:
            self._live.stop()

    def close(self) -> None:
        self._live.stop()

    def _lines(self) -> Group:
        from rich.console import Group
        from rich.text import Text

        now = time.monotonic()
        lines = [
            Text.assemble(
                ("… ", "cyan"),
                f"{stage.name:<24} {now - stage.started:7.1f}s  ",
                (stage.text, "dim"),
                overflow="ellipsis",
                no_wrap=True,
            )
            for stage in self._running
        ]
        return Group(*lines)


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
