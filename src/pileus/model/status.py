"""What commands answer: the state of a cloud, of the wire, and what a run did.

`to_json` gives the documented shapes of `--json`; they change only by adding to them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from ipaddress import IPv4Address
from typing import Any, Literal

from pileus.model.addresses import Mac, Socket
from pileus.model.underlay import Registered, Role
from pileus.model.verdict import EXPLANATIONS, Code

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
    device: str | None
    """As the machine calls it: eth0, eth1; None while it is not attached."""
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
    dashboard_url: str | None
    """Where users log in by a browser."""


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
class DroppedFrame:
    """A frame that the wire dropped, `way` ("from" or "to") a NIC.

    `time` is ISO 8601, UTC. `fields` is what the frame said: source_mac, destination_mac,
    ether_type, and of IPv4 source, destination, protocol, source_port, destination_port, type,
    code, of ARP operation, sender_mac, sender, target. `offending` names those that it was dropped
    for.
    """

    time: str
    eni: str
    instance: str
    device: str
    way: str
    code: Code
    fields: Mapping[str, str]
    offending: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Why, in words."""
        return EXPLANATIONS[self.code].sentence

    def to_json(self) -> dict[str, Any]:
        """One of the `drops` of `pileus sim wire --json`."""
        return _document(self) | {"sentence": self.sentence}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DroppedFrame:
        """What `to_json` gave."""
        known = {field.name: document[field.name] for field in fields(cls)}
        offending = tuple(document["offending"])
        return cls(**known | {"code": Code(document["code"]), "offending": offending})


@dataclass(frozen=True)
class WireReport:
    """`drops` are the last ones, the newest last; of a flood only some are told."""

    nics: tuple[NicTraffic, ...]
    drops: tuple[DroppedFrame, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus sim wire --json`."""
        return {
            "nics": [_traffic(nic) for nic in self.nics],
            "drops": [one.to_json() for one in self.drops],
        }


@dataclass(frozen=True)
class SimEndpoint:
    """Where a simulated region's API is. Its keys open nothing else: no signature is verified."""

    name: str
    url: str
    region: str
    """The AWS region that it is."""
    check_ip_url: str
    """Answers with the address that the caller has in the simulated internet."""
    keys: tuple[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which boto3 and the aws command find it. [AWS SDKs and Tools reference]"""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.keys[0],
            "AWS_SECRET_ACCESS_KEY": self.keys[1],
        }

    def exports(self) -> list[str]:
        """The same as lines for a shell; real sessions and proxies are kept out of its way."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        here = 'NO_PROXY="127.0.0.1${NO_PROXY:+,$NO_PROXY}"'
        return [*lines, f"export {here}", "unset AWS_SESSION_TOKEN AWS_PROFILE"]

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus sim up --json`."""
        document = _document(self)
        del document["keys"]
        return document | {"environment": self.environment}


@dataclass(frozen=True)
class RegionStatus:
    """A simulated region and what is in it; `contents` is empty where it does not run.

    `faults` are those that are switched on, as `pileus sim fault` names and spells them.
    """

    name: str
    state: Literal["up", "down"]
    endpoint: SimEndpoint | None
    contents: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus sim status --json`."""
        endpoint = self.endpoint.to_json() if self.endpoint else {}
        told = {"name": self.name, "state": self.state, "faults": dict(self.faults)}
        return {**endpoint, **told, **self.contents}


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
