"""What may pass between NICs and the internet: groups, network ACLs, routes, Elastic IPs. Pure.

Sources: AWS VPC user guide, "Security groups" (stateful, allow only, per ENI; nothing in and
everything out by default), "Network ACLs" (stateless, ordered, at the boundary of a subnet; not for
DNS, DHCP and link-local services) and "Internet gateways" (1:1 NAT; none for an address without a
public one).

A packet meets them in AWS's order: the sender's groups, its subnet's ACL, the route table, the
gateway, the receiver's subnet's ACL, the receiver's groups. NICs with the same groups share chains.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from pileus.model.addresses import METADATA_SERVICE, name_server
from pileus.model.verdict import Code
from pileus.rules.ruleset import (
    Accept,
    Atom,
    Chain,
    Dispatch,
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
    digest,
)
from pileus.vpc.state import AclEntry, Eni, Permission, RegionState, Subnet, Vpc
from pileus.vpc.wire.drops import NICS, drop, ends
from pileus.vpc.wire.frames import attached
from pileus.vpc.wire.names import GATEWAY, NOWHERE, PACKETS_TABLE, device

ANYWHERE = IPv4Network("0.0.0.0/0")
_NEW = Match(Field.CT_STATE, "established", negate=True)
"""`related` is new: letting errors in would hide path-MTU faults that the real cloud has."""


def packets_table(state: RegionState, vpc_id: str) -> Table:
    """The inet table of one VPC: forwarding between NICs and the gateway, and the gateway's NAT."""
    enis = attached(state, vpc_id)
    filtered = _filtered(state, vpc_id)
    shared = (
        _input(state.vpcs[vpc_id]),
        _forward(bool(filtered)),
        Chain("lost", tuple(_lost(state.vpcs[vpc_id]))),
        Chain("leave_gateway", tuple(_from_internet())),
        Chain("arrive_gateway", (Rule("internet", (Accept(),)),)),
        *_group_chains(state, enis),
        *(chain for subnet in filtered for chain in _boundary(state, subnet)),
    )
    drops, counted = ends(shared, (Code.ACL_EGRESS, Code.ACL_INGRESS))
    return Table(
        "inet",
        PACKETS_TABLE,
        chains=(*shared, *drops, *_gateway_nat()),
        sets=(*_sets(state, vpc_id, filtered), *counted),
        maps=_maps(state, vpc_id, filtered),
    )


def _sets(state: RegionState, vpc: str, filtered: list[Subnet]) -> Iterator[NamedSet]:
    enis = attached(state, vpc)
    groups = sorted(g.id for g in state.groups.values() if g.vpc == vpc)
    unchecked: list[Atom] = [device(eni.id) for eni in enis if not eni.source_dest_check]
    own: list[Atom] = [(device(eni.id), address) for eni in enis for address in eni.registered]
    yield NamedSet(NICS, "ifname", frozenset([GATEWAY, *(device(eni.id) for eni in enis)]))
    yield NamedSet("own", "ifname . ipv4_addr", frozenset(own))
    yield NamedSet("unchecked", "ifname", frozenset([GATEWAY, *unchecked]))
    yield NamedSet("has_public", "ipv4_addr", frozenset(elastic_pairs(state, vpc)))
    for group in groups:
        yield NamedSet(group_set(group), "ipv4_addr", frozenset(_members(enis, group)))
    for subnet in filtered:
        names = frozenset(device(eni.id) for eni in enis if eni.subnet == subnet.id)
        yield NamedSet(_nics_of(subnet), "ifname", names)


