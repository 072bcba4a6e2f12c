"""Random sequences of API calls on the real wire: the kernel has what the last state alone would
make, and does to random packets what a model of the state says.

Packets are the first of their connections, and the answers to those that arrive. They go in at the
machines' ends of NICs and at the internet's end of a VPC's gateway; where each ends is seen at
these ends and in the packet log.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from random import Random

import pytest
from thin_region import all_frames, incoming
from uplink_frames import ether, ipv4, udp
from wire_by_hand import OUTSIDE, probes
from wire_by_hand import Wire as ByHand
from wire_calls import Caller, caller
from wire_content import content
from wire_model import INTERNET, Fate, Model, Probe

from pileus.model.addresses import Mac
from pileus.model.verdict import Code
from pileus.rules import apply as rules
from pileus.system import netns
from pileus.system.netlog import PacketLog
from pileus.vpc.state import Eni, RegionState
from pileus.vpc.wire import drops
from pileus.vpc.wire.drops import LOG_GROUP, LOG_LENGTH
from pileus.vpc.wire.frames import attached
from pileus.vpc.wire.names import (
    FRAMES_TABLE,
    GATEWAY,
    PACKETS_TABLE,
    device,
    internet_namespace,
    machine_namespace,
    router_mac,
    vpc_namespace,
)
from pileus.vpc.wire.reconcile import Wire
from pileus.vpc.wire.topology import Uplink

pytestmark = pytest.mark.netns

REGION, FRESH = f"c{os.getpid()}", f"f{os.getpid()}"
SEQUENCES, CALLS, PROBES = 4, 125, 6
COUNTED_EACH, BUILT_EACH = 5, 25
"""After so many calls counters are compared, and the kernel's content with a fresh build's."""
FEW = 10
"""How often each fate is met at least."""
QUIET = {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}
IP = 14
"""Bytes before the IP header."""


@pytest.fixture(autouse=True)
def one_cpu() -> Iterator[None]:
    """Packets that are sent on one CPU stay in order."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.fixture(autouse=True)
def every_drop_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drops, "LOG_RATE", 1_000_000)


@pytest.fixture
def spaces() -> Iterator[None]:
    """The internets of both regions; all that is made beside them is removed."""
    try:
        for region in (REGION, FRESH):
            netns.ensure(internet_namespace(region))
            netns.sysctl(internet_namespace(region), QUIET)
        yield
    finally:
        for region in (REGION, FRESH):
            netns.remove(*netns.existing(f"pileus-{region}-"))


@dataclass(frozen=True)
class End:
    """A socket where packets go in and come out, at a NIC or, without one, at the internet."""

    socket: socket.socket
    nic: Eni | None


