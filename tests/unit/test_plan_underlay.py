"""The plan of the cloud below: whatever is there, the steps lead to what is wanted, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from underlay_world import World

from pileus.model.errors import Refused
from pileus.model.tenant import ANYWHERE
from pileus.model.underlay import (
    ElasticIp,
    ObservedUnderlay,
    Permission,
    WantedNic,
    WantedUnderlay,
)
from pileus.model.underlay_steps import (
    AwaitTermination,
    CreateNic,
    ReleaseElasticIp,
    RunInstance,
    StartInstance,
    Step,
)
from pileus.plan.underlay import plan_removal, plan_underlay

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIZAqcF0mP7yNwe9nk7zQ5lJdRmEgF7SwqgkJWqWbYqP"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
MANAGEMENT, PROVIDER = IPv4Network("172.16.10.0/24"), IPv4Network("172.16.20.0/24")


def wanted(more: int = 0, ports: frozenset[int] = frozenset(), public: int = 2) -> WantedUnderlay:
    """The guide's environment; `more` addresses on the provider NIC, the first `public` ones with
    an Elastic IP."""
    addresses = (MANAGEMENT[101], *(PROVIDER[101 + position] for position in range(more + 1)))
    published = frozenset(Permission("tcp", (port, port), ANYWHERE) for port in ports)
    return WantedUnderlay(
        cloud="demo",
        vpc=IPv4Network("172.16.0.0/16"),
        nics=(
            WantedNic(
                "management",
                MANAGEMENT,
                addresses[:1],
                frozenset({Permission("tcp", (22, 22), IPv4Network("203.0.113.7/32"))}),
            ),
            WantedNic("provider", PROVIDER, addresses[1:], published),
        ),
        instance_type="m5.xlarge",
        root_gib=20,
        public_key=KEY,
        image_name="image",
        elastic_ips=frozenset(addresses[:public]),
    )


GUIDE = wanted(ports=frozenset({522}))


def steps_to(target: WantedUnderlay, world: World) -> Sequence[Step]:
    return plan_underlay(target, world.observed)


def up(target: WantedUnderlay, world: World) -> None:
    for step in steps_to(target, world):
        world.apply(step)


def down(world: World) -> None:
    for step in plan_removal(world.observed):
        world.apply(step)


targets = st.builds(
    wanted,
    more=st.integers(0, 3),
    ports=st.frozensets(st.sampled_from([80, 443, 522, 523]), max_size=4),
    public=st.integers(0, 5),
)
runs = st.lists(
    st.tuples(st.one_of(targets, st.none()), st.integers(0, 40)),
    max_size=6,
)
"""Runs of `up` with a target, or of `down`, each cut off after some steps."""


@given(runs, targets)
def test_up_finishes_whatever_runs_before_it_were_cut_off(
    earlier: list[tuple[WantedUnderlay | None, int]], target: WantedUnderlay
) -> None:
    world = World()
    for goal, cut in earlier:
        steps = steps_to(goal, world) if goal else plan_removal(world.observed)
        for step in steps[:cut]:
            world.apply(step)

    up(target, world)

    assert steps_to(target, world) == ()
    seen = world.observed
    assert seen.node is not None
    assert seen.node.state == "running"
    assert {nic.role: nic.ingress for nic in target.nics} == seen.groups
    assert {elastic.associated for elastic in seen.elastic_ips} == target.elastic_ips
    assert {role: set(nic.addresses) for role, nic in seen.nics.items()} == {
        nic.role: set(nic.addresses) for nic in target.nics
    }


@given(runs)
def test_down_finishes_whatever_runs_before_it_were_cut_off(
    earlier: list[tuple[WantedUnderlay | None, int]],
) -> None:
    world = World()
    for goal, cut in earlier:
        steps = steps_to(goal, world) if goal else plan_removal(world.observed)
        for step in steps[:cut]:
            world.apply(step)

    down(world)

    assert world.observed.empty
    assert plan_removal(world.observed) == ()


def test_a_machine_on_its_way_out_is_waited_for_before_its_nics_are_used_or_deleted() -> None:
    world = World()
    up(GUIDE, world)
    world.observed = replace(world.observed, node=None, instance_type=None, leaving=("i-0",))

    assert [type(step) for step in steps_to(GUIDE, world)] == [AwaitTermination, RunInstance]
    assert plan_removal(world.observed)[0] == AwaitTermination("i-0")
    assert not replace(ObservedUnderlay(), leaving=("i-0",)).empty


@pytest.mark.parametrize("state", ["stopping", "stopped"])
def test_a_machine_that_was_stopped_is_started(state: str) -> None:
    world = World()
    up(GUIDE, world)
    assert world.observed.node is not None
    world.observed = replace(world.observed, node=replace(world.observed.node, state=state))
    assert steps_to(GUIDE, world) == (StartInstance(),)


def test_of_two_elastic_ips_for_one_address_the_one_in_use_stays() -> None:
    world = World()
    up(GUIDE, world)
    used = world.observed.elastic_ips
    spare = ElasticIp("eipalloc-x", IPv4Address("198.51.100.99"), PROVIDER[101], None)
    for order in ((spare, *used), (*used, spare)):
        world.observed = replace(world.observed, elastic_ips=order)
        assert steps_to(GUIDE, world) == (ReleaseElasticIp(spare.public),)


def test_the_comment_of_a_key_is_the_clouds_to_change() -> None:
    world = World()
    up(GUIDE, world)
    world.observed = replace(world.observed, public_key=f"{KEY} pileus-demo")
    assert steps_to(replace(GUIDE, public_key=f"{KEY} me@home"), world) == ()


def test_another_key_is_imported_while_there_is_no_machine_and_refused_after() -> None:
    world = World()
    for step in steps_to(GUIDE, world)[:-1]:
        world.apply(step)
    changed = replace(GUIDE, public_key=OTHER_KEY)

    up(changed, world)

    assert world.observed.public_key == OTHER_KEY
    with pytest.raises(Refused, match="SSH key"):
        steps_to(GUIDE, world)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(GUIDE, vpc=IPv4Network("172.16.0.0/17")), "VPC"),
        (replace(GUIDE, instance_type="m5.2xlarge"), r"m5\.2xlarge"),
        (
            replace(
                GUIDE,
                nics=(
                    replace(GUIDE.nics[0], subnet=IPv4Network("172.16.10.0/25")),
                    GUIDE.nics[1],
                ),
            ),
            "management subnet",
        ),
        (
            replace(GUIDE, nics=(GUIDE.nics[0], replace(GUIDE.nics[1], addresses=(PROVIDER[9],)))),
            "provider NIC",
        ),
    ],
)
def test_what_cannot_change_in_place_is_refused_with_the_way_out(
    changed: WantedUnderlay, reason: str
) -> None:
    world = World()
    up(GUIDE, world)
    with pytest.raises(Refused, match=reason) as refused:
        steps_to(changed, world)
    assert "pileus down" in refused.value.hint


def test_more_rules_than_a_group_holds_are_refused_before_anything_is_made() -> None:
    with pytest.raises(Refused, match="61 rules") as refused:
        steps_to(wanted(ports=frozenset(range(1000, 1061))), World())
    assert "allow_from" in refused.value.hint


def test_a_plan_reads_as_sentences_and_names_no_secret() -> None:
    sentences = [str(step) for step in steps_to(GUIDE, World())]
    assert "create the VPC 172.16.0.0/16" in sentences
    assert str(CreateNic("provider", PROVIDER[101])) in sentences
    assert len(set(sentences)) == len(sentences)
    assert KEY.split()[1] not in " ".join(sentences)
