"""What may pass between NICs and the internet: security groups, missing routes, Elastic IPs. Pure.

Sources: AWS VPC user guide, "Security groups" (stateful, allow only, per ENI; nothing in and
everything out by default) and "Internet gateways" (1:1 NAT; none for an address without a public
one).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from pileus.model.addresses import METADATA_SERVICE
from pileus.model.verdict import Code
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
    Lookup,
    Match,
    NamedMap,
    NamedSet,
    Range,
    Return,
    Rule,
    SetName,
    Statement,
    Table,
    TranslateDestination,
    TranslateSource,
    Verdict,
)
from pileus.vpc.state import Eni, Permission, RegionState, Vpc
from pileus.vpc.wire.frames import attached
from pileus.vpc.wire.names import GATEWAY, NOWHERE, PACKETS_TABLE, counter, device

ANYWHERE = IPv4Network("0.0.0.0/0")


def packets_table(state: RegionState, vpc_id: str) -> Table:
    """The inet table of one VPC: forwarding between NICs and the gateway, and the gateway's NAT."""
    vpc = state.vpcs[vpc_id]
    enis = attached(state, vpc_id)
    public = elastic_pairs(state, vpc_id)
    groups = sorted(g.id for g in state.groups.values() if g.vpc == vpc_id)
    leaving: dict[Atom, Jump | Goto] = {device(e.id): Jump(_leave(e)) for e in enis}
    arriving: dict[Atom, Jump | Goto] = {device(e.id): Goto(_arrive(e)) for e in enis}
    return Table(
        "inet",
        PACKETS_TABLE,
        chains=(
            _input(vpc, enis),
            _forward(),
            Chain("leave_gateway", tuple(_from_internet())),
            Chain("arrive_gateway", (Rule("internet", (Accept(),)),)),
            *(Chain(_leave(e), tuple(_leaving(state, vpc, e))) for e in enis),
            *(Chain(_arrive(e), tuple(_arriving(state, e))) for e in enis),
            *_gateway_nat(),
        ),
        sets=(
            NamedSet("has_public", "ipv4_addr", frozenset(public)),
            *(NamedSet(group_set(g), "ipv4_addr", frozenset(_members(enis, g))) for g in groups),
        ),
        maps=(
            NamedMap("leaving", "ifname", "verdict", {**leaving, GATEWAY: Jump("leave_gateway")}),
            NamedMap(
                "arriving", "ifname", "verdict", {**arriving, GATEWAY: Goto("arrive_gateway")}
            ),
            NamedMap("to_public", "ipv4_addr", "ipv4_addr", public),
            NamedMap("to_private", "ipv4_addr", "ipv4_addr", {v: k for k, v in public.items()}),
        ),
    )


def elastic_pairs(state: RegionState, vpc: str) -> dict[IPv4Address, IPv4Address]:
    """Private → public address, for associated Elastic IPs of attached NICs of a VPC."""
    enis = {eni.id for eni in attached(state, vpc)}
    return {
        elastic.private: elastic.public
        for elastic in state.elastic_ips.values()
        if elastic.private is not None and elastic.eni in enis
    }


def group_set(group: str) -> str:
    """The set of a security group's member addresses, for rules that refer to the group."""
    return f"members_{group.removeprefix('sg-')}"


def _members(enis: Iterable[Eni], group: str) -> Iterator[IPv4Address]:
    for eni in enis:
        if group in eni.groups:
            yield from eni.addresses


def _leave(eni: Eni) -> str:
    return f"leave_{device(eni.id)}"


def _arrive(eni: Eni) -> str:
    return f"arrive_{device(eni.id)}"


def _drop(eni: Eni, code: Code, *matches: Statement) -> Rule:
    return Rule(code, (*matches, Count(counter(eni.id, code)), Drop()))


def _input(vpc: Vpc, enis: list[Eni]) -> Chain:
    """The VPC's own services, at the router: DHCP, DNS and metadata; nothing else answers."""
    resolver = vpc.cidr.network_address + 2
    services: tuple[tuple[Statement, ...], ...] = (
        (Match(Field.CT_STATE, "established"),),
        (Match(Field.UDP_DESTINATION, 67),),
        (Match(Field.IP_DESTINATION, METADATA_SERVICE), Match(Field.TCP_DESTINATION, 80)),
        (Match(Field.IP_DESTINATION, resolver), Match(Field.UDP_DESTINATION, 53)),
        (Match(Field.IP_DESTINATION, resolver), Match(Field.TCP_DESTINATION, 53)),
        (Match(Field.IN_INTERFACE, "lo"),),
    )
    allow = tuple(Rule("service", (*matches, Accept())) for matches in services)
    refuse = tuple(
        _drop(eni, Code.ROUTER_SILENT, Match(Field.IN_INTERFACE, device(eni.id))) for eni in enis
    )
    return Chain("input", (*allow, *refuse), Hook("filter", "input", "0", "drop"))


