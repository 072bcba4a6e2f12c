"""The cloud below as it should be, and everything that can be taken from it: each with its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from healthy_underlay import HEALTHY, WANTED, XLARGE, wanted

from pileus.model.finding import Finding
from pileus.model.limits import Limits
from pileus.model.tenant import ANYWHERE
from pileus.model.underlay import (
    InstanceType,
    Node,
    ObservedUnderlay,
    Permission,
    Role,
)
from pileus.model.verdict import Code
from pileus.plan.capacity import shortages
from pileus.trace import on_underlay

FIRST, SECOND = IPv4Address("172.16.20.101"), IPv4Address("172.16.20.102")
Change = Callable[[ObservedUnderlay], ObservedUnderlay]


def wrong(observed: ObservedUnderlay) -> dict[Code, Finding]:
    return {one.code: one for one in on_underlay.judge(WANTED, observed) if one.ok is False}


def but(**changed: Any) -> Change:
    return lambda observed: replace(observed, **changed)


def nic(role: Role, **changed: Any) -> Change:
    """Another state of one NIC."""
    return lambda observed: replace(
        observed, nics={**observed.nics, role: replace(observed.nics[role], **changed)}
    )


def rules(role: Role, *closed: Permission, opened: frozenset[Permission] = frozenset()) -> Change:
    """Other rules in one group."""
    return lambda observed: replace(
        observed,
        groups={**observed.groups, role: observed.groups[role] - set(closed) | opened},
    )


def node(change: Callable[[Node], Node | None]) -> Change:
    def changed(observed: ObservedUnderlay) -> ObservedUnderlay:
        assert observed.node is not None
        return replace(observed, node=change(observed.node))

    return changed


def without_public(address: IPv4Address) -> Change:
    def closed(machine: Node) -> Node:
        nics = tuple(
            replace(
                one,
                addresses=tuple(
                    replace(item, public=None) if item.private == address else item
                    for item in one.addresses
                ),
            )
            for one in machine.nics
        )
        return replace(machine, nics=nics)

    return node(closed)


SSH = Permission("tcp", (22, 22), IPv4Network("203.0.113.7/32"))
OPEN = Permission("tcp", (3306, 3306), ANYWHERE)
UNFIT: list[tuple[Code, str, Change]] = [
    (Code.MACHINE_OFF, "is stopped", node(lambda machine: replace(machine, state="stopped"))),
    (Code.NO_ROUTE, "no 0.0.0.0/0 to igw-1", but(default_route=False)),
    (Code.NO_ROUTE, "no internet gateway is attached", but(gateway_attached=False)),
    (
        Code.NIC_MISSING,
        "no provider NIC",
        node(lambda machine: replace(machine, nics=machine.nics[:1])),
    ),
    (Code.SOURCE_IP, f"{SECOND} not registered", nic("provider", addresses=(FIRST,))),
    (
        Code.SOURCE_DEST_CHECK,
        f"off ({HEALTHY.nics['provider'].id}",
        nic("provider", source_dest_check=False),
    ),
    (Code.GROUP_INGRESS, "not tcp/22 from 203.0.113.7/32", rules("management", SSH)),
    (Code.GROUP_INGRESS, "is not in its security group", nic("provider", grouped=False)),
    (
        Code.GROUP_OPEN,
        "tcp/3306 from 0.0.0.0/0",
        rules("management", opened=frozenset({OPEN})),
    ),
    (Code.GROUP_OPEN, "sgr-7", but(stray_rules={"management": ("sgr-7",)})),
    (Code.GROUP_EGRESS, "not everything", but(closed_outbound=frozenset({"provider"}))),
    (Code.NO_PUBLIC_ADDRESS, f"none for {SECOND}", without_public(SECOND)),
    (
        Code.NO_PUBLIC_ADDRESS,
        "none for 172.16.10.101",
        without_public(IPv4Address("172.16.10.101")),
    ),
]


def test_a_cloud_as_it_was_made_is_well() -> None:
    told = list(on_underlay.judge(WANTED, HEALTHY))
    assert [one for one in told if one.ok is not True] == []
    details = {one.subject: one.detail for one in told}
    assert details["registered on the provider NIC"] == f"{FIRST}, {SECOND}"
    assert details["let in to the provider NIC"].startswith("icmp, tcp/0-65535, udp/0-65535 from")
    assert f"{FIRST} as 198.51.100." in details["Elastic IPs of the provider NIC"]


@pytest.mark.parametrize(
    ("code", "detail", "change"), UNFIT, ids=[f"{code}: {detail}" for code, detail, _ in UNFIT]
)
def test_what_was_taken_away_has_its_code_and_nothing_else_is_blamed(
    code: Code, detail: str, change: Change
) -> None:
    told = wrong(change(HEALTHY))
    assert list(told) == [code]
    assert detail in told[code].detail


def test_a_cloud_whose_machine_is_gone_lacks_machine_and_nics() -> None:
    gone = replace(HEALTHY, node=None, nics={})
    assert set(wrong(gone)) == {Code.MACHINE_OFF, Code.NIC_MISSING}


def test_the_words_are_those_of_a_dropped_packet() -> None:
    """Told before it happens in the same words as when it does."""
    told = wrong(without_public(SECOND)(HEALTHY))[Code.NO_PUBLIC_ADDRESS]
    assert told.code.value == "UNDERLAY_NO_PUBLIC_ADDRESS"
    assert "internet gateway cannot translate it" in told.sentence
    assert told.hint == "associate an Elastic IP with the address"


@pytest.mark.parametrize(
    ("memory_mib", "nics", "ok", "detail"),
    [
        (6 * 1024, 2, True, "6 GiB of memory, up to 2 NICs"),
        (4 * 1024, 3, False, "some.type has 4 GiB of memory, 6 GiB are needed"),
        (16 * 1024, 1, False, "some.type has 1 NIC, 2 are needed"),
    ],
)
def test_an_instance_type_has_what_a_controller_needs(
    memory_mib: int, nics: int, ok: bool, detail: str
) -> None:
    facts = InstanceType("some.type", memory_mib, nics, 10, False)
    (told,) = on_underlay.instance_type(facts)
    assert told == Finding(Code.INSTANCE_TYPE, "instance type some.type", ok, detail)


def room(observed: ObservedUnderlay, limits: Limits, floating: int) -> dict[Code, Finding]:
    short = {one.code: one.what for one in shortages(wanted(floating), observed, limits)}
    return {one.code: one for one in on_underlay.room(observed, limits, short)}


def test_how_many_addresses_more_there_may_be_is_told() -> None:
    told = room(HEALTHY, Limits(XLARGE, (XLARGE,), 5, 3), floating=1)
    assert [one.ok for one in told.values()] == [True, True]
    assert "provider NIC 2 of 15, room for 13 more" in told[Code.NIC_ADDRESS_LIMIT].detail
    assert told[Code.ELASTIC_IP_LIMIT].detail == "3 of 5 in the region, room for 2 more"


def test_a_limit_that_stands_in_the_way_is_told_before_anything_is_made() -> None:
    small = replace(XLARGE, addresses_per_nic=3)
    told = room(ObservedUnderlay(), Limits(small, (small,), 5, 0), floating=4)
    assert [one.ok for one in told.values()] == [False, False]
    assert "it is 5, of which others use 0" in told[Code.ELASTIC_IP_LIMIT].detail
    assert "m5.xlarge takes 3, and the provider NIC needs 5" in told[Code.NIC_ADDRESS_LIMIT].detail


def test_a_full_account_is_no_fault_of_a_cloud_that_has_all_it_wants() -> None:
    told = room(HEALTHY, Limits(XLARGE, (XLARGE,), 3, 3), floating=1)
    assert told[Code.ELASTIC_IP_LIMIT].ok
    assert "room for 0 more" in told[Code.ELASTIC_IP_LIMIT].detail


def test_an_account_that_does_not_tell_its_limit_is_unknown_not_well() -> None:
    told = room(HEALTHY, Limits(XLARGE, (XLARGE,), None, 3), floating=1)
    assert told[Code.ELASTIC_IP_LIMIT].ok is None
