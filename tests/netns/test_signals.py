"""A command that is told to end says so, ends what it runs, and leaves the cloud to the next."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from pileus.system import clock, process
from pileus.system.process import ProcessId
from pileus.system.workspace import Workspace

UP = """
import sys
from pathlib import Path
from pileus.api import up
from pileus.cli import main
from pileus.system import process

def long(spec, workspace, progress):
    with workspace.lock(), progress.stage("machine"):
        process.run(["sh", "-c", sys.argv[2], "-", sys.argv[1]])

up.up = long
main(["up"])
"""
"""The command as it is, but for what it does."""
LONG = 'echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 60'


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program that `up` runs writes its number."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "state"))
    return tmp_path / "begun"


def start(begun: Path, **how: Any) -> tuple[subprocess.Popen[bytes], ProcessId]:
    """`up`, and the program that it runs."""
    command = subprocess.Popen([sys.executable, "-c", UP, str(begun), LONG], **how)
    clock.poll(lambda: begun.exists() or None, what="it did not begin", hint="-", timeout=20)
    running = process.identify(int(begun.read_text()))
    assert running
    return command, running


def heed_signals() -> None:
    """Also where what runs the tests was itself told to ignore them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def take_terminal() -> None:
    heed_signals()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def ignore_hangup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def only_log() -> str:
    (log,) = (Workspace("demo").directory / "logs").iterdir()
    return log.read_text()


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "ended by SIGTERM"),
        (signal.SIGHUP, "ended by SIGHUP"),
    ],
)
def test_a_signal_ends_a_command_in_order(begun: Path, number: int, said: str) -> None:
    command, running = start(begun, stderr=subprocess.PIPE, preexec_fn=heed_signals)
    with command:
        command.send_signal(number)
        _, told = command.communicate(timeout=20)
    assert command.returncode == 128 + number
    assert f"error: {said}\nhint: `pileus up` goes on where it was;" in told.decode()
    assert process.wait_for_exit(running, timeout=0)
    with Workspace("demo").lock():
        pass


def test_a_terminal_that_is_closed_ends_a_command_in_order_too(begun: Path) -> None:
    ours, theirs = os.openpty()
    command, running = start(
        begun,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(theirs)
    os.close(ours)
    assert command.wait(timeout=20) == 128 + signal.SIGHUP
    assert process.wait_for_exit(running, timeout=0)
    assert "ended by SIGHUP" in only_log()
    assert "unexpected" not in only_log()


def test_a_command_under_nohup_goes_on(begun: Path) -> None:
    command, running = start(
        begun,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    with command:
        command.send_signal(signal.SIGHUP)
        process.end(running, first=signal.SIGKILL)
        _, told = command.communicate(timeout=20)
    assert command.returncode == 2
    assert "ended with code -9" in told.decode()