def _forward() -> Chain:
    return Chain(
        "forward",
        (
            Rule("sender", (Dispatch(Field.IN_INTERFACE, "leaving"),)),
            Rule("receiver", (Dispatch(Field.OUT_INTERFACE, "arriving"),)),
        ),
        Hook("filter", "forward", "0", "drop"),
    )


def _from_internet() -> Iterator[Rule]:
    """Only what the gateway translated may come in."""
    yield Rule("reply", (Match(Field.CT_STATE, "established"), Return()))
    yield Rule("translated", (Match(Field.CT_STATUS, "dnat"), Return()))
    name = f"{GATEWAY}.{Code.NO_SUCH_ADDRESS}"
    yield Rule(Code.NO_SUCH_ADDRESS, (Count(name), Drop()))


def _leaving(state: RegionState, vpc: Vpc, eni: Eni) -> Iterator[Rule]:
    nowhere = Match(Field.OUT_INTERFACE, NOWHERE)
    yield _drop(eni, Code.NO_SUCH_ADDRESS, nowhere, Match(Field.IP_DESTINATION, vpc.cidr))
    yield _drop(eni, Code.NO_ROUTE, nowhere)
    yield _drop(eni, Code.INVALID, Match(Field.CT_STATE, "invalid"))
    yield _drop(
        eni,
        Code.NO_PUBLIC_ADDRESS,
        Match(Field.OUT_INTERFACE, GATEWAY),
        Match(Field.IP_SOURCE, SetName("has_public"), negate=True),
        Match(Field.CT_DIRECTION, "original"),
    )
    # Not `related`: letting errors in would hide path-MTU faults that the real cloud has.
    yield Rule("established", (Match(Field.CT_STATE, "established"), Return()))
    for permission in _permissions(state, eni, "egress"):
        yield from _allow(permission, Field.IP_DESTINATION, Return())
    yield _drop(eni, Code.GROUP_EGRESS)


def _arriving(state: RegionState, eni: Eni) -> Iterator[Rule]:
    if eni.source_dest_check:
        own: frozenset[Atom] = frozenset(eni.addresses)
        yield _drop(eni, Code.NO_SUCH_ADDRESS, Match(Field.IP_DESTINATION, own, negate=True))
    yield Rule("established", (Match(Field.CT_STATE, "established"), Accept()))
    for permission in _permissions(state, eni, "ingress"):
        yield from _allow(permission, Field.IP_SOURCE, Accept())
    yield _drop(eni, Code.GROUP_INGRESS)


def _permissions(state: RegionState, eni: Eni, direction: str) -> Iterator[Permission]:
    for group in eni.groups:
        if group in state.groups:
            yield from getattr(state.groups[group], direction)


def _allow(permission: Permission, far_end: Field, verdict: Verdict) -> Iterator[Rule]:
    """One rule for the networks and one for each group that the permission names."""
    matches = _protocol(permission)
    if permission.networks:
        merged = frozenset(collapse_addresses(permission.networks))
        networks = () if ANYWHERE in merged else (Match(far_end, merged),)
        yield Rule("allowed", (*matches, *networks, verdict))
    for group in sorted(permission.groups):
        yield Rule("allowed", (*matches, Match(far_end, SetName(group_set(group))), verdict))


def _protocol(permission: Permission) -> tuple[Match, ...]:
    if permission.protocol == "-1":
        return ()
    fields = {"tcp": Field.TCP_DESTINATION, "udp": Field.UDP_DESTINATION}
    if permission.ports and permission.protocol in fields:
        return (Match(fields[permission.protocol], Range(*permission.ports)),)
    return (Match(Field.IP_PROTOCOL, permission.protocol),)


def _gateway_nat() -> tuple[Chain, Chain]:
    inward = Lookup(Field.IP_DESTINATION, "to_private")
    outward = Lookup(Field.IP_SOURCE, "to_public")
    return (
        Chain(
            "elastic_in",
            (Rule("public", (Match(Field.IN_INTERFACE, GATEWAY), TranslateDestination(inward))),),
            Hook("nat", "prerouting", "dstnat", "accept"),
        ),
        Chain(
            "elastic_out",
            (Rule("private", (Match(Field.OUT_INTERFACE, GATEWAY), TranslateSource(outward))),),
            Hook("nat", "postrouting", "srcnat", "accept"),
        ),
    )
