"""Packets that the kernel's rules hand over (NFLOG): a netlink socket, and what it says.

[include/uapi/linux/netfilter/nfnetlink_log.h of Linux]
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pileus.model.errors import Fault
from pileus.system import netns

_NETFILTER = 12  # AF_NETLINK's protocol
_PACKET, _CONFIG = 4 << 8, 4 << 8 | 1
_REQUEST, _ACKNOWLEDGE, _ERROR = 1, 4, 2
_COMMAND, _MODE, _THRESHOLD = 1, 2, 5
_BIND, _COPY_PACKET = 1, 2
_IN_DEVICE, _OUT_DEVICE, _PAYLOAD, _TEXT, _LINK_HEADER = 4, 5, 9, 10, 16
_VLAN, _VLAN_PROTOCOL, _VLAN_TAG = 20, 1, 2
_FORCE_BUFFER, _ROOM = 33, 1 << 20  # SO_RCVBUFFORCE: more than others may have


@dataclass(frozen=True)
class LoggedPacket:
    """A packet's first bytes, link header included where it had one, and the rule's text.

    Devices are told by their index, 0 where there is none.
    """

    text: str
    in_device: int
    out_device: int
    frame: bytes


class PacketLog:
    """Listens to one group of a namespace. Nothing waits in the kernel: each packet comes at once.

    Raises Fault where the kernel has no packet log.
    """

    def __init__(self, namespace: str, group: int, length: int) -> None:
        """`length` is how many bytes of a packet are copied."""
        self._namespace = namespace
        self._names: dict[int, str] = {}

        def make() -> socket.socket:
            return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)

        self._socket = netns.run_inside(namespace, make)
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, _FORCE_BUFFER, _ROOM)
        for attribute, value in (
            (_COMMAND, bytes([_BIND])),
            (_MODE, struct.pack("!IBB", length, _COPY_PACKET, 0)),
            (_THRESHOLD, struct.pack("!I", 1)),
        ):
            self._configure(group, attribute, value)
        self._socket.setblocking(False)

    def _configure(self, group: int, attribute: int, value: bytes) -> None:
        body = struct.pack("!BBH", 0, 0, group) + _attribute(attribute, value)
        head = struct.pack("=IHHII", 16 + len(body), _CONFIG, _REQUEST | _ACKNOWLEDGE, 0, 0)
        self._socket.send(head + body)
        kind, code = struct.unpack_from("=4xH10xi", self._socket.recv(_ROOM))
        if kind == _ERROR and code:
            raise Fault(
                f"the kernel refuses to log packets of {self._namespace} (error {-code})",
                hint="a kernel with CONFIG_NETFILTER_NETLINK_LOG is needed, and root",
            )

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def read(self) -> Iterator[LoggedPacket]:
        """All that is there now. What the kernel had to throw away is left out."""
        while True:
            try:
                data = self._socket.recv(_ROOM)
            except BlockingIOError:
                return
            except OSError:  # the buffer ran over: later packets follow
                continue
            yield from decode(data)

    def device(self, index: int) -> str:
        """A device's name; "" where it is gone."""
        if index and index not in self._names:
            try:
                self._names[index] = netns.run_inside(
                    self._namespace, lambda: socket.if_indextoname(index)
                )
            except OSError:
                return ""
        return self._names.get(index, "")

    def close(self) -> None:
        self._socket.close()


def decode(data: bytes) -> Iterator[LoggedPacket]:
    """The packets in what was read from a socket. Pure; what is not whole is left out."""
    while len(data) >= 20:
        length, kind = struct.unpack_from("=IH", data)
        if not 20 <= length <= len(data):
            return
        if kind == _PACKET:
            yield _logged(dict(_attributes(data[20:length])))
        data = data[_aligned(length) :]


def _logged(found: dict[int, bytes]) -> LoggedPacket:
    return LoggedPacket(
        found.get(_TEXT, b"").rstrip(b"\0").decode(errors="replace"),
        int.from_bytes(found.get(_IN_DEVICE, b""), "big"),
        int.from_bytes(found.get(_OUT_DEVICE, b""), "big"),
        _header(found) + found.get(_PAYLOAD, b""),
    )


def _header(found: dict[int, bytes]) -> bytes:
    """The link header with the VLAN tag that the kernel had taken off."""
    header = found.get(_LINK_HEADER, b"")
    tag = dict(_attributes(found.get(_VLAN, b"")))
    return header[:12] + tag.get(_VLAN_PROTOCOL, b"") + tag.get(_VLAN_TAG, b"") + header[12:]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & 0x7FFF, data[4:length]
        data = data[_aligned(length) :]


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (_aligned(length) - length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
