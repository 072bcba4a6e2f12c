"""The agent's files: what it is to keep, as the operator's side writes it. Pure.

/etc/pileus/uplink.json has the provider NICs, /etc/pileus/published.json the published ports of
each router. Both are checked whole before anything is done with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

from pileus.model.addresses import Mac, Socket
from pileus.model.agent import mode, port_from_json, port_to_json
from pileus.model.errors import Refused, UserError
from pileus.model.publishing import Published
from pileus.model.uplink import Mode

Datapath = Literal["netdev", "system"]
Ports = Mapping[str, frozenset[Published]]
"""Published ports by the id of their router."""
_BRIDGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_ROUTER = re.compile(r"[0-9a-fA-F][0-9a-fA-F-]{0,35}")
"""Neutron's ids are UUIDs; ours become part of a path."""


@dataclass(frozen=True)
class NicConfig:
    """A provider NIC that the agent is to keep."""

    mac: Mac
    bridge: str
    """The switch's bridge that it belongs to, such as br-ex."""
    mode: Mode
    subnet: IPv4Network
    fallback: tuple[IPv4Address, ...]
    """Registered addresses until instance metadata has answered once, primary first."""


@dataclass(frozen=True)
class Config:
    nics: tuple[NicConfig, ...]
    datapath: Datapath
    """Where Open vSwitch runs: `system` is the kernel, `netdev` is userspace."""


def read_config(document: Any) -> Config:
    """Raises UserError, naming what is wrong, for anything but a whole configuration."""
    try:
        nics = tuple(_nic(entry) for entry in document["nics"])
        datapath: Datapath = "netdev" if document["datapath"] == "netdev" else "system"
        if document["datapath"] != datapath:
            raise ValueError(f"datapath {document['datapath']!r} is neither netdev nor system")
        if len({nic.mac for nic in nics}) < len(nics):
            raise ValueError("two NICs have the same MAC")
        if len({nic.bridge for nic in nics}) < len(nics):
            raise ValueError("two NICs are in the same bridge")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"uplink.json is wrong: {_reason(error)}", hint="run `pileus up` to write it anew"
        ) from error
    return Config(nics, datapath)


def _nic(entry: Any) -> NicConfig:
    if not _BRIDGE.fullmatch(entry["bridge"]):
        raise ValueError(f"{entry['bridge']!r} is not the name of a bridge")
    return NicConfig(
        mac=Mac.parse(entry["mac"]),
        bridge=entry["bridge"],
        mode=mode(entry["mode"]),
        subnet=IPv4Network(entry["subnet"]),
        fallback=tuple(IPv4Address(address) for address in entry["fallback"]),
    )


def read_published(document: Any) -> Ports:
    """The ports of each router. Raises UserError, or Refused for a port that is taken twice."""
    try:
        routers = {} if document is None else dict(document["routers"])
        ports = {
            _router(name): validate(port_from_json(entry) for entry in entries)
            for name, entries in routers.items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"published.json is wrong: {_reason(error)}",
            hint="run `pileus up` to write it anew",
        ) from error
    return ports


def published_document(ports: Ports) -> dict[str, Any]:
    """What `read_published` reads."""
    return {
        "routers": {
            router: [port_to_json(port) for port in sorted(wanted)]
            for router, wanted in sorted(ports.items())
        }
    }


def validate(published: Iterable[Published]) -> frozenset[Published]:
    """The set, if it can be published. Raises Refused for a port that is taken twice."""
    taken: dict[tuple[str, Socket], Published] = {}
    for item in published:
        other = taken.setdefault((item.protocol, item.registered), item)
        if other.private != item.private:
            raise Refused(
                f"{item.protocol} port {item.registered} is published already, to {other.private}",
                hint="choose another port, or unpublish that one first",
            )
    return frozenset(taken.values())


def _router(name: str) -> str:
    if not _ROUTER.fullmatch(name):
        raise ValueError(f"{name!r} is not the id of a router")
    return name


def _reason(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)
