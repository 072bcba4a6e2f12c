"""Which addresses count as registered, whatever instance metadata answers or does not."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.uplink.registered import Addresses, addresses, decide

SUBNET = IPv4Network("172.16.20.0/24")
A, B, C = (IPv4Address(f"172.16.20.{n}") for n in (101, 102, 103))
FOREIGN = IPv4Address("10.0.0.1")


@pytest.mark.parametrize(
    ("known", "answer", "result"),
    [
        ((A,), (A, B), (A, B)),
        ((A, B), (A,), (A,)),
        ((A, B), (A, C), (A, C)),
        ((), (B, A), (B, A)),
    ],
    ids=["more", "fewer count at once", "others", "nothing was known"],
)
def test_an_answer_with_the_primary_counts_as_a_whole(
    known: Addresses, answer: Addresses, result: Addresses
) -> None:
    assert decide(known, answer, SUBNET) == result


@pytest.mark.parametrize(
    "answer", [None, (), (B,), (FOREIGN,)], ids=["none", "empty", "without primary", "elsewhere"]
)
def test_anything_else_changes_nothing(answer: Addresses | None) -> None:
    assert decide((A, B), answer, SUBNET) == (A, B)


def test_the_primary_stays_first_and_addresses_of_elsewhere_are_left_out() -> None:
    assert decide((A,), (B, A, FOREIGN), SUBNET) == (A, B)


few = st.lists(st.sampled_from([A, B, C, FOREIGN]), unique=True).map(tuple)


@given(few, st.none() | few)
def test_nothing_ever_takes_the_primary_away(known: Addresses, answer: Addresses | None) -> None:
    after = decide(known, answer, SUBNET)
    assert after[:1] == known[:1] or not known
    assert decide(after, answer, SUBNET) == after


@pytest.mark.parametrize("text", ["<html>", "172.16.20.1x", "fd00::1", "172.16.20.101/24"])
def test_what_is_no_address_is_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        addresses([str(A), text])
