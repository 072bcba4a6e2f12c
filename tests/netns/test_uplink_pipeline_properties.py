"""Random frames through the kernel and through the evaluator: the same verdicts, bytes, counters
and learning; and random sequences of pipelines end as the last one alone."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address
from random import Random
from typing import Any

import pytest
import uplink_random
from uplink_frames import (
    CLONE,
    NIC,
    NIC_MAC,
    OUTSIDE,
    ROUTER,
    ROUTER_MAC,
    ask,
    ether,
    ipv4,
    udp,
)
from uplink_world import Tap, World, made

from pileus.model.addresses import Mac
from pileus.model.uplink import UplinkNic
from pileus.rules import apply as rules
from pileus.rules import frames
from pileus.rules.evaluator import Learned, Outcome
from pileus.rules.nft import InKernel, render
from pileus.rules.ruleset import Table
from pileus.system import netns, process
from pileus.uplink import pipeline

pytestmark = pytest.mark.netns

MARK = IPv4Address("172.16.20.250")
"""Registered throughout: after each frame one of this address tells that all before has passed."""
NOWHERE = Mac("02:00:00:00:00:fd")
"""No frame's source, so that nobody is taught that it is an inner one."""
BATCHES, FRAMES = 20, 250
SEQUENCES = 200


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with made("any", learning=False) as world:
        yield world


