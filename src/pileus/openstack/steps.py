"""What can be done inside OpenStack: one frozen value each, which prints as a sentence.

Steps name things as the wanted state names them; ids are looked up when a step is applied, so a
plan stays true from one step to the next.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from pileus.model.addresses import Mac
from pileus.model.publishing import Published
from pileus.model.tenant import (
    Pool,
    WantedFlavor,
    WantedImage,
    WantedNetwork,
    WantedProvider,
    WantedRouter,
    WantedServer,
)
from pileus.model.underlay import Permission


@dataclass(frozen=True)
class SetFloatingIpQuota:
    quota: int

    def __str__(self) -> str:
        return f"set the project's quota of floating IPs to {self.quota}"


@dataclass(frozen=True)
class UploadImage:
    image: WantedImage

    def __str__(self) -> str:
        return f"upload image {self.image.name}"


@dataclass(frozen=True)
class CreateFlavor:
    flavor: WantedFlavor

    def __str__(self) -> str:
        return f"create flavor {self.flavor.name}"


@dataclass(frozen=True)
class SetKeypair:
    name: str
    public_key: str

    def __str__(self) -> str:
        return f"set key pair {self.name}"


@dataclass(frozen=True)
class CreateProviderNetwork:
    provider: WantedProvider

    def __str__(self) -> str:
        return f"create network {self.provider.name} on physical network {self.provider.physnet}"


@dataclass(frozen=True)
class CreateProviderSubnet:
    provider: WantedProvider

    def __str__(self) -> str:
        provider = self.provider
        return f"create subnet {provider.subnet} of {provider.name}, pool {_ranges(provider.pools)}"


@dataclass(frozen=True)
class UpdateProviderSubnet:
    """The pools, and who may take addresses from them."""

    provider: WantedProvider

    def __str__(self) -> str:
        return f"set the pool of {self.provider.name} to {_ranges(self.provider.pools)}"


def _ranges(pools: Iterable[Pool]) -> str:
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in pools)


@dataclass(frozen=True)
class CreateNetwork:
    network: WantedNetwork

    def __str__(self) -> str:
        return f"create network {self.network.name}"


@dataclass(frozen=True)
class CreateSubnet:
    network: WantedNetwork

    def __str__(self) -> str:
        return f"create subnet {self.network.subnet} of {self.network.name}"


@dataclass(frozen=True)
class CreateRouter:
    """With its gateway's address; down where no frame may leave before the MAC is cloned."""

    router: WantedRouter

    def __str__(self) -> str:
        router = self.router
        down = ", down" if router.clone else ""
        return f"create router {router.name} with gateway {router.gateway}{down}"


@dataclass(frozen=True)
class SetGateway:
    router: WantedRouter

    def __str__(self) -> str:
        return f"set the gateway of router {self.router.name} to {self.router.gateway}"


@dataclass(frozen=True)
class RouterDown:
    router: str

    def __str__(self) -> str:
        return f"take router {self.router} down"


@dataclass(frozen=True)
class UnbindGateway:
    router: str

    def __str__(self) -> str:
        return f"unbind the gateway port of router {self.router}"


@dataclass(frozen=True)
class SetMac:
    """None stands for one of Neutron's style, as the port's id gives it."""

    router: str
    mac: Mac | None

    def __str__(self) -> str:
        which = f"the registered MAC {self.mac}" if self.mac else "a MAC of its own"
        return f"give the gateway of router {self.router} {which}"


@dataclass(frozen=True)
class ReturnGateway:
    router: str

    def __str__(self) -> str:
        return f"hand the gateway port back to router {self.router}"


@dataclass(frozen=True)
class RouterUp:
    router: str

    def __str__(self) -> str:
        return f"take router {self.router} up"


@dataclass(frozen=True)
class AwaitGateway:
    router: str

    def __str__(self) -> str:
        return f"wait until the gateway of router {self.router} is active"


@dataclass(frozen=True)
class AddInterface:
    router: str
    network: str

    def __str__(self) -> str:
        return f"connect {self.network} to router {self.router}"


@dataclass(frozen=True)
class SetSecurityGroup:
    """Make the group if need be, and its rules exactly these."""

    server: str
    ingress: frozenset[Permission]

    def __str__(self) -> str:
        return f"set the security group of {self.server}"


@dataclass(frozen=True)
class CreatePort:
    server: WantedServer

    def __str__(self) -> str:
        return f"create port {self.server.fixed_ip} for {self.server.name}"


@dataclass(frozen=True)
class CreateServer:
    server: WantedServer

    def __str__(self) -> str:
        return f"create server {self.server.name}"


@dataclass(frozen=True)
class StartServer:
    name: str

    def __str__(self) -> str:
        return f"start server {self.name}"


@dataclass(frozen=True)
class AwaitServer:
    name: str

    def __str__(self) -> str:
        return f"wait until server {self.name} is active"


@dataclass(frozen=True)
class CreateFloatingIp:
    address: IPv4Address

    def __str__(self) -> str:
        return f"create floating IP {self.address}"


@dataclass(frozen=True)
class AssociateFloatingIp:
    address: IPv4Address
    server: str

    def __str__(self) -> str:
        return f"give floating IP {self.address} to server {self.server}"


@dataclass(frozen=True)
class DisassociateFloatingIp:
    address: IPv4Address

    def __str__(self) -> str:
        return f"take floating IP {self.address} from its server"


@dataclass(frozen=True)
class DeleteFloatingIp:
    address: IPv4Address

    def __str__(self) -> str:
        return f"delete floating IP {self.address}"


@dataclass(frozen=True)
class CreateForward:
    forward: Published

    def __str__(self) -> str:
        return f"forward {self.forward}"


@dataclass(frozen=True)
class DeleteForward:
    forward: Published

    def __str__(self) -> str:
        return f"forward no more {self.forward}"


@dataclass(frozen=True)
class DeleteServer:
    name: str

    def __str__(self) -> str:
        return f"delete server {self.name}"


@dataclass(frozen=True)
class DeletePort:
    server: str

    def __str__(self) -> str:
        return f"delete the port of {self.server}"


@dataclass(frozen=True)
class DeleteSecurityGroup:
    server: str

    def __str__(self) -> str:
        return f"delete the security group of {self.server}"


@dataclass(frozen=True)
class DeleteNetwork:
    name: str

    def __str__(self) -> str:
        return f"delete network {self.name}"


@dataclass(frozen=True)
class DeleteRouter:
    name: str

    def __str__(self) -> str:
        return f"delete router {self.name}"


Step = (
    SetFloatingIpQuota
    | UploadImage
    | CreateFlavor
    | SetKeypair
    | CreateProviderNetwork
    | CreateProviderSubnet
    | UpdateProviderSubnet
    | CreateNetwork
    | CreateSubnet
    | CreateRouter
    | SetGateway
    | RouterDown
    | UnbindGateway
    | SetMac
    | ReturnGateway
    | RouterUp
    | AwaitGateway
    | AddInterface
    | SetSecurityGroup
    | CreatePort
    | CreateServer
    | StartServer
    | AwaitServer
    | CreateFloatingIp
    | AssociateFloatingIp
    | DisassociateFloatingIp
    | DeleteFloatingIp
    | CreateForward
    | DeleteForward
    | DeleteServer
    | DeletePort
    | DeleteSecurityGroup
    | DeleteNetwork
    | DeleteRouter
)
