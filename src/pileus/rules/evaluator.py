"""Follows a packet through a table without a kernel. Pure: what was learned goes in and comes out.

    outcome = follow(table, "guard_out", packet, learned)

A packet is a mapping of fields to values; a match on a field that it lacks ends the rule, negated
or not, as in the kernel. `pileus.rules.frames` makes packets of bytes, and bytes of outcomes.
Elements that rules add have no age here: whoever wants one to time out takes it out of `learned`.
No rate is ever exceeded: one packet alone is followed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.model import verdict as verdicts
from pileus.model.addresses import Mac
from pileus.model.verdict import Code
from pileus.rules.nft import atom_text, texts
from pileus.rules.ruleset import (
    Accept,
    AnswerArp,
    Chain,
    Count,
    CountEach,
    Dispatch,
    Drop,
    Exceeds,
    Field,
    Goto,
    Jump,
    Key,
    Learn,
    Log,
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
    TranslateSource,
)

Packet = Mapping[Field, Any]
_GROUP, _NO_GROUP = Mac("01:00:00:00:00:00"), Mac("00:00:00:00:00:00")
_TYPES: Mapping[str, Callable[[str], Any]] = {"ether_addr": Mac, "ipv4_addr": IPv4Address}


@dataclass(frozen=True)
class Cut:
    """What a frame that ends within an address has of it.

    For a network of whole bytes nft reads just those, so such a match may still see enough.
    """

    start: bytes


@dataclass(frozen=True)
class Learned:
    """Elements of dynamic sets and maps, in the text form in which the kernel's are read back."""

    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of a packet.

    `verdict` is accept, drop or answer (sent back where it came from); `counted` are the counters
    it passed, in order; `rewritten` are the fields that were set, `learned` what is known after
    it, and `dropped` says why where the dropping rule is named by a code.
    """

    verdict: str
    counted: tuple[str, ...] = ()
    rewritten: Mapping[Field, Any] = field(default_factory=dict)
    learned: Learned = field(default_factory=Learned)
    dropped: verdicts.Drop | None = None

    @property
    def code(self) -> Code | None:
        """Why it was dropped."""
        return self.dropped.reason if self.dropped else None


def follow(table: Table, base: str, packet: Packet, learned: Learned | None = None) -> Outcome:
    """What becomes of a packet that enters a base chain. Raises KeyError when there is no such."""
    walk = _Walk(table, packet, learned or Learned())
    chain = walk.chains[base]
    if chain.hook is None:
        raise KeyError(f"{base} is not a base chain")
    ended = walk.through(chain) or chain.hook.policy
    return Outcome(ended, tuple(walk.counted), walk.rewritten, walk.learned, walk.dropped)


class _RuleEnds(Exception):
    """The packet does not satisfy a rule, or lacks what the rule asks for."""


class _Walk:
    """One packet's way."""

    def __init__(self, table: Table, packet: Packet, learned: Learned) -> None:
        self.chains = {chain.name: chain for chain in table.chains}
        self.counted: list[str] = []
        self.rewritten: dict[Field, Any] = {}
        self.learned = learned
        self.dropped: verdicts.Drop | None = None
        self._sets = {named.name: named for named in table.sets}
        self._maps = {named.name: named for named in table.maps}
        self._packet = dict(packet)

    def through(self, chain: Chain) -> str | None:
        """A final verdict; None where the packet comes back."""
        for rule in chain.rules:
            try:
                for statement in rule.statements:
                    step = _STEPS[type(statement)](self, statement)
                    if isinstance(step, (Jump, Goto)):
                        ended = self.through(self.chains[step.chain])
                        if ended or isinstance(step, Goto):
                            return ended
                    elif isinstance(step, Return):
                        return None
                    elif step:
                        self._note(step, chain, rule)
                        return str(step)
            except _RuleEnds:
                continue
        return None

    def _note(self, ended: str, chain: Chain, rule: Rule) -> None:
        if ended == "drop" and rule.name in Code.__members__.values():
            self.dropped = verdicts.Drop(chain.name, rule.name, Code(rule.name))

    # Each step gives a verdict, where to go on, or nothing; or ends the rule.

    def match(self, match: Match) -> None:
        if isinstance(match.value, SetName):
            found = self._is_in(self._sets[match.value.name], match.field)
        elif isinstance(match.field, Field):
            found = _is(self._value(match.field, match.value), match.value)
        else:
            found = _is(self._key(match.field), match.value)
        if found is match.negate:
            raise _RuleEnds

    def count(self, count: Count) -> None:
        self.counted.append(count.counter)

    def count_each(self, count: CountEach) -> None:
        self.counted.append(count.name(self._key(count.key)))

    def exceed(self, _: Exceeds) -> None:
        raise _RuleEnds

    def dispatch(self, dispatch: Dispatch) -> Any:
        return self._maps[dispatch.map].elements.get(self._value(dispatch.field))

    def rewrite(self, rewrite: Rewrite) -> None:
        new = rewrite.value
        self._set(rewrite.field, self._look_up(new) if isinstance(new, Lookup) else new)

    def answer(self, answer: AnswerArp) -> str:
        asker, asked = self._value(Field.ARP_SENDER_IP), self._value(Field.ARP_TARGET_IP)
        mac, source = self._value(Field.ARP_SENDER_MAC), self._value(Field.ETHER_SOURCE)
        owner = self._look_up(Lookup(Field.ARP_TARGET_IP, answer.owners))
        self._set(Field.ARP_TARGET_MAC, mac)
        self._set(Field.ARP_TARGET_IP, asker)
        self._set(Field.ARP_SENDER_MAC, owner)
        self._set(Field.ARP_SENDER_IP, asked)
        self._set(Field.ARP_OPERATION, "reply")
        self._set(Field.ETHER_DESTINATION, source)
        self._set(Field.ETHER_SOURCE, owner)
        return "answer"

    def translate(self, translate: TranslateDestination | TranslateSource) -> str:
        source = isinstance(translate, TranslateSource)
        new = self._look_up(translate.to)
        self._set(Field.IP_SOURCE if source else Field.IP_DESTINATION, new)
        return "accept"

    def remember(self, remember: Remember) -> None:
        key = self._key(remember.key)
        have = self.learned.sets.get(remember.set, frozenset())
        self._need_room(self._sets[remember.set], key, have)
        sets = {**self.learned.sets, remember.set: have | {key}}
        self.learned = replace(self.learned, sets=sets)

    def learn(self, learn: Learn) -> None:
        key, value = self._key(learn.key), atom_text(self._value(learn.value))
        have = self.learned.maps.get(learn.map, {})
        self._need_room(self._maps[learn.map], key, have)
        maps = {**self.learned.maps, learn.map: {**have, key: value}}
        self.learned = replace(self.learned, maps=maps)

    def _need_room(self, named: NamedSet | NamedMap, key: str, have: Collection[str]) -> None:
        if named.dynamic is None or (key not in have and len(have) >= named.dynamic.size):
            raise _RuleEnds

    def _value(self, field_: Field, wanted: Any = None) -> Any:
        if field_ is Field.ETHER_GROUP:
            return _GROUP if self._value(Field.ETHER_DESTINATION).packed[0] & 1 else _NO_GROUP
        if field_ is Field.MARK:
            return self._packet.get(field_, 0)
        if field_ not in self._packet:
            raise _RuleEnds
        found = self._packet[field_]
        return _completed(found, wanted) if isinstance(found, Cut) else found

    def _key(self, key: Key) -> str:
        fields = key if isinstance(key, tuple) else (key,)
        return " . ".join([atom_text(self._value(one)) for one in fields])

    def _is_in(self, named: NamedSet, key: Key) -> bool:
        text = self._key(key)
        if named.dynamic:
            return text in self.learned.sets.get(named.name, frozenset())
        return text in texts(named.elements) or (named.interval and _is(text, named.elements))

    def _look_up(self, lookup: Lookup) -> Any:
        named: NamedMap = self._maps[lookup.map]
        key = self._key(lookup.field)
        if named.dynamic:
            elements: Mapping[str, Any] = self.learned.maps.get(named.name, {})
        else:
            elements = {atom_text(one): value for one, value in named.elements.items()}
        if key not in elements:
            raise _RuleEnds
        found = elements[key]
        return _TYPES.get(named.value_kind, str)(found) if isinstance(found, str) else found

    def _set(self, field_: Field, value: Any) -> None:
        self._packet[field_] = self.rewritten[field_] = value


