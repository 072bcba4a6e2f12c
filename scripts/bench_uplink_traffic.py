"""Traffic to measure by: TCP, a datagram to and fro, and the first ping that is answered.

What receives or echoes is a process of its own, on a processor that is the same for all paths.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from multiprocessing import get_context
from statistics import median
from typing import Protocol

from pileus.model.errors import Fault
from pileus.system import netns

PORT = 5201
CHUNK = 1 << 20
PATIENCE = 5
"""Seconds until something that does not answer is given up."""
_TIMEVAL = struct.pack("ll", PATIENCE, 0)
_PING_EVERY = 0.001
_ICMP_TYPE = 20
"""Where it is in a packet whose IPv4 header has no options; 0 is an echo reply. [RFC 792]"""


class Path(Protocol):
    """Two namespaces, and the address by which each is reached from the other."""

    @property
    def cloud(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def cloud_address(self) -> IPv4Address: ...
    @property
    def host_address(self) -> IPv4Address: ...


@contextmanager
def receiving(paths: Sequence[Path]) -> Iterator[None]:
    """Somebody takes TCP at both ends of the paths, on another processor than we are."""
    ends = [namespace for path in paths for namespace in (path.cloud, path.host)]
    sockets = [netns.run_inside(namespace, _listening) for namespace in ends]
    with _serving(sockets, _drain, processor=-1):
        yield


@contextmanager
def echoing(paths: Sequence[Path]) -> Iterator[None]:
    """Somebody at the hosts sends datagrams back, on the same processor as we are.

    So nobody has to be woken on another one, which takes longer than the way there and varies more.
    """
    sockets = [netns.run_inside(path.host, _echoing) for path in paths]
    with _serving(sockets, _echo, processor=0):
        yield


@contextmanager
def _serving(
    sockets: Sequence[socket.socket], answer: Callable[[socket.socket], None], *, processor: int
) -> Iterator[None]:
    """Answer in a process of its own; `processor` counts those we may use, ours is the first."""
    processors = sorted(os.sched_getaffinity(0))
    read, write = os.pipe()

    def serve() -> None:
        os.close(write)
        os.sched_setaffinity(0, {processors[processor]})
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with selectors.DefaultSelector() as waiting:
            everything: tuple[int | socket.socket, ...] = (read, *sockets)
            for readable in everything:
                waiting.register(readable, selectors.EVENT_READ)
            _answer(waiting, answer)

    server = get_context("fork").Process(target=serve)
    server.start()
    os.close(read)
    for made in sockets:
        made.close()
    os.sched_setaffinity(0, processors[:1])
    try:
        yield
    finally:
        os.close(write)
        server.join()
        os.sched_setaffinity(0, processors)


def _answer(waiting: selectors.BaseSelector, answer: Callable[[socket.socket], None]) -> None:
    """Until what is no socket, a pipe, has lost its other end."""
    while True:
        for key, _ in waiting.select():
            if not isinstance(key.fileobj, socket.socket):
                return
            answer(key.fileobj)


def _listening() -> socket.socket:
    return socket.create_server(("", PORT))


def _echoing() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("", PORT))
    return made


def _drain(listener: socket.socket) -> None:
    """Take all that comes, and say how many bytes it was."""
    buffer, total = bytearray(CHUNK), 0
    connection, _ = listener.accept()
    with connection:
        _bounded(connection)
        while got := connection.recv_into(buffer):
            total += got
        connection.sendall(total.to_bytes(8, "big"))


def _echo(made: socket.socket) -> None:
    data, sender = made.recvfrom(2048)
    made.sendto(data, sender)


def _bounded(made: socket.socket) -> None:
    """Blocking calls that end. Python's own time-outs cost a call to `poll` each."""
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        made.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL)


@dataclass(frozen=True)
class Load:
    """Sends what is in memory, for `seconds` in each direction."""

    seconds: float
    memory: int

    def throughput(self, path: Path) -> float:
        """Bits a second of TCP, half of the time from the host and half of it to the host."""
        directions = ((path.host, path.cloud_address), (path.cloud, path.host_address))
        runs = [self._send(namespace, to) for namespace, to in directions]
        return 8 * sum(size for size, _ in runs) / sum(seconds for _, seconds in runs)

    def _send(self, namespace: str, to: IPv4Address) -> tuple[int, float]:
        place = (str(to), PORT)
        with netns.run_inside(namespace, lambda: socket.create_connection(place, PATIENCE)) as made:
            made.settimeout(None)
            _bounded(made)
            began = time.perf_counter()
            while time.perf_counter() < began + self.seconds:
                os.sendfile(made.fileno(), self.memory, 0, CHUNK)
            made.shutdown(socket.SHUT_WR)
            said = made.recv(8, socket.MSG_WAITALL)
            if len(said) < 8:
                raise Fault(f"{to} did not take what was sent", hint="run it again")
            return int.from_bytes(said, "big"), time.perf_counter() - began


@contextmanager
def load(seconds: float) -> Iterator[Load]:
    """What is sent is a file in memory, so that sending it copies nothing."""
    memory = os.memfd_create("bench")
    try:
        os.truncate(memory, CHUNK)
        yield Load(seconds, memory)
    finally:
        os.close(memory)


def round_trip(path: Path, seconds: float) -> float:
    """Seconds until a datagram from the cloud is back from the host: the median of very many."""
    with netns.run_inside(path.cloud, lambda: socket.socket(type=socket.SOCK_DGRAM)) as made:
        _bounded(made)
        made.connect((str(path.host_address), PORT))
        seen, until = [], time.perf_counter() + seconds
        while (sent := time.perf_counter()) < until:
            made.send(b"ping")
            made.recv(16)
            seen.append(time.perf_counter() - sent)
        return median(seen)


def answered_after(
    path: Path, address: IPv4Address, begin: Callable[[threading.Event], None]
) -> float:
    """Seconds from when `begin` is called to the first answer to one of the cloud's pings.

    What `begin` is given is set once there was an answer. Raises Fault where there is none.
    """
    found: list[float] = []
    asking, answered = threading.Event(), threading.Event()

    def ask() -> None:
        found.extend(_ask(made, asking))
        answered.set()

    with netns.run_inside(path.cloud, _pinging) as made:
        made.connect((str(address), 0))
        pinger = threading.Thread(target=ask)
        pinger.start()
        asking.wait(PATIENCE)
        began = time.perf_counter()
        try:
            begin(answered)
        finally:
            pinger.join()
    if not found or found[0] < began:
        raise Fault(f"no ping of {address} was answered", hint="run it again")
    return found[0] - began


def _pinging() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def _ask(made: socket.socket, asking: threading.Event) -> Iterator[float]:
    """Send a ping every millisecond until one is answered; when that was."""
    until = time.perf_counter() + PATIENCE
    while time.perf_counter() < until:
        made.send(_ECHO_REQUEST)
        asking.set()
        if select.select([made], [], [], _PING_EVERY)[0] and made.recv(64)[_ICMP_TYPE] == 0:
            yield time.perf_counter()
            return


def _echo_request(identifier: int) -> bytes:
    """An ICMP echo request without data. [RFC 792]"""
    total = 0x0800 + identifier
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return struct.pack("!HHHH", 0x0800, checksum, identifier, 0)


_ECHO_REQUEST = _echo_request(os.getpid() & 0xFFFF)
