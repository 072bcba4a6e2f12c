"""Thin machines on the wire: a region of namespaces, each with one NIC, and frames to send."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pileus.model.addresses import Mac, subnet_router
from pileus.system import netns, process
from pileus.vpc import internet
from pileus.vpc.internet import HostLink, Internet
from pileus.vpc.state import (
    ElasticIp,
    Eni,
    Permission,
    RegionState,
    Route,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
)
from pileus.vpc.wire.frames import attached
from pileus.vpc.wire.names import machine_namespace, router_mac
from pileus.vpc.wire.packets import elastic_pairs
from pileus.vpc.wire.reconcile import Wire
from pileus.vpc.wire.report import plugged, wire_report
from pileus.vpc.wire.topology import Uplink

REGION = f"t{os.getpid()}"
POOL = IPv4Network(f"198.19.{128 + os.getpid() % 127}.0/24")
"""Not of those that regions choose from, which may start at the same time."""
VPC = "vpc-1"
ANYWHERE = frozenset({IPv4Network("0.0.0.0/0")})
ALL = Permission("-1", None, ANYWHERE)
UPLINK = Uplink(IPv4Network("169.254.0.0/30"), "igw-test")
FOREIGN_MAC = Mac("02:00:00:00:00:99")
UDP = 17
PUBLIC = IPv4Address("198.51.100.10")


def eni(number: int, address: str, **changes: object) -> Eni:
    made = Eni(
        id=f"eni-{number:012d}",
        mac=Mac(f"02:00:00:00:00:{number:02d}"),
        vpc=VPC,
        subnet="subnet-a",
        addresses=(IPv4Address(address),),
        groups=("sg-web",),
        source_dest_check=True,
        instance=f"i-{number}",
        device_index=0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


ALICE, BOB = eni(1, "172.16.10.11"), eni(2, "172.16.10.12", groups=("sg-closed",))
STATE = RegionState(
    vpcs={VPC: Vpc(VPC, IPv4Network("172.16.0.0/16"), has_internet_gateway=True)},
    subnets={"subnet-a": Subnet("subnet-a", VPC, IPv4Network("172.16.10.0/24"))},
    route_tables={
        "rtb": RouteTable(
            "rtb", VPC, (Route(IPv4Network("0.0.0.0/0"), "igw"),), frozenset(), main=True
        )
    },
    groups={
        "sg-web": SecurityGroup(
            "sg-web", VPC, "web", (Permission("tcp", (80, 80), ANYWHERE),), (ALL,)
        ),
        "sg-closed": SecurityGroup("sg-closed", VPC, "closed", (), ()),
    },
    enis={ALICE.id: ALICE, BOB.id: BOB},
    elastic_ips={"e": ElasticIp("e", PUBLIC, ALICE.id, ALICE.addresses[0], "eipassoc")},
)


class Region:
    """A region of thin machines, kept equal to a state as the real one is."""

    def __init__(self, runtime: Path) -> None:
        self.link = HostLink(f"pileus-{os.getpid()}", POOL)
        self.internet = Internet(REGION, self.link, runtime)
        self.wire = Wire(REGION)
        self.state = RegionState()

    def become(self, state: RegionState) -> None:
        self.state = state
        self.wire.follow(state, VPC, UPLINK)
        self.internet.follow({VPC: UPLINK}, {VPC: elastic_pairs(state, VPC).values()})
        for nic in attached(state, VPC):
            assert nic.instance
            machine = machine_namespace(REGION, nic.instance)
            netns.sysctl(machine, {"net/ipv6/conf/all/disable_ipv6": "1"})  # its own chatter
            end, router = f"eth{nic.device_index}", subnet_router(state.subnets[nic.subnet].cidr)
            netns.batch(
                machine,
                [
                    *(f"addr replace {address}/24 dev {end}" for address in nic.addresses),
                    f"link set {end} up",
                    *([f"route replace default via {router}"] if end == "eth0" else []),
                ],
            )

    def start(self) -> None:
        """With Alice and Bob, and an Elastic IP of this host's choice for Alice."""
        self.internet.start()
        elastic = replace(STATE.elastic_ips["e"], public=self.public(9))
        self.become(replace(STATE, elastic_ips={"e": elastic}))

    def public(self, number: int) -> IPv4Address:
        """One of the Elastic IPs that the host has a route to."""
        return self.link.elastic_ips.network_address + number

    def close(self) -> None:
        self.internet.stop()
        self.wire.remove(VPC, UPLINK)
        internet.remove_internet(REGION, self.link.device)
        for name in netns.existing(f"pileus-{REGION}-"):
            netns.remove(name)

    def counters(self, nic: Eni) -> dict[str, int]:
        (report,) = [r for r in wire_report(REGION, plugged(self.state)) if r.nic.eni == nic.id]
        return {str(code): count for code, count in report.dropped.items()}

    def rise(self, nic: Eni, before: dict[str, int]) -> dict[str, int]:
        after = self.counters(nic)
        return {code: after[code] - before[code] for code in after if after[code] != before[code]}

    def counted(self) -> dict[tuple[str, str], int]:
        """What was dropped, by NIC and code, zeros left out."""
        return {
            (report.nic.eni, str(code)): count
            for report in wire_report(REGION, plugged(self.state))
            for code, count in report.dropped.items()
            if count
        }

    def rose(self, before: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
        """Every counter of every NIC that is not what it was, and by how much."""
        after = self.counted()
        found = {one: after.get(one, 0) - before.get(one, 0) for one in {*after, *before}}
        return {one: count for one, count in found.items() if count}

    def run(self, who: Eni | str, *argv: str) -> process.Done:
        name = who if isinstance(who, str) else machine_namespace(REGION, who.instance or "")
        return process.run(["ip", "netns", "exec", name, *argv], check=False, timeout=20)

    def send(self, nic: Eni, frame: bytes, count: int = 1) -> None:
        def send() -> None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
                raw.bind((f"eth{nic.device_index}", 0))
                for _ in range(count):
                    raw.send(frame)

        netns.run_inside(machine_namespace(REGION, nic.instance or ""), send)


ROUTER = router_mac(VPC)
BROADCAST = Mac("ff:ff:ff:ff:ff:ff")


def udp(to_port: int, from_port: int = 40000) -> bytes:
    """A UDP datagram without data or checksum."""
    return struct.pack("!4H", from_port, to_port, 8, 0)


DATAGRAM = udp(9)


def ethernet(source: Mac, destination: Mac, kind: int, payload: bytes) -> bytes:
    return destination.packed + source.packed + struct.pack("!H", kind) + payload


def ipv4(
    source: str,
    destination: str,
    protocol: int = 17,
    payload: bytes = DATAGRAM,
    ttl: int = 64,
    fragment: int = 0,
) -> bytes:
    """An IPv4 packet; `fragment` is the field of flags and offset."""
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45, 0, 20 + len(payload), 1, fragment, ttl, protocol, 0,
        IPv4Address(source).packed, IPv4Address(destination).packed,
    )  # fmt: skip
    total = sum(struct.unpack("!10H", header))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack("!H", checksum) + header[12:] + payload


