"""Limits of addresses are told before anything is made: which, how much, and the ways around."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from underlay_world import LimitReached, World

from pileus.model.errors import Refused
from pileus.model.limits import Limits
from pileus.model.underlay import InstanceType, ObservedUnderlay, WantedUnderlay
from pileus.plan.addresses import floating_addresses
from pileus.plan.capacity import require_capacity, require_growth
from pileus.plan.underlay import plan_underlay
from pileus.plan.wanted import Caller, wanted_underlay
from pileus.spec import loads


def m5(size: str, memory_gib: int, max_nics: int, addresses: int) -> InstanceType:
    return InstanceType(f"m5.{size}", memory_gib * 1024, max_nics, addresses, False)


FAMILY = (m5("12xlarge", 192, 8, 30), m5("4xlarge", 64, 8, 30), m5("xlarge", 16, 4, 15))
LIMITS = Limits(FAMILY[2], FAMILY, elastic_ips=5, elastic_ips_used=0)
CALLER = Caller(IPv4Address("203.0.113.7"), "ssh-ed25519 AAAA me")
NOTHING = ObservedUnderlay()


def wanted(floating: int) -> WantedUnderlay:
    spec = loads(f"floating_ips: {floating}".encode(), name="pileus.yaml")
    return wanted_underlay(spec, CALLER, (), "image", floating_addresses(spec))


def built(floating: int) -> ObservedUnderlay:
    world = World()
    for step in plan_underlay(wanted(floating), world.observed):
        world.apply(step)
    return world.observed


def test_three_floating_ips_fit_into_an_untouched_account_and_four_do_not() -> None:
    require_capacity(wanted(3), NOTHING, LIMITS)
    with pytest.raises(Refused) as refused:
        require_capacity(wanted(4), NOTHING, LIMITS)
    assert str(refused.value) == (
        "the account's limit of Elastic IPs in this region is reached: it is 5, of which others "
        "use 0, and cloud `demo` needs 6"
    )
    hint = refused.value.hint
    assert "have at most 3 floating IPs" in hint
    assert "release Elastic IPs" in hint
    assert "L-0263D0A3" in hint
    assert "`pileus sim quota elastic-ips 6`" in hint


def test_elastic_ips_of_others_count() -> None:
    busy = replace(LIMITS, elastic_ips_used=4)
    with pytest.raises(Refused, match="others use 4, and cloud `demo` needs 2") as refused:
        require_capacity(wanted(0), NOTHING, busy)
    assert "have no floating IPs" in refused.value.hint
    assert "elastic-ips 6`" in refused.value.hint


def test_a_cloud_that_exists_is_asked_too_and_its_own_do_not_count_as_others() -> None:
    limits = replace(LIMITS, elastic_ips_used=5)
    require_capacity(wanted(3), built(3), limits)
    with pytest.raises(Refused, match="others use 0, and cloud `demo` needs 6"):
        require_capacity(wanted(4), built(3), limits)


def test_giving_back_is_never_refused() -> None:
    low = replace(LIMITS, elastic_ips=2, elastic_ips_used=6, instance_type=m5("small", 8, 2, 2))
    require_capacity(wanted(4), built(4), low)
    require_capacity(wanted(1), built(4), low)


def at(*last: int) -> WantedUnderlay:
    """With these floating addresses, by their last bytes."""
    spec = loads(b"cloud: demo\n", name="pileus.yaml")
    floating = [IPv4Address("172.16.20.0") + number for number in last]
    return wanted_underlay(spec, CALLER, (), "image", floating)


def test_what_is_still_to_be_given_back_takes_room_and_is_said_to() -> None:
    there, limits = built(3), replace(LIMITS, elastic_ips_used=5)
    require_growth(at(102, 103), at(102, 103, 104), there, limits)
    with pytest.raises(Refused) as refused:
        require_growth(at(102, 103, 105), at(102, 103, 104, 105), there, limits)
    assert str(refused.value) == (
        "the account's limit of Elastic IPs in this region is reached: it is 5, of which others "
        "use 0, and cloud `demo` needs 6; 1 of them is still to be given back: 172.16.20.104"
    )
    assert "`pileus up` first" in refused.value.hint
    with pytest.raises(Refused, match="needs 6") as too_many:
        require_growth(at(102, 103, 105, 106), at(*range(102, 107)), there, limits)
    assert "have at most" in too_many.value.hint, "giving back would not do"


def test_an_account_that_does_not_tell_its_quota_is_taken_at_its_calls() -> None:
    require_capacity(wanted(9), NOTHING, replace(LIMITS, elastic_ips=None))


def test_a_nic_takes_fourteen_floating_addresses_and_a_larger_type_is_named_for_more() -> None:
    limits = replace(LIMITS, elastic_ips=50)
    require_capacity(wanted(14), NOTHING, limits)
    with pytest.raises(Refused) as refused:
        require_capacity(wanted(15), NOTHING, limits)
    assert str(refused.value) == (
        "the instance type's limit of addresses per NIC is reached: m5.xlarge takes 15, and the "
        "provider NIC needs 16, its primary one included"
    )
    assert "have at most 14 floating IPs" in refused.value.hint
    assert "such as m5.4xlarge (30)" in refused.value.hint
    assert "pileus down" not in refused.value.hint


def test_a_machine_that_exists_gets_a_larger_type_by_being_made_again() -> None:
    with pytest.raises(Refused, match="addresses per NIC") as refused:
        require_capacity(wanted(15), built(14), replace(LIMITS, elastic_ips=50))
    assert "m5.4xlarge" in refused.value.hint
    assert "pileus down" in refused.value.hint


def test_no_type_is_named_where_none_is_large_enough() -> None:
    with pytest.raises(Refused, match="needs 41") as refused:
        require_capacity(wanted(40), NOTHING, replace(LIMITS, elastic_ips=50))
    assert "such as" not in refused.value.hint


def several(count: int) -> WantedUnderlay:
    """So many provider networks more, each with a NIC."""
    entries = ", ".join(f"{{name: p{n}, cidr: 172.16.{n}.0/24}}" for n in range(30, 30 + count))
    spec = loads(f"underlay: {{more_providers: [{entries}]}}".encode(), name="pileus.yaml")
    return wanted_underlay(spec, CALLER, (), "image")


def test_a_machine_takes_so_many_nics_as_its_type_and_a_larger_type_is_named_for_more() -> None:
    limits = replace(LIMITS, elastic_ips=50)
    require_capacity(several(2), NOTHING, limits)
    with pytest.raises(Refused) as refused:
        require_capacity(several(3), NOTHING, limits)
    assert str(refused.value) == (
        "the instance type's limit of NICs is reached: m5.xlarge takes 4, and cloud `demo` needs 5"
    )
    assert "at most 2 in underlay.more_providers" in refused.value.hint
    assert "such as m5.4xlarge (8)" in refused.value.hint
    assert "pileus down" not in refused.value.hint


def test_nics_that_are_there_already_are_never_refused() -> None:
    world = World()
    for step in plan_underlay(several(3), world.observed):
        world.apply(step)
    limits = replace(LIMITS, elastic_ips=50)
    require_capacity(several(3), world.observed, limits)
    with pytest.raises(Refused, match="needs 6") as refused:
        require_capacity(several(4), world.observed, limits)
    assert "pileus down" in refused.value.hint


def test_each_provider_network_costs_an_elastic_ip() -> None:
    with pytest.raises(Refused, match="it is 5, of which others use 0, and cloud `demo` needs 6"):
        require_capacity(several(4), NOTHING, replace(LIMITS, instance_type=FAMILY[0]))


def test_both_limits_are_told_at_once() -> None:
    with pytest.raises(Refused, match=r"Elastic IPs.*; .*addresses per NIC") as refused:
        require_capacity(wanted(20), NOTHING, LIMITS)
    assert "L-0263D0A3" in refused.value.hint
    assert "m5.4xlarge" in refused.value.hint


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 4), st.integers(0, 12))
def test_what_it_lets_through_meets_no_limit_and_what_it_refuses_would(
    before: int, after: int, others: int, quota: int
) -> None:
    """The check says exactly what the steps would find out too late."""
    there = built(before)
    world = World(elastic_quota=quota - others)
    world.observed = there
    used = others + len(there.elastic_ips)
    limits = replace(LIMITS, elastic_ips=quota, elastic_ips_used=used)
    try:
        for step in plan_underlay(wanted(after), there):
            world.apply(step)
        met = False
    except LimitReached:
        met = True

    try:
        require_capacity(wanted(after), there, limits)
        refused = False
    except Refused:
        refused = True

    assert refused == met