class Kernel:
    """One VPC on the wire, with whoever sends and receives there."""

    def __init__(self, wire: Wire, vpc: str, number: int) -> None:
        self.space = vpc_namespace(REGION, vpc)
        self.uplink = Uplink(IPv4Network((0xA9FE0000 + 4 * number, 30)), f"igw-{number}")
        self._wire, self._vpc = wire, vpc
        self._log: PacketLog | None = None
        self._ends: dict[str, End] = {}
        self._port = 1023
        self.counted: Counter[str] = Counter()
        """What should have been counted; of NICs that are unplugged nothing."""

    def follow(self, state: RegionState) -> None:
        self._state = state
        self._wire.follow(state, self._vpc, self.uplink)
        if self._log is None:
            self._log = PacketLog(self.space, LOG_GROUP, LOG_LENGTH)
            self._connect_internet()
        nics = {device(nic.id): nic for nic in attached(state, self._vpc)}
        for name, end in list(self._ends.items()):
            if name != GATEWAY and (name not in nics or not _same_plug(nics[name], end.nic)):
                end.socket.close()
                del self._ends[name]
        for name, nic in nics.items():
            self._ends[name] = replace(self._ends.get(name) or _plugged(nic), nic=nic)
        for counter in [one for one in self.counted if one.partition(".")[0] not in nics]:
            del self.counted[counter]

    def _connect_internet(self) -> None:
        """Its end asks for nobody and is known without being asked."""
        space, name = internet_namespace(REGION), self.uplink.internet_device
        netns.batch(space, [f"link set {name} arp off"])
        mac = netns.links(space)[name]["address"]
        neighbour = f"neigh replace {self.uplink.internet_end} lladdr {mac} dev {GATEWAY}"
        netns.batch(self.space, [f"{neighbour} nud noarp"])
        self._gateway_mac = Mac(netns.links(self.space)[GATEWAY]["address"])
        self._ends[GATEWAY] = End(netns.run_inside(space, partial(all_frames, name)), None)

    def fate(self, probe: Probe, public: dict[IPv4Address, IPv4Address]) -> Fate:
        """What the kernel does to a packet; that it arrives as it should is asserted."""
        assert self._log is not None
        source, destination = probe.source, probe.destination
        if probe.sender is None:
            end, macs = self._ends[GATEWAY], (Mac("02:00:00:00:00:01"), self._gateway_mac)
            destination = public[destination]
        else:
            end = self._ends[device(probe.sender.id)]
            macs = (probe.sender.mac, probe.to.mac if probe.to else router_mac(self._vpc))
        end.socket.send(ether(*macs, 0x0800, packet(probe, source, destination)))
        sockets = (one.socket for one in self._ends.values())
        waited: list[socket.socket | PacketLog] = [self._log, *sockets]
        assert select.select(waited, [], [], 2)[0], f"it is lost: {probe}"
        told = [self._dropped(one.text, one.in_device, one.out_device) for one in self._log.read()]
        for one in self._ends.values():
            for frame in incoming(one.socket):
                # Answers are translated for the internet also where a route leads them to a NIC.
                outward = one.nic is None or (probe.answers and probe.destination in OUTSIDE)
                came = public[source] if outward else source
                assert frame[IP + 12 : IP + 20] == came.packed + probe.destination.packed
                told.append(Fate(one.nic.id if one.nic else INTERNET))
        (found,) = told
        return found

    def new_port(self) -> int:
        """One that no connection has been begun from."""
        self._port += 1
        return self._port

    def _dropped(self, text: str, came: int, goes: int) -> Fate:
        assert self._log is not None
        way, _, code = text.partition(" ")
        nic = self._ends[self._log.device(came if way == "from" else goes)].nic
        assert nic is not None
        return Fate(nic.id, Code(code))

    def counts(self) -> Counter[str]:
        """Those of the kernel that are not zero."""
        found: Counter[str] = Counter()
        for family, name in (("netdev", FRAMES_TABLE), ("inet", PACKETS_TABLE)):
            kernel = rules.read(family, name, namespace=self.space)
            assert kernel is not None
            for what, each in kernel.counted.items():
                found.update({f"{nic}.{what}": packets for nic, packets in each.items()})
        return +found

    def built_anew(self) -> dict[str, list[str]]:
        """What another wire makes of this state from nothing."""
        fresh = Wire(FRESH)
        fresh.follow(self._state, self._vpc, self.uplink)
        found = content(vpc_namespace(FRESH, self._vpc))
        fresh.remove(self._vpc, self.uplink)
        machines = {nic.instance or "" for nic in attached(self._state, self._vpc)}
        netns.remove(*(machine_namespace(FRESH, one) for one in machines))
        return found

    def remove(self) -> None:
        for end in self._ends.values():
            end.socket.close()
        if self._log is not None:
            self._log.close()
        self._wire.remove(self._vpc, self.uplink)


def _same_plug(nic: Eni, other: Eni | None) -> bool:
    return other is not None and (nic.instance, nic.device_index) == (
        other.instance,
        other.device_index,
    )


def _plugged(nic: Eni) -> End:
    """A new NIC's end, of a machine that never says anything by itself."""
    machine, name = machine_namespace(REGION, nic.instance or ""), f"eth{nic.device_index}"
    netns.sysctl(machine, QUIET)
    netns.batch(machine, [f"link set {name} up arp off"])
    return End(netns.run_inside(machine, partial(all_frames, name)), nic)


