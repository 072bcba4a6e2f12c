"""Random frames through the kernel and through the evaluator: the same verdicts, bytes, counters
and learning; and random sequences of pipelines end as the last one alone."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address
from random import Random
from typing import Any

import pytest
import uplink_random
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from uplink_frames import (
    CLONE,
    INNER,
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
from pileus.rules.ruleset import Table
from pileus.uplink import pipeline

pytestmark = pytest.mark.netns

MARK = IPv4Address("172.16.20.250")
"""Registered throughout: after each frame one of this address tells that all before has passed."""
NOWHERE = Mac("02:00:00:00:00:fd")
"""No frame's source, so that nobody is taught that it is an inner one."""
BATCHES, FRAMES = 20, 250


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
        kept = {str(address) for address in registered | {MARK}}
        self._learned = forgetting(self._learned, kept)

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


def forgetting(learned: Learned, kept: set[str]) -> Learned:
    """What is left of what was learned when only these addresses are registered."""
    sets = {
        name: elements
        if name == pipeline.INSIDE
        else frozenset(one for one in elements if one.partition(" . ")[0] in kept)
        for name, elements in learned.sets.items()
    }
    maps = {
        name: {key: value for key, value in elements.items() if key in kept}
        for name, elements in learned.maps.items()
    }
    return Learned(sets, maps)


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


STEPS = st.tuples(
    st.sampled_from([NIC, CLONE]),
    st.frozensets(st.sampled_from(uplink_random.OWN)),
    st.booleans(),
)
"""Which mode, which addresses, and whether something is spoken then."""


@given(st.lists(STEPS, min_size=2, max_size=4))
@settings(max_examples=20, phases=[Phase.generate])  # each takes a while: no shrinking
def test_a_sequence_of_pipelines_ends_as_the_last_one_alone(
    world: World, steps: list[tuple[UplinkNic, frozenset[IPv4Address], bool]]
) -> None:
    """But for what was counted and learned, which is kept; and that of wanted addresses alone."""
    world.unload()
    inner = Tap.at(world.inner[0], "eth0")
    spoken: set[IPv4Address] = set()
    for nic, registered, speaks in steps:
        known = world.load(registered, nic)
        # Another mode has other sets: what was learned goes with them.
        spoken = spoken & registered if nic is NIC else set()
        if speaks and nic is NIC:
            for address in uplink_random.OWN:
                inner.send(ask(INNER, address, ROUTER))
            spoken = set(registered)
        wanted = pipeline.table(nic, registered)
        assert not rules.apply(wanted, namespace=world.node)
        assert not rules.apply(wanted, namespace=world.node, known=known)
    kernel = world.read()
    assert set(pipeline.learned(kernel)) == spoken
    listed = ruleset(world)
    world.unload()
    alone = world.load(steps[-1][1], steps[-1][0])
    assert ruleset(world) == listed
    assert alone.chains == kernel.chains, "in the same order"
    inner.raw.close()


def ruleset(world: World) -> list[str]:
    """All of it without what traffic has left there, and without the numbers of things."""
    listing = world.run(world.node, "nft", "--json", "list", "ruleset").stdout
    objects = json.loads(listing, object_hook=_without_traffic)["nftables"]
    return sorted(map(str, objects))


def _without_traffic(item: dict[str, Any]) -> dict[str, Any]:
    if item.get("name") in (pipeline.INNER, pipeline.INSIDE, pipeline.CLAIMS, pipeline.SPEAKING):
        item.pop("elem", None)
    if "elem" in item:
        item["elem"] = sorted(item["elem"])
    return {key: item[key] for key in item if key not in ("handle", "packets", "bytes")}
