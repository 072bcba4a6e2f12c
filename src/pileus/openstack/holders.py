"""Who has the providers' addresses, and what may not be done because of that. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from pileus.model.addresses import Socket
from pileus.model.errors import Refused
from pileus.model.tenant import (
    ObservedFloatingIp,
    ObservedGateway,
    ObservedOpenStack,
    WantedFloatingIp,
    WantedOpenStack,
    within,
)


@dataclass(frozen=True)
class Holder:
    """Who has an address, as a part of a sentence, and the command that frees it."""

    what: str
    remedy: str


Holders = Mapping[IPv4Address, Holder]


def in_use(observed: ObservedOpenStack) -> dict[IPv4Address, str]:
    """The providers' addresses that someone has, and who: "floating IP of server web"."""
    return {address: holder.what for address, holder in _holders(observed).items()}


def _holders(observed: ObservedOpenStack) -> dict[IPv4Address, Holder]:
    return {
        **{
            address: Holder(f"port {port}", f"openstack port delete {port}")
            for address, port in observed.other_ports.items()
        },
        **{gateway.address: _router(gateway) for gateway in observed.gateways},
        **{address: _floating(ip) for address, ip in observed.floating_ips.items()},
    }


def _router(gateway: ObservedGateway) -> Holder:
    of = "" if gateway.ours else f" of project {gateway.project}"
    return Holder(
        f"gateway of router {gateway.router}{of}",
        f"openstack router unset --external-gateway {gateway.router}",
    )


def _floating(ip: ObservedFloatingIp) -> Holder:
    if ip.ours:
        what = f"floating IP of server {ip.server}" if ip.server else "floating IP for ports"
    else:
        at = ip.server or ip.fixed_ip
        what = f"floating IP of project {ip.project}" + (f", at {at}" if at else "")
    return Holder(what, f"openstack floating ip delete {ip.address}")


def refuse(wanted: WantedOpenStack, observed: ObservedOpenStack) -> None:
    """Raise Refused for what cannot be, naming who stands in the way and how to change that."""
    _refuse_spread(observed.gateways)
    others = _others(observed)
    if not wanted.provider.floating_ips:
        _refuse_company(others)
    _refuse_shrinking(wanted, observed, others)
    _refuse_taken(wanted, observed, others)
    _refuse_second(wanted, observed)
    _refuse_forwards(wanted, observed)


def _others(observed: ObservedOpenStack) -> Holders:
    """Holders that are not ours; what is ours goes, or moves, as it is wanted."""
    ours = {ip.address for ip in observed.floating_ips.values() if ip.ours}
    ours |= {gateway.address for gateway in observed.gateways if gateway.ours}
    return {a: holder for a, holder in _holders(observed).items() if a not in ours}


def _refuse_spread(gateways: Iterable[ObservedGateway]) -> None:
    """An address is registered on one NIC, under one MAC: whoever has it must be there."""
    for gateway in gateways:
        if gateway.distributed:
            how = (
                "distributed: its floating IPs speak from every compute node, by a MAC and an "
                "address more of that node's own"
            )
        elif gateway.ha:
            how = "highly available: its address and MAC move to whichever node is elected"
        else:
            continue
        raise Refused(
            f"router {gateway.router} of project {gateway.project} is {how}; the cloud below "
            f"knows {gateway.address} on one NIC only",
            hint=f"take it off the provider network: `{_router(gateway).remedy}`",
        )


def _refuse_company(others: Holders) -> None:
    if others:
        raise Refused(
            "with `uplink: mac-clone` the cloud below knows one address, the router's own; "
            f"others are in use: {_list(others)}",
            hint=_free(others),
        )


def _refuse_shrinking(
    wanted: WantedOpenStack, observed: ObservedOpenStack, others: Holders
) -> None:
    before, after = observed.provider_pools, [p for one in wanted.providers for p in one.pools]
    leaving = {
        address: holder
        for address, holder in others.items()
        if within(address, before) and not within(address, after)
    }
    if leaving:
        raise Refused(
            f"these addresses are to be given back, and are in use: {_list(leaving)}",
            hint=_free(leaving),
        )


def _refuse_taken(wanted: WantedOpenStack, observed: ObservedOpenStack, others: Holders) -> None:
    usable = {
        ip.address
        for ip in wanted.floating_ips
        if ip.address in observed.floating_ips and _usable(observed.floating_ips[ip.address], ip)
    }
    needed = {ip.address for ip in wanted.floating_ips} - usable
    needed |= {router.gateway for router in wanted.routers}
    taken = {address: others[address] for address in needed if address in others}
    if taken:
        raise Refused(f"someone else has {_list(taken)}", hint=_free(taken))


def _usable(ip: ObservedFloatingIp, wanted: WantedFloatingIp) -> bool:
    """Whether someone's floating IP can be what we want without taking anything from them."""
    at_our_server = ip.server is not None and ip.server == wanted.server
    return at_our_server or (ip.fixed_ip is None and not ip.forwarding)


def _refuse_second(wanted: WantedOpenStack, observed: ObservedOpenStack) -> None:
    """Neutron lets a fixed address have one floating IP of a network. [l3_db.py]"""
    have: dict[str, IPv4Address] = {}
    for ip in _at_servers(wanted, observed):
        first = have.setdefault(str(ip.server), ip.address)
        if first != ip.address:
            raise Refused(
                f"server {ip.server} can have one floating IP, not {first} and {ip.address}",
                hint="take one of them away, or publish ports of the server on one",
            )


def _refuse_forwards(wanted: WantedOpenStack, observed: ObservedOpenStack) -> None:
    """Neutron's limits: a port is forwarded to once, and not to a server with a floating IP.

    [neutron/services/portforwarding/pf_plugin.py: _check_port_collisions,
    _check_port_has_binding_floating_ip]
    """
    names = {server.fixed_ip: server.name for server in wanted.servers}
    floating = {ip.server: ip.address for ip in _at_servers(wanted, observed)}
    seen: dict[tuple[str, Socket], Socket] = {}
    for forward in sorted(wanted.forwards):
        name = names.get(forward.private.address)
        if name is None:
            raise Refused(
                f"there is no server at {forward.private.address} to forward {forward} to",
                hint="name the address of a server",
            )
        if name in floating:
            raise Refused(
                f"server {name} has the floating IP {floating[name]}, so that no port of another "
                f"can be forwarded to it: {forward}",
                hint=f"all its ports are at {floating[name]} already; or take that away first",
            )
        first = seen.setdefault((forward.protocol, forward.private), forward.registered)
        if first != forward.registered:
            raise Refused(
                f"{forward.protocol} {forward.private} is published at {first} already, and "
                f"Neutron forwards one port to it, not {forward.registered} as well",
                hint="take one of them away, or publish it on the router's own address",
            )


def _at_servers(wanted: WantedOpenStack, observed: ObservedOpenStack) -> Iterator[WantedFloatingIp]:
    """Floating IPs as they lead to our servers when ours are as wanted."""
    yield from (ip for ip in wanted.floating_ips if ip.server)
    for ip in observed.floating_ips.values():
        if ip.server and not ip.ours:
            yield WantedFloatingIp(ip.address, ip.server)


def _list(holders: Holders) -> str:
    return ", ".join(f"{address} ({holders[address].what})" for address in sorted(holders))


def _free(holders: Holders) -> str:
    remedies = dict.fromkeys(f"`{holders[address].remedy}`" for address in sorted(holders))
    return f"free them first: {', '.join(remedies)}"
