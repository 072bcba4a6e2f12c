"""What we want inside OpenStack, and what we see there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal

from pileus.model.addresses import Mac
from pileus.model.publishing import Published
from pileus.model.underlay import Permission

Pool = tuple[IPv4Address, IPv4Address]
"""First and last address of a range that Neutron may give out."""
ANYWHERE = IPv4Network("0.0.0.0/0")
SSH_AND_PING = frozenset(
    {Permission("tcp", (22, 22), ANYWHERE), Permission("icmp", None, ANYWHERE)}
)


def pools_of(addresses: Iterable[IPv4Address]) -> tuple[Pool, ...]:
    """The ranges that hold exactly these addresses, in order."""
    pools: list[Pool] = []
    for address in sorted(set(addresses)):
        if pools and pools[-1][1] + 1 == address:
            pools[-1] = (pools[-1][0], address)
        else:
            pools.append((address, address))
    return tuple(pools)


def within(address: IPv4Address, pools: Iterable[Pool]) -> bool:
    """Whether one of the ranges holds the address."""
    return any(first <= address <= last for first, last in pools)


@dataclass(frozen=True)
class WantedProvider:
    """The network on the provider NIC: flat, external, without DHCP."""

    subnet: IPv4Network
    gateway: IPv4Address
    """The VPC's own router in that subnet."""
    pools: tuple[Pool, ...]
    """What Neutron may give out: in mac-nat exactly the registered addresses."""
    physnet: str = "provider"
    name: str = "provider"
    floating_ips: bool = False
    """Whether addresses other than the routers' own may be taken from it."""

    @property
    def service_types(self) -> tuple[str, ...]:
        """Owners of the ports that Neutron gives the subnet's addresses to; empty for any.

        With routers' gateways alone no project gets a floating IP, the administrator's neither.
        [Neutron admin guide, Service subnets]
        """
        return () if self.floating_ips else ("network:router_gateway",)


@dataclass(frozen=True)
class WantedRouter:
    """A router whose gateway has an address that the cloud below knows."""

    name: str
    gateway: IPv4Address
    nic: Mac
    """The provider NIC's registered MAC: in mac-nat no port may have it."""
    clone: Mac | None = None
    """In mac-clone the MAC that the gateway takes; None leaves it Neutron's own."""


@dataclass(frozen=True)
class WantedNetwork:
    """A private network with DHCP, behind a router that has its first address."""

    name: str
    subnet: IPv4Network
    router: str
    dns: tuple[IPv4Address, ...] = (IPv4Address("8.8.8.8"),)


@dataclass(frozen=True)
class WantedFlavor:
    name: str
    vcpus: int
    memory_mib: int
    disk_gib: int


@dataclass(frozen=True)
class WantedImage:
    """An image to upload. Its name stands for its content: a changed image gets a new name."""

    name: str
    file: Path
    disk_format: Literal["raw", "qcow2"] = "qcow2"


@dataclass(frozen=True)
class WantedServer:
    name: str
    network: str
    fixed_ip: IPv4Address
    image: str
    flavor: str
    ingress: frozenset[Permission] = SSH_AND_PING
    """The whole set of what its security group lets in; add the ports that are published."""


@dataclass(frozen=True)
class WantedFloatingIp:
    """A floating IP of ours at a registered address."""

    address: IPv4Address
    server: str | None
    """Who has it; None where it is kept for ports that are forwarded."""


@dataclass(frozen=True)
class WantedOpenStack:
    """Everything of ours inside OpenStack, as it should be."""

    cloud: str
    """Its mark `pileus:<cloud>` tells our objects from those that users made."""
    provider: WantedProvider
    routers: tuple[WantedRouter, ...]
    networks: tuple[WantedNetwork, ...]
    servers: tuple[WantedServer, ...]
    public_key: str
    """OpenSSH public key line that servers accept."""
    flavors: tuple[WantedFlavor, ...] = ()
    images: tuple[WantedImage, ...] = ()
    floating_ips: tuple[WantedFloatingIp, ...] = ()
    forwards: frozenset[Published] = frozenset()
    """Ports of floating IPs that are kept for it, each handed on to a server's fixed address."""
    more_providers: tuple[WantedProvider, ...] = ()
    """For users' routers and floating IPs; our own routers' gateways are on `provider`."""

    @property
    def providers(self) -> tuple[WantedProvider, ...]:
        """Every provider network."""
        return (self.provider, *self.more_providers)

    @property
    def mark(self) -> str:
        """What our objects carry as description, metadata or property."""
        return f"pileus:{self.cloud}"

    @property
    def keypair(self) -> str:
        return f"pileus-{self.cloud}"


