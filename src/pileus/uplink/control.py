"""How commands on the node ask the daemon: one word by a socket that only root may open."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pileus.model.errors import Fault
from pileus.uplink import places

_CALLER_SECONDS = 1.0
_ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Caller:
    """Somebody who waits for an answer."""

    asks: str
    _connection: socket.socket

    def reply(self, document: Any) -> None:
        self._connection.sendall(json.dumps(document).encode() + b"\n")


def listen() -> socket.socket:
    """The daemon's socket; the caller makes sure that there is one daemon only."""
    places.RUN.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        places.CONTROL.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(str(places.CONTROL))
    finally:
        os.umask(before)
    listener.listen()
    return listener


@contextlib.contextmanager
def accept(listener: socket.socket) -> Iterator[Caller]:
    """The next caller. Raises OSError for one that went away or says nothing."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(_CALLER_SECONDS)
        yield Caller(connection.recv(64).decode(errors="replace").strip(), connection)


def ask(word: str) -> Any | None:
    """The daemon's answer; None when none runs. Raises Fault when it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(str(places.CONTROL))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        try:
            connection.sendall(f"{word}\n".encode())
            with connection.makefile("rb") as answer:
                return json.loads(answer.readline())
        except (OSError, ValueError) as error:
            raise Fault(
                f"the uplink's agent did not answer: {error}",
                hint="see `journalctl -u pileus-agent`; the kernel keeps what is in force",
                retryable=True,
            ) from error
