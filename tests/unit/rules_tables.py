"""Random tables for tests of the rules: small alphabets, so that two tables have much in common.

Chains refer only to later ones (the kernel allows no loops), and only to those without a hook.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import strategies as st

from pileus.rules.ruleset import (
    Accept,
    Atom,
    Chain,
    Count,
    Dispatch,
    Drop,
    Field,
    Goto,
    Hook,
    Jump,
    Match,
    NamedMap,
    NamedSet,
    Range,
    Rule,
    SetName,
    Statement,
    Table,
    TranslateDestination,
)
from pileus.rules.ruleset import Lookup as Of

FAMILY, NAME = "inet", "sample"
HOOKS = (
    Hook("filter", "input", "0", "accept"),
    Hook("filter", "input", "0", "drop"),
    Hook("filter", "forward", "-10", "accept"),
)
NAT = Hook("nat", "prerouting", "dstnat", "accept")
ADDRESSES = [IPv4Address(f"10.0.0.{n}") for n in range(1, 5)]
NETWORKS = [IPv4Network(text) for text in ("10.1.0.0/16", "10.3.0.0/24", "192.0.2.7/32")]
PORTS: list[int | Range] = [22, 80, Range(8000, 8010), Range(9000, 9000)]
DEVICES = ["eni1", "eni2", "igw"]

HOSTS = st.builds(
    NamedSet, st.just("hosts"), st.just("ipv4_addr"), st.frozensets(st.sampled_from(ADDRESSES))
)
NETS = st.builds(
    NamedSet,
    st.just("nets"),
    st.just("ipv4_addr"),
    st.frozensets(st.sampled_from(NETWORKS)),
    st.just(True),
)
OPEN = st.builds(
    NamedSet,
    st.just("open"),
    st.just("inet_service"),
    st.frozensets(st.sampled_from(PORTS)),
    st.just(True),
)
TO_PRIVATE = st.builds(
    NamedMap,
    st.just("to_private"),
    st.just("ipv4_addr"),
    st.just("ipv4_addr"),
    st.dictionaries(st.sampled_from(ADDRESSES), st.sampled_from(ADDRESSES)),
)
VALUES: dict[str, tuple[Field, frozenset[Atom]]] = {
    "hosts": (Field.IP_SOURCE, frozenset()),
    "nets": (Field.IP_DESTINATION, frozenset()),
    "open": (Field.TCP_DESTINATION, frozenset()),
}


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """A table that the kernel takes."""
    sets = tuple(draw(kind) for kind in (HOSTS, NETS, OPEN) if draw(st.booleans()))
    inner = [name for name in ("a", "b", "c") if draw(st.booleans())]
    maps = [draw(TO_PRIVATE)] if draw(st.booleans()) else []
    if draw(st.booleans()):
        maps.append(draw(_dispatch(inner)))
    chains = [
        Chain(name, draw(_rules(sets, maps, inner[place + 1 :], nat=False)))
        for place, name in enumerate(inner)
    ]
    if draw(st.booleans()):
        hook = draw(st.sampled_from(HOOKS))
        chains.append(Chain("base", draw(_rules(sets, maps, inner, nat=False)), hook))
    if draw(st.booleans()):
        chains.append(Chain("nat", draw(_rules(sets, maps, [], nat=True)), NAT))
    return Table(FAMILY, NAME, tuple(draw(st.permutations(chains))), sets, tuple(maps))


@st.composite
def _dispatch(draw: st.DrawFn, chains: list[str]) -> NamedMap:
    verdicts: list[Jump | Goto] = [
        verdict for name in chains for verdict in (Jump(name), Goto(name))
    ]
    devices = [name for name in DEVICES if draw(st.booleans())] if verdicts else []
    elements: dict[str, Jump | Goto] = {name: draw(st.sampled_from(verdicts)) for name in devices}
    return NamedMap("by_device", "ifname", "verdict", elements)


@st.composite
def _rules(
    draw: st.DrawFn, sets: tuple[NamedSet, ...], maps: list[NamedMap], chains: list[str], nat: bool
) -> tuple[Rule, ...]:
    matches = [Match(VALUES[named.name][0], SetName(named.name)) for named in sets]
    ends: list[Statement] = [Accept(), Drop()]
    if nat:
        ends = [Accept()]
        ends += [
            TranslateDestination(Of(Field.IP_DESTINATION, m.name))
            for m in maps
            if m.name == "to_private"
        ]
    else:
        ends += [Jump(name) for name in chains] + [Goto(name) for name in chains]
        # Only from the base chain, whose jumps lead inwards: a map may lead to any chain.
        if len(chains) > 2:
            ends += [Dispatch(Field.IN_INTERFACE, m.name) for m in maps if m.name == "by_device"]
    rule = st.builds(
        lambda match, counter, end: (*match, *counter, end),
        st.lists(st.sampled_from(matches), max_size=1) if matches else st.just([]),
        st.lists(st.builds(Count, st.sampled_from(["n1", "n2", "n3"])), max_size=1),
        st.sampled_from(ends),
    )
    found = draw(st.lists(rule, max_size=3))
    return tuple(Rule(f"rule {place}", statements) for place, statements in enumerate(found))