def arp(operation: int, sender: tuple[Mac, str], target: str) -> bytes:
    mac, address = sender
    fixed = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return fixed + mac.packed + IPv4Address(address).packed + b"\0" * 6 + IPv4Address(target).packed


def tap(nic: Eni) -> socket.socket:
    """A socket that sees all IPv4 frames at a machine's NIC."""
    name = f"eth{nic.device_index}"

    def make() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        made.bind((name, 0x0800))
        made.settimeout(2)
        return made

    return netns.run_inside(machine_namespace(REGION, nic.instance or ""), make)


class Listening:
    """At ends of the wire, for all that comes out of it."""

    def __init__(self, *ends: tuple[str, str]) -> None:
        """`ends` are namespaces and the devices there."""
        self._sockets = [netns.run_inside(space, partial(all_frames, name)) for space, name in ends]

    def arrived(self, sent: bytes) -> list[bytes]:
        """Since it was last asked, without what others have to say by ARP than what was sent."""
        frames = [frame for one in self._sockets for frame in incoming(one)]
        return [one for one in frames if one[12:14] != b"\x08\x06" or one[14:] == sent[14:]]

    def close(self) -> None:
        for one in self._sockets:
            one.close()


def all_frames(name: str) -> socket.socket:
    """A socket at a device of the caller's namespace, to send and to see whatever passes."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    made.bind((name, 3))
    made.setblocking(False)
    return made


def incoming(listener: socket.socket) -> Iterator[bytes]:
    """All that has come in there until now."""
    while True:
        try:
            frame, (_, _, kind, *_) = listener.recvfrom(65535)
        except BlockingIOError:
            return
        if kind != socket.PACKET_OUTGOING:
            yield frame


def serve(region: Region, nic: Eni, port: int) -> socket.socket:
    def listen() -> socket.socket:
        return socket.create_server(("", port))

    return netns.run_inside(machine_namespace(REGION, nic.instance or ""), listen)