def _completed(cut: Cut, wanted: Any) -> IPv4Address:
    """An address that is in the network `wanted` if what there is of it says so."""
    if isinstance(wanted, IPv4Network) and wanted.prefixlen % 8 == 0:
        enough = 0 < wanted.prefixlen <= len(cut.start) * 8
        if enough:
            return IPv4Address(cut.start.ljust(4, b"\0"))
    raise _RuleEnds


def _is(seen: Any, wanted: Any) -> bool:
    if isinstance(wanted, frozenset):
        return any(_is(seen, one) for one in wanted)
    if isinstance(wanted, IPv4Network):
        return IPv4Address(str(seen)) in wanted
    if isinstance(wanted, Range):
        return wanted.first <= int(seen) <= wanted.last
    return str(seen) == str(wanted)


def _end(statement: Statement) -> str:
    return type(statement).__name__.lower()


_STEPS: Mapping[type, Callable[[_Walk, Any], Any]] = {
    Match: _Walk.match,
    Count: _Walk.count,
    CountEach: _Walk.count_each,
    Exceeds: _Walk.exceed,
    Log: lambda *_: None,
    Accept: lambda _, statement: _end(statement),
    Drop: lambda _, statement: _end(statement),
    Return: lambda _, statement: statement,
    Jump: lambda _, statement: statement,
    Goto: lambda _, statement: statement,
    Dispatch: _Walk.dispatch,
    Rewrite: _Walk.rewrite,
    AnswerArp: _Walk.answer,
    TranslateDestination: _Walk.translate,
    TranslateSource: _Walk.translate,
    Remember: _Walk.remember,
    Learn: _Walk.learn,
}
