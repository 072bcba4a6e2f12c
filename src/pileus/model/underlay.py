"""What we want from the cloud below, and what we see there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from pileus.model.addresses import Mac

Role = str
"""What a NIC is for: `management`, or the name of the provider network that is on it."""
ROLES: tuple[Role, ...] = ("management", "provider")
"""Those of every cloud, in device order: the management NIC is device 0, the provider NIC device 1.
Provider networks more follow."""

Protocol = Literal["tcp", "udp", "icmp"]
ALL_PORTS = (0, 65535)


def in_order(roles: Iterable[Role]) -> list[Role]:
    """Each role once: those of every cloud first, in device order, then others by name."""
    return sorted(set(roles), key=lambda role: (role not in ROLES, role))


@dataclass(frozen=True, order=True)
class Permission:
    """Traffic that a security group lets in. `ports` is inclusive; None for ICMP (any type)."""

    protocol: Protocol
    ports: tuple[int, int] | None
    source: IPv4Network


@dataclass(frozen=True)
class WantedNic:
    """One NIC of the node: its role is also the name of its subnet and security group."""

    role: Role
    subnet: IPv4Network
    addresses: tuple[IPv4Address, ...]
    """Registered addresses, primary first."""
    ingress: frozenset[Permission]
    """The whole wanted set; outbound traffic is always allowed."""


@dataclass(frozen=True)
class WantedUnderlay:
    """The whole environment below, as it should be."""

    cloud: str
    """Name of the cloud: part of every object's name, and the value of its tag."""
    vpc: IPv4Network
    nics: tuple[WantedNic, ...]
    instance_type: str
    root_gib: int
    public_key: str
    """OpenSSH public key line."""
    image_name: str
    """Name of the machine image to boot."""
    elastic_ips: frozenset[IPv4Address]
    """Registered addresses that need an Elastic IP each."""
    nested_virtualization: bool = False
    """Whether the machine is to run KVM, where its type can."""


@dataclass(frozen=True)
class Registered:
    """An address the cloud registered on a NIC, with its public one where it has one."""

    private: IPv4Address
    public: IPv4Address | None


@dataclass(frozen=True)
class Nic:
    """A NIC as the cloud below knows it."""

    role: Role
    eni_id: str
    mac: Mac
    addresses: tuple[Registered, ...]
    """Primary first."""
    index: int | None = None
    """Device index on its machine; None while it is not attached."""

    @property
    def device(self) -> str | None:
        """As the machine calls it: eth0, eth1; None while it is not attached."""
        return None if self.index is None else f"eth{self.index}"

    @property
    def primary(self) -> Registered:
        return self.addresses[0]


@dataclass(frozen=True)
class Node:
    """A machine in the cloud below."""

    name: str
    instance_id: str
    state: str
    """As the API says it: pending, running, stopping, stopped."""
    nics: tuple[Nic, ...]
    """In device order."""

    @property
    def providers(self) -> tuple[Nic, ...]:
        """Those that carry provider networks."""
        return tuple(nic for nic in self.nics if nic.role != "management")

    @property
    def publics(self) -> dict[IPv4Address, IPv4Address | None]:
        """The Elastic IP of each address of the provider networks, where it has one."""
        return {one.private: one.public for nic in self.providers for one in nic.addresses}

    def nic(self, role: Role) -> Nic:
        """The NIC with this role. Raises KeyError when the node has none."""
        for nic in self.nics:
            if nic.role == role:
                return nic
        raise KeyError(role)


@dataclass(frozen=True)
class ElasticIp:
    """An Elastic IP of ours. `wanted_for` is the registered address that it was made for."""

    id: str
    public: IPv4Address
    wanted_for: IPv4Address | None
    associated: IPv4Address | None


@dataclass(frozen=True)
class ObservedNic:
    """A NIC of ours; `addresses` are the registered ones, primary first."""

    id: str
    mac: Mac
    addresses: tuple[IPv4Address, ...]
    source_dest_check: bool = True
    grouped: bool = True
    """Whether it is in the security group of its role."""
    index: int | None = None
    """Device index on our machine; None while it is not attached to it."""


@dataclass(frozen=True)
class ObservedUnderlay:
    """Everything that carries the cloud's tag. Without a VPC there is nothing else but Elastic
    IPs and the key pair, which live outside of VPCs."""

    vpc_id: str | None = None
    vpc: IPv4Network | None = None
    gateway_id: str | None = None
    gateway_attached: bool = False
    default_route: bool = False
    subnets: Mapping[Role, IPv4Network] = field(default_factory=dict)
    groups: Mapping[Role, frozenset[Permission]] = field(default_factory=dict)
    stray_rules: Mapping[Role, tuple[str, ...]] = field(default_factory=dict)
    """Ids of inbound rules that `Permission` cannot express: others made them."""
    closed_outbound: frozenset[Role] = frozenset()
    """Groups that do not let everything out any more."""
    nics: Mapping[Role, ObservedNic] = field(default_factory=dict)
    elastic_ips: tuple[ElasticIp, ...] = ()
    public_key: str | None = None
    """The public key line that was imported under the cloud's name."""
    node: Node | None = None
    instance_type: str | None = None
    leaving: tuple[str, ...] = ()
    """Ids of machines that are being terminated; they hold their NICs until they are gone."""
    spare_vpcs: tuple[str, ...] = ()
    """Ids of what a call made twice because its first answer was lost."""
    spare_gateways: tuple[str, ...] = ()

    @property
    def roles(self) -> list[Role]:
        """Of everything that has one."""
        return in_order([*self.nics, *self.groups, *self.subnets])

    @property
    def empty(self) -> bool:
        """Nothing carries the tag."""
        return self == ObservedUnderlay()


@dataclass(frozen=True)
class InstanceType:
    """What the cloud says of an instance type."""

    name: str
    memory_mib: int
    max_nics: int
    addresses_per_nic: int
    """IPv4 addresses, primary included."""
    nested_virtualization: bool
