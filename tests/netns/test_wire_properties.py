"""Random frames through the kernel and through the evaluator: the same verdicts, answers, counters;
and random sequences of states end in the kernel as the last one alone.

The kernel tells each verdict by its packet log: the rules here are the wire's own, but that none of
their rates is ever reached, and that what passes or is answered is told as well.
"""

from __future__ import annotations

import os
import select
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network
from random import Random

import pytest
import wire_random
from thin_region import all_frames, incoming
from vpc_states import ANYWHERE, PROVIDER, VPC, acl, elastic, entry, group, table
from wire_content import content
from wire_random import NICS, Sender

from pileus.model.verdict import Code
from pileus.rules import apply as rules
from pileus.rules import frames
from pileus.rules.ruleset import Accept, AnswerArp, Exceeds, Field, Log, Rule, Statement, Table
from pileus.system import netns, process
from pileus.system.netlog import PacketLog
from pileus.vpc.state import Eni, Permission, RegionState
from pileus.vpc.wire.drops import LOG_GROUP, LOG_LENGTH
from pileus.vpc.wire.frames import attached, frames_table
from pileus.vpc.wire.hops import hops_table
from pileus.vpc.wire.names import device, internet_namespace, vpc_namespace
from pileus.vpc.wire.reconcile import Wire
from pileus.vpc.wire.topology import Uplink

pytestmark = pytest.mark.netns

WIRE, GUESTS = f"pileus-p{os.getpid()}-wire", f"pileus-p{os.getpid()}-guests"
BATCHES, FRAMES = 20, 500
RATE = 1_000_000


