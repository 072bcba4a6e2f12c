"""Progress: plain lines without a terminal, durations kept, failures marked."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest

from pileus.system.progress import LiveFace, PlainFace, Progress, progress


def ticking(*times: float) -> Callable[[], float]:
    following: Iterator[float] = iter(times)
    return lambda: next(following)


def test_stages_are_told_in_plain_lines_and_timed() -> None:
    said = io.StringIO()
    told = Progress(
        PlainFace(said, now=ticking(100, 100, 112.3, 114)), now=ticking(100, 114), journal=None
    )
    with told.stage("machine") as stage:
        stage.note("boots")
    assert said.getvalue() == (
        "[   0.0s] machine\n[  12.3s] machine: boots\n[  14.0s] machine: done in 14.0s\n"
    )
    (duration,) = told.durations
    assert (duration.stage, duration.seconds, duration.failed) == ("machine", 14, False)
    assert duration.cpu >= 0


def test_a_failed_stage_is_marked_and_its_error_goes_on() -> None:
    said = io.StringIO()
    journal: list[tuple[str, str]] = []
    told = Progress(PlainFace(said), journal=lambda name, event: journal.append((name, event)))
    with pytest.raises(ZeroDivisionError), told.stage("outer"), told.stage("inner"):
        raise ZeroDivisionError
    assert [(d.stage, d.failed) for d in told.durations] == [("inner", True), ("outer", True)]
    assert journal == [
        ("outer", "started"),
        ("inner", "started"),
        ("inner", "failed"),
        ("outer", "failed"),
    ]
    assert "inner: failed after" in said.getvalue()


def test_notes_cannot_steer_the_terminal() -> None:
    said = io.StringIO()
    with Progress(PlainFace(said)).stage("a") as stage:
        stage.note("red \x1b[31m\nnext line")
    assert "\x1b" not in said.getvalue()
    assert "a: red [31mnext line\n" in said.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_the_live_face_and_a_pipe_the_plain_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress(Terminal())._face, LiveFace)
    assert isinstance(progress(io.StringIO())._face, PlainFace)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress(Terminal())._face, PlainFace)


@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_an_ended_stage_stays_in_colour_unless_that_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    screen = Terminal()
    with progress(screen).stage("machine") as stage:
        stage.note("boots [now]")
    assert "boots [now]" in screen.getvalue()
    assert ("\x1b[32m" in screen.getvalue()) is not no_color
