"""Rules as nft text: whole tables for people, and differences for the kernel. Pure.

Written for nft 1.0.6 (Debian 12) and 1.1 (Debian 13). `destroy` needs 1.0.7 and is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv4Network
from typing import Any

from pileus.rules.ruleset import (
    Accept,
    AnswerArp,
    Atom,
    Chain,
    Count,
    CountEach,
    Dispatch,
    Drop,
    Dynamic,
    Exceeds,
    Field,
    Goto,
    Hook,
    Jump,
    Key,
    Learn,
    Log,
    Lookup,
    Match,
    NamedMap,
    NamedSet,
    Remember,
    Return,
    Rewrite,
    Rule,
    SetName,
    Statement,
    Table,
    TranslateDestination,
    TranslateSource,
    digest,
)

_QUOTED = {Field.IN_INTERFACE, Field.OUT_INTERFACE}


@dataclass(frozen=True)
class InKernel:
    """A table as the kernel has it, reduced to what can be compared.

    Chains map to the comments of their rules, sets to their elements, maps to key → value, all in
    the text form of `atom_text`; `hooks` has the base chains; `counters` holds packets, and
    `counted` those of dynamic sets, set by set and key by key. What rules have learned is among the
    elements. `declared` is how sets and maps were declared.
    """

    hooks: Mapping[str, Hook | None] = field(default_factory=dict)
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    declared: Mapping[str, Declared] = field(default_factory=dict)
    counted: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Declared:
    """What a set or map can hold; `kind` of a map is "KEY : VALUE". Sizes of static ones are not
    compared: the kernel chooses them."""

    kind: str
    interval: bool = False
    size: int | None = None
    timeout: int | None = None


def render(table: Table) -> str:
    """The table as one nft script that makes it from nothing; for reading and golden tests."""
    return "\n".join(difference(table, None)) + "\n"


def difference(wanted: Table, current: InKernel | None) -> list[str]:
    """The commands that turn what the kernel has into what is wanted; empty when it is the same.

    Run together they are one transaction. Counters and chains that stay are not touched, so their
    numbers and bindings survive, and so does what was learned, except for keys that are no longer
    in the set they depend on. Only where a set is to be of another kind all is made anew.
    """
    name = f"{wanted.family} {wanted.name}"
    if current and _declared_otherwise(wanted, current):
        return [f"delete table {name}", *difference(wanted, None)]
    lines = [] if current else [f"add table {name}"]
    have = current or InKernel()
    lines += [f"add counter {name} {c}" for c in wanted.counters if c not in have.counters]
    lines += [
        f"add set {name} {named.name} {{ {declaration(named)} }}"
        for named in wanted.sets
        if named.name not in have.sets
    ]
    lines += [
        f"add map {name} {named.name} {{ {declaration(named)} }}"
        for named in wanted.maps
        if named.name not in have.maps
    ]
    lines += _chains(name, wanted, have)
    for named_set in wanted.sets:
        lines += _set_elements(wanted, named_set, have.sets.get(named_set.name, frozenset()))
    for named_map in wanted.maps:
        lines += _map_elements(wanted, named_map, have.maps.get(named_map.name, {}))
    for chain in wanted.chains:
        # A chain that is made anew for its hook has lost its rules.
        kept = _same_hook(chain.hook, have.hooks.get(chain.name))
        lines += _rules(name, chain, have.chains.get(chain.name) if kept else None)
    return lines + _removals(name, wanted, have)


def settled(wanted: Table, had: InKernel | None) -> InKernel:
    """What the kernel has once the difference is made: what is wanted, and what rules learned.

    Of sets and maps that rules fill it tells what `had` does; counters are not in it.
    """
    have = had if had and not _declared_otherwise(wanted, had) else InKernel()
    return InKernel(
        {chain.name: chain.hook for chain in wanted.chains},
        {chain.name: tuple(map(comment, chain.rules)) for chain in wanted.chains},
        {
            named.name: _kept(wanted, named.dynamic, have.sets.get(named.name, frozenset()))
            if named.dynamic
            else texts(named.elements)
            for named in wanted.sets
        },
        {
            named.name: _kept_pairs(wanted, named.dynamic, have.maps.get(named.name, {}))
            if named.dynamic
            else map_text(named)
            for named in wanted.maps
        },
        dict.fromkeys(wanted.counters, 0),
        {
            **{named.name: declared(named) for named in wanted.sets},
            **{named.name: declared(named) for named in wanted.maps},
        },
    )


def _kept(table: Table, dynamic: Dynamic, have: frozenset[str]) -> frozenset[str]:
    return have - frozenset(_forgotten(table, dynamic, have))


def _kept_pairs(table: Table, dynamic: Dynamic, have: Mapping[str, str]) -> Mapping[str, str]:
    kept = _kept(table, dynamic, frozenset(have))
    return {key: value for key, value in have.items() if key in kept}


def _chains(name: str, wanted: Table, have: InKernel) -> Iterator[str]:
    for chain in wanted.chains:
        hook = f" {{ {hook_text(chain.hook)} }}" if chain.hook else ""
        if chain.name not in have.chains:
            yield f"add chain {name} {chain.name}{hook}"
        elif not _same_hook(chain.hook, have.hooks.get(chain.name)):
            yield f"flush chain {name} {chain.name}"
            yield f"delete chain {name} {chain.name}"
            yield f"add chain {name} {chain.name}{hook}"


def _same_hook(want: Hook | None, have: Hook | None) -> bool:
    """nft 1.0.6 leaves the device out of its JSON: what it does not print cannot differ."""
    if want is None or have is None:
        return want is have
    return want == (have if have.device else replace(have, device=want.device))


def _rules(name: str, chain: Chain, have: tuple[str, ...] | None) -> Iterator[str]:
    if tuple(comment(rule) for rule in chain.rules) == (have or ()):
        return
    if have:
        yield f"flush chain {name} {chain.name}"
    for rule in chain.rules:
        yield f'add rule {name} {chain.name} {rule_text(rule)} comment "{comment(rule)}"'


def _removals(name: str, wanted: Table, have: InKernel) -> list[str]:
    chains = sorted(set(have.chains) - {chain.name for chain in wanted.chains})
    sets = sorted(set(have.sets) - {named.name for named in wanted.sets})
    maps = sorted(set(have.maps) - {named.name for named in wanted.maps})
    counters = sorted(set(have.counters) - set(wanted.counters))
    return [
        *(f"flush chain {name} {chain}" for chain in chains),
        *(f"delete map {name} {map_}" for map_ in maps),
        *(f"delete chain {name} {chain}" for chain in chains),
        *(f"delete set {name} {set_}" for set_ in sets),
        *(f"delete counter {name} {counter}" for counter in counters),
    ]


def declared(named: NamedSet | NamedMap) -> Declared:
    """What is declared of a set or map."""
    dynamic = named.dynamic
    if isinstance(named, NamedMap):
        kind, interval = f"{named.key_kind} : {named.value_kind}", False
    else:
        kind, interval = named.kind, named.interval
    if dynamic is None:
        return Declared(kind, interval)
    return Declared(kind, interval, dynamic.size, dynamic.timeout)


def _declared_otherwise(wanted: Table, have: InKernel) -> bool:
    named: tuple[NamedSet | NamedMap, ...] = (*wanted.sets, *wanted.maps)
    return any(have.declared.get(one.name, declared(one)) != declared(one) for one in named)


def declaration(named: NamedSet | NamedMap) -> str:
    """A set or map without its elements, as nft reads it."""
    what = declared(named)
    if named.dynamic is None:
        return f"type {what.kind};" + (" flags interval;" if what.interval else "")
    if what.timeout is None:
        return f"type {what.kind}; flags dynamic; size {what.size};"
    return f"type {what.kind}; flags dynamic,timeout; timeout {what.timeout}s; size {what.size};"


def _set_elements(table: Table, named: NamedSet, have: frozenset[str]) -> Iterator[str]:
    where = f"{table.family} {table.name} {named.name}"
    quoted = _quoting(named.kind)
    if named.dynamic:
        yield from _elements(where, map(quoted, _forgotten(table, named.dynamic, have)), [])
        return
    want = texts(named.elements)
    stale, fresh = sorted(have - want), sorted(want - have)
    yield from _elements(where, map(quoted, stale), map(quoted, fresh))


def _map_elements(table: Table, named: NamedMap, have: Mapping[str, str]) -> Iterator[str]:
    where = f"{table.family} {table.name} {named.name}"
    quoted = _quoting(named.key_kind)
    if named.dynamic:
        yield from _elements(where, map(quoted, _forgotten(table, named.dynamic, have)), [])
        return
    want = map_text(named)
    stale = [key for key in sorted(have) if want.get(key) != have[key]]
    fresh = [f"{quoted(key)} : {want[key]}" for key in sorted(want) if have.get(key) != want[key]]
    yield from _elements(where, map(quoted, stale), fresh)


def _quoting(kind: str) -> Callable[[str], str]:
    """How elements of a kind are written: the names of devices in quotes."""
    if "ifname" not in kind:
        return str
    parts = [part == "ifname" for part in kind.split(" . ")]
    return lambda key: " . ".join(map(_quoted, key.split(" . "), parts))


@lru_cache(maxsize=64)
def texts(elements: frozenset[Atom]) -> frozenset[str]:
    """Elements as text. Kept: a change is worked out several times, and there may be thousands."""
    return frozenset(map(atom_text, elements))


def _forgotten(table: Table, dynamic: Dynamic, have: Collection[str]) -> list[str]:
    """Learned keys whose first part is no longer in the set that they depend on."""
    if dynamic.within is None or not have:
        return []
    (named,) = (one for one in table.sets if one.name == dynamic.within)
    kept = texts(named.elements)
    return sorted(key for key in have if key.partition(" . ")[0] not in kept)


def _elements(where: str, stale: Iterable[str], fresh: Iterable[str]) -> Iterator[str]:
    for verb, elements in (("delete", ", ".join(stale)), ("add", ", ".join(fresh))):
        if elements:
            yield f"{verb} element {where} {{ {elements} }}"


def grown(commands: Iterable[str]) -> frozenset[str]:
    """The sets and maps that these commands add elements to; empty when they do anything else."""
    words = [command.split(" ", 5) for command in commands]
    if any(some[:2] != ["add", "element"] for some in words):
        return frozenset()
    return frozenset(some[4] for some in words)


def map_text(named: NamedMap) -> dict[str, str]:
    """A map's elements in the text form that read-back produces."""
    return {atom_text(key): _value_text(value) for key, value in named.elements.items()}


