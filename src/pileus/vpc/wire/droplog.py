"""The last frames that the wire dropped: listens to its rules, and keeps a file of them."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections import deque
from pathlib import Path

from pileus.model.status import DroppedFrame
from pileus.model.verdict import Code
from pileus.system import clock, files
from pileus.system.netlog import LoggedPacket, PacketLog
from pileus.vpc.state import RegionState
from pileus.vpc.wire.dropped import described
from pileus.vpc.wire.drops import LOG_GROUP, LOG_LENGTH
from pileus.vpc.wire.names import GATEWAY, device, vpc_namespace
from pileus.vpc.wire.report import plugged

KEPT = 200
"""Frames, of the whole region."""
_PAUSE = 0.2
"""Seconds between two writings of the file, while frames are dropped without end."""


class DropLog:
    """Of one region. A VPC's namespace must exist before it is listened to."""

    def __init__(self, region: str, path: Path) -> None:
        self._region = region
        self._path = path
        # What an earlier process of the region has written goes on.
        found = map(DroppedFrame.from_json, files.read_json(path) or [])
        self._kept: deque[DroppedFrame] = deque(found, maxlen=KEPT)
        self._logs: dict[str, PacketLog] = {}
        self._nics: dict[str, tuple[str, str, str]] = {}
        self._turn = threading.Lock()
        self._waken, self._bell = socket.socketpair()
        self._thread: threading.Thread | None = None

    def follow(self, state: RegionState) -> None:
        """Listen to every VPC, and know its NICs."""
        nics = {device(nic.eni): (nic.eni, nic.instance, nic.device) for nic in plugged(state)}
        with self._turn:
            self._nics = {**self._nics, **nics}
            for vpc in set(state.vpcs) - set(self._logs):
                namespace = vpc_namespace(self._region, vpc)
                self._logs[vpc] = PacketLog(namespace, LOG_GROUP, LOG_LENGTH)
        if self._thread is None:
            self._thread = threading.Thread(target=self._listen, name="drop-log", daemon=True)
            self._thread.start()  # after it is set: it goes on while it is
        self._bell.send(b"!")

    def leave(self, vpc: str) -> None:
        """Listen to a VPC no more; its namespace could not go away before."""
        with self._turn:
            log = self._logs.pop(vpc, None)
            if log is not None:
                log.close()
        self._bell.send(b"!")

    def stop(self) -> None:
        """Listen to nothing any more. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._bell.send(b"!")
            thread.join()
        for vpc in tuple(self._logs):
            self.leave(vpc)

    def _listen(self) -> None:
        while self._thread is not None:
            with self._turn:
                logs = list(self._logs.values())
            with contextlib.suppress(OSError, ValueError):  # one of them was closed meanwhile
                readable: list[socket.socket | PacketLog] = [self._waken, *logs]
                ready, _, _ = select.select(readable, [], [])
                if self._waken in ready:
                    self._waken.recv(100)
                if self._take():
                    self._write()
                    clock.sleep(_PAUSE)

    def _take(self) -> bool:
        """Whether anything was dropped."""
        with self._turn:
            dropped = [(log, packet) for log in self._logs.values() for packet in log.read()]
            self._kept.extend(self._described(log, packet) for log, packet in dropped)
        return bool(dropped)

    def _described(self, log: PacketLog, packet: LoggedPacket) -> DroppedFrame:
        way, _, code = packet.text.partition(" ")
        name = log.device(packet.in_device if way == "from" else packet.out_device)
        nic = self._nics.get(name, (name if name == GATEWAY else "", "", ""))
        return described(clock.utc(), nic, way, Code(code), packet.frame)

    def _write(self) -> None:
        files.write_json(self._path, [one.to_json() for one in self._kept])
