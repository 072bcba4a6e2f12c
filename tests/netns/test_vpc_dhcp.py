"""DHCP and DNS over the real wire: many NICs behind one router address, each with its own lease."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from pileus.model.addresses import Mac
from pileus.system import netns, process
from pileus.vpc.dhcp import Dhcp
from pileus.vpc.state import (
    Eni,
    Permission,
    RegionState,
    Route,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
)
from pileus.vpc.wire.names import internet_namespace, machine_namespace, vpc_namespace
from pileus.vpc.wire.reconcile import Wire
from pileus.vpc.wire.report import plugged, wire_report
from pileus.vpc.wire.topology import Uplink

pytestmark = pytest.mark.netns

REGION = f"d{os.getpid()}"
VPC = "vpc-1"
UPLINK = Uplink(IPv4Network("169.254.0.0/30"), "igw-test")
ANYWHERE = frozenset({IPv4Network("0.0.0.0/0")})
SUBNETS = {
    "subnet-m": Subnet("subnet-m", VPC, IPv4Network("172.16.10.0/24")),
    "subnet-p": Subnet("subnet-p", VPC, IPv4Network("172.16.20.0/24")),
}
RESOLVER = IPv4Address("172.16.0.2")
SITE = {"www.example.com": IPv4Address("198.18.0.80")}

LEASE_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
echo "ip=$ip mask=$mask router=$router dns=$dns mtu=$mtu lease=$lease hostname=$hostname"
"""


def eni(number: int, subnet: str, *addresses: str) -> Eni:
    return Eni(
        id=f"eni-{number:012d}",
        mac=Mac(f"02:00:00:00:00:{number:02d}"),
        vpc=VPC,
        subnet=subnet,
        addresses=tuple(IPv4Address(address) for address in addresses),
        groups=("sg",),
        source_dest_check=True,
        instance=f"i-{number}",
        device_index=0,
    )


ENIS = [
    eni(1, "subnet-m", "172.16.10.11"),
    eni(2, "subnet-m", "172.16.10.12", "172.16.10.200"),
    eni(3, "subnet-m", "172.16.10.13"),
    eni(4, "subnet-p", "172.16.20.11"),
    eni(5, "subnet-p", "172.16.20.12"),
]


def region(enis: list[Eni]) -> RegionState:
    return RegionState(
        vpcs={VPC: Vpc(VPC, IPv4Network("172.16.0.0/16"))},
        subnets=SUBNETS,
        route_tables={
            "rtb": RouteTable(
                "rtb", VPC, (Route(IPv4Network("172.16.0.0/16"), "local"),), frozenset(), main=True
            )
        },
        groups={
            "sg": SecurityGroup("sg", VPC, "sg", (), (Permission("-1", None, ANYWHERE),)),
        },
        enis={one.id: one for one in enis},
    )


class Vpcs:
    """The wire and the VPC's dnsmasq, following one state after another."""

    def __init__(self, dhcp: Dhcp, scripts: Path) -> None:
        self.dhcp = dhcp
        self.wire = Wire(REGION)
        self.script = scripts / "lease.sh"
        self.script.write_text(LEASE_SCRIPT)
        self.script.chmod(0o755)

    def follow(self, state: RegionState) -> None:
        self.wire.follow(state, VPC, UPLINK)
        self.dhcp.follow(state)
        for one in state.enis.values():
            machine = machine_namespace(REGION, str(one.instance))
            netns.sysctl(machine, {"net/ipv6/conf/all/disable_ipv6": "1"})  # its own chatter
            netns.batch(machine, ["link set eth0 up"])

    def ask(self, one: Eni, *options: str) -> str:
        """What a DHCP client on this NIC gets; empty when it gets no lease."""
        done = process.run(
            [
                *("ip", "netns", "exec", machine_namespace(REGION, str(one.instance))),
                *("busybox", "udhcpc", "-f", "-q", "-n", "-i", "eth0", "-t", "3", "-T", "1"),
                *("-O", "mtu", "-O", "hostname", "-s", str(self.script), *options),
            ],
            check=False,
        )
        return "".join(line for line in done.stdout.splitlines() if line.startswith("ip="))


