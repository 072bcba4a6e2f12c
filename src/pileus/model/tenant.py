"""What we want inside OpenStack, and what we see there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal

from pileus.model.addresses import Identity, Mac
from pileus.model.underlay import Permission

ANYWHERE = IPv4Network("0.0.0.0/0")
SSH_AND_PING = frozenset(
    {Permission("tcp", (22, 22), ANYWHERE), Permission("icmp", None, ANYWHERE)}
)


@dataclass(frozen=True)
class WantedProvider:
    """The network on the provider NIC: flat, external, without DHCP."""

    subnet: IPv4Network
    gateway: IPv4Address
    """The VPC's own router in that subnet."""
    pool: tuple[IPv4Address, IPv4Address]
    """First and last address that Neutron may give out."""
    physnet: str = "provider"
    name: str = "provider"
    floating_ips: bool = False
    """Whether addresses other than the routers' own may be taken from it."""


@dataclass(frozen=True)
class WantedRouter:
    """A router whose gateway is someone the cloud below knows (mac-clone)."""

    name: str
    gateway: Identity


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
    pool: tuple[IPv4Address, IPv4Address] | None = None
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


@dataclass(frozen=True)
class ObservedOpenStack:
    """Everything of ours inside OpenStack, by name. Ids are of use to steps only."""

    provider: ObservedNetwork | None = None
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
