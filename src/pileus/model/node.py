"""A machine that we are allowed to log in to, and what it is to become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal

from pileus.model.addresses import Mac
from pileus.model.uplink import Mode

Hypervisor = Literal["auto", "kvm", "qemu"]


@dataclass(frozen=True)
class Login:
    """How to reach a machine by SSH with a key. `known_hosts` is the cloud's, not the user's."""

    address: IPv4Address
    user: str
    private_key: Path
    known_hosts: Path
    port: int = 22
    patience: int = 5
    """Seconds that it may take until the other side speaks."""


@dataclass(frozen=True)
class ProviderNic:
    """A provider NIC of the machine, found by its MAC: device names differ between clouds."""

    mac: Mac
    subnet: IPv4Network
    registered_address: IPv4Address
    """Its first; the others the agent learns from the cloud below."""
    physnet: str = "provider"
    """Neutron's name of what is behind it."""
    bridge: str = "br-ex"


@dataclass(frozen=True)
class ControllerSettings:
    """What an all-in-one OpenStack controller must know; secrets travel apart (see Secrets)."""

    hostname: str
    management_address: IPv4Address
    """Services listen here, and only here (and on loopback)."""
    public_address: IPv4Address
    """Where users reach the APIs; the catalogue's public endpoints name it."""
    management_mac: Mac
    providers: tuple[ProviderNic, ...]
    """In device order."""
    uplink: Mode
    hypervisor: Hypervisor = "auto"
    release: str = "2025.1"
    region: str = "regionOne"
    """Debian's packages assume this spelling; another one breaks nova and neutron."""


SECRET_NAMES = (
    "admin_password",
    "rabbitmq",
    "glance_service",
    "placement_service",
    "nova_service",
    "neutron_service",
    "metadata_shared",
)


@dataclass(frozen=True, repr=False)
class Secrets:
    """Random per cloud; never printed, logged or passed as an argument."""

    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def __repr__(self) -> str:
        return f"Secrets({len(self.values)} hidden)"


@dataclass(frozen=True)
class NodeReport:
    """What configuring a node changed, of all operations that were looked at."""

    changed: tuple[str, ...]
    unchanged: int
