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
    Dispatch,
    Drop,
    Dynamic,
    Field,
    Goto,
    Hook,
    Jump,
    Key,
    Learn,
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
    the text form of `atom_text`; `hooks` has the base chains; `counters` holds packets. What rules
    have learned is among the elements. `declared` is how sets and maps were declared.
    """

    hooks: Mapping[str, Hook | None] = field(default_factory=dict)
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    declared: Mapping[str, Declared] = field(default_factory=dict)


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
    if named.dynamic:
        yield from _elements(where, _forgotten(table, named.dynamic, have), [])
        return
    want = _texts(named.elements)
    yield from _elements(where, sorted(have - want), sorted(want - have))


def _map_elements(table: Table, named: NamedMap, have: Mapping[str, str]) -> Iterator[str]:
    where = f"{table.family} {table.name} {named.name}"
    if named.dynamic:
        yield from _elements(where, _forgotten(table, named.dynamic, have), [])
        return
    want = map_text(named)
    quote = named.key_kind == "ifname"
    stale = [key for key in sorted(have) if want.get(key) != have[key]]
    fresh = [
        f"{_quoted(key, quote)} : {want[key]}" for key in sorted(want) if have.get(key) != want[key]
    ]
    yield from _elements(where, [_quoted(key, quote) for key in stale], fresh)


@lru_cache(maxsize=64)
def _texts(elements: frozenset[Atom]) -> frozenset[str]:
    """Kept, because a change is worked out several times, and there may be a thousand."""
    return frozenset(map(atom_text, elements))


def _forgotten(table: Table, dynamic: Dynamic, have: Collection[str]) -> list[str]:
    """Learned keys whose first part is no longer in the set that they depend on."""
    if dynamic.within is None or not have:
        return []
    (named,) = (one for one in table.sets if one.name == dynamic.within)
    kept = _texts(named.elements)
    return sorted(key for key in have if key.partition(" . ")[0] not in kept)


def _elements(where: str, stale: list[str], fresh: list[str]) -> Iterator[str]:
    if stale:
        yield f"delete element {where} {{ {', '.join(stale)} }}"
    if fresh:
        yield f"add element {where} {{ {', '.join(fresh)} }}"


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
    return f"{lookup.field} map @{lookup.map}"


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
    if isinstance(atom, IPv4Network) and atom.prefixlen == atom.max_prefixlen:
        return str(atom.network_address)
    return str(atom)