def _value_text(value: Atom | Jump | Goto) -> str:
    return _jump(value) if isinstance(value, (Jump, Goto)) else atom_text(value)


def _jump(verdict: Jump | Goto) -> str:
    return f"{type(verdict).__name__.lower()} {verdict.chain}"


@lru_cache(maxsize=8192)
def comment(rule: Rule) -> str:
    """What identifies a rule in the kernel: its name and a digest of its text."""
    return f"{rule.name} {digest(rule_text(rule))}"


def hook_text(hook: Hook) -> str:
    """The declaration of a base chain."""
    device = f' device "{hook.device}"' if hook.device else ""
    return (
        f"type {hook.type} hook {hook.hook}{device} priority {hook.priority}; policy {hook.policy};"
    )


def rule_text(rule: Rule) -> str:
    """One rule without its comment."""
    return " ".join(_statement(statement) for statement in rule.statements)


def _statement(statement: Statement) -> str:
    return _TEXTS[type(statement)](statement)


def _match(match: Match) -> str:
    key = key_text(match.field)
    equal = " ==" if "&" in key else ""
    return f"{key}{' !=' if match.negate else equal} {_operand(match.field, match.value)}"


def _rewrite(rewrite: Rewrite) -> str:
    new = rewrite.value
    return f"{rewrite.field} set {_lookup(new) if isinstance(new, Lookup) else atom_text(new)}"


