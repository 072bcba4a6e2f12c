"""Both halves side by side: rows, and the hop that is told."""

from __future__ import annotations

import pytest

from pileus.model.path import Asked, Fate, Half, Hop, Place, Protocol, Row, Stage, Trace, Way
from pileus.model.verdict import Code
from pileus.trace import compare

THERE = Way.THERE
PLACES = tuple(
    Place(THERE, stage, subject)
    for stage, subject in (
        (Stage.SERVER, "web"),
        (Stage.NAT, "router"),
        (Stage.UPLINK, "eth1"),
        (Stage.UPLINK, "eth1"),
        (Stage.INTERNET, "8.8.8.8"),
    )
)


def half(*fates: Fate, code: Code | None = None) -> Half:
    """A hop for each place; the last one has the code."""
    hops = [Hop(p.way, p.stage, p.subject, f) for p, f in zip(PLACES, fates, strict=False)]
    last = hops[-1]
    return Half((*hops[:-1], Hop(last.way, last.stage, last.subject, last.fate, code=code)))


def told(predicted: Half, observed: Half | None) -> Row | None:
    return compare.failing(compare.rows(PLACES, predicted, observed))


PASSES, DIES, UNKNOWN = Fate.PASSES, Fate.DIES, Fate.UNKNOWN
ALL = half(*[PASSES] * 5)


def test_each_hop_has_a_row_though_it_is_passed_twice_or_no_half_tells_it() -> None:
    table = compare.rows(PLACES, half(PASSES, PASSES, PASSES, DIES, code=Code.UPLINK_DHCP), None)
    assert [row.place for row in table] == list(PLACES)
    assert [row.predicted.fate if row.predicted else None for row in table] == [
        PASSES,
        PASSES,
        PASSES,
        DIES,
        None,
    ]
    assert [row.told for row in table] == [True] * 4 + [False]


def test_what_only_the_observer_saw_is_told_at_the_end() -> None:
    odd = Hop(THERE, Stage.GATEWAY, "other", PASSES)
    table = compare.rows(PLACES, ALL, Half((odd,)))
    assert table[-1] == Row(odd.key, None, odd)


def test_nothing_is_told_of_a_packet_that_arrives() -> None:
    assert told(ALL, None) is None
    assert told(ALL, ALL) is None
    assert told(ALL, half(PASSES, UNKNOWN, PASSES, UNKNOWN, PASSES)) is None


@pytest.mark.parametrize(
    ("protocol", "observed", "words"),
    [
        ("tcp", None, "it should arrive, and be answered"),
        ("tcp", (THERE, Way.BACK), "it arrives, and is answered"),
        ("udp", (THERE,), "it arrives; no answer was seen, which UDP owes nobody"),
        ("tcp", (THERE,), "it arrives; no answer was seen"),
    ],
)
def test_an_answer_is_told_where_one_was_seen(
    protocol: Protocol, observed: tuple[Way, ...] | None, words: str
) -> None:
    hops = [Hop(way, Stage.SERVER, "web", PASSES) for way in Way]
    seen = Half(tuple(hop for hop in hops if hop.way in observed)) if observed else None
    table = compare.rows([hop.key for hop in hops], Half(tuple(hops)), seen)
    asked = Asked("web", "db", protocol, 22)
    answer = Trace("demo", asked, table, compare.failing(table), (), 1.0)
    assert (answer.arrival, answer.hint) == (words, None)


def test_a_death_that_nobody_can_explain_has_a_hint() -> None:
    table = compare.rows(PLACES, ALL, half(PASSES, DIES))
    answer = Trace("demo", Asked("web", "db", "icmp", None), table, compare.failing(table), (), 1.0)
    assert answer.to_json()["code"] is None
    assert "`pileus check`" in answer.to_json()["hint"]


def test_both_halves_name_one_hop() -> None:
    row = told(half(PASSES, DIES, code=Code.NEUTRON_NOT_PUBLISHED), half(PASSES, DIES))
    assert row
    assert (row.place.stage, row.code) == (Stage.NAT, Code.NEUTRON_NOT_PUBLISHED)
    assert not row.differs


def test_a_death_that_was_seen_counts_more_than_one_that_was_predicted() -> None:
    seen = half(PASSES, PASSES, DIES, code=Code.UPLINK_SOURCE_IP)
    row = told(half(PASSES, PASSES, PASSES, PASSES, DIES, code=Code.NO_ROUTE), seen)
    assert row
    assert (row.place.stage, row.code, row.differs) == (Stage.UPLINK, Code.UPLINK_SOURCE_IP, True)


def test_of_a_death_that_both_tell_the_apis_know_the_cause() -> None:
    caused = half(PASSES, DIES, code=Code.NEUTRON_PORT_DOWN)
    row = told(caused, half(PASSES, DIES, code=Code.NEUTRON_PORT_DEAD))
    assert row
    assert row.code is Code.NEUTRON_PORT_DOWN


def test_a_packet_that_was_seen_where_it_was_to_be_dead_makes_the_halves_differ() -> None:
    row = told(half(PASSES, DIES, code=Code.NEUTRON_NOT_PUBLISHED), ALL)
    assert row
    assert (row.place.stage, row.differs) == (Stage.NAT, True)
    assert row.to_json()["differs"] is True


def test_what_could_not_be_seen_differs_from_nothing() -> None:
    row = told(half(PASSES, DIES, code=Code.NO_ROUTE), half(PASSES, UNKNOWN))
    assert row
    assert not row.differs