def _maps(state: RegionState, vpc: str, filtered: list[Subnet]) -> tuple[NamedMap, ...]:
    enis, public = attached(state, vpc), elastic_pairs(state, vpc)
    behind = {subnet.id: subnet for subnet in filtered}
    inside = [(device(eni.id), behind[eni.subnet]) for eni in enis if eni.subnet in behind]
    verdicts: dict[str, dict[Atom, Jump | Goto]] = {
        "leaving": {
            GATEWAY: Jump("leave_gateway"),
            **{device(eni.id): Jump(_leave(eni)) for eni in enis},
        },
        "arriving": {
            GATEWAY: Goto("arrive_gateway"),
            **{device(eni.id): Goto(_arrive(eni)) for eni in enis},
        },
    }
    if filtered:
        verdicts["going_out"] = {name: Jump(_out_of(subnet)) for name, subnet in inside}
        verdicts["coming_in"] = {name: Jump(_into(subnet)) for name, subnet in inside}
    return (
        *(NamedMap(name, "ifname", "verdict", pairs) for name, pairs in verdicts.items()),
        NamedMap("to_public", "ipv4_addr", "ipv4_addr", public),
        NamedMap("to_private", "ipv4_addr", "ipv4_addr", {v: k for k, v in public.items()}),
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
            yield from eni.registered


def _leave(eni: Eni) -> str:
    return f"leave_{digest(' '.join(eni.groups))}"


def _arrive(eni: Eni) -> str:
    return f"arrive_{digest(' '.join(eni.groups))}"


def _input(vpc: Vpc) -> Chain:
    """The VPC's own services, at the router: DHCP, DNS and metadata; nothing else answers."""
    names = name_server(vpc.cidr)
    services: tuple[tuple[Statement, ...], ...] = (
        (Match(Field.CT_STATE, "established"),),
        (Match(Field.UDP_DESTINATION, 67),),
        (Match(Field.IP_DESTINATION, METADATA_SERVICE), Match(Field.TCP_DESTINATION, 80)),
        (Match(Field.IP_DESTINATION, names), Match(Field.UDP_DESTINATION, 53)),
        (Match(Field.IP_DESTINATION, names), Match(Field.TCP_DESTINATION, 53)),
        (Match(Field.IN_INTERFACE, "lo"),),
    )
    allow = tuple(Rule("service", (*matches, Accept())) for matches in services)
    refuse = drop(Code.ROUTER_SILENT, Match(Field.IN_INTERFACE, SetName(NICS)))
    return Chain("input", (*allow, refuse), Hook("filter", "input", "0", "drop"))


def _forward(filtered: bool) -> Chain:
    going_out = Rule("subnet left", (Dispatch(Field.IN_INTERFACE, "going_out"),))
    coming_in = Rule("subnet entered", (Dispatch(Field.OUT_INTERFACE, "coming_in"),))
    rules = (
        drop(Code.INVALID, Match(Field.CT_STATE, "invalid")),
        Rule("sender", (_NEW, Dispatch(Field.IN_INTERFACE, "leaving"))),
        *((going_out,) if filtered else ()),
        Rule("nowhere", (Match(Field.OUT_INTERFACE, NOWHERE), Goto("lost"))),
        drop(
            Code.NO_PUBLIC_ADDRESS,
            Match(Field.OUT_INTERFACE, GATEWAY),
            Match(Field.IP_SOURCE, SetName("has_public"), negate=True),
            Match(Field.CT_DIRECTION, "original"),
        ),
        *((coming_in,) if filtered else ()),
        drop(
            Code.NO_SUCH_ADDRESS,
            Match((Field.OUT_INTERFACE, Field.IP_DESTINATION), SetName("own"), negate=True),
            Match(Field.OUT_INTERFACE, SetName("unchecked"), negate=True),
            nic=Field.OUT_INTERFACE,
        ),
        Rule("reply", (Match(Field.CT_STATE, "established"), Accept())),
        Rule("receiver", (Dispatch(Field.OUT_INTERFACE, "arriving"),)),
    )
    return Chain("forward", rules, Hook("filter", "forward", "0", "drop"))


def _lost(vpc: Vpc) -> Iterator[Rule]:
    for network in vpc.networks:
        yield drop(Code.NO_SUCH_ADDRESS, Match(Field.IP_DESTINATION, network))
    yield drop(Code.NO_ROUTE)


def _from_internet() -> Iterator[Rule]:
    """Only what the gateway translated may come in."""
    yield Rule("translated", (Match(Field.CT_STATUS, "dnat"), Return()))
    yield drop(Code.NO_SUCH_ADDRESS)


# Security groups


def _group_chains(state: RegionState, enis: list[Eni]) -> Iterator[Chain]:
    """Two chains for all NICs that have the same groups."""
    for eni in {eni.groups: eni for eni in enis}.values():
        yield Chain(_leave(eni), tuple(_leaving(state, eni.groups)))
        yield Chain(_arrive(eni), tuple(_arriving(state, eni.groups)))


def _leaving(state: RegionState, groups: tuple[str, ...]) -> Iterator[Rule]:
    for permission in _permissions(state, groups, "egress"):
        yield from _allow(permission, Field.IP_DESTINATION, Return())
    yield drop(Code.GROUP_EGRESS)


def _arriving(state: RegionState, groups: tuple[str, ...]) -> Iterator[Rule]:
    for permission in _permissions(state, groups, "ingress"):
        yield from _allow(permission, Field.IP_SOURCE, Accept())
    yield drop(Code.GROUP_INGRESS, nic=Field.OUT_INTERFACE)


def _permissions(
    state: RegionState, groups: tuple[str, ...], direction: str
) -> Iterator[Permission]:
    for group in groups:
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


def _protocol(what: Permission | AclEntry) -> tuple[Match, ...]:
    if what.protocol == "-1":
        return ()
    fields = {"tcp": Field.TCP_DESTINATION, "udp": Field.UDP_DESTINATION}
    if what.ports and what.protocol in fields:
        return (Match(fields[what.protocol], Range(*what.ports)),)
    if what.ports and what.protocol == "icmp":
        kind, code = what.ports
        return (
            Match(Field.ICMP_TYPE, kind),
            *(() if code == -1 else (Match(Field.ICMP_CODE, code),)),
        )
    return (Match(Field.IP_PROTOCOL, what.protocol),)


# Network ACLs


def _filtered(state: RegionState, vpc: str) -> list[Subnet]:
    """The subnets whose network ACL denies anything at all; the default one does not."""
    subnets = sorted((s for s in state.subnets.values() if s.vpc == vpc), key=lambda s: s.id)
    acls = [(subnet, state.network_acl_of(subnet)) for subnet in subnets]
    return [
        subnet
        for subnet, acl in acls
        if acl and not (_lets_all(acl.ingress) and _lets_all(acl.egress))
    ]


def _lets_all(entries: tuple[AclEntry, ...]) -> bool:
    return bool(entries) and entries[0].allow and entries[0].matches_all


def _boundary(state: RegionState, subnet: Subnet) -> Iterator[Chain]:
    """What leaves a subnet and what comes in; traffic between its own NICs does neither."""
    acl = state.network_acl_of(subnet)
    own = SetName(_nics_of(subnet))
    for chain, far_end, entries, address, refuse in (
        (
            _out_of(subnet),
            Field.OUT_INTERFACE,
            acl.egress if acl else (),
            Field.IP_DESTINATION,
            drop(Code.ACL_EGRESS),
        ),
        (
            _into(subnet),
            Field.IN_INTERFACE,
            acl.ingress if acl else (),
            Field.IP_SOURCE,
            drop(Code.ACL_INGRESS, nic=Field.OUT_INTERFACE),
        ),
    ):
        stays = Rule("stays", (Match(far_end, own), Return()))
        asked = tuple(_entry(entry, address, refuse) for entry in entries)
        yield Chain(chain, (stays, *asked, refuse))


def _entry(entry: AclEntry, far_end: Field, refuse: Rule) -> Rule:
    network = () if entry.network == ANYWHERE else (Match(far_end, entry.network),)
    matches = (*_protocol(entry), *network)
    if entry.allow:
        return Rule(f"entry {entry.number}", (*matches, Return()))
    return Rule(refuse.name, (*matches, *refuse.statements))


def _nics_of(subnet: Subnet) -> str:
    return f"nics_{subnet.id.removeprefix('subnet-')}"


def _out_of(subnet: Subnet) -> str:
    return f"out_of_{subnet.id.removeprefix('subnet-')}"


def _into(subnet: Subnet) -> str:
    return f"into_{subnet.id.removeprefix('subnet-')}"


# The internet gateway


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
