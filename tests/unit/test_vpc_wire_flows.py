"""Whose flows end at a change: those of addresses that went away or to somebody else."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from vpc_states import GUIDE, MANAGEMENT_NIC, PROVIDER_NIC, VPC, elastic

from pileus.vpc.state import RegionState
from pileus.vpc.wire.flows import taken_away

SECOND = IPv4Address("172.16.20.102")


def with_nic(nic: str, **changes: Any) -> RegionState:
    return replace(GUIDE, enis={**GUIDE.enis, nic: replace(GUIDE.enis[nic], **changes)})


def with_elastic(*held: Any) -> RegionState:
    return replace(GUIDE, elastic_ips={one.id: one for one in held})


@pytest.mark.parametrize(
    ("state", "gone"),
    [
        (GUIDE, set()),
        (with_nic(PROVIDER_NIC, groups=()), set()),
        (with_nic(PROVIDER_NIC, addresses=(IPv4Address("172.16.20.101"), SECOND)), set()),
        (with_nic(PROVIDER_NIC, addresses=(SECOND,)), {"172.16.20.101"}),
        (with_nic(PROVIDER_NIC, instance=None), {"172.16.20.101", "198.51.100.11"}),
        (with_elastic(GUIDE.elastic_ips["a"]), {"198.51.100.11"}),
        (
            with_elastic(
                GUIDE.elastic_ips["a"], elastic("b", "198.51.100.11", str(SECOND), PROVIDER_NIC)
            ),
            {"198.51.100.11"},
        ),
        (
            with_elastic(
                elastic("a", "198.51.100.11", "172.16.10.101", MANAGEMENT_NIC),
                elastic("b", "198.51.100.10", "172.16.20.101", PROVIDER_NIC),
            ),
            {"198.51.100.10", "198.51.100.11"},
        ),
    ],
)
def test_an_address_is_taken_away_when_its_holder_changes(
    state: RegionState, gone: set[str]
) -> None:
    assert {str(address) for address in taken_away(GUIDE, state, VPC)} == gone


def test_what_is_new_takes_nothing_away() -> None:
    assert taken_away(RegionState(), GUIDE, VPC) == frozenset()
