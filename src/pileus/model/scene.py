"""The API state of both clouds, as far as it decides what becomes of a packet: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from pileus.model.addresses import Mac
from pileus.model.ends import Interface, Network
from pileus.model.publishing import Published
from pileus.model.underlay import Role
from pileus.model.uplink import Mode

ANY = "any"
Ports = tuple[int, int]


@dataclass(frozen=True)
class Permit:
    """Traffic that a rule of a security group allows, or that an entry of a network ACL is about.

    Both clouds' groups have the same shape.
    """

    outwards: bool
    protocol: str = ANY
    """tcp, udp, icmp, ANY, or a number that none of these has."""
    ports: Ports | None = None
    """The destination's, inclusive; None for all of them, or any type of ICMP."""
    far: IPv4Network | None = None
    """Where the other end is to be; None for anywhere, or for `group`."""
    group: str | None = None
    """Id of the group that the other end is to be in."""


@dataclass(frozen=True)
class AclEntry:
    """An entry of a network ACL: the first one that matches decides."""

    number: int
    allow: bool
    about: Permit


@dataclass(frozen=True)
class TableRoute:
    """A route of a subnet's route table."""

    destination: IPv4Network
    target: str
    """`local`, or the id of a gateway or NIC."""
    active: bool = True


@dataclass(frozen=True)
class VpcNic:
    """A NIC with what the cloud below decides by at it."""

    interface: Interface
    addresses: tuple[IPv4Address, ...]
    """Registered, primary first."""
    attached: bool = True
    source_check: bool = True
    groups: tuple[str, ...] = ()
    acl: tuple[AclEntry, ...] | None = None
    """Of its subnet; None where it cannot be told."""
    routes: tuple[TableRoute, ...] = ()


@dataclass(frozen=True)
class Vpc:
    """The cloud below."""

    network: IPv4Network
    gateway: str | None
    """Id of the internet gateway that is attached."""
    machine: str
    """State of the machine, as the API says it."""
    nics: Mapping[Role, VpcNic] = field(default_factory=dict)
    groups: Mapping[str, tuple[Permit, ...]] = field(default_factory=dict)
    """Rules of the NICs' security groups, by the group's id."""
    elastic: Mapping[IPv4Address, IPv4Address] = field(default_factory=dict)
    """The registered address behind each Elastic IP that is associated."""
    loose: Mapping[IPv4Address, IPv4Address] = field(default_factory=dict)
    """Elastic IPs that are not, and the registered addresses that they were made for."""

    def members(self, group: str) -> frozenset[IPv4Address]:
        """Addresses of the NICs in a security group."""
        return frozenset(
            address
            for nic in self.nics.values()
            if group in nic.groups
            for address in nic.addresses
        )


@dataclass(frozen=True)
class Port:
    """A port of Neutron's."""

    id: str
    network: str
    owner: str
    """Kind of its device: compute:nova, network:router_interface, …"""
    device: str
    """Id of its server or router."""
    mac: Mac
    addresses: tuple[IPv4Address, ...]
    status: str = "ACTIVE"
    up: bool = True
    """Its administrative state."""
    binding: str = "ovs"
    """The kind of binding: `unbound` and `binding_failed` are none."""
    filtered: bool = True
    """Whether port security, and so its security groups, are on."""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subnet:
    network: str
    cidr: IPv4Network
    gateway: IPv4Address | None


@dataclass(frozen=True)
class RouterState:
    id: str
    name: str
    up: bool = True
    snat: bool = True
    external: str | None = None
    """Id of the network that its gateway is on."""
    routes: tuple[tuple[IPv4Network, IPv4Address], ...] = ()
    """Extra ones: destination and next hop."""


@dataclass(frozen=True)
class FloatingIp:
    """A floating IP: of one server, or with forwarded ports."""

    address: IPv4Address
    router: str | None = None
    port: str | None = None
    """Id of the port that it belongs to."""
    fixed: IPv4Address | None = None
    forwards: frozenset[Published] = frozenset()


@dataclass(frozen=True)
class ServerState:
    id: str
    name: str
    status: str
    """As Nova says it: ACTIVE, SHUTOFF, ERROR, …"""


@dataclass(frozen=True)
class Agent:
    """An agent of Neutron's on the machine."""

    program: str
    """As neutron-l3-agent."""
    alive: bool


@dataclass(frozen=True)
class Neutron:
    """OpenStack's networks, of any project, and its servers."""

    networks: tuple[Network, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    ports: tuple[Port, ...] = ()
    routers: tuple[RouterState, ...] = ()
    floating: tuple[FloatingIp, ...] = ()
    groups: Mapping[str, tuple[Permit, ...]] = field(default_factory=dict)
    servers: tuple[ServerState, ...] = ()
    agents: tuple[Agent, ...] = ()
    own: frozenset[str] = frozenset()
    """Ids of the networks, routers and servers that are the cloud's own, and no user's."""

    def members(self, group: str) -> frozenset[IPv4Address]:
        """Addresses of the ports in a security group."""
        return frozenset(
            address for port in self.ports if group in port.groups for address in port.addresses
        )

    def port(self, id: str) -> Port | None:
        return next((port for port in self.ports if port.id == id), None)

    def dead(self, program: str) -> bool:
        """Whether an agent is known, and does not report any more."""
        found = [agent.alive for agent in self.agents if agent.program == program]
        return bool(found) and not any(found)


@dataclass(frozen=True)
class UplinkState:
    """The pipeline on a provider NIC, by what it is generated from."""

    mode: Mode
    registered: frozenset[IPv4Address]
    """As the node has learned them; as the cloud below says where the node does not answer."""
    learned: Mapping[IPv4Address, Mac] = field(default_factory=dict)
    """Which inner MAC is behind each address that has spoken."""


@dataclass(frozen=True)
class Scene:
    """Both clouds, and what stands between them."""

    machine: str
    """Name of the machine that carries OpenStack."""
    internet: IPv4Address
    """Where `internet` sends from."""
    here: IPv4Address | None
    """Where the user is, as the cloud below sees it; None where that cannot be told."""
    vpc: Vpc
    neutron: Neutron
    uplinks: Mapping[Role, UplinkState]
    """Of each provider NIC."""
    published: Mapping[str, frozenset[Published]] = field(default_factory=dict)
    """Ports that are published in routers' namespaces, by the router's id."""
