"""Published ports in a real kernel: internet — router — server, each a fresh namespace."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest

from pileus.model.addresses import Socket
from pileus.model.publishing import Published
from pileus.system import netns, process
from pileus.system.process import Done
from pileus.uplink import publish

pytestmark = pytest.mark.netns

INTERNET, ROUTER, SERVER = (f"pub{os.getpid()}-{n}" for n in ("internet", "router", "server"))
GATEWAY = IPv4Address("172.16.20.101")
SSH = Published("tcp", Socket(GATEWAY, 522), Socket(IPv4Address("192.168.20.5"), 22))
WEB = Published("tcp", Socket(GATEWAY, 8080), Socket(IPv4Address("192.168.20.5"), 80))
FOREIGN = "table ip users { chain c { type filter hook forward priority 0; counter; }; }\n"
SECONDS = 5


@dataclass
class Inside:
    """Programs in the router's namespace; says what it was asked to cut where no conntrack is."""

    cut: list[str] = field(default_factory=list)

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        if argv[0] == "conntrack":
            self.cut.append(" ".join(argv))
            if not shutil.which("conntrack"):
                return Done(tuple(argv), 0, "", "")
        return process.run(["ip", "netns", "exec", ROUTER, *argv], stdin=stdin, check=check)


@pytest.fixture
def inside() -> Iterator[Inside]:
    names = (INTERNET, ROUTER, SERVER)
    try:
        for name in names:
            netns.remove(name)
            netns.ensure(name)
        _link(INTERNET, "172.16.20.1/24", ROUTER, "172.16.20.101/24", "qg-")
        _link(ROUTER, "192.168.20.1/24", SERVER, "192.168.20.5/24", "qr-")
        netns.batch(SERVER, ["route add default via 192.168.20.1"])
        netns.sysctl(ROUTER, {"net/ipv4/ip_forward": "1"})
        yield Inside()
    finally:
        for name in names:
            netns.remove(name)


def _link(left: str, left_address: str, right: str, right_address: str, name: str) -> None:
    batch = [f"link add {name}0 netns {left} type veth peer name {name}1 netns {right}"]
    netns.batch(None, batch)
    for where, device, address in (
        (left, f"{name}0", left_address),
        (right, f"{name}1", right_address),
    ):
        netns.batch(where, [f"addr add {address} dev {device}", f"link set {device} up"])


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    """A service on the server that tells each caller which port it is and whom it sees."""
    listener = netns.run_inside(SERVER, lambda: socket.create_server(("192.168.20.5", port)))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, (caller, _) = listener.accept()
                connection.sendall(f"{port} {caller}".encode())
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(SECONDS)


def answer(port: int) -> str:
    """What a client on the internet gets from a port of the gateway."""

    def ask() -> str:
        with socket.create_connection((str(GATEWAY), port), timeout=SECONDS) as connection:
            return connection.recv(100).decode()

    return netns.run_inside(INTERNET, ask)


def test_a_published_port_lands_in_the_server_which_sees_the_true_source(inside: Inside) -> None:
    publish.load(inside, frozenset({SSH, WEB}))
    with listening(22), listening(80):
        assert answer(522) == "22 172.16.20.1"
        assert answer(8080) == "80 172.16.20.1"


def test_a_port_that_is_not_published_is_refused(inside: Inside) -> None:
    publish.load(inside, frozenset({SSH}))
    with listening(22), listening(80):
        for port in (22, 80, 8080, 523):
            with pytest.raises(ConnectionRefusedError):
                answer(port)


def test_unpublishing_closes_that_port_and_no_other(inside: Inside) -> None:
    publish.load(inside, frozenset({SSH, WEB}))
    publish.load(inside, frozenset({SSH}))
    publish.cut(inside, {WEB})
    assert inside.cut == ["conntrack -D -p tcp --orig-dst 172.16.20.101 --orig-port-dst 8080"]
    with listening(22), listening(80):
        assert answer(522) == "22 172.16.20.1"
        with pytest.raises(ConnectionRefusedError):
            answer(8080)


def test_a_rule_that_was_tampered_with_is_set_right(inside: Inside) -> None:
    publish.load(inside, frozenset({SSH}))
    extra = f"add rule ip {publish.TABLE} prerouting tcp dport 1-1023 dnat to 192.168.20.5\n"
    inside(["nft", "-f", "-"], stdin=extra)
    assert publish.read(inside) is None
    publish.load(inside, frozenset({SSH}))
    assert publish.read(inside) == frozenset({SSH})


def test_publishing_nothing_leaves_no_table_and_foreign_ones_alone(inside: Inside) -> None:
    inside(["nft", "-f", "-"], stdin=FOREIGN)
    before = _rules(inside)
    publish.load(inside, frozenset({SSH}))
    publish.load(inside, frozenset())
    assert _rules(inside) == before
    publish.load(inside, frozenset())


def test_a_set_that_is_lost_with_its_namespace_is_put_back(inside: Inside) -> None:
    publish.load(inside, frozenset({SSH}))
    inside(["nft", "flush", "ruleset"])
    assert publish.read(inside) == frozenset()
    publish.load(inside, frozenset({SSH}))
    with listening(22):
        assert answer(522) == "22 172.16.20.1"


def _rules(inside: Inside) -> str:
    return inside(["nft", "--handle", "list", "ruleset"]).stdout
