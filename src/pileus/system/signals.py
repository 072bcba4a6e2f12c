"""Signals that ask us to end, as an exception: what is under way is undone as after Ctrl-C."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGHUP)


class Ended(BaseException):
    """A signal asks us to end. Like KeyboardInterrupt, it is no error of what it cuts off."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def raised() -> Iterator[None]:
    """Let the first of these signals raise Ended in the body; later ones do not disturb it.

    One that is ignored, as under nohup, stays so. For the main thread.
    """
    come: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        come.append(number)
        if len(come) == 1:
            _let_go_of_lost_terminal()
            raise Ended(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    ours = [number for number in ENDING if before[number] == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


def _let_go_of_lost_terminal() -> None:
    """Where the terminal is gone, what is still said must not fail."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
