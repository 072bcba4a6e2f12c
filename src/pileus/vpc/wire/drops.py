"""How the wire drops: each code has a chain that counts for the NIC, tells who listens, and drops.

A rule that drops is its matches and a `goto` there, so that a NIC more means no rule more. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pileus.model.verdict import Code
from pileus.rules.ruleset import (
    Chain,
    CountEach,
    Drop,
    Dynamic,
    Field,
    Goto,
    Log,
    NamedSet,
    Rule,
    Statement,
)

LOG_GROUP = 7
"""Of the kernel's netlink log, in the VPC's namespace."""
LOG_RATE = 20
"""Dropped packets a second and code that are told: a flood costs nothing."""
LOG_LENGTH = 128
"""Bytes that are told of a packet."""
NICS = "nics"
"""The set of a table's NICs: what was counted for others is forgotten."""
_COUNTED = Dynamic(size=65535, within=NICS)


@dataclass(frozen=True)
class _End:
    """Where packets end for a reason, counted for the NIC they came from or would go to."""

    code: Code
    nic: Field

    @property
    def chain(self) -> str:
        way = "from" if self.nic is Field.IN_INTERFACE else "to"
        return f"drop_{way}_{self.code.name.lower()}"

    def rules(self) -> tuple[Rule, ...]:
        way = "from" if self.nic is Field.IN_INTERFACE else "to"
        return (
            Rule("count", (CountEach(self.code.value, self.nic),)),
            Rule("tell", (Log(f"{way} {self.code}", LOG_GROUP, LOG_RATE, LOG_LENGTH),)),
            Rule(self.code, (Drop(),)),
        )


_ENDS = {
    end.chain: end
    for code in Code
    for end in (_End(code, Field.IN_INTERFACE), _End(code, Field.OUT_INTERFACE))
}


def drop(code: Code, *matches: Statement, nic: Field = Field.IN_INTERFACE) -> Rule:
    """A rule that drops what matches; `nic` tells for whom it is counted."""
    return Rule(code, (*matches, Goto(_End(code, nic).chain)))


def ends(
    chains: Iterable[Chain], lasting: Iterable[Code] = ()
) -> tuple[tuple[Chain, ...], tuple[NamedSet, ...]]:
    """The chains in which packets of these chains end, and the sets that they count in.

    The sets of `lasting` codes are there also where nothing ends for these: what was counted stays.
    """
    aims = {
        statement.chain
        for chain in chains
        for rule in chain.rules
        for statement in rule.statements
        if isinstance(statement, Goto) and statement.chain in _ENDS
    }
    used = [_ENDS[name] for name in sorted(aims)]
    codes = sorted({*(end.code.value for end in used), *(code.value for code in lasting)})
    return (
        tuple(Chain(end.chain, end.rules()) for end in used),
        tuple(counting(code) for code in codes),
    )


def counting(name: str) -> NamedSet:
    """A set that counts packets for each NIC."""
    return NamedSet(name, "ifname", dynamic=_COUNTED)