@pytest.fixture(autouse=True)
def one_cpu() -> Iterator[None]:
    """Frames that are sent on one CPU stay in order."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


@pytest.fixture
def guests() -> Iterator[dict[str, socket.socket]]:
    """The machines' ends of all NICs, by the wire's ends."""
    quiet = {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}
    for name in (WIRE, GUESTS):
        netns.ensure(name)
        netns.sysctl(name, quiet)
    ends = {}
    try:
        for nic in NICS:
            name = device(nic.id)
            netns.batch(
                WIRE,
                [
                    f"link add {name} type veth peer name {name} netns {GUESTS}",
                    f"link set {name} up arp off",
                ],
            )
            netns.batch(GUESTS, [f"link set {name} up arp off"])
            ends[name] = netns.run_inside(GUESTS, partial(all_frames, name))
        yield ends
    finally:
        for end in ends.values():
            end.close()
        netns.remove(WIRE)
        netns.remove(GUESTS)


def telling(table: Table) -> Table:
    """The same rules, telling of every verdict."""
    chains = (
        replace(chain, rules=tuple(replace(r, statements=_telling(r)) for r in chain.rules))
        for chain in table.chains
    )
    return replace(table, chains=tuple(chains))


def _telling(rule: Rule) -> tuple[Statement, ...]:
    made: list[Statement] = []
    for statement in rule.statements:
        if isinstance(statement, Log | Exceeds):
            made.append(replace(statement, rate=RATE))
            continue
        if isinstance(statement, Accept | AnswerArp) and rule.name != "delivered":
            text = "from answer" if isinstance(statement, AnswerArp) else "from accept"
            made.append(Log(text, LOG_GROUP, RATE, LOG_LENGTH))
        made.append(statement)
    return tuple(made)


class Both:
    """The same frames to the kernel and to the evaluator."""

    def __init__(self, log: PacketLog, ends: dict[str, socket.socket]) -> None:
        self._log, self._ends = log, ends
        self._counted: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()

    def load(self, state: RegionState) -> None:
        self._table = frames_table(state, VPC)
        rules.apply(telling(self._table), namespace=WIRE)
        gone = {device(nic.id) for nic in NICS} - {device(nic.id) for nic in attached(state, VPC)}
        for name in [name for name in self._counted if name.partition(".")[0] in gone]:
            del self._counted[name]

    def send(self, nic: Eni, frame: bytes) -> None:
        name = device(nic.id)
        expected, answer = self._expected(name, frame)
        self._ends[name].send(frame)
        # The last one: a frame that is too short to be answered is told twice.
        assert self._told()[-1] == expected, f"{name} {frame.hex()}"
        assert list(incoming(self._ends[name])) == ([answer] if expected == "answer" else []), (
            frame.hex()
        )

    def _expected(self, name: str, frame: bytes) -> tuple[str, bytes]:
        came = {Field.IN_INTERFACE: name}
        outcome, after = frames.send(self._table, f"from_{name}", frame, beside=came)
        self._counted.update(outcome.counted)
        verdict = outcome.verdict if outcome.code is None else outcome.code.value
        self.verdicts[verdict] += 1
        return verdict, after

    def _told(self) -> list[str]:
        assert select.select([self._log], [], [], 2)[0], "no verdict was told"
        return [one.text.partition(" ")[2] for one in self._log.read()]

    def agree(self) -> None:
        """The kernel has counted what the evaluator has."""
        kernel = rules.read("netdev", self._table.name, namespace=WIRE)
        assert kernel is not None
        counted = {
            f"{name}.{what}": packets
            for what, each in kernel.counted.items()
            for name, packets in each.items()
            if packets
        }
        assert counted == dict(self._counted)


def test_the_evaluator_and_the_kernel_agree_about_any_frame(
    guests: dict[str, socket.socket],
) -> None:
    """10,000 frames, of NICs that come and go and change what they may."""
    random = Random("wire")  # noqa: S311 - repeatable, not secret
    both = Both(PacketLog(WIRE, LOG_GROUP, LOG_LENGTH), guests)
    for _ in range(BATCHES):
        state = wire_random.nics(random)
        both.load(state)
        plugged = attached(state, VPC)
        for _ in range(FRAMES):
            nic = random.choice(plugged)
            both.send(nic, Sender(nic, random).frame())
        both.agree()
    codes = {
        Code.SOURCE_MAC, Code.SOURCE_IP, Code.ARP_SENDER, Code.ARP_SILENT, Code.NOT_CARRIED,
        Code.LINK_LOCAL, Code.DHCP_SERVER, Code.NO_SUCH_ADDRESS,
    }  # fmt: skip
    assert set(both.verdicts) == {"accept", "answer", *(code.value for code in codes)}
    assert min(both.verdicts.values()) > 20, both.verdicts


# Sequences of states

UPLINK = Uplink(IPv4Network("169.254.0.0/30"), "igw-test")
REGION = f"q{os.getpid()}"


def changed(random: Random) -> RegionState:
    """NICs, groups, routes, ACLs and Elastic IPs of a VPC, some of each."""
    state = wire_random.nics(random)
    plugged = [replace(nic, groups=("sg-provider",)) for nic in attached(state, VPC)]
    port = random.choice((22, 80, 443))
    routes = [("0.0.0.0/0", "igw"), ("192.168.50.0/24", random.choice(NICS).id)]
    shut = acl("acl-1", PROVIDER, (entry(10, "tcp/22"),), (entry(10, "-1"),))
    public = elastic("a", "198.51.100.10", str(plugged[0].addresses[0]), plugged[0].id)
    return replace(
        state,
        enis={nic.id: nic for nic in plugged},
        groups={**state.groups, "sg-provider": group("sg-provider", tcp(port))},
        route_tables={"rtb": table("rtb", *random.sample(routes, random.randrange(3)))},
        network_acls={shut.id: shut} if random.random() < 0.5 else {},
        elastic_ips={public.id: public} if random.random() < 0.5 else {},
    )


def tcp(port: int) -> Permission:
    return Permission("tcp", (port, port), ANYWHERE)


@pytest.fixture
def space() -> Iterator[str]:
    """The VPC's namespace, once a wire has followed a state there."""
    netns.ensure(internet_namespace(REGION))
    try:
        yield vpc_namespace(REGION, VPC)
    finally:
        Wire(REGION).remove(VPC, UPLINK)
        for name in netns.existing(f"pileus-{REGION}-"):
            netns.remove(name)


def test_a_sequence_of_states_ends_as_the_last_one_alone(space: str) -> None:
    """What one wire made of all of them, change by change, is what another finds to be right, and
    what a third makes from nothing."""
    random = Random("states")  # noqa: S311 - repeatable, not secret
    wire = Wire(REGION)
    for _ in range(25):
        state = changed(random)
        wire.follow(state, VPC, UPLINK)
    reached = content(space)
    Wire(REGION).follow(state, VPC, UPLINK)
    assert content(space) == reached, "nothing was left to do"
    wire.remove(VPC, UPLINK)
    Wire(REGION).follow(state, VPC, UPLINK)
    assert content(space) == reached


def test_what_others_took_away_is_put_back(space: str) -> None:
    """With the next change that meets it."""
    wire, random = Wire(REGION), Random("lost")  # noqa: S311 - repeatable, not secret
    first, second = changed(random), changed(random)
    wire.follow(first, VPC, UPLINK)
    whole = content(space)
    process.run(["ip", "netns", "exec", space, "nft", "flush", "ruleset"])
    process.run(["ip", "-n", space, "route", "flush", "table", "main", "proto", "boot"])
    wire.follow(second, VPC, UPLINK)
    wire.follow(first, VPC, UPLINK)
    rules.apply(hops_table(), namespace=space)  # which is made with the namespace alone
    assert content(space) == whole
