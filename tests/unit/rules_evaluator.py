"""Follows a packet through a table without a kernel: what the tests of the wire ask.

A packet is a mapping of fields to values; a match on a field that it lacks ends the rule, negated
or not, as in the kernel. Rewriting and address translation are named, not done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.rules.ruleset import (
    Accept,
    AnswerArp,
    Count,
    Dispatch,
    Drop,
    Field,
    Goto,
    Jump,
    Match,
    Range,
    Return,
    Rewrite,
    SetName,
    Table,
    TranslateDestination,
    TranslateSource,
)

Packet = Mapping[Field, Any]


@dataclass(frozen=True)
class Outcome:
    """`verdict` is accept, drop or answer; `rewritten` are the fields that were set."""

    verdict: str
    counted: tuple[str, ...]
    rewritten: tuple[Field, ...] = ()

    @property
    def code(self) -> str:
        """The counter of the drop, without the NIC's name."""
        assert self.verdict == "drop"
        return self.counted[-1].partition(".")[2]


class Walk:
    """One packet's way, from a base chain on."""

    def __init__(self, table: Table, packet: Packet) -> None:
        self._table = table
        self._chains = {chain.name: chain for chain in table.chains}
        self._packet = packet
        self._counted: list[str] = []
        self._rewritten: list[Field] = []

    def through(self, base: str) -> Outcome:
        hook = self._chains[base].hook
        assert hook
        verdict = self._chain(base) or hook.policy
        return Outcome(verdict, tuple(self._counted), tuple(self._rewritten))

    def _chain(self, name: str) -> str | None:
        """A final verdict; None where the packet comes back."""
        for rule in self._chains[name].rules:
            for statement in rule.statements:
                if not self._goes_on(statement):
                    break
                match statement:
                    case Accept() | Drop():
                        return type(statement).__name__.lower()
                    case AnswerArp():
                        return "answer"
                    case Return():
                        return None
                    case Jump(chain) | Goto(chain):
                        verdict = self._chain(chain)
                        if verdict or isinstance(statement, Goto):
                            return verdict
                    case Dispatch(field_, map_):
                        found = self._map(map_).get(self._packet[field_])
                        if found:
                            verdict = self._chain(found.chain)
                            if verdict or isinstance(found, Goto):
                                return verdict
        return None

    def _goes_on(self, statement: object) -> bool:
        match statement:
            case Match(field_, value, negate):
                assert isinstance(field_, Field)
                if field_ not in self._packet:
                    return False
                return self._has(self._packet[field_], value) is not negate
            case Count(counter):
                self._counted.append(counter)
            case Dispatch(field_):
                return field_ in self._packet
            case Rewrite(field_):
                self._rewritten.append(field_)
            case AnswerArp():
                return Field.ARP_TARGET_IP in self._packet
            case TranslateDestination() | TranslateSource():
                raise NotImplementedError
        return True

    def _has(self, seen: Any, wanted: Any) -> bool:
        match wanted:
            case SetName(name):
                (named,) = [one for one in self._table.sets if one.name == name]
                return self._has(seen, named.elements)
            case frozenset():
                return any(self._has(seen, one) for one in wanted)
            case IPv4Network():
                return IPv4Address(str(seen)) in wanted
            case Range(first, last):
                return first <= int(seen) <= last
            case _:
                return str(seen) == str(wanted)

    def _map(self, name: str) -> Mapping[Any, Any]:
        (named,) = [one for one in self._table.maps if one.name == name]
        return named.elements


def follow(table: Table, base: str, packet: Packet) -> Outcome:
    """What becomes of a packet that enters a base chain."""
    return Walk(table, packet).through(base)
