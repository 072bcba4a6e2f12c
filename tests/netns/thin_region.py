"""Thin machines on the wire: a region of namespaces, each with one NIC, and frames to send."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import replace
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


def serve(region: Region, nic: Eni, port: int) -> socket.socket:
    def listen() -> socket.socket:
        return socket.create_server(("", port))

    return netns.run_inside(machine_namespace(REGION, nic.instance or ""), listen)