@pytest.fixture
def vpcs(tmp_path: Path) -> Iterator[Vpcs]:
    # dnsmasq reads its files as nobody, who may not enter pytest's own directories.
    directory = Path(f"/run/pileus-test-{REGION}")
    directory.mkdir(mode=0o755)
    netns.ensure(internet_namespace(REGION))
    dhcp = Dhcp(VPC, vpc_namespace(REGION, VPC), directory, SITE)
    try:
        yield Vpcs(dhcp, tmp_path)
    finally:
        dhcp.stop()
        Wire(REGION).remove(VPC, UPLINK)
        for namespace in netns.existing(f"pileus-{REGION}-"):
            netns.remove(namespace)
        shutil.rmtree(directory)


def test_every_nic_gets_its_primary_address_and_its_subnets_router(vpcs: Vpcs) -> None:
    vpcs.follow(region(ENIS))

    for one in ENIS:
        router = SUBNETS[one.subnet].cidr.network_address + 1
        assert vpcs.ask(one) == (
            f"ip={one.addresses[0]} mask=24 router={router} dns={RESOLVER} "
            "mtu=9001 lease=3600 hostname="
        )


def test_the_servers_own_broadcasts_are_not_laid_to_the_nic(vpcs: Vpcs) -> None:
    """Linux shows them to their sender, too, and without a MAC."""
    state = region(ENIS[:1])
    vpcs.follow(state)
    assert vpcs.ask(ENIS[0])
    (told,) = wire_report(REGION, plugged(state))
    assert (told.passed_out, set(told.dropped.values())) == (2, {0})


def test_a_nic_plugged_in_later_gets_a_lease_and_the_server_runs_on(vpcs: Vpcs) -> None:
    vpcs.follow(region([]))
    before = vpcs.dhcp._process

    vpcs.follow(region(ENIS[:1]))

    assert vpcs.ask(ENIS[0]).startswith("ip=172.16.10.11 ")
    assert vpcs.dhcp._process == before


def test_an_address_that_goes_to_another_mac_is_leased_to_it(vpcs: Vpcs) -> None:
    vpcs.follow(region(ENIS[:2]))
    assert vpcs.ask(ENIS[0]).startswith("ip=172.16.10.11 ")

    heir = replace(ENIS[2], addresses=(IPv4Address("172.16.10.11"),))
    vpcs.follow(region([ENIS[1], heir]))

    assert vpcs.ask(heir).startswith("ip=172.16.10.11 ")


def test_a_secondary_address_is_not_handed_out_on_request(vpcs: Vpcs) -> None:
    vpcs.follow(region(ENIS))

    assert vpcs.ask(ENIS[1], "-r", "172.16.10.200").startswith("ip=172.16.10.12 ")


def test_a_lease_leaves_the_wires_permanent_neighbours_alone(vpcs: Vpcs) -> None:
    state = region(ENIS)
    vpcs.follow(state)
    assert vpcs.ask(ENIS[0])

    shown = process.run(["ip", "-n", vpc_namespace(REGION, VPC), "neigh"]).stdout

    assert shown.count("PERMANENT") == 6
    vpcs.follow(state)


def test_the_resolver_knows_the_internet_and_the_vpc_and_nothing_else(vpcs: Vpcs) -> None:
    vpcs.follow(region(ENIS))
    client = ENIS[3]
    netns.batch(
        machine_namespace(REGION, str(client.instance)),
        [
            f"addr add {client.addresses[0]}/24 dev eth0",
            "route add default via 172.16.20.1",
        ],
    )

    assert lookup(client, "www.example.com") == (0, "198.18.0.80")
    assert lookup(client, "ip-172-16-10-200.ec2.internal") == (0, "172.16.10.200")
    assert lookup(client, "www.example.com", AAAA) == (0, None)
    assert lookup(client, "elsewhere.example.org") == (NO_SUCH_NAME, None)


A, AAAA = 1, 28
NO_SUCH_NAME = 3


def lookup(one: Eni, name: str, kind: int = A) -> tuple[int, str | None]:
    """Response code and first address that the VPC's resolver answers. [RFC 1035]"""
    labels = b"".join(bytes([len(word)]) + word.encode() for word in name.split("."))
    question = labels + b"\0" + struct.pack("!HH", kind, 1)
    query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question

    def ask() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect((str(RESOLVER), 53))
            client.send(query)
            return client.recv(512)

    reply = netns.run_inside(machine_namespace(REGION, str(one.instance)), ask)
    _, flags, _, answers, _, _ = struct.unpack("!HHHHHH", reply[:12])
    address = str(IPv4Address(reply[-4:])) if answers and kind == A else None
    return flags & 0xF, address
