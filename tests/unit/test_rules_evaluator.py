"""The evaluator: what a packet meets on its way, where rules end, and what is learned."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from pileus.model.addresses import Mac
from pileus.model.verdict import Code
from pileus.model.verdict import Drop as Dropped
from pileus.rules.evaluator import Cut, Learned, Outcome, follow
from pileus.rules.ruleset import (
    Accept,
    Chain,
    Count,
    Dispatch,
    Drop,
    Dynamic,
    Field,
    Goto,
    Hook,
    Jump,
    Learn,
    Lookup,
    Match,
    NamedMap,
    NamedSet,
    Range,
    Remember,
    Return,
    Rewrite,
    Rule,
    SetName,
    Statement,
    Table,
    TranslateDestination,
)

A, B = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
MAC, NEW = Mac("02:00:00:00:00:01"), Mac("02:00:00:00:00:02")
PACKET = {Field.IP_SOURCE: A, Field.IP_DESTINATION: B, Field.ETHER_SOURCE: MAC}


def rule(*statements: Statement, name: str = "rule") -> Rule:
    return Rule(name, statements)


def table(*rules: Rule, side: tuple[Rule, ...] = (), **parts: Any) -> Table:
    """A base chain of these rules that lets pass in the end, and one beside it."""
    base = Chain("base", rules, Hook("filter", "ingress", "0", "accept"))
    return Table("netdev", "t", (base, Chain("side", side)), **parts)


def run(made: Table, learned: Learned | None = None, **fields: Any) -> Outcome:
    packet = {**PACKET, **{Field[name]: value for name, value in fields.items()}}
    return follow(made, "base", packet, learned)


HITS = Count("hits")


@pytest.mark.parametrize(
    ("match", "goes_on"),
    [
        (Match(Field.IP_SOURCE, A), True),
        (Match(Field.IP_SOURCE, A, negate=True), False),
        (Match(Field.IP_SOURCE, IPv4Network("10.0.0.0/8")), True),
        (Match(Field.IP_SOURCE, frozenset({B, IPv4Network("10.0.0.0/31")})), True),
        (Match(Field.IP_SOURCE, frozenset({B})), False),
        (Match(Field.IP_SOURCE, SetName("hosts")), True),
        (Match(Field.IP_DESTINATION, SetName("hosts")), False),
        (Match((Field.IP_SOURCE, Field.ETHER_SOURCE), SetName("pairs")), True),
        (Match((Field.IP_DESTINATION, Field.ETHER_SOURCE), SetName("pairs")), False),
        (Match(Field.UDP_DESTINATION, Range(1, 9)), False),
        (Match(Field.UDP_DESTINATION, Range(1, 9), negate=True), False),
    ],
)
def test_a_match_goes_on_or_ends_the_rule(match: Match, goes_on: bool) -> None:
    """Negated or not, it ends where the packet lacks the field."""
    sets = (
        NamedSet("hosts", "ipv4_addr", frozenset({A})),
        NamedSet("pairs", "ipv4_addr . ether_addr", dynamic=Dynamic(9)),
    )
    learned = Learned({"pairs": frozenset({f"{A} . {MAC}"})})
    assert run(table(rule(match, HITS), sets=sets), learned).counted == ("hits",) * goes_on


def test_a_group_address_is_told_by_its_bit() -> None:
    made = table(rule(Match(Field.ETHER_GROUP, Mac("00:00:00:00:00:00"), negate=True), HITS))
    assert run(made, ETHER_DESTINATION=Mac("33:33:00:00:00:01")).counted == ("hits",)
    assert run(made, ETHER_DESTINATION=MAC).counted == ()
    assert run(made).counted == ()


def test_of_an_address_that_is_cut_off_a_network_may_still_be_seen() -> None:
    """As nft reads of a network of whole bytes only those."""

    def seen(network: str, there: bytes) -> bool:
        made = table(rule(Match(Field.IP_SOURCE, IPv4Network(network)), HITS))
        return bool(run(made, IP_SOURCE=Cut(there)).counted)

    assert seen("169.254.0.0/16", b"\xa9\xfe")
    assert not seen("169.254.0.0/16", b"\xa9")
    assert not seen("10.0.0.0/16", b"\xa9\xfe\x01")
    assert not seen("160.0.0.0/4", b"\xa9\xfe\x01")
    assert run(table(rule(Match(Field.IP_SOURCE, A), HITS)), IP_SOURCE=Cut(b"\x0a")).counted == ()


@pytest.mark.parametrize(
    ("into", "end", "counted"),
    [
        (Jump("side"), Return(), ("in side", "after")),
        (Jump("side"), None, ("in side", "after")),
        (Goto("side"), Return(), ("in side",)),
        (Goto("side"), None, ("in side",)),
        (Dispatch(Field.IP_SOURCE, "ways"), Return(), ("in side", "after")),
    ],
)
def test_a_jump_comes_back_and_a_goto_does_not(
    into: Statement, end: Statement | None, counted: tuple[str, ...]
) -> None:
    side = (rule(Count("in side"), *([end] if end else [])),)
    ways = NamedMap("ways", "ipv4_addr", "verdict", {A: Jump("side")})
    made = table(rule(into), rule(Count("after")), side=side, maps=(ways,))
    assert run(made) == Outcome("accept", counted)


def test_a_drop_with_a_code_says_where_it_was_and_why() -> None:
    made = table(rule(Goto("side")), side=(rule(Drop(), name=Code.NO_ROUTE),))
    outcome = run(made)
    assert outcome.dropped == Dropped("side", Code.NO_ROUTE, Code.NO_ROUTE)
    assert outcome.code is Code.NO_ROUTE
    assert run(table(rule(Drop()))).code is None, "a rule without one"


def test_what_was_rewritten_is_what_later_rules_see() -> None:
    owners = NamedMap("owners", "ipv4_addr", "ether_addr", {A: NEW})
    made = table(
        rule(Rewrite(Field.ETHER_SOURCE, Lookup(Field.IP_SOURCE, "owners"))),
        rule(Rewrite(Field.ETHER_DESTINATION, Lookup(Field.IP_DESTINATION, "owners")), Drop()),
        rule(Match(Field.ETHER_SOURCE, NEW), HITS, Accept()),
        maps=(owners,),
    )
    assert run(made) == Outcome("accept", ("hits",), {Field.ETHER_SOURCE: NEW})


def test_a_flows_first_packet_is_translated() -> None:
    private = NamedMap("private", "ipv4_addr", "ipv4_addr", {B: A})
    to = TranslateDestination(Lookup(Field.IP_DESTINATION, "private"))
    assert run(table(rule(to), maps=(private,))).rewritten == {Field.IP_DESTINATION: A}


def learning(size: int = 9) -> Table:
    return table(
        rule(Remember("seen", Field.IP_SOURCE), Count("remembered")),
        rule(Learn("inner", Field.IP_SOURCE, Field.ETHER_SOURCE), Count("learned")),
        sets=(NamedSet("seen", "ipv4_addr", dynamic=Dynamic(size)),),
        maps=(NamedMap("inner", "ipv4_addr", "ether_addr", dynamic=Dynamic(size)),),
    )


def test_what_is_learned_comes_out_and_goes_in_again() -> None:
    first = run(learning()).learned
    assert first == Learned({"seen": frozenset({str(A)})}, {"inner": {str(A): str(MAC)}})
    second = run(learning(), first, ETHER_SOURCE=NEW).learned
    assert second.maps == {"inner": {str(A): str(NEW)}}
    assert first.maps == {"inner": {str(A): str(MAC)}}, "the old knowledge is as it was"


def test_what_is_full_learns_nothing_new_but_knows_what_it_knows() -> None:
    full = run(learning(1)).learned
    assert run(learning(1), full).counted == ("remembered", "learned")
    other = run(learning(1), full, IP_SOURCE=B)
    assert (other.counted, other.learned) == ((), full)


def test_a_packet_that_lacks_what_is_to_be_learned_teaches_nothing() -> None:
    outcome = follow(learning(), "base", {})
    assert (outcome.verdict, outcome.counted, outcome.learned) == ("accept", (), Learned())


def test_only_a_base_chain_is_entered() -> None:
    with pytest.raises(KeyError, match="not a base chain"):
        follow(table(), "side", PACKET)
