"""Switches of network devices in the caller's own namespace, by ioctl: a program each is too slow.

[netdevice(7); include/uapi/linux/ethtool.h of Linux]
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

_GET_FLAGS, _SET_FLAGS, _ETHTOOL = 0x8913, 0x8914, 0x8946
_UP = 1
_SET_TX_CHECKSUM, _SET_GRO = 0x17, 0x2C


def set_up(device: str) -> None:
    """Set a device up. Raises OSError without it."""
    with _any_socket() as asked:
        request = bytearray(struct.pack("16sH22x", device.encode(), 0))
        fcntl.ioctl(asked, _GET_FLAGS, request)
        (flags,) = struct.unpack_from("H", request, 16)
        fcntl.ioctl(asked, _SET_FLAGS, struct.pack("16sH22x", device.encode(), flags | _UP))


def complete_frames(device: str) -> None:
    """Let a device send whole checksums, and so no packets that are yet to be cut into several.

    Raises OSError without it.
    """
    _switch(device, _SET_TX_CHECKSUM, on=False)


def merge_received(device: str) -> None:
    """Let a device merge the TCP segments that it receives, which only a veth does not by itself.

    Raises OSError without it. [drivers/net/veth.c of Linux, veth_gro_requested]
    """
    _switch(device, _SET_GRO, on=True)


def _switch(device: str, command: int, *, on: bool) -> None:
    value = ctypes.create_string_buffer(struct.pack("II", command, on))
    with _any_socket() as asked:
        request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
        fcntl.ioctl(asked, _ETHTOOL, request)


def _any_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