@pytest.fixture(autouse=True)
def one_cpu() -> Iterator[None]:
    """Frames that are sent on one CPU stay in order."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


class Both:
    """The same frames to the kernel and to the evaluator."""

    def __init__(self, world: World, nic: UplinkNic) -> None:
        self._world, self._nic = world, nic
        self._cloud = Tap.at(world.cloud, "cloud0")
        self._inner = Tap.at(world.inner[0], "eth0")
        self._learned = Learned()
        self._counted: Counter[str] = Counter()
        self.table: Table
        self.passed = 0

    def load(self, registered: frozenset[IPv4Address]) -> None:
        self._world.load(registered | {MARK}, self._nic)
        self.table = pipeline.table(self._nic, registered | {MARK})
        self._learned = uplink_random.kept(self._learned, self.table, registered | {MARK})

    def out(self, frame: bytes) -> None:
        mark = ether(NIC_MAC, NOWHERE, 0x0800, ipv4(MARK, OUTSIDE, udp(9)))
        self._send("guard_out", frame, mark, self._inner, self._cloud)

    def into(self, frame: bytes) -> None:
        mark = ether(ROUTER_MAC, NIC_MAC, 0x0800, ipv4(OUTSIDE, MARK, udp(9)))
        self._send("guard_in", frame, mark, self._cloud, self._inner)

    def _send(self, base: str, frame: bytes, mark: bytes, here: Tap, there: Tap) -> None:
        expected, after = self._follow(base, frame)
        _, marked = self._follow(base, mark)
        here.send(frame)
        here.send(mark)
        seen = there.until(marked)
        wanted = [after] if expected.verdict == "accept" else []
        assert seen == wanted, f"{base} {frame.hex()}: {expected}"
        self.passed += len(wanted)

    def _follow(self, base: str, frame: bytes) -> tuple[Outcome, bytes]:
        outcome, after = frames.send(self.table, base, frame, self._learned)
        self._learned = outcome.learned
        self._counted.update(outcome.counted)
        return outcome, after

    def agree(self) -> None:
        """The kernel has counted and learned what the evaluator has."""
        kernel = self._world.read()
        assert {name: n for name, n in kernel.counters.items() if n} == dict(self._counted)
        dynamic = [named.name for named in self.table.sets if named.dynamic]
        for name in dynamic:
            assert kernel.sets[name] == self._learned.sets.get(name, frozenset()), name
        for name in (named.name for named in self.table.maps):
            assert kernel.maps[name] == self._learned.maps.get(name, {}), name


@pytest.mark.parametrize("nic", [NIC, CLONE], ids=lambda nic: str(nic.mode))
def test_the_evaluator_and_the_kernel_agree_about_any_frame(world: World, nic: UplinkNic) -> None:
    """5,000 frames for each mode, half of them each way, with changes of what is registered."""
    world.unload()
    random = Random(f"uplink {nic.mode}")  # noqa: S311 - repeatable, not secret
    both = Both(world, nic)
    for _ in range(BATCHES):
        both.load(uplink_random.registered(random))
        for _ in range(FRAMES):
            (both.out if random.random() < 0.5 else both.into)(uplink_random.frame(random))
        both.agree()
    share = both.passed / (BATCHES * FRAMES)
    assert 0.05 < share < 0.6, f"{share:.0%} of the frames passed: too few or too many to tell"


@pytest.fixture(scope="module")
def alone() -> Iterator[str]:
    """A namespace with a NIC on which each pipeline is the first."""
    name = f"uplink{os.getpid()}-alone"
    netns.ensure(name)
    netns.batch(name, [f"link add {NIC.device} type veth peer name far"])
    yield name
    netns.remove(name)


def test_a_sequence_of_pipelines_ends_as_the_last_one_alone(world: World, alone: str) -> None:
    """But for what was counted and learned, which is kept; and that of wanted addresses alone."""
    inner, cloud = Tap.at(world.inner[0], "eth0"), Tap.at(world.cloud, "cloud0")

    def speak(wanted: uplink_random.Wanted) -> None:
        for address, mac in wanted.heard:
            inner.send(ask(mac, address, ROUTER))
            cloud.until(ask(NIC_MAC, address, ROUTER))

    for number in range(SEQUENCES):
        states = uplink_random.sequence(Random(f"kernel {number}"))  # noqa: S311 - repeatable
        ended = netns.run_inside(world.node, partial(in_turn, states, speak))
        table = states[-1].table
        assert netns.run_inside(alone, partial(from_nothing, table)) == ended, number
    inner.raw.close()
    cloud.raw.close()


def in_turn(
    states: list[uplink_random.Wanted], speak: Callable[[uplink_random.Wanted], None]
) -> list[dict[str, Any]]:
    """Make each state the one that is in force here; the ruleset in the end."""
    before = InKernel()
    rules.remove(states[0].table.family, states[0].table.name)
    for wanted in states:
        kernel = rules.apply(wanted.table).kernel
        left = uplink_random.kept(known(before), wanted.table, wanted.registered)
        assert known(kernel) == left, wanted
        counters = {name: before.counters.get(name, 0) for name in kernel.counters}
        assert kernel.counters == counters, wanted
        speak(wanted)
        before = kernel
        if wanted.heard:
            before = rules.read(wanted.table.family, wanted.table.name) or InKernel()
    assert not rules.apply(wanted.table)
    return ruleset()


def from_nothing(table: Table) -> list[dict[str, Any]]:
    """Load a table, whatever was there before; the ruleset."""
    name = f"{table.family} {table.name}"
    script = f"add table {name}\ndelete table {name}\n{render(table)}"
    process.run(["nft", "-f", "-"], stdin=script)
    return ruleset()


def known(kernel: InKernel) -> Learned:
    """What rules have learned. Only what they fill has a size."""
    filled = {name for name, declared in kernel.declared.items() if declared.size}
    return Learned(
        {name: elements for name, elements in kernel.sets.items() if name in filled},
        {name: elements for name, elements in kernel.maps.items() if name in filled},
    )


def ruleset() -> list[dict[str, Any]]:
    """All of it without what traffic has left there, and without the numbers of things.

    By kind and name; the rules of a chain in their order.
    """
    text = process.run(["nft", "--json", "list", "ruleset"]).stdout
    listing: dict[str, list[dict[str, Any]]] = json.loads(text, object_hook=_without_traffic)
    return sorted(listing["nftables"], key=_place)


def _place(item: dict[str, Any]) -> tuple[str, str]:
    ((kind, body),) = item.items()
    return kind, body.get("chain") or body.get("name") or ""


def _without_traffic(item: dict[str, Any]) -> dict[str, Any]:
    if item.get("name") in (pipeline.INNER, pipeline.INSIDE, pipeline.CLAIMS, pipeline.SPEAKING):
        item.pop("elem", None)
    if "elem" in item:
        item["elem"] = sorted(item["elem"])
    return {key: item[key] for key in item if key not in ("handle", "packets", "bytes")}
