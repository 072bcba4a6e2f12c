"""The plan of the cloud below: whatever is there, the steps lead to what is wanted, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from underlay_world import LimitReached, World

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
    AllocateElasticIp,
    AssignAddresses,
    AssociateElasticIp,
    AttachNic,
    Authorize,
    AwaitRunning,
    AwaitStopped,
    AwaitTermination,
    CreateNic,
    DeleteGroup,
    DeleteNic,
    DeleteSubnet,
    DetachNic,
    ReleaseElasticIp,
    Revoke,
    RunInstance,
    StartInstance,
    Step,
    StopInstance,
    UnassignAddresses,
)
from pileus.plan.underlay import plan_removal, plan_start, plan_stop, plan_underlay, with_nics_there

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIZAqcF0mP7yNwe9nk7zQ5lJdRmEgF7SwqgkJWqWbYqP"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
MANAGEMENT, PROVIDER = IPv4Network("172.16.10.0/24"), IPv4Network("172.16.20.0/24")


def wanted(
    more: frozenset[int] = frozenset(),
    ports: frozenset[int] = frozenset(),
    public: int = 99,
    providers: int = 0,
) -> WantedUnderlay:
    """The guide's environment; `more` addresses on the provider NIC, by their last byte, and an
    Elastic IP on each of the first `public` ones. So many provider networks more have a NIC with
    two addresses each, public ones."""
    extra = tuple(
        WantedNic(f"provider{number}", subnet, (subnet[101], subnet[102]), frozenset())
        for number in range(2, providers + 2)
        for subnet in [IPv4Network(f"172.16.{10 + 10 * number}.0/24")]
    )
    addresses = (MANAGEMENT[101], PROVIDER[101], *(PROVIDER[byte] for byte in sorted(more)))
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
            *extra,
        ),
        instance_type="m5.xlarge",
        root_gib=20,
        public_key=KEY,
        image_name="image",
        elastic_ips=frozenset(addresses[:public])
        | {address for nic in extra for address in nic.addresses},
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
    more=st.frozensets(st.integers(102, 108)),
    ports=st.frozensets(st.sampled_from([80, 443, 522, 523]), max_size=4),
    public=st.integers(0, 10),
    providers=st.integers(0, 2),
)
Goal = WantedUnderlay | Callable[[ObservedUnderlay], Sequence[Step]]
runs = st.lists(
    st.tuples(
        st.one_of(targets, st.sampled_from([plan_removal, plan_stop, plan_start])),
        st.integers(0, 60),
    ),
    max_size=6,
)
"""Runs of `up` with a target, or of `down`, `stop` and `start`, each cut off after some steps."""


def run(earlier: Sequence[tuple[Goal, int]], world: World) -> None:
    for goal, cut in earlier:
        there = world.observed
        steps = plan_underlay(goal, there) if isinstance(goal, WantedUnderlay) else goal(there)
        for step in steps[:cut]:
            world.apply(step)


def shape(world: World) -> object:
    """What is there, but for what the cloud below chooses itself."""
    seen = world.observed
    return (
        seen.node and seen.node.state,
        seen.groups,
        {role: (nic.addresses[0], set(nic.addresses)) for role, nic in seen.nics.items()},
        sorted((str(one.wanted_for), str(one.associated)) for one in seen.elastic_ips),
        {role: nic.index for role, nic in seen.nics.items()},
        (seen.vpc, seen.subnets, seen.gateway_attached, seen.default_route, seen.public_key),
    )


@given(runs, targets)
def test_up_finishes_whatever_runs_before_it_were_cut_off(
    earlier: Sequence[tuple[Goal, int]], target: WantedUnderlay
) -> None:
    world = World()
    run(earlier, world)

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


@given(runs, targets)
def test_it_ends_as_if_the_last_target_had_been_the_only_one(
    earlier: Sequence[tuple[Goal, int]], target: WantedUnderlay
) -> None:
    long, alone = World(), World()
    run(earlier, long)

    up(target, long)
    up(target, alone)

    assert shape(long) == shape(alone)


@given(runs)
def test_down_finishes_whatever_runs_before_it_were_cut_off(
    earlier: Sequence[tuple[Goal, int]],
) -> None:
    world = World()
    run(earlier, world)

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


# Stop and start


def with_machine(state: str) -> World:
    world = World()
    up(GUIDE, world)
    assert world.observed.node is not None
    world.observed = replace(world.observed, node=replace(world.observed.node, state=state))
    return world


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ("running", ()),
        ("pending", (AwaitRunning(),)),
        ("stopping", (AwaitStopped(), StartInstance(), AwaitRunning())),
        ("stopped", (StartInstance(), AwaitRunning())),
    ],
)
def test_a_machine_is_started_from_whatever_state_by_start_and_by_up(
    state: str, steps: tuple[Step, ...]
) -> None:
    world = with_machine(state)
    assert plan_start(world.observed) == steps
    assert steps_to(GUIDE, world) == steps


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ("running", (StopInstance(), AwaitStopped())),
        ("pending", (AwaitRunning(), StopInstance(), AwaitStopped())),
        ("stopping", (AwaitStopped(),)),
        ("stopped", ()),
    ],
)
def test_a_machine_is_stopped_from_whatever_state(state: str, steps: tuple[Step, ...]) -> None:
    assert plan_stop(with_machine(state).observed) == steps


def test_nothing_but_the_machine_changes_when_it_is_stopped_and_started() -> None:
    world = World()
    up(wanted(frozenset({102, 103})), world)
    before = world.observed

    for steps in (plan_stop, plan_start):
        for step in steps(world.observed):
            world.apply(step)

    assert world.observed == before


def test_without_a_machine_there_is_nothing_to_stop_or_start() -> None:
    assert plan_stop(ObservedUnderlay()) == plan_start(ObservedUnderlay()) == ()


# Provider networks more


TWO = wanted(ports=frozenset({522}), providers=1)


def test_a_machine_is_launched_with_all_its_nics_in_order() -> None:
    (launch,) = [step for step in steps_to(TWO, World()) if isinstance(step, RunInstance)]
    assert launch.roles == ("management", "provider", "provider2")


def test_a_provider_network_more_is_attached_to_the_machine_as_it_runs() -> None:
    world = World()
    up(GUIDE, world)
    assert [str(step) for step in steps_to(TWO, world)] == [
        "create the provider2 subnet 172.16.30.0/24",
        "create the provider2 security group",
        "create the provider2 NIC with 172.16.30.101",
        "register 172.16.30.102 on the provider2 NIC",
        "allocate an Elastic IP for 172.16.30.101",
        "associate its Elastic IP with 172.16.30.101",
        "allocate an Elastic IP for 172.16.30.102",
        "associate its Elastic IP with 172.16.30.102",
        "attach the provider2 NIC to the machine as eth2",
    ]


def test_a_machine_that_is_off_is_started_before_it_gets_a_nic() -> None:
    world = with_machine("stopped")
    assert [type(step) for step in steps_to(TWO, world)][-3:] == [
        StartInstance,
        AwaitRunning,
        AttachNic,
    ]


def test_a_nic_that_somebody_detached_is_attached_again() -> None:
    world = World()
    up(TWO, world)
    world.apply(DetachNic("provider2"))
    assert steps_to(TWO, world) == (AttachNic("provider2", 2),)


def test_what_is_not_wanted_any_more_stays_until_openstack_has_let_go_of_it() -> None:
    world = World()
    up(TWO, world)
    publics = [one.public for one in world.observed.elastic_ips[2:]]

    assert steps_to(with_nics_there(GUIDE, world.observed), world) == ()
    assert steps_to(GUIDE, world) == (
        *map(ReleaseElasticIp, publics),
        DetachNic("provider2"),
        DeleteNic("provider2"),
        DeleteGroup("provider2"),
        DeleteSubnet("provider2"),
    )


def test_a_removal_that_was_cut_off_is_finished_and_not_undone() -> None:
    world = World()
    up(TWO, world)
    world.apply(DetachNic("provider2"))
    assert DeleteNic("provider2") in steps_to(with_nics_there(GUIDE, world.observed), world)


@pytest.mark.parametrize(
    ("nics", "reason"),
    [
        ((0, 1, 3), "provider2 NIC is eth2 of the machine, and is to make room for the provider3"),
        ((0, 1, 3, 2), "provider2 NIC is eth2 of the machine, and would be eth3"),
    ],
)
def test_a_nic_keeps_its_place(nics: tuple[int, ...], reason: str) -> None:
    world, three = World(), wanted(providers=2)
    up(three, world)
    other = replace(three, nics=tuple(three.nics[position] for position in nics))
    with pytest.raises(Refused, match=reason) as refused:
        steps_to(other, world)
    assert "at the end only" in refused.value.hint


# Floating addresses


def test_floating_addresses_come_in_one_call_and_then_an_elastic_ip_for_each() -> None:
    world = World()
    up(GUIDE, world)
    one, two = PROVIDER[102], PROVIDER[103]
    assert steps_to(wanted(frozenset({102, 103}), frozenset({522})), world) == (
        AssignAddresses("provider", (one, two)),
        AllocateElasticIp(one),
        AssociateElasticIp("provider", one),
        AllocateElasticIp(two),
        AssociateElasticIp("provider", two),
    )


def test_what_is_given_back_goes_before_what_is_added_its_elastic_ip_first() -> None:
    world = World(elastic_quota=4, addresses_per_nic=3)
    up(wanted(frozenset({102, 103})), world)
    publics = [one.public for one in world.observed.elastic_ips[2:]]

    other = wanted(frozenset({104, 105}))
    steps = steps_to(other, world)
    up(other, world)

    assert steps[:4] == (
        ReleaseElasticIp(publics[0]),
        ReleaseElasticIp(publics[1]),
        UnassignAddresses("provider", (PROVIDER[102], PROVIDER[103])),
        AssignAddresses("provider", (PROVIDER[104], PROVIDER[105])),
    )
    assert steps_to(other, world) == ()


def test_a_limit_met_in_the_middle_leaves_no_elastic_ip_without_its_address() -> None:
    world = World(elastic_quota=3)
    target = wanted(frozenset({102, 103}))
    with pytest.raises(LimitReached):
        up(target, world)

    assert [one.associated for one in world.observed.elastic_ips] == [
        MANAGEMENT[101],
        PROVIDER[101],
        PROVIDER[102],
    ]
    kept = world.observed.elastic_ips
    world.elastic_quota = 4
    up(target, world)
    assert world.observed.elastic_ips[:3] == kept


def test_a_port_stays_open_when_another_rule_takes_over() -> None:
    world = World()
    up(GUIDE, world)
    rule = Permission("tcp", (0, 65535), ANYWHERE)
    everything = replace(
        GUIDE, nics=(GUIDE.nics[0], replace(GUIDE.nics[1], ingress=frozenset({rule})))
    )
    assert [type(step) for step in steps_to(everything, world)] == [Authorize, Revoke]


def test_where_a_group_cannot_hold_both_rules_close_first() -> None:
    world = World()
    up(wanted(ports=frozenset(range(1000, 1060))), world)
    steps = steps_to(wanted(ports=frozenset({1})), world)
    assert [type(step) for step in steps] == [*(60 * [Revoke]), Authorize]


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
