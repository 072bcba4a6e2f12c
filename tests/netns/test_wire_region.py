"""The wire of a whole region: called by boto3, and tried by thin machines.

Two VPCs of the same range, with machines of the same addresses; a NIC that was detached.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from thin_region import ethernet, ipv4

from pileus import testing
from pileus.model.addresses import Mac
from pileus.model.verdict import Code
from pileus.system import netns
from pileus.testing import Instance, Region, Vpc
from pileus.vpc import control
from pileus.vpc.internet import RESOLVER, WEB
from pileus.vpc.wire.names import machine_namespace, router_mac

pytestmark = pytest.mark.netns

NAME = f"wire{os.getpid()}"
ADDRESS, NEIGHBOUR = "10.0.1.50", "10.0.1.60"
PORT = 8080


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with (
        tempfile.TemporaryDirectory(prefix="pileus-wire-") as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(directory).chmod(0o755)  # for the name server, which is no longer root
        patch.setenv("PILEUS_RUN", f"{directory}/run")
        patch.setenv("PILEUS_DATA", f"{directory}/data")
        with testing.region(NAME) as made:
            yield made


@dataclass(frozen=True)
class Side:
    """One of two VPCs with the same range, and its machine that has the same address as the
    other's."""

    vpc: Vpc
    machine: Instance
    public: str


@pytest.fixture(scope="module")
def sides(region: Region) -> Iterator[tuple[Side, Side]]:
    with testing.vpc(region) as one, testing.vpc(region) as other:
        yield side(one), side(other)


def side(vpc: Vpc) -> Side:
    (machine,) = vpc.launch(PrivateIpAddress=ADDRESS)
    return Side(vpc, machine, vpc.elastic_ip(machine))


def pings(source: Instance, address: str) -> bool:
    return source.run("ping", "-q", "-c", "1", "-W", "1", address, check=False).code == 0


def received(instance: Instance) -> int:
    """Packets that the wire has handed to an instance."""
    reports = control.counters(instance.region.name)
    return sum(one.passed_in for one in reports if one.nic.instance == instance.id)


def test_an_address_is_that_of_ones_own_vpc(sides: tuple[Side, Side]) -> None:
    """Also where the other one has it too."""
    one, other = sides
    (neighbour,) = one.vpc.launch(PrivateIpAddress=NEIGHBOUR)
    before = received(other.machine)
    assert pings(neighbour, ADDRESS)
    assert pings(one.machine, NEIGHBOUR)
    assert received(other.machine) == before
    told = received(neighbour)
    assert not pings(other.machine, NEIGHBOUR), "nobody has it there"
    assert received(neighbour) == told
    assert not one.machine.dropped


def test_each_goes_out_with_its_own_elastic_ip(sides: tuple[Side, Side]) -> None:
    for each in sides:
        assert pings(each.machine, str(RESOLVER))
        page = each.machine.run("curl", "-s", "--max-time", "5", f"http://{WEB}/ip")
        assert page.stdout.strip() == each.public
    assert sides[0].public != sides[1].public


def test_they_reach_each_other_by_elastic_ip_where_a_group_lets_them(
    sides: tuple[Side, Side],
) -> None:
    """With the caller's Elastic IP as the source: their own range, which is let in, is not it."""
    one, other = sides
    before = other.machine.dropped.get(Code.GROUP_INGRESS.value, 0)
    assert not pings(one.machine, other.public)
    assert other.machine.dropped[Code.GROUP_INGRESS.value] == before + 1
    other.vpc.allow("tcp", PORT, f"{one.public}/32")
    with inside(other.machine, lambda: socket.create_server(("", PORT))) as server:
        server.settimeout(5)
        with inside(one.machine, lambda: socket.create_connection((other.public, PORT), timeout=5)):
            accepted, peer = server.accept()
            accepted.close()
    assert peer[0] == one.public
    assert not pings(one.machine, other.public), "that port alone"


def inside(machine: Instance, make: Callable[[], socket.socket]) -> socket.socket:
    return netns.run_inside(machine_namespace(machine.region.name, machine.id), make)


def test_none_may_send_in_the_name_of_a_nic_that_was_detached(region: Region) -> None:
    """Neither the machine that had it, nor anybody before it is attached again."""
    with testing.vpc(region) as vpc:
        ec2 = region.ec2
        alice, bob = vpc.launch(2, InstanceType="m5.large")
        made = ec2.create_network_interface(SubnetId=vpc.subnet, Groups=[vpc.group])
        nic = made["NetworkInterface"]
        attached = ec2.attach_network_interface(
            NetworkInterfaceId=nic["NetworkInterfaceId"], InstanceId=alice.id, DeviceIndex=1
        )
        mac, address = Mac(nic["MacAddress"]), nic["PrivateIpAddress"]
        frame = ethernet(mac, router_mac(vpc.id), 0x0800, ipv4(address, bob.address))
        before = received(bob)
        send(alice, "eth1", frame, 3)
        assert received(bob) == before + 3
        assert not alice.dropped
        ec2.detach_network_interface(AttachmentId=attached["AttachmentId"])
        ec2.get_waiter("network_interface_available").wait(
            NetworkInterfaceIds=[nic["NetworkInterfaceId"]],
            WaiterConfig={"Delay": 0.05, "MaxAttempts": 200},
        )
        with pytest.raises(OSError, match="No such device"):
            send(alice, "eth1", frame, 1)
        for machine in (alice, bob):
            send(machine, "eth0", frame, 3)
            assert machine.dropped == {Code.SOURCE_MAC.value: 3}
        assert received(bob) == before + 3


def send(machine: Instance, name: str, frame: bytes, count: int) -> None:
    def make() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind((name, 0))
            for _ in range(count):
                raw.send(frame)

    netns.run_inside(machine_namespace(machine.region.name, machine.id), make)
