"""The ends of a packet's way, found in both clouds: what both halves of a trace start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from pileus.model.addresses import Mac
from pileus.model.path import Asked, Headers
from pileus.model.underlay import ROLES, Role

MANAGEMENT, PROVIDER = ROLES
_DEVICE_ID = 11
"""Characters of a port's id in its device's name. [neutron_lib.constants.DEVICE_NAME_MAX_LEN]"""


@dataclass(frozen=True)
class Interface:
    """A NIC of the machine that carries OpenStack, as the cloud below knows it."""

    role: Role
    device: str
    """As the machine calls it: eth0, eth1."""
    eni: str
    mac: Mac
    subnet: IPv4Network


@dataclass(frozen=True)
class Below:
    """The cloud below, as far as the names of hops go."""

    vpc: IPv4Network
    nics: Mapping[Role, Interface]
    """`management`, and one for each provider network."""
    public: Mapping[IPv4Address, IPv4Address] = field(default_factory=dict)
    """The Elastic IP of each registered address that has one."""

    def provider_of(self, address: IPv4Address | None) -> Role:
        """Whose subnet an address of a provider network is of; by default the first one's."""
        for role, nic in self.nics.items():
            if role != MANAGEMENT and address is not None and address in nic.subnet:
                return role
        return PROVIDER


@dataclass(frozen=True)
class Network:
    """A network of a project."""

    name: str
    id: str

    @property
    def dhcp_namespace(self) -> str:
        return f"qdhcp-{self.id}"


@dataclass(frozen=True)
class Gateway:
    """A router's port on the provider network."""

    port: str
    """Its id."""
    address: IPv4Address
    mac: Mac

    @property
    def device(self) -> str:
        return f"qg-{self.port[:_DEVICE_ID]}"


@dataclass(frozen=True)
class Router:
    name: str
    id: str
    gateway: Gateway | None = None
    inner: Mapping[str, str] = field(default_factory=dict)
    """Ids of its ports on projects' networks, by the network's id."""

    @property
    def namespace(self) -> str:
        """Where the L3 agent carries it on the machine."""
        return f"qrouter-{self.id}"

    def inner_device(self, network: Network) -> str:
        """Its device on a network. Raises KeyError where it has none there."""
        return f"qr-{self.inner[network.id][:_DEVICE_ID]}"


@dataclass(frozen=True)
class Server:
    name: str
    id: str
    port: str
    """Its port's id."""
    address: IPv4Address
    mac: Mac
    network: Network
    router: Router | None = None
    """The router that its network's gateway address belongs to."""
    floating: IPv4Address | None = None
    """Its floating IP: an address of the provider network."""

    @property
    def tap(self) -> str:
        """Its device on the machine."""
        return f"tap{self.port[:_DEVICE_ID]}"


@dataclass(frozen=True)
class Machine:
    """The machine that carries OpenStack, by its management NIC."""

    name: str
    address: IPv4Address


@dataclass(frozen=True)
class Outside:
    """A host that is in neither cloud: `internet`, or any address there."""

    name: str
    address: IPv4Address


@dataclass(frozen=True)
class Metadata:
    """169.254.169.254: OpenStack's own service, or that of the cloud below."""

    name: str
    """`openstack` or `underlay`."""
    address: IPv4Address


@dataclass(frozen=True)
class Nobody:
    """An address of the VPC that neither a router nor a server has."""

    address: IPv4Address

    @property
    def name(self) -> str:
        return str(self.address)


End = Server | Router | Machine | Outside | Metadata | Nobody


@dataclass(frozen=True)
class Ends:
    """Both ends, and how the first packet leaves the source."""

    asked: Asked
    source: End
    destination: End
    below: Below
    first: Headers
    """As the source sends it, before any translation."""
    at: IPv4Address | None = None
    """The registered address of the provider NIC by which the destination is called, if it is."""
    through: Router | None = None
    """The router that has that address, as its gateway's or as a floating IP."""
    target_port: int | None = None
    """The port at the destination itself: another one where it is published."""

    @property
    def by_public(self) -> bool:
        """Whether the destination is called by an Elastic IP."""
        return self.first.destination in self.below.public.values()
