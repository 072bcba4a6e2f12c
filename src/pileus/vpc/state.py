"""What the API says exists, as plain values.

The API's store is the only truth. After each call it is read into a `RegionState`; the wire, the
machines, DHCP and the metadata service are computed from that value alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from pileus.model.addresses import Mac


@dataclass(frozen=True)
class Permission:
    """One allow rule of a security group; `protocol` is "-1" (all), "tcp", "udp", "icmp" or a
    number.

    `ports` is inclusive, None for all of them. For ICMP it is (type, code), a code of -1 being any,
    and None any type. A rule has networks, groups or both as its far end.
    """

    protocol: str
    ports: tuple[int, int] | None
    networks: frozenset[IPv4Network] = frozenset()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SecurityGroup:
    id: str
    vpc: str
    name: str
    ingress: tuple[Permission, ...]
    egress: tuple[Permission, ...]


@dataclass(frozen=True)
class AclEntry:
    """One rule of a network ACL; `protocol` and `ports` are as those of a Permission."""

    number: int
    allow: bool
    protocol: str
    ports: tuple[int, int] | None
    network: IPv4Network

    @property
    def matches_all(self) -> bool:
        return self.protocol == "-1" and self.network.prefixlen == 0


@dataclass(frozen=True)
class NetworkAcl:
    """Entries in the order in which they are asked, the last one (`*`, deny) not among them."""

    id: str
    vpc: str
    ingress: tuple[AclEntry, ...]
    egress: tuple[AclEntry, ...]
    subnets: frozenset[str]


@dataclass(frozen=True)
class Eni:
    """An elastic network interface."""

    id: str
    mac: Mac
    vpc: str
    subnet: str
    addresses: tuple[IPv4Address, ...]
    """Primary first."""
    groups: tuple[str, ...]
    source_dest_check: bool
    instance: str | None = None
    device_index: int | None = None
    """What the instance sees; None while detached."""
    prefixes: tuple[IPv4Network, ...] = ()
    """Delegated to the NIC: every address in them is registered, too."""

    @property
    def registered(self) -> tuple[IPv4Address, ...]:
        """All addresses with which the NIC may send, primary first."""
        return (*self.addresses, *(address for prefix in self.prefixes for address in prefix))


@dataclass(frozen=True)
class ElasticIp:
    id: str
    public: IPv4Address
    eni: str | None = None
    private: IPv4Address | None = None
    association: str | None = None


@dataclass(frozen=True)
class Subnet:
    id: str
    vpc: str
    cidr: IPv4Network
    zone: str = ""
    """Availability zone."""


@dataclass(frozen=True)
class Route:
    """`target` is "local", "igw", an ENI's id, or "blackhole"."""

    destination: IPv4Network
    target: str


@dataclass(frozen=True)
class RouteTable:
    id: str
    vpc: str
    routes: tuple[Route, ...]
    subnets: frozenset[str]
    main: bool


@dataclass(frozen=True)
class Vpc:
    id: str
    cidr: IPv4Network
    """Its first range, in which the name server is."""
    has_internet_gateway: bool = False
    further: tuple[IPv4Network, ...] = ()
    """Ranges that it was given later."""

    @property
    def networks(self) -> tuple[IPv4Network, ...]:
        """All its ranges."""
        return (self.cidr, *self.further)


THIN_IMAGE = "pileus-thin"
"""Name of the image, in each region's catalogue, whose instances are thin."""
KIND_TAG, THIN = "pileus:machine", "thin"
"""The tag, and its value, that makes an instance of any other image thin."""

InstanceState = Literal["pending", "running", "stopping", "stopped", "shutting-down", "terminated"]


@dataclass(frozen=True)
class Instance:
    id: str
    type: str
    image: str
    """Name of the machine image, not its id."""
    state: InstanceState
    hostname: str
    """As AWS forms it from the primary address: ip-172-16-10-101."""
    public_key: str | None
    """OpenSSH public key line of the key pair it was launched with."""
    key_name: str | None
    user_data: bytes | None
    metadata_hop_limit: int = 1
    metadata_tokens_required: bool = True
    nested_virtualization: bool = False
    metadata_enabled: bool = True
    image_id: str = ""
    root_gib: int = 8
    launched: str = "1970-01-01T00:00:00Z"
    """ISO 8601, UTC."""
    reboots: int = 0
    """How often RebootInstances was called: a change asks the machine layer for one reboot."""
    profile: str | None = None
    """Name of the attached instance profile."""
    thin: bool = False
    """A network namespace instead of a whole machine."""


def profile_arn(account: str, name: str) -> str:
    """An instance profile's ARN; without a name, what all of an account's begin with."""
    return f"arn:aws:iam::{account}:instance-profile/{name}"


def profile_id(account: str, name: str) -> str:
    """An instance profile's id: the same for the same name."""
    return "AIPA" + hashlib.sha256(f"{account} {name}".encode()).hexdigest()[:17].upper()


@dataclass(frozen=True)
class RegionState:
    """Everything the API knows that has an effect outside of it. Keys are ids."""

    vpcs: dict[str, Vpc] = field(default_factory=dict)
    subnets: dict[str, Subnet] = field(default_factory=dict)
    route_tables: dict[str, RouteTable] = field(default_factory=dict)
    groups: dict[str, SecurityGroup] = field(default_factory=dict)
    network_acls: dict[str, NetworkAcl] = field(default_factory=dict)
    enis: dict[str, Eni] = field(default_factory=dict)
    elastic_ips: dict[str, ElasticIp] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    region: str = "us-east-1"
    account: str = "123456789012"

    def enis_of(self, instance: str) -> list[Eni]:
        """An instance's NICs in device order."""
        own = [eni for eni in self.enis.values() if eni.instance == instance]
        return sorted(own, key=lambda eni: eni.device_index or 0)

    def route_table_of(self, subnet: Subnet) -> RouteTable:
        """The subnet's own table, else the VPC's main one. Raises KeyError without either."""
        tables = [table for table in self.route_tables.values() if table.vpc == subnet.vpc]
        for table in tables:
            if subnet.id in table.subnets:
                return table
        for table in tables:
            if table.main:
                return table
        raise KeyError(subnet.id)

    def network_acl_of(self, subnet: Subnet) -> NetworkAcl | None:
        """The subnet's network ACL; None where it has none, and so filters nothing."""
        for acl in self.network_acls.values():
            if subnet.id in acl.subnets:
                return acl
        return None

    def public_of(self, address: IPv4Address, vpc: str) -> IPv4Address | None:
        """The Elastic IP of a registered address in a VPC, or None."""
        for elastic in self.elastic_ips.values():
            eni = self.enis.get(elastic.eni or "")
            if elastic.private == address and eni is not None and eni.vpc == vpc:
                return elastic.public
        return None