def _learn(learn: Learn) -> str:
    """An `update` would start a timeout anew but leave the value of a known key as it was."""
    element = f"@{learn.map} {{ {key_text(learn.key)} : {learn.value} }}"
    return f"delete {element} add {element}"


def _lookup(lookup: Lookup) -> str:
    return f"{key_text(lookup.field)} map @{lookup.map}"


def _exceeds(over: Exceeds) -> str:
    """A burst of as many packets as the rate has: one second's worth."""
    limit = f"limit rate over {over.rate}/second burst {over.rate} packets"
    return f"update @{over.set} {{ {over.key} {limit} }}"


def _log(log: Log) -> str:
    limit = f"limit rate {log.rate}/second burst {log.rate} packets"
    return f'{limit} log prefix "{log.text}" group {log.group} snaplen {log.length}'


def _answer_arp(owners: str) -> str:
    """Offsets in an ARP packet (RFC 826, Ethernet/IPv4): sender MAC 64, sender IP 112, target MAC
    144, target IP 192 bits; 48 and 32 bits long."""
    return (
        "@nh,144,32 set @nh,192,32 "  # keep the asked address in the target MAC's place
        "@nh,192,32 set @nh,112,32 "  # the asker becomes the target
        "@nh,112,32 set @nh,144,32 "  # the asked address becomes the sender
        "@nh,144,48 set @nh,64,48 "
        "ether daddr set ether saddr "
        f"arp saddr ether set arp saddr ip map @{owners} "
        "ether saddr set arp saddr ether "
        "arp operation set reply "
        "fwd to iif"
    )


