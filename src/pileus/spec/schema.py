"""What a cloud is to be, as pileus.yaml says it: frozen, typed, every field documented.

Descriptions become docs/reference/pileus.yaml.md, so they are written for the user. Defaults are
the topology of the guide that Pileus automates, addresses included. What concerns a single value
is checked here; what concerns several, in `checks`.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from pileus.model.addresses import RESERVED_AT_START
from pileus.model.node import Hypervisor
from pileus.model.publishing import Publication

ROUTER = "router"
"""Name of the cloud's router."""
MIN_ROOT_GIB = 20
UNSET = IPv4Address("0.0.0.0")  # noqa: S104 - stands for "choose one", is never listened on

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_INSTANCE_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")


def wrong(what: str, hint: str) -> PydanticCustomError:
    """An error of one value, with the hint that goes with it."""
    # Braces would be read as a template.
    return PydanticCustomError("value", "{what}", {"what": what, "hint": hint})


def _network(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        network = IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise wrong(f"`{value}` is not an IPv4 network", "write it as 192.168.20.0/24") from None
    written = IPv4Address(value.partition("/")[0])
    if written != network.network_address:
        raise wrong(
            f"`{value}` has bits set behind its prefix",
            f"write {network} for the network, or {written}/32 for the one address",
        )
    return network


def _address(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return IPv4Address(value)
    except AddressValueError:
        raise wrong(f"`{value}` is not an IPv4 address", "write it as 172.16.20.101") from None


def _pool(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    first, dash, last = value.partition("-")
    if not dash:
        raise wrong(
            f"`{value}` is not a range of addresses", "write it as 172.16.20.100-172.16.20.250"
        )
    pool = (_address(first.strip()), _address(last.strip()))
    if pool[0] > pool[1]:
        raise wrong(f"`{value}` ends before it begins", "write the lower address first")
    return pool


def _publication(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return Publication.parse(value)
    except ValueError as error:
        raise wrong(
            str(error),
            "write it as 522:22 (port of the Elastic IP, then the server's), or 53:53/udp",
        ) from None


def _matching(pattern: re.Pattern[str], what: str, hint: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str) and not pattern.fullmatch(value):
            raise wrong(f"`{value}` cannot be {what}", hint)
        return value

    return BeforeValidator(check)


Network = Annotated[IPv4Network, BeforeValidator(_network)]
Address = Annotated[IPv4Address, BeforeValidator(_address)]
Pool = Annotated[tuple[IPv4Address, IPv4Address], BeforeValidator(_pool)]
Publish = Annotated[Publication, BeforeValidator(_publication)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def _first_registered(subnet: IPv4Network) -> IPv4Address:
    """The guide's .101, or in a subnet smaller than /25 the first address a NIC may have."""
    return subnet.network_address + (101 if subnet.prefixlen <= 25 else RESERVED_AT_START)


def _node_address(data: dict[str, Any]) -> IPv4Address:
    return _first_registered(data["management"])


def _registered_address(data: dict[str, Any]) -> IPv4Address:
    return _first_registered(data["provider"])


def _allocation_pool(data: dict[str, Any]) -> tuple[IPv4Address, IPv4Address]:
    """The guide's .100 to .250, or in a subnet smaller than /24 all that a NIC may have."""
    subnet: IPv4Network = data["provider"]
    if subnet.prefixlen <= 24:
        return subnet.network_address + 100, subnet.network_address + 250
    return subnet.network_address + RESERVED_AT_START, subnet.broadcast_address - 1


class Provider(_Section):
    """A provider network more, with a NIC of the machine of its own. Only with `mac-nat`."""

    name: str = Field(
        description="Name of the NIC's role in the cloud below, and of the external network in "
        "OpenStack: `openstack floating ip create NAME`."
    )
    cidr: Network = Field(description="Its subnet of the VPC. Its .101 is registered on the NIC.")
    floating_ips: int = Field(
        default=0,
        ge=0,
        description="Number of addresses registered beside that one. Each has an Elastic IP, the "
        "first one too, and counts for the quota. Neutron gives out exactly these, to routers' "
        "gateways and as floating IPs.",
    )

    @property
    def registered_address(self) -> IPv4Address:
        """Primary of the NIC."""
        return _first_registered(self.cidr)


class Underlay(_Section):
    """The cloud below: the rented machine and the network it stands in."""

    kind: Literal["aws", "openstack"] = Field(
        default="aws", description="The kind of cloud below. `openstack` is not built yet."
    )
    endpoint: Literal["simulated", "aws"] = Field(
        default="simulated",
        description="`simulated` is the region that Pileus carries itself: no account, no bill. "
        "`aws`, a real account, is not built yet.",
    )
    region: Annotated[str, _matching(_REGION, "a region", "write it as us-east-1")] = Field(
        default="us-east-1", description="Region in the cloud below."
    )
    vpc: Network = Field(
        default=IPv4Network("172.16.0.0/16"),
        description="Addresses of the VPC, /16 to /28. Both subnets lie in it.",
    )
    management: Network = Field(
        default=IPv4Network("172.16.10.0/24"),
        description="Subnet of the first NIC: SSH, the OpenStack APIs, the dashboard, tunnels.",
    )
    management_address: Address = Field(
        default_factory=_node_address,
        description="The machine's address in the management subnet. Default: its .101.",
    )
    provider: Network = Field(
        default=IPv4Network("172.16.20.0/24"),
        description="Subnet of the second NIC: Neutron's provider network.",
    )
    registered_address: Address = Field(
        default_factory=_registered_address,
        description="The address that the cloud below registers on the provider NIC, and that "
        "the router's gateway gets. Default: .101 of the provider subnet.",
    )
    allocation_pool: Pool = Field(
        default_factory=_allocation_pool,
        description="With `mac-clone` only: first and last address that Neutron may give out on "
        "the provider network, as `FIRST-LAST`; it covers the registered address. Default: .100 "
        "to .250. With `mac-nat` Neutron gives out exactly the registered addresses.",
    )
    more_providers: tuple[Provider, ...] = Field(
        default=(),
        description="Provider networks beside `provider`, in the order of their NICs: eth2, eth3, "
        "and so on. In a cloud that runs, entries are added and taken away at the end of the list.",
    )
    instance_type: Annotated[
        str, _matching(_INSTANCE_TYPE, "an instance type", "write it as m5.xlarge")
    ] = Field(
        default="m5.xlarge",
        description="Instance type of the machine; at least 6 GB of memory and two NICs.",
    )
    root_disk_gib: int = Field(
        default=MIN_ROOT_GIB,
        description=f"Size of the machine's disk in GiB, at least {MIN_ROOT_GIB}.",
    )
    allow_from: tuple[Network, ...] = Field(
        default=(),
        description="Networks that may reach the machine's SSH, the OpenStack APIs and the "
        "dashboard. "
        "Default: only the address that you come from.",
    )


class OpenStack(_Section):
    """The OpenStack that is installed on the machine."""

    release: str = Field(default="2025.1", description="OpenStack release.")
    network_driver: Literal["ovs", "ovn"] = Field(
        default="ovs", description="Neutron's ML2 driver. `ovn` is not built yet."
    )
    hypervisor: Hypervisor = Field(
        default="auto",
        description="`auto` takes `kvm` where it works, and else `qemu` (emulation, slow).",
    )


class TenantNetwork(_Section):
    """A private network of the cloud, behind its router."""

    name: str = Field(description="Name of the network.")
    cidr: Network = Field(
        description="Its addresses. They must not overlap the VPC or another network."
    )


class Server(_Section):
    """A virtual machine of the cloud."""

    name: str = Field(description="Name of the server; also its host name.")
    network: str = Field(
        default="", description="Network that the server is on. Default: the first of `networks`."
    )
    fixed_ip: Address = Field(
        default=UNSET,
        description="Address of the server in its network. Default: the first one that is free, "
        "from the fifth on.",
    )
    publish: tuple[Publish, ...] = Field(
        default=(),
        description="Ports of the router's Elastic IP that lead to the server, as "
        "`PORT:SERVER_PORT`, with `/udp` behind it for UDP. With `mac-nat`, "
        "`ADDRESS:PORT:SERVER_PORT` names a floating address instead, by its registered address.",
    )


class Spec(_Section):
    """A cloud as it should be."""

    cloud: str = Field(
        default="demo",
        description="Name of the cloud: the tag on everything made for it, and its entry in "
        "`clouds.yaml`.",
    )
    underlay: Underlay = Field(default_factory=Underlay, description="The cloud below.")
    openstack: OpenStack = Field(default_factory=OpenStack, description="The OpenStack on it.")
    uplink: Literal["mac-nat", "mac-clone"] = Field(
        default="mac-nat",
        description="How the cloud above is someone the cloud below knows. `mac-nat`: the "
        "provider NIC translates every MAC behind it to its own, for any number of registered "
        "addresses: several routers, and floating IPs. `mac-clone`: the one router's gateway has "
        "the NIC's registered address and MAC; ports are published on it.",
    )
    floating_ips: int = Field(
        default=0,
        ge=0,
        description="Number of floating IPs: addresses registered beside the router's, each with "
        "an Elastic IP of its own. Gateways of users' routers take from them too, and those that "
        "`pileus floating-ip add` adds come on top. The default quota of 5 Elastic IPs has room "
        "for 3; while the region runs, `pileus sim quota elastic-ips N` raises it. Refused with "
        "`mac-clone`, which has only one address.",
    )
    networks: tuple[TenantNetwork, ...] = Field(
        default=(TenantNetwork(name="private", cidr=IPv4Network("192.168.20.0/24")),),
        description="Private networks.",
    )
    servers: tuple[Server, ...] = Field(
        default=(Server(name="web", publish=(Publication(522, 22),)),),
        description="Virtual machines.",
    )
