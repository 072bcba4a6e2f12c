"""The metadata server on a socket: HTTP as a client speaks it, the hop limit on the wire."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from pileus.model.addresses import METADATA_SERVICE, Mac
from pileus.system import netns
from pileus.vpc import metadata
from pileus.vpc.metadata import TOKEN_HEADER, TOKEN_PATH, TTL_HEADER
from pileus.vpc.state import Eni, Instance, RegionState, SecurityGroup, Subnet, Vpc

pytestmark = pytest.mark.netns

VPC = "vpc-1"
ME = IPv4Address("172.16.10.101")
MINE = Eni("eni-0", Mac("02:00:00:00:00:01"), VPC, "subnet-m", (ME,), ("sg-1",), True, "i-1", 0)
STATE = RegionState(
    vpcs={VPC: Vpc(VPC, IPv4Network("172.16.0.0/16"))},
    subnets={"subnet-m": Subnet("subnet-m", VPC, IPv4Network("172.16.10.0/24"), "us-east-1a")},
    groups={"sg-1": SecurityGroup("sg-1", VPC, "web", (), ())},
    enis={MINE.id: MINE},
    instances={
        "i-1": Instance(
            id="i-1",
            type="m5.large",
            image="debian-13",
            state="running",
            hostname="ip-172-16-10-101",
            public_key=None,
            key_name=None,
            user_data=None,
            metadata_hop_limit=3,
        )
    },
)
SERVER, CLIENT = f"md{os.getpid()}s", f"md{os.getpid()}c"


class Rim:
    """What the region tells the server, and what the server told it."""

    def __init__(self) -> None:
        self.away = False
        self.seen: list[tuple[str, str]] = []

    def desk(self) -> metadata.Desk:
        return metadata.Desk(
            lambda source: metadata.asker(STATE, VPC, source),
            lambda: self.away,
            lambda nic, kind: self.seen.append((nic, kind)),
        )


@pytest.fixture
def rim() -> Rim:
    return Rim()


@pytest.fixture
def server(rim: Rim) -> Iterator[metadata.MetadataServer]:
    running = None
    try:
        for name in (SERVER, CLIENT):
            netns.ensure(name)
        netns.batch(
            SERVER,
            [
                f"link add vpc0 type veth peer name eth0 netns {CLIENT}",
                f"addr add {METADATA_SERVICE}/32 dev lo",
                "link set vpc0 up",
                f"route add {ME}/32 dev vpc0",
            ],
        )
        netns.batch(
            CLIENT,
            [
                f"addr add {ME}/32 dev eth0",
                "link set eth0 up",
                f"route add {METADATA_SERVICE}/32 dev eth0 src {ME}",
            ],
        )
        listener = netns.run_inside(
            SERVER, lambda: socket.create_server((str(METADATA_SERVICE), 80))
        )
        running = metadata.serve(listener, rim.desk())
        yield running
    finally:
        if running:
            running.stop()
        for name in (SERVER, CLIENT):
            netns.remove(name)


def as_client(action: Callable[[http.client.HTTPConnection], None]) -> list[int]:
    """Run an HTTP conversation in the client's namespace; returns the TTLs of packets with data."""

    def talk() -> list[int]:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as tap:
            tap.bind(("eth0", 0x0800))
            connection = http.client.HTTPConnection(str(METADATA_SERVICE), timeout=5)
            action(connection)
            connection.close()
            tap.setblocking(False)
            return list(_ttls_of_data(tap))

    return netns.run_inside(CLIENT, talk)


def _ttls_of_data(tap: socket.socket) -> Iterator[int]:
    while True:
        try:
            packet = tap.recv(2000)
        except BlockingIOError:
            return
        head = (packet[0] & 15) * 4
        payload = packet[head + (packet[head + 12] >> 4) * 4 :]
        if IPv4Address(packet[12:16]) == METADATA_SERVICE and payload:
            yield packet[8]


def test_a_token_then_many_reads_on_one_connection(server: metadata.MetadataServer) -> None:
    def talk(connection: http.client.HTTPConnection) -> None:
        connection.request("PUT", TOKEN_PATH, headers={TTL_HEADER: "60"})
        token = connection.getresponse().read().decode()
        for path, expected in (("instance-id", b"i-1"), ("local-ipv4", str(ME).encode())):
            connection.request("GET", f"/latest/meta-data/{path}", headers={TOKEN_HEADER: token})
            assert connection.getresponse().read() == expected
        connection.request("GET", "/latest/meta-data/instance-id")
        assert connection.getresponse().status == 401

    as_client(talk)


def test_only_the_tokens_answer_has_the_hop_limit(server: metadata.MetadataServer) -> None:
    def put(connection: http.client.HTTPConnection) -> None:
        connection.request("PUT", TOKEN_PATH, headers={TTL_HEADER: "60"})
        assert connection.getresponse().status == 200

    def get(connection: http.client.HTTPConnection) -> None:
        connection.request("GET", "/latest/meta-data/")
        assert connection.getresponse().status == 401

    assert set(as_client(put)) == {3}
    assert set(as_client(get)) == {64}


def test_a_body_does_not_become_the_next_request(server: metadata.MetadataServer) -> None:
    smuggled = b"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n%b: 60\r\n\r\n" % TTL_HEADER.encode()

    def talk(connection: http.client.HTTPConnection) -> None:
        connection.request("POST", "/latest/meta-data/", body=smuggled)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 405
        assert connection.sock is None or connection.sock.recv(100) == b""

    as_client(talk)


def test_a_service_that_is_away_takes_connections_and_says_nothing(
    server: metadata.MetadataServer, rim: Rim
) -> None:
    def ask(connection: http.client.HTTPConnection) -> None:
        connection.timeout = 0.5
        connection.request("PUT", TOKEN_PATH, headers={TTL_HEADER: "60"})
        with pytest.raises(TimeoutError):
            connection.getresponse()

    def ask_again(connection: http.client.HTTPConnection) -> None:
        connection.request("PUT", TOKEN_PATH, headers={TTL_HEADER: "60"})
        assert connection.getresponse().status == 200

    rim.away = True
    as_client(ask)
    rim.away = False
    as_client(ask_again)
    assert rim.seen == [(MINE.id, "token")] * 2
