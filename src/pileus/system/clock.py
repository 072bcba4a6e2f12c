"""Waiting where nothing tells when a thing has happened, always with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TypeVar

from pileus.model.errors import Fault

Found = TypeVar("Found")


def poll(
    look: Callable[[], Found | None],
    *,
    what: str,
    hint: str,
    timeout: float,
    interval: float = 0.25,
) -> Found:
    """Look again and again until something other than None is there; `timeout` in seconds.

    Raises Fault, saying that `what` did not happen, when time is up.
    """
    deadline = time.monotonic() + timeout
    while True:
        if (found := look()) is not None:
            return found
        if time.monotonic() >= deadline:
            raise Fault(f"{what} within {timeout:.0f} s", hint=hint, retryable=True)
        time.sleep(interval)


def seconds() -> float:
    """A clock for durations: it only goes forward."""
    return time.monotonic()


def utc() -> str:
    """The time of day in ISO 8601, with milliseconds."""
    now = datetime.now(timezone.utc)  # noqa: UP017 - the agent has Python 3.9
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sleep(duration: float) -> None:
    """Wait `duration` seconds."""
    time.sleep(duration)