_TEXTS: Mapping[type, Callable[[Any], str]] = {
    Match: _match,
    Count: lambda count: f'counter name "{count.counter}"',
    CountEach: lambda count: f"update @{count.set} {{ {count.key} counter }}",
    Exceeds: _exceeds,
    Log: _log,
    Accept: lambda _: "accept",
    Drop: lambda _: "drop",
    Return: lambda _: "return",
    Jump: _jump,
    Goto: _jump,
    Dispatch: lambda dispatch: f"{dispatch.field} vmap @{dispatch.map}",
    Rewrite: _rewrite,
    TranslateDestination: lambda translate: f"dnat ip to {_lookup(translate.to)}",
    TranslateSource: lambda translate: f"snat ip to {_lookup(translate.to)}",
    AnswerArp: lambda answer: _answer_arp(answer.owners),
    Remember: lambda remember: f"update @{remember.set} {{ {key_text(remember.key)} }}",
    Learn: _learn,
}


def key_text(key: Key) -> str:
    """One field, or several side by side."""
    return " . ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _operand(key: Key, value: Atom | frozenset[Atom] | SetName) -> str:
    quote = key in _QUOTED
    if isinstance(value, SetName):
        return f"@{value.name}"
    if isinstance(value, frozenset):
        texts = sorted(_quoted(atom_text(element), quote) for element in value)
        return texts[0] if len(texts) == 1 else f"{{ {', '.join(texts)} }}"
    return _quoted(atom_text(value), quote)


def _quoted(text: str, quote: bool) -> str:
    return f'"{text}"' if quote else text


def atom_text(atom: Atom) -> str:
    """An atom as nft prints it: a network of one address without its prefix length."""
    if isinstance(atom, tuple):
        return " . ".join(map(atom_text, atom))
    if isinstance(atom, IPv4Network) and atom.prefixlen == atom.max_prefixlen:
        return str(atom.network_address)
    return str(atom)
