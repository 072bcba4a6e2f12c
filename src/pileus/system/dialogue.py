"""Talking with a program while it runs, line by line."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

from pileus.model.errors import CommandFailed, UserError
from pileus.system.clock import seconds

_GRACE = 1.0
"""Seconds that a program has to end by itself once nobody talks to it any more."""


class Dialogue:
    """The other side of a program that reads lines and prints lines."""

    def __init__(self, argv: Sequence[str], popen: subprocess.Popen[bytes], said: IO[bytes]):
        self._argv = argv
        self._popen = popen
        self._errors = said
        self._pending = b""

    def say(self, text: str) -> None:
        """Hand the program something to read. Raises CommandFailed when it is gone."""
        assert self._popen.stdin is not None  # noqa: S101 - for the type checker: `talk` made it
        try:
            self._popen.stdin.write(text.encode())
            self._popen.stdin.flush()
        except OSError as error:
            raise self._failed() from error

    def hear(self, timeout: float) -> str:
        """The next line that it prints, awaited for `timeout` seconds.

        Raises CommandFailed when there is none in time, or ever.
        """
        assert self._popen.stdout is not None  # noqa: S101 - as above
        descriptor, end = self._popen.stdout.fileno(), seconds() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(max(0.0, end - seconds())):
                    raise CommandFailed(self._argv, None, self._said())
                more = os.read(descriptor, 1 << 16)
                if not more:
                    raise self._failed()
                self._pending += more
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode(errors="replace")

    def _failed(self) -> CommandFailed:
        try:
            code = self._popen.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return CommandFailed(self._argv, None, self._said())
        return CommandFailed(self._argv, code, self._said())

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")


@contextlib.contextmanager
def talk(argv: Sequence[str]) -> Iterator[Dialogue]:
    """Start a program and talk with it; at the end its input ends, and so must it.

    Raises UserError when it is not installed.
    """
    with tempfile.TemporaryFile() as said:
        try:
            popen = subprocess.Popen(
                list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
            )
        except FileNotFoundError as error:
            raise UserError(
                f"the program `{argv[0]}` is not installed", hint="run `make install` as root"
            ) from error
        try:
            yield Dialogue(argv, popen, said)
        finally:
            _end(popen)


def _end(popen: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if popen.stdin:
            popen.stdin.close()
    try:
        popen.wait(_GRACE)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
    if popen.stdout:
        popen.stdout.close()
