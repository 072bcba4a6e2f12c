"""What all tests share: unit tests can have no side effects, others are marked by their place."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_watch import NOTHING, left, watched
from hypothesis import settings

pytest_plugins = ["told_codes"]

HERE = Path(__file__).parent

# The same examples in every run: a failure can be repeated, and nothing is kept on disk.
settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
settings.load_profile("repeatable")

FORBIDDEN = frozenset(
    {
        "subprocess.Popen",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "socket.__new__",
        "socket.getaddrinfo",
    }
)
"""Audit events that no unit test may cause. [Python library reference, Audit events table]"""
CHANGES = {
    "os.chmod": 2,
    "os.chown": 3,
    "os.link": 2,
    "os.mkdir": 2,
    "os.remove": 1,
    "os.rename": 2,
    "os.rmdir": 1,
    "os.symlink": 2,
    "os.truncate": -1,
}
"""Audit events that change the path in their first argument, and where its `dir_fd` is."""
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class SideEffect(AssertionError):
    """A unit test touched something outside of the test."""


class _Guard:
    """An audit hook, which Python cannot take back, with a switch."""

    def __init__(self) -> None:
        self.on = False
        self.allowed = (os.path.realpath(tempfile.gettempdir()) + "/",)
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in FORBIDDEN:
            self._refuse(event, arguments)
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES:
            self._look_at(event, arguments, directory=-1)
        if event in CHANGES:
            place = CHANGES[event]
            self._look_at(event, arguments, directory=-1 if place < 0 else arguments[place])

    def _look_at(self, event: str, arguments: tuple[Any, ...], *, directory: int) -> None:
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return  # an open descriptor: it was looked at when it was opened
        text = os.fsdecode(path)
        if directory >= 0:
            text = os.path.join(os.readlink(f"/proc/self/fd/{directory}"), text)
        if not self._may_write(text):
            self._refuse(event, arguments)

    def _may_write(self, text: str) -> bool:
        if text == os.devnull or "__pycache__" in text:
            return True
        return (os.path.realpath(text) + "/").startswith(self.allowed)

    def _refuse(self, event: str, arguments: tuple[Any, ...]) -> None:
        self.on = False  # what reports the failure may have side effects
        raise SideEffect(f"{event}{arguments!r} in a unit test")

    def sleep(self, seconds: float) -> None:
        """Stands in for time.sleep, which is an audit event only from Python 3.13 on."""
        self._refuse("time.sleep", (seconds,))


_guard = _Guard()


@pytest.fixture(autouse=True)
def no_side_effects(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Forbid programs, sockets, sleeping and writing outside the temporary directory."""
    if HERE / "unit" in request.path.parents:
        monkeypatch.setattr(time, "sleep", _guard.sleep)
        _guard.on = True
    yield
    _guard.on = False


@pytest.fixture(autouse=True, scope="module")
def nothing_leaves_the_host(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test in namespaces reaches a real network; that this can fail: test_host_guard.py."""
    if HERE / "netns" not in request.path.parents or os.geteuid() != 0:
        yield
        return
    with watched(f"pileus_test_{os.getpid()}") as watch:
        yield
        assert left(watch) == NOTHING


def pytest_configure(config: pytest.Config) -> None:
    """Keep libraries' caches out of the user's home."""
    cache = tempfile.TemporaryDirectory(prefix="pileus-tests-")
    os.environ["XDG_CACHE_HOME"] = cache.name
    config.add_cleanup(cache.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their directory; those in namespaces need root."""
    not_root = pytest.mark.skip(reason="needs root")
    for item in items:
        place = item.path.relative_to(HERE).parts[0]
        if place in ("netns", "e2e"):
            item.add_marker(place)
            if os.geteuid() != 0:
                item.add_marker(not_root)
