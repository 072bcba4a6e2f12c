"""Who has the providers' addresses, in any project, out of what the API lists."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from pileus.model.addresses import Socket
from pileus.model.publishing import Published
from pileus.model.tenant import ObservedFloatingIp, ObservedGateway


@dataclass(frozen=True)
class Owner:
    """Whose things are: ours carry our mark and are in our project."""

    mark: str
    project: str
    names: Mapping[str, str] = field(default_factory=dict)
    """Of all projects, by id."""

    def is_ours(self, thing: Any) -> bool:
        """The mark alone would not do: elsewhere anyone may write anything."""
        return bool(thing.description == self.mark and thing.project_id == self.project)

    def name(self, thing: Any) -> str:
        """The name of a thing's project."""
        return self.names.get(thing.project_id, str(thing.project_id))


@dataclass(frozen=True)
class FloatingIp:
    """A floating IP as the SDK has it, with its port forwardings."""

    ip: Any
    forwards: tuple[Any, ...]

    @classmethod
    def of(cls, network: Any, ip: Any) -> FloatingIp:
        """Neutron sets the router of one that is not associated when ports of it are forwarded."""
        forwarding = ip.router_id and not ip.port_id
        return cls(ip, tuple(network.floating_ip_port_forwardings(ip)) if forwarding else ())

    @property
    def address(self) -> IPv4Address:
        return IPv4Address(self.ip.floating_ip_address)


@dataclass(frozen=True)
class Survey:
    """Who has which address; fields as in `ObservedOpenStack`."""

    floating_ips: Mapping[IPv4Address, ObservedFloatingIp]
    forwards: frozenset[Published]
    gateways: tuple[ObservedGateway, ...]
    other_ports: Mapping[IPv4Address, str]

    def floating_ip_of(self, server: str) -> IPv4Address | None:
        """The floating IP of a server of ours, whoever gave it."""
        return next((ip.address for ip in self.floating_ips.values() if ip.server == server), None)


def survey(
    networks: Collection[str],
    *,
    floating_ips: Iterable[FloatingIp],
    ports: Collection[Any],
    routers: Iterable[Any],
    owner: Owner,
) -> Survey:
    """Look through everything that there is for what is on these networks, by their ids."""
    floating = [one for one in floating_ips if one.ip.floating_network_id in networks]
    there = [port for port in ports if port.network_id in networks]
    servers = {port.id: str(port.name) for port in ports if owner.is_ours(port)}
    by_address = floating_ips_of(floating, servers, owner)
    gateways = gateways_of(there, routers, owner)
    known = {*by_address, *(gateway.address for gateway in gateways)}
    return Survey(by_address, forwards_of(floating, owner), gateways, other_ports_of(there, known))


def floating_ips_of(
    found: Iterable[FloatingIp], servers: Mapping[str, str], owner: Owner
) -> dict[IPv4Address, ObservedFloatingIp]:
    """Floating IPs by address; `servers` are the names of ours by their ports' ids."""
    return {
        one.address: ObservedFloatingIp(
            address=one.address,
            project=owner.name(one.ip),
            ours=owner.is_ours(one.ip),
            fixed_ip=IPv4Address(one.ip.fixed_ip_address) if one.ip.fixed_ip_address else None,
            server=servers.get(one.ip.port_id),
            forwarding=any(forward.description != owner.mark for forward in one.forwards),
        )
        for one in found
    }


def forwards_of(found: Iterable[FloatingIp], owner: Owner) -> frozenset[Published]:
    """What is forwarded on floating IPs of ours, and on others' by us.

    Ranges of ports, which we never make, have no single port and are left to who made them.
    """
    return frozenset(
        Published(
            forward.protocol,
            Socket(one.address, forward.external_port),
            Socket(IPv4Address(forward.internal_ip_address), forward.internal_port),
        )
        for one in found
        for forward in one.forwards
        if (owner.is_ours(one.ip) or forward.description == owner.mark)
        and forward.external_port
        and forward.internal_port
        and forward.protocol in ("tcp", "udp")
    )


def gateways_of(
    ports: Iterable[Any], routers: Iterable[Any], owner: Owner
) -> tuple[ObservedGateway, ...]:
    """Routers' gateways among the ports of the provider network."""
    by_id = {router.id: router for router in routers}
    return tuple(
        ObservedGateway(
            address=address,
            router=str(router.name or router.id),
            project=owner.name(router),
            ours=owner.is_ours(router),
            distributed=bool(router.is_distributed),
            ha=bool(router.is_ha),
        )
        for port in ports
        if (router := by_id.get(port.device_id))
        for address in addresses_of(port)
    )


def other_ports_of(ports: Iterable[Any], known: Collection[IPv4Address]) -> dict[IPv4Address, str]:
    """Ids of ports of the provider network by address, but for addresses that are known."""
    return {
        address: str(port.id)
        for port in ports
        for address in addresses_of(port)
        if address not in known
    }


def addresses_of(port: Any) -> Iterator[IPv4Address]:
    """A port's IPv4 addresses."""
    for fixed in port.fixed_ips or ():
        if ":" not in fixed["ip_address"]:
            yield IPv4Address(fixed["ip_address"])
