"""Registered addresses beside the router's own: in the subnet, and always the same ones."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.model.addresses import reserved_addresses
from pileus.model.errors import Refused
from pileus.plan.addresses import floating_addresses, next_free
from pileus.spec import Spec, loads


def spec(count: int, subnet: str = "172.16.20.0/24", own: str = "172.16.20.101") -> Spec:
    text = f"floating_ips: {count}\nunderlay: {{provider: {subnet}, registered_address: {own}}}"
    return loads(text.encode(), name="pileus.yaml")


def texts(addresses: tuple[IPv4Address, ...]) -> list[str]:
    return [str(address).rpartition(".")[2] for address in addresses]


def test_they_follow_the_routers_own() -> None:
    assert floating_addresses(spec(0)) == ()
    assert texts(floating_addresses(spec(3))) == ["102", "103", "104"]


def test_behind_the_last_one_come_the_first_that_the_cloud_below_does_not_keep() -> None:
    assert texts(floating_addresses(spec(4, own="172.16.20.253"))) == ["254", "4", "5", "6"]


def test_the_next_free_one_fills_gaps_and_is_refused_when_there_is_none() -> None:
    small = spec(0, "172.16.20.0/28", "172.16.20.13")
    taken: set[IPv4Address] = {IPv4Address("172.16.20.4")}
    given_out = []
    while len(taken) < 10:
        given_out.append(next_free(small, taken))
        taken.add(given_out[-1])
    assert texts(tuple(given_out)) == ["14", "5", "6", "7", "8", "9", "10", "11", "12"]
    with pytest.raises(Refused, match=r"172\.16\.20\.0/28") as full:
        next_free(small, taken)
    assert "floating-ip remove" in full.value.hint


def numbers(addresses: tuple[IPv4Address, ...]) -> list[int]:
    return [int(address) & 255 for address in addresses]


def test_a_network_without_room_for_the_number_and_the_added_ones_is_refused() -> None:
    own = IPv4Address("172.16.20.4")
    small = spec(9, "172.16.20.0/28", str(own))
    given_back = {own + 1: 8}
    assert numbers(floating_addresses(small, (own + 4,))) == [5, 6, 7, *range(9, 15)]
    assert numbers(floating_addresses(small, (), given_back)) == [*range(6, 15)]
    assert numbers(floating_addresses(small, (own + 4,), given_back))[-1] == 5, "the last resort"
    with pytest.raises(Refused, match="room for 8 floating addresses") as full:
        floating_addresses(small, (own + 4, own + 5))
    assert "smaller `floating_ips`" in full.value.hint


@given(st.integers(17, 28), st.data())
def test_they_are_usable_different_and_never_the_routers(prefix: int, data: st.DataObject) -> None:
    subnet = IPv4Network(f"172.16.128.0/{prefix}")
    usable = range(4, subnet.num_addresses - 1)
    own = subnet[data.draw(st.sampled_from(usable))]
    count = data.draw(st.integers(0, min(len(usable) - 1, 300)))

    chosen = floating_addresses(spec(count, str(subnet), str(own)))

    assert len(set(chosen)) == count
    assert own not in chosen
    assert all(address in subnet for address in chosen)
    assert not reserved_addresses(subnet) & set(chosen)
    if count:
        assert chosen[:-1] == floating_addresses(spec(count - 1, str(subnet), str(own)))
        assert next_free(spec(0, str(subnet), str(own)), chosen[:-1]) == chosen[-1]
