"""What can be done inside OpenStack: one frozen value each, which prints as a sentence.

Steps name things as the wanted state names them; ids are looked up when a step is applied, so a
plan stays true from one step to the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from pileus.model.addresses import Mac
from pileus.model.tenant import (
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
        first, last = self.provider.pool
        return f"create subnet {self.provider.subnet} of {self.provider.name}, pool {first}-{last}"


@dataclass(frozen=True)
class UpdateProviderSubnet:
    """The pool, and who may take addresses from it."""

    provider: WantedProvider

    def __str__(self) -> str:
        first, last = self.provider.pool
        return f"set the pool of {self.provider.name} to {first}-{last}"


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
    """Admin-down and with its gateway's address: no frame leaves before its MAC is right."""

    router: WantedRouter

    def __str__(self) -> str:
        return f"create router {self.router.name} with gateway {self.router.gateway.address}, down"


@dataclass(frozen=True)
class SetGateway:
    router: WantedRouter

    def __str__(self) -> str:
        return f"set the gateway of router {self.router.name} to {self.router.gateway.address}"


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
class CloneMac:
    router: str
    mac: Mac

    def __str__(self) -> str:
        return f"give the gateway of router {self.router} the registered MAC {self.mac}"


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
    | CloneMac
    | ReturnGateway
    | RouterUp
    | AwaitGateway
    | AddInterface
    | SetSecurityGroup
    | CreatePort
    | CreateServer
    | StartServer
    | AwaitServer
    | DeleteServer
    | DeletePort
    | DeleteSecurityGroup
    | DeleteNetwork
    | DeleteRouter
)
