"""Rules as nft text: whole tables for people, and differences for the kernel. Pure.

Written for nft 1.0.6 (Debian 12) and 1.1 (Debian 13). `destroy` needs 1.0.7 and is not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from pileus.rules.ruleset import (
    Accept,
    AnswerArp,
    Atom,
    Chain,
    Count,
    Dispatch,
    Drop,
    Field,
    Goto,
    Hook,
    Jump,
    Lookup,
    Match,
    NamedMap,
    NamedSet,
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
    the text form of `atom_text`; `hooks` has the base chains; `counters` holds packets.
    """

    hooks: Mapping[str, Hook | None] = field(default_factory=dict)
    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)


def render(table: Table) -> str:
    """The table as one nft script that makes it from nothing; for reading and golden tests."""
    return "\n".join(difference(table, None)) + "\n"


def difference(wanted: Table, current: InKernel | None) -> list[str]:
    """The commands that turn what the kernel has into what is wanted; empty when it is the same.

    Run together they are one transaction. Counters and chains that stay are not touched, so their
    numbers and bindings survive.
    """
    name = f"{wanted.family} {wanted.name}"
    lines = [] if current else [f"add table {name}"]
    have = current or InKernel()
    lines += [f"add counter {name} {c}" for c in wanted.counters if c not in have.counters]
    lines += [_declare_set(name, s) for s in wanted.sets if s.name not in have.sets]
    lines += [_declare_map(name, m) for m in wanted.maps if m.name not in have.maps]
    lines += _chains(name, wanted, have)
    for named_set in wanted.sets:
        lines += _set_elements(name, named_set, have.sets.get(named_set.name, frozenset()))
    for named_map in wanted.maps:
        lines += _map_elements(name, named_map, have.maps.get(named_map.name, {}))
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


def _declare_set(name: str, named: NamedSet) -> str:
    flags = " flags interval;" if named.interval else ""
    return f"add set {name} {named.name} {{ type {named.kind};{flags} }}"


def _declare_map(name: str, named: NamedMap) -> str:
    return f"add map {name} {named.name} {{ type {named.key_kind} : {named.value_kind}; }}"


def _set_elements(name: str, named: NamedSet, have: frozenset[str]) -> Iterator[str]:
    want = {atom_text(element) for element in named.elements}
    yield from _elements(f"{name} {named.name}", sorted(have - want), sorted(want - have))


def _map_elements(name: str, named: NamedMap, have: Mapping[str, str]) -> Iterator[str]:
    want = map_text(named)
    quote = named.key_kind == "ifname"
    stale = [key for key in sorted(have) if want.get(key) != have[key]]
    fresh = [
        f"{_quoted(key, quote)} : {want[key]}" for key in sorted(want) if have.get(key) != want[key]
    ]
    yield from _elements(f"{name} {named.name}", [_quoted(key, quote) for key in stale], fresh)


def _elements(where: str, stale: list[str], fresh: list[str]) -> Iterator[str]:
    if stale:
        yield f"delete element {where} {{ {', '.join(stale)} }}"
    if fresh:
        yield f"add element {where} {{ {', '.join(fresh)} }}"


def map_text(named: NamedMap) -> dict[str, str]:
    """A map's elements in the text form that read-back produces."""
    return {atom_text(key): _value_text(value) for key, value in named.elements.items()}


def _value_text(value: Atom | Jump | Goto) -> str:
    match value:
        case Jump(chain):
            return f"jump {chain}"
        case Goto(chain):
            return f"goto {chain}"
        case _:
            return atom_text(value)


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
    match statement:
        case Match(field_, value, negate):
            return f"{field_}{' !=' if negate else ''} {_operand(field_, value)}"
        case Count(counter):
            return f'counter name "{counter}"'
        case Accept():
            return "accept"
        case Drop():
            return "drop"
        case Return():
            return "return"
        case Jump(chain):
            return f"jump {chain}"
        case Goto(chain):
            return f"goto {chain}"
        case Dispatch(field_, map_):
            return f"{field_} vmap @{map_}"
        case Rewrite(field_, new):
            return f"{field_} set {_lookup(new) if isinstance(new, Lookup) else atom_text(new)}"
        case TranslateDestination(to):
            return f"dnat ip to {_lookup(to)}"
        case TranslateSource(to):
            return f"snat ip to {_lookup(to)}"
        case AnswerArp(owners):
            return _answer_arp(owners)


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


def _operand(field_: Field, value: Atom | frozenset[Atom] | SetName) -> str:
    quote = field_ in _QUOTED
    match value:
        case SetName(name):
            return f"@{name}"
        case frozenset():
            texts = sorted(_quoted(atom_text(element), quote) for element in value)
            return texts[0] if len(texts) == 1 else f"{{ {', '.join(texts)} }}"
        case _:
            return _quoted(atom_text(value), quote)


def _quoted(text: str, quote: bool) -> str:
    return f'"{text}"' if quote else text


def atom_text(atom: Atom) -> str:
    """An atom as nft prints it: a network of one address without its prefix length."""
    if isinstance(atom, IPv4Network) and atom.prefixlen == atom.max_prefixlen:
        return str(atom.network_address)
    return str(atom)
