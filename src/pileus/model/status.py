"""What commands answer: the state of a cloud, of the wire, and what a run did.

`to_json` gives the documented shapes of `--json`; they change only by adding to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from ipaddress import IPv4Address
from typing import Any, Literal

from pileus.model.addresses import Mac, Socket
from pileus.model.underlay import Registered, Role
from pileus.model.verdict import Code

State = Literal["up", "partial", "down"]


@dataclass(frozen=True)
class UnderlayStatus:
    """The cloud below. `endpoint` is the URL of its API, None where there is none (yet)."""

    kind: str
    region: str
    endpoint: str | None
    vpc_id: str | None


@dataclass(frozen=True)
class NicStatus:
    role: Role
    device: str
    """As the machine calls it: eth0, eth1."""
    mac: Mac
    addresses: tuple[Registered, ...]
    """Primary first."""


@dataclass(frozen=True)
class NodeStatus:
    name: str
    instance_id: str
    management_public_ip: IPv4Address | None
    nics: tuple[NicStatus, ...]


@dataclass(frozen=True)
class OpenStackStatus:
    release: str
    auth_url: str | None


@dataclass(frozen=True)
class RouterStatus:
    name: str
    gateway_ip: IPv4Address | None
    gateway_mac: Mac | None


@dataclass(frozen=True)
class PublishedStatus:
    """A published port, hop by hop: Elastic IP, registered address, server."""

    public: Socket | None
    registered: Socket
    private: Socket


@dataclass(frozen=True)
class ServerStatus:
    name: str
    fixed_ip: IPv4Address | None
    floating_ip: IPv4Address | None
    published: tuple[PublishedStatus, ...]


@dataclass(frozen=True)
class Status:
    """A cloud as it is. `partial`: something of it is there, and something is missing."""

    cloud: str
    state: State
    underlay: UnderlayStatus
    nodes: tuple[NodeStatus, ...]
    openstack: OpenStackStatus
    routers: tuple[RouterStatus, ...]
    servers: tuple[ServerStatus, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus status --json`."""
        return _document(self)


@dataclass(frozen=True)
class NicTraffic:
    """What the wire did with one NIC's frames since it was plugged in, in packets.

    `registered` are its addresses, primary first. `dropped` has every code, zero or not.
    `metadata_requests` counts what came by it to instance metadata, by kind: token, meta-data,
    user-data, credentials, dynamic, other.
    """

    eni: str
    instance: str
    device: str
    mac: Mac
    registered: tuple[IPv4Address, ...]
    passed_out: int
    passed_in: int
    dropped: Mapping[Code, int]
    metadata_requests: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class WireReport:
    nics: tuple[NicTraffic, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus sim wire --json`."""
        return {"nics": [_traffic(nic) for nic in self.nics]}


@dataclass(frozen=True)
class Check:
    """Something that was tried, not assumed. `detail` says what was seen."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class UpResult:
    """What `up` did. `changed` is empty when all was as wanted before."""

    status: Status
    changed: tuple[str, ...]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus up --json`."""
        return _document(self)


@dataclass(frozen=True)
class PlanResult:
    """What `up` would do, a sentence each, in order; empty when nothing."""

    changes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus plan --json`."""
        return _document(self)


def _traffic(nic: NicTraffic) -> dict[str, Any]:
    document = _document(nic)
    passed = {"out": document.pop("passed_out"), "in": document.pop("passed_in")}
    return document | {"passed": passed}


def _document(noun: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(noun, field.name)) for field in fields(noun)}


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mac | Socket | IPv4Address):
        return str(value)
    if is_dataclass(value):
        return _document(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
