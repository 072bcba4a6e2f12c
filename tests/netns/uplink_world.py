"""A provider NIC in fresh namespaces: the cloud, a node with a bridge behind its NIC, inner hosts.

    cloud (cloud0) ══ (eth1) node: bridge `uplink0` (in0, in1, …) ══ (eth0) inner hosts
                                                    (uplink0-rs)  ══ (leg) resolver

The cloud's end counts every frame that carries a foreign MAC or address, and answers ARP for
all addresses that it knows, those behind the same NIC included, as clouds do.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from uplink_frames import NIC, NIC_MAC, REGISTERED, ROUTER, ROUTER_MAC, WEB

from pileus.model.addresses import Mac
from pileus.model.uplink import UplinkNic
from pileus.rules import apply as rules
from pileus.rules.nft import InKernel
from pileus.rules.ruleset import (
    Accept,
    AnswerArp,
    Chain,
    Count,
    Drop,
    Field,
    Hook,
    Match,
    NamedMap,
    NamedSet,
    Rule,
    SetName,
    Table,
)
from pileus.system import netns, process
from pileus.uplink import pipeline
from pileus.uplink.config import NicConfig
from pileus.uplink.wiring import LEG, Names, Wire, settings

QUIET = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/bridge/bridge-nf-call-arptables": "0",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}
EVERY_PROTOCOL = 3
"""ETH_P_ALL. [linux/if_ether.h]"""
OUTGOING = 4
"""PACKET_OUTGOING: a frame that this host sent. [packet(7)]"""
WIRE = Wire(
    Names(0),
    NicConfig(NIC_MAC, "br-ex", "mac-nat", IPv4Network("172.16.20.0/24"), (WEB,)),
    "netdev",
    NIC.device,
    1500,
)
BRIDGE = WIRE.names.bridge


@dataclass(frozen=True)
class Tap:
    """Sends and sees whole frames at one device."""

    raw: socket.socket

    @classmethod
    def at(cls, namespace: str, device: str) -> Tap:
        def opened() -> socket.socket:
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
            raw.bind((device, EVERY_PROTOCOL))
            raw.settimeout(2)
            return raw

        return cls(netns.run_inside(namespace, opened))

    def send(self, frame: bytes, times: int = 1) -> None:
        for _ in range(times):
            self.raw.send(frame)

    def receive(self) -> bytes:
        """The next frame that arrives. Raises TimeoutError when none does."""
        while True:
            frame, (_, _, kind, *_) = self.raw.recvfrom(65536)
            if kind != OUTGOING:
                return frame

    def drained(self) -> list[bytes]:
        """What has arrived by now and was not received."""
        self.raw.setblocking(False)
        seen: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                seen.append(self.receive())
        return seen

    def until(self, wanted: bytes) -> list[bytes]:
        """What arrives before `wanted` does."""
        seen: list[bytes] = []
        while (frame := self.receive()) != wanted:
            seen.append(frame)
        return seen


class World:
    """The namespaces of one NIC; `close` removes them."""

    def __init__(self, name: str, inner: int = 1, *, learning: bool = True) -> None:
        prefix = f"uplink{os.getpid()}-{name}"
        self.cloud, self.node = f"{prefix}-cloud", f"{prefix}-node"
        self.resolver = f"{prefix}-resolver"
        self.inner = [f"{prefix}-in{number}" for number in range(inner)]
        for name in self._all:
            netns.remove(name)
            netns.ensure(name)
            netns.sysctl(name, QUIET)
        self._wire(learning)

    @property
    def _all(self) -> list[str]:
        return [self.cloud, self.node, self.resolver, *self.inner]

    def close(self) -> None:
        for name in self._all:
            netns.remove(name)

    def _wire(self, learning: bool) -> None:
        netns.batch(
            self.node,
            [
                f"link add {BRIDGE} address 02:00:00:00:bb:bb type bridge mcast_snooping 0 "
                "stp_state 0 forward_delay 0",
                f"link add eth1 address {NIC_MAC} type veth peer name cloud0 netns {self.cloud} "
                f"address {ROUTER_MAC}",
                f"link set eth1 master {BRIDGE}",
            ],
        )
        for number, name in enumerate(self.inner):
            netns.batch(
                self.node,
                [
                    f"link add in{number} type veth peer name eth0 netns {name}",
                    f"link set in{number} master {BRIDGE}",
                    f"link set in{number} up",
                ],
            )
            netns.batch(name, ["link set eth0 up"])
        netns.batch(self.node, [f"link set {BRIDGE} up", "link set eth1 up"])
        netns.batch(self.cloud, ["link set cloud0 up"])
        # The bridge would keep frames for a port's own MAC to itself.
        self.run(self.node, "bridge", "fdb", "del", str(NIC_MAC), "dev", "eth1", "master")
        if not learning:
            for port in ("eth1", *(f"in{number}" for number in range(len(self.inner)))):
                self.run(self.node, "bridge", "link", "set", "dev", port, "learning", "off")

    def resolve(self) -> None:
        """Put a resolver behind the NIC: its kernel asks ARP for whatever it is to forward."""
        netns.batch(
            self.node,
            [
                f"link add {WIRE.names.resolver_port} type veth peer name {LEG} "
                f"netns {self.resolver} address {NIC.resolver}",
                f"link set {WIRE.names.resolver_port} master {BRIDGE}",
                f"link set {WIRE.names.resolver_port} up",
            ],
        )
        inner = {path: value for (where, path), value in settings(WIRE).items() if where}
        netns.sysctl(self.resolver, inner)
        lines = [f"link set {LEG} up", f"route add {WIRE.config.subnet} dev {LEG}"]
        netns.batch(self.resolver, ["link set lo up", *lines])

    def run(self, namespace: str, *argv: str, check: bool = True) -> process.Done:
        """A program in one of the namespaces."""
        return process.run(["ip", "netns", "exec", namespace, *argv], check=check, timeout=30)

    def load(
        self, registered: frozenset[IPv4Address] = REGISTERED, nic: UplinkNic = NIC
    ) -> InKernel:
        """Put the pipeline in place."""
        return rules.apply(pipeline.table(nic, registered), namespace=self.node).kernel

    def unload(self) -> None:
        rules.remove(pipeline.FAMILY, pipeline.table_name(NIC.device), namespace=self.node)

    def read(self) -> InKernel:
        """The pipeline as the kernel has it."""
        found = rules.read(pipeline.FAMILY, pipeline.table_name(NIC.device), namespace=self.node)
        assert found
        return found

    def counters(self) -> dict[str, int]:
        return dict(self.read().counters)

    def rise(self, before: dict[str, int]) -> dict[str, int]:
        """Counters that rose since then, and by how much."""
        now = self.counters()
        return {name: now[name] - before[name] for name in now if now[name] != before[name]}

    def host(self, number: int, mac: Mac, address: IPv4Address) -> str:
        """Give an inner host its MAC and address, and the cloud's router; its namespace."""
        name = self.inner[number]
        netns.batch(name, ["link set eth0 down", f"link set eth0 address {mac}"])
        netns.batch(name, ["addr flush dev eth0", "link set eth0 up"])
        netns.batch(
            name, [f"addr add {address}/24 dev eth0", f"route add default via {ROUTER} dev eth0"]
        )
        return name

    def forget(self) -> None:
        """Let inner hosts forget each other and the bridge its hosts."""
        for name in self.inner:
            netns.batch(name, ["neigh flush all"])
        self.run(self.node, "ip", "link", "set", BRIDGE, "type", "bridge", "fdb_flush")

    def serve(self, outside: IPv4Address, registered: Sequence[IPv4Address]) -> None:
        """Make the cloud's end a strict cloud with a router, and a host beyond it."""
        netns.batch(
            self.cloud,
            [
                f"addr add {ROUTER}/24 dev cloud0",
                f"addr add {outside}/32 dev lo",
                *(
                    f"neigh replace {address} lladdr {NIC_MAC} dev cloud0 nud permanent"
                    for address in registered
                ),
            ],
        )
        rules.apply(strict_cloud(registered), namespace=self.cloud)

    def foreign(self) -> int:
        """Frames with a MAC or an address that the cloud does not know."""
        found = rules.read("netdev", "cloud", namespace=self.cloud)
        assert found
        return found.counters["foreign"]