@dataclass(frozen=True)
class ObservedNetwork:
    """A network of ours. `subnet` is None when only the network was made so far."""

    id: str
    subnet_id: str | None = None
    subnet: IPv4Network | None = None
    gateway: IPv4Address | None = None
    pools: frozenset[Pool] = frozenset()
    service_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class GatewayPort:
    """A router's port on the provider network, as Neutron stores it."""

    id: str
    address: IPv4Address
    mac: Mac
    owner: str
    vif_type: str
    status: str


@dataclass(frozen=True)
class ObservedRouter:
    id: str
    up: bool
    gateway: GatewayPort | None
    networks: frozenset[str]
    """Ids of the networks it has an interface on."""

    @property
    def namespace(self) -> str:
        """Where the L3 agent carries it on the node."""
        return f"qrouter-{self.id}"


@dataclass(frozen=True)
class ObservedGroup:
    """A security group with the rules inbound that `Permission` can express."""

    id: str
    ingress: frozenset[Permission]
    ours: frozenset[Permission]
    """Those of them that carry our mark; others were added by users."""


@dataclass(frozen=True)
class ObservedServer:
    id: str
    status: str
    """As Nova says it: ACTIVE, BUILD, SHUTOFF, ERROR, …"""
    launched: bool
    """Whether it ever ran: one that never did has nothing to lose."""
    fault: str | None = None
    floating_ip: IPv4Address | None = None


@dataclass(frozen=True)
class ObservedFloatingIp:
    """A floating IP on the provider network, anybody's."""

    address: IPv4Address
    project: str
    ours: bool
    fixed_ip: IPv4Address | None = None
    """Where it leads to; None where it is not associated."""
    server: str | None = None
    """Whose port that is, if it is a server of ours."""
    forwarding: bool = False
    """Whether others than we forward ports of it, which keeps it from being associated."""


@dataclass(frozen=True)
class ObservedGateway:
    """The gateway of a router on the provider network, anybody's."""

    address: IPv4Address
    router: str
    project: str
    ours: bool
    distributed: bool = False
    ha: bool = False


@dataclass(frozen=True)
class ObservedOpenStack:
    """Everything of ours inside OpenStack, by name, and who has the providers' addresses.

    Ids are of use to steps only.
    """

    provider: ObservedNetwork | None = None
    more_providers: Mapping[str, ObservedNetwork] = field(default_factory=dict)
    floating_ip_quota: int | None = None
    networks: Mapping[str, ObservedNetwork] = field(default_factory=dict)
    routers: Mapping[str, ObservedRouter] = field(default_factory=dict)
    ports: Mapping[str, IPv4Address] = field(default_factory=dict)
    """Address of each server's port, by the server's name."""
    groups: Mapping[str, ObservedGroup] = field(default_factory=dict)
    servers: Mapping[str, ObservedServer] = field(default_factory=dict)
    flavors: frozenset[str] = frozenset()
    images: Mapping[str, str] = field(default_factory=dict)
    """Status of each image: active, queued, saving."""
    public_key: str | None = None
    floating_ips: Mapping[IPv4Address, ObservedFloatingIp] = field(default_factory=dict)
    """All on provider networks, of any project."""
    forwards: frozenset[Published] = frozenset()
    """Ports forwarded on floating IPs of ours, and by us on others'."""
    gateways: tuple[ObservedGateway, ...] = ()
    """All on provider networks, of any project."""
    other_ports: Mapping[IPv4Address, str] = field(default_factory=dict)
    """Ids of other ports that have an address of a provider network."""

    @property
    def provider_pools(self) -> frozenset[Pool]:
        """What Neutron gives out on all provider networks."""
        there = (self.provider, *self.more_providers.values())
        return frozenset(pool for network in there if network for pool in network.pools)
