"""The kernel's own ways of telling that something changed, and of entering a namespace.

Only the standard library: the calls that it lacks are made through the C library.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pileus.system.iproute import NAMESPACES

_LIBC = ctypes.CDLL(None, use_errno=True)
_NETLINK_ROUTE, _NETLINK_NETFILTER = 0, 12
_LINKS, _TRAFFIC_CONTROL = 1, 4
"""The multicast groups RTNLGRP_LINK and RTNLGRP_TC. [linux/rtnetlink.h]"""
_NFTABLES = 7
"""The multicast group NFNLGRP_NFTABLES. [linux/netfilter/nfnetlink.h]"""
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_BUFFER = 1 << 20
_INOTIFY_EVENT = struct.Struct("iIII")
_CHANGED = 0x0008 | 0x0080 | 0x0040 | 0x0200
"""Closed after writing, moved here, moved away, deleted. [inotify(7)]"""
T = TypeVar("T")


def link_events() -> socket.socket:
    """A socket that is readable when a device of our network namespace, or its traffic control,
    changed."""
    return _netlink(_NETLINK_ROUTE, _LINKS, _TRAFFIC_CONTROL)


def rule_events() -> socket.socket:
    """A socket that is readable when somebody changed nftables rules in our namespace."""
    return _netlink(_NETLINK_NETFILTER, _NFTABLES)


def _netlink(protocol: int, *groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    opened.bind((0, 0))
    for group in groups:
        opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    opened.setblocking(False)
    return opened


def file_events(directory: Path) -> int:
    """A descriptor that is readable when a file in a directory was written, moved or deleted."""
    descriptor = _checked(_LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    _checked(_LIBC.inotify_add_watch(descriptor, os.fsencode(directory), _CHANGED))
    return descriptor


def changed_files(data: bytes) -> Iterator[str]:
    """The names in what was read from a `file_events` descriptor."""
    while len(data) >= _INOTIFY_EVENT.size:
        length = _INOTIFY_EVENT.unpack_from(data)[3]
        end = _INOTIFY_EVENT.size + length
        yield os.fsdecode(data[_INOTIFY_EVENT.size : end].rstrip(b"\0"))
        data = data[end:]


def mount_events() -> int:
    """A descriptor that has an exceptional condition when something was mounted or unmounted.

    A named network namespace is a mount, and it is there only once it is mounted. [proc(5)]
    """
    return os.open("/proc/self/mounts", os.O_RDONLY | os.O_CLOEXEC)


def inside(namespace: str, action: Callable[[], T]) -> T:
    """Call `action` in a thread of its own that has entered a named network namespace.

    Its errors are raised here; OSError where the namespace cannot be entered.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with (NAMESPACES / namespace).open("rb") as opened:
                _checked(_LIBC.setns(opened.fileno(), 0))
            results.append(action())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter, name=f"in {namespace}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def settings(path: str, value: str | None = None) -> str | None:
    """Read a kernel setting below /proc/sys, or write it; None where the kernel has none.

    Of the calling thread's network namespace, as far as the setting belongs to one.
    """
    file = Path("/proc/thread-self/root/proc/sys") / path
    try:
        if value is not None:
            file.write_text(value)
        return file.read_text().strip()
    except FileNotFoundError:
        return None


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