def packet(probe: Probe, source: IPv4Address, destination: IPv4Address) -> bytes:
    """With a payload that connection tracking takes for what it is."""
    if probe.protocol == "udp":
        return ipv4(source, destination, udp(probe.port, from_port=probe.from_port))
    if probe.protocol == "icmp":
        echo = struct.pack("!BBHHH", probe.port, 0, 0, probe.from_port, 1) + bytes(12)
        return ipv4(source, destination, _checked(echo, 2, b""), protocol=1)
    numbers, flags = ((7, 2), 0x5012) if probe.answers else ((1, 0), 0x5002)
    ports = probe.from_port, probe.port
    syn = struct.pack("!HHIIHHHH", *ports, *numbers, flags, 0xFFFF, 0, 0)
    pseudo = source.packed + destination.packed + struct.pack("!HH", 6, len(syn))
    return ipv4(source, destination, _checked(syn, 16, pseudo), protocol=6)


def _checked(data: bytes, at: int, pseudo: bytes) -> bytes:
    """With its checksum, which stands there."""
    total = sum(struct.unpack(f"!{len(pseudo + data) // 2}H", pseudo + data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:at] + struct.pack("!H", 0xFFFF - total) + data[at + 2 :]


def test_the_kernel_does_what_the_state_says_after_any_calls(spaces: None) -> None:
    """500 calls, those that are refused among them, about two VPCs of the same range, and six
    connections after each: by the model, by the evaluator and by the kernel alike."""
    seen: Counter[str] = Counter()
    for number in range(SEQUENCES):
        seen += after_any_calls(Random(f"kernel {number}"))  # noqa: S311 - repeatable, not secret
    codes = {
        Code.SOURCE_IP, Code.NOT_CARRIED, Code.NO_SUCH_ADDRESS, Code.GROUP_EGRESS,
        Code.GROUP_INGRESS, Code.ACL_EGRESS, Code.ACL_INGRESS, Code.NO_ROUTE,
        Code.NO_PUBLIC_ADDRESS,
    }  # fmt: skip
    arrived = {INTERNET, "a NIC", f"answer at {INTERNET}", "answer at a NIC"}
    assert set(seen) == arrived | {code.value for code in codes}
    assert min(seen.values()) > FEW, seen


def after_any_calls(random: Random) -> Counter[str]:
    """One sequence; how often each fate was met."""
    calling, wire = caller(random), Wire(REGION)
    kernels = {vpc: Kernel(wire, vpc, number) for number, vpc in enumerate(calling.gateways)}
    seen: Counter[str] = Counter()
    try:
        for number in range(1, CALLS + 1):
            calling.call()
            for kernel in kernels.values():
                kernel.follow(calling.region.state)
            vpc = random.choice(list(kernels))
            seen.update(probed(calling, kernels[vpc], vpc))
            if number % COUNTED_EACH == 0:
                assert kernels[vpc].counts() == kernels[vpc].counted
            if number % BUILT_EACH == 0:
                assert content(kernels[vpc].space) == kernels[vpc].built_anew()
    finally:
        for kernel in kernels.values():
            kernel.remove()
    return seen


def probed(calling: Caller, kernel: Kernel, vpc: str) -> Iterator[str]:
    """The fates of some packets and answers, by all three."""
    state = calling.region.state
    model, evaluator = Model(state, vpc), ByHand(state, vpc)
    for each in probes(calling.random, model, PROBES) if model.nics else ():
        probe: Probe | None = replace(each, from_port=kernel.new_port())
        while probe is not None:
            expected = model.fate(probe)
            assert evaluator.fate(probe) == expected, probe
            assert kernel.fate(probe, model.public) == expected, probe
            yield fate_of(probe, expected)
            probe = None if probe.answers else model.answer(probe, expected)
    kernel.counted += evaluator.counted


def fate_of(probe: Probe, fate: Fate) -> str:
    if fate.code is not None:
        return fate.code.value
    where = INTERNET if fate.at == INTERNET else "a NIC"
    return f"answer at {where}" if probe.answers else where
