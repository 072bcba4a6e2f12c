"""Counts what leaves the host with a simulated address, by any link but those to simulations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network

from pileus.rules import apply as rules
from pileus.rules.ruleset import Atom, Chain, Count, Field, Hook, Match, Rule, Table

NOTHING = {"from_inside": 0, "to_inside": 0}
SIMULATED: frozenset[Atom] = frozenset(
    IPv4Network(text)
    for text in ("172.16.0.0/16", "192.168.20.0/24", "198.18.0.0/15", "198.51.100.0/24")
)


@contextmanager
def watched(name: str) -> Iterator[str]:
    """The table of this name counts while the body runs, and drops nothing, so that it cannot be
    the reason for a zero."""
    table = _table(name)
    rules.apply(table)
    try:
        yield name
    finally:
        rules.remove(table.family, table.name)


def left(name: str) -> dict[str, int]:
    """Packets that left so far, as the table of this name has counted them."""
    seen = rules.read("inet", name)
    assert seen
    return dict(seen.counters)


def _table(name: str) -> Table:
    ends = (("from_inside", Field.IP_SOURCE), ("to_inside", Field.IP_DESTINATION))
    counting = tuple(
        Rule(
            counter,
            (
                Match(Field.OUT_INTERFACE, "lo", negate=True),
                Match(Field.OUT_INTERFACE, "pileus-*", negate=True),
                Match(end, SIMULATED),
                Count(counter),
            ),
        )
        for counter, end in ends
    )
    hook = Hook("filter", "postrouting", "300", "accept")
    return Table("inet", name, (Chain("leaving", counting, hook),))