def strict_cloud(registered: Sequence[IPv4Address]) -> Table:
    """What a cloud does to the frames of a NIC, in short; the simulated VPC does it in full."""

    def foreign(name: str, *matches: Match) -> Rule:
        return Rule(name, (*matches, Count("foreign"), Drop()))

    known = SetName("registered")
    rules_ = (
        foreign("mac", Match(Field.ETHER_SOURCE, NIC_MAC, negate=True)),
        foreign("arp mac", Match(Field.ARP_SENDER_MAC, NIC_MAC, negate=True)),
        foreign("arp address", Match(Field.ARP_SENDER_IP, known, negate=True)),
        foreign("address", Match(Field.IP_SOURCE, known, negate=True)),
        foreign("kind", Match(Field.ETHER_TYPE, frozenset({"ip", "arp"}), negate=True)),
        Rule("asked", (Match(Field.ETHER_TYPE, "ip"), Accept())),
        Rule("answers", (Match(Field.ARP_OPERATION, "reply"), Accept())),
        Rule("answer", (Match(Field.ARP_TARGET_IP, SetName("answered")), AnswerArp("owners"))),
        Rule("silence", (Drop(),)),
    )
    owners = dict.fromkeys(registered, NIC_MAC) | {ROUTER: ROUTER_MAC}
    return Table(
        "netdev",
        "cloud",
        (Chain("from", rules_, Hook("filter", "ingress", "0", "drop", device="cloud0")),),
        (
            NamedSet("registered", "ipv4_addr", frozenset(registered)),
            NamedSet("answered", "ipv4_addr", frozenset(owners)),
        ),
        (NamedMap("owners", "ipv4_addr", "ether_addr", owners),),
    )


@contextlib.contextmanager
def made(name: str, inner: int = 1, *, learning: bool = True) -> Iterator[World]:
    """A world for as long as it is needed."""
    world = World(name, inner, learning=learning)
    try:
        yield world
    finally:
        world.close()
