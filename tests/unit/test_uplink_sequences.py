"""Random sequences of wanted pipelines end as the last one alone, but for what traffic left there.

In a kernel of a few lines, thousands of them; `netns/test_uplink_pipeline_properties.py` takes some
hundreds through the real one.
"""

from __future__ import annotations

from random import Random

import pytest
from rules_kernel import Kernel
from uplink_random import Wanted, kept, sequence

from pileus.rules.evaluator import Learned
from pileus.rules.nft import difference
from pileus.rules.ruleset import Table
from pileus.uplink import pipeline

SEQUENCES, PARTS = 10_000, 10


class Uplink:
    """A kernel, and the table that it was last given."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self._table: Table | None = None

    def become(self, table: Table) -> None:
        self.kernel.load(self.difference(table))
        self._table = table

    def difference(self, table: Table) -> list[str]:
        hooks = {chain.name: chain.hook for chain in self._table.chains} if self._table else {}
        return difference(table, self.kernel.read(hooks) if self._table else None)

    def hear(self, wanted: Wanted) -> None:
        """What the rules do then: they count each who speaks, and learn where they are."""
        for address, mac in wanted.heard:
            self.kernel.counters[pipeline.PASSED_OUT] += 1
            self.kernel.sets[pipeline.SPEAKING].add(str(address))
            self.kernel.sets[pipeline.CLAIMS].add(f"{address} . {mac}")
            self.kernel.sets[pipeline.INSIDE].add(str(mac))
            self.kernel.maps[pipeline.INNER][str(address)] = str(mac)

    def learned(self) -> Learned:
        """The elements of dynamic sets and maps."""
        sets, maps, dynamic = self.kernel.sets, self.kernel.maps, self.kernel.dynamic
        return Learned(
            {name: frozenset(sets[name]) for name in dynamic.intersection(sets)},
            {name: dict(maps[name]) for name in dynamic.intersection(maps)},
        )


@pytest.mark.parametrize("part", range(PARTS))
def test_a_sequence_of_pipelines_ends_as_the_last_one_alone(part: int) -> None:
    for number in range(part, SEQUENCES, PARTS):
        states = sequence(Random(f"sequence {number}"))  # noqa: S311 - repeatable, not secret
        uplink, alone = Uplink(), Uplink()
        for wanted in states:
            counted, learned = dict(uplink.kernel.counters), uplink.learned()
            table = wanted.table
            uplink.become(table)
            now = uplink.kernel.counters
            assert now == {name: counted.get(name, 0) for name in now}, (number, wanted)
            left = kept(learned, table, wanted.registered)
            assert uplink.learned() == left, (number, wanted)
            uplink.hear(wanted)
        alone.become(table)
        assert uplink.difference(table) == [], number
        assert uplink.kernel.seen() == alone.kernel.seen(), number
