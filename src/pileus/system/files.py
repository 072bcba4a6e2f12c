"""Files that must be whole or absent, private ones, and the lock of a cloud."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pileus.model.errors import Busy, Fault

PRIVATE = 0o600


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file so that a reader sees the old or the new text, never a part of it.

    The mode is set before the content is there; parent directories of private files are 0700.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if mode == PRIVATE else 0o755)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        os.fchmod(descriptor, mode)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_bytes(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Like `write`, for a file that need not survive the host's own crash."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    os.replace(new, path)


def secret(path: Path, length: int = 32) -> bytes:
    """Random bytes that are the same for whoever asks again; made the first time."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        write_bytes(path, secrets.token_bytes(length))
        return path.read_bytes()


def tail(path: Path, size: int) -> bytes:
    """The last `size` bytes of a file; none where there is no such file."""
    try:
        with path.open("rb") as opened:
            end = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, end - size))
            return opened.read(size)
    except FileNotFoundError:
        return b""


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Like `write`, for a JSON document."""
    write(path, json.dumps(value, indent=1, sort_keys=True) + "\n", mode=mode)


def read_json(path: Path) -> Any | None:
    """The document in a file, None where there is no such file. Raises Fault if it is damaged."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Fault(
            f"{path} is damaged: {error}", hint="run `pileus down --yes`, then `pileus up`"
        ) from error


@contextlib.contextmanager
def lock(path: Path, *, what: str, wait: bool = False) -> Iterator[None]:
    """Hold a lock file while the body runs; the kernel frees it however the process ends.

    Waits for another process that has it, or else raises Busy, naming that one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            raise Busy(
                f"{what} is held by {holder}", hint="wait until it has ended, then repeat"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} ({_command()})\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _command() -> str:
    words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    return " ".join(Path(word.decode(errors="replace")).name for word in words[1:4] if word)
