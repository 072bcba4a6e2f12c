"""Frames of a device as they pass, with the time."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

from pileus.system import netns

_ALL = 0x0003
"""ETH_P_ALL: both ways. [include/uapi/linux/if_ether.h of Linux]"""
_WHOLE = 65535


def frames(
    namespace: str, device: str, *, count: int | None = None, seconds: float | None = None
) -> Iterator[tuple[float, bytes]]:
    """Frames of a device, each with its Unix time, until there were `count` or time is up.

    The socket is there before the first frame is asked for. Raises OSError without such a device.
    """

    def make() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        made.bind((device, _ALL))
        return made

    return _until(netns.run_inside(namespace, make), count, seconds)


def _until(
    opened: socket.socket, count: int | None, seconds: float | None
) -> Iterator[tuple[float, bytes]]:
    deadline = None if seconds is None else time.monotonic() + seconds
    seen = 0
    with opened:
        while count is None or seen < count:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and (left <= 0 or not select.select([opened], [], [], left)[0]):
                return
            yield time.time(), opened.recv(_WHOLE)
            seen += 1
