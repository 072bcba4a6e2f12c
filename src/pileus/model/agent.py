"""What the agent on a node tells of the uplink, and its JSON. Runs on Python 3.9."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, Literal

from pileus.model.addresses import Mac, Socket
from pileus.model.publishing import PORTS, Published
from pileus.model.uplink import Mode

Health = Literal["ok", "degraded"]
MODES: tuple[Mode, ...] = ("mac-nat", "mac-clone")


@dataclass(frozen=True)
class NicState:
    """A provider NIC and its pipeline."""

    mac: Mac
    mode: Mode
    device: str | None = None
    """As the node calls it; None where it has no such NIC."""
    registered: tuple[IPv4Address, ...] = ()
    """Primary first."""
    learned: Mapping[IPv4Address, Mac] = field(default_factory=dict)
    """Which inner MAC is behind each address that has spoken."""
    conflicts: Mapping[IPv4Address, tuple[Mac, ...]] = field(default_factory=dict)
    """Addresses that several inner MACs claimed within a minute; one that just moved, too."""
    out: Mapping[str, int] = field(default_factory=dict)
    """Frames to the cloud since the pipeline was made: `passed`, and by code."""
    into: Mapping[str, int] = field(default_factory=dict)
    """The same from the cloud."""

    @property
    def counters(self) -> dict[str, int]:
        """Frames in both directions together, by code; `passed_out` and `passed_in` apart."""
        codes = [code for code in {**self.out, **self.into} if code != "passed"]
        passed = {"passed_out": self.out.get("passed", 0), "passed_in": self.into.get("passed", 0)}
        sums = {code: self.out.get(code, 0) + self.into.get(code, 0) for code in sorted(codes)}
        return {**passed, **sums}

    def to_json(self) -> dict[str, Any]:
        return {
            "mac": str(self.mac),
            "mode": self.mode,
            "device": self.device,
            "registered": [str(address) for address in self.registered],
            "learned": {str(address): str(mac) for address, mac in self.learned.items()},
            "conflicts": {
                str(address): [str(mac) for mac in macs] for address, macs in self.conflicts.items()
            },
            "counters": self.counters,
            "out": dict(self.out),
            "in": dict(self.into),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> NicState:
        return cls(
            mac=Mac(document["mac"]),
            mode=mode(document["mode"]),
            device=document["device"],
            registered=tuple(IPv4Address(address) for address in document["registered"]),
            learned={IPv4Address(at): Mac(mac) for at, mac in document["learned"].items()},
            conflicts={
                IPv4Address(address): tuple(Mac(mac) for mac in macs)
                for address, macs in document["conflicts"].items()
            },
            out={str(code): int(count) for code, count in document["out"].items()},
            into={str(code): int(count) for code, count in document["in"].items()},
        )


@dataclass(frozen=True)
class AgentStatus:
    """The agent's answer to `status`."""

    running: bool
    """Whether the daemon answered; what is in the kernel stays in force without it."""
    problems: tuple[str, ...] = ()
    """Why the uplink is not as it should be, a sentence each."""
    notes: tuple[str, ...] = ()
    """What happened and was mended."""
    nics: tuple[NicState, ...] = ()
    published: Mapping[str, frozenset[Published]] = field(default_factory=dict)
    """What is in force in the namespace of each router that is to have ports, by its id."""
    restored: int = 0
    """How often rules that somebody else had changed were put back since the daemon's start."""
    metadata_away: float | None = None
    """For how many seconds instance metadata has not answered; None while it does."""

    @property
    def health(self) -> Health:
        return "degraded" if self.problems else "ok"

    def to_json(self) -> dict[str, Any]:
        return {
            "health": self.health,
            "running": self.running,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "nics": [nic.to_json() for nic in self.nics],
            "published": {
                router: [port_to_json(port) for port in sorted(ports)]
                for router, ports in sorted(self.published.items())
            },
            "restored": self.restored,
            "metadata_away": self.metadata_away,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> AgentStatus:
        """Raises KeyError, TypeError or ValueError for what is no status."""
        return cls(
            running=bool(document["running"]),
            problems=tuple(document["problems"]),
            notes=tuple(document["notes"]),
            nics=tuple(NicState.from_json(nic) for nic in document["nics"]),
            published={
                router: frozenset(port_from_json(port) for port in ports)
                for router, ports in document["published"].items()
            },
            restored=int(document["restored"]),
            metadata_away=document["metadata_away"],
        )


def mode(text: object) -> Mode:
    """One of the modes. Raises ValueError for anything else."""
    for known in MODES:
        if text == known:
            return known
    raise ValueError(f"{text!r} is neither of {' and '.join(MODES)}")


def port_to_json(port: Published) -> dict[str, str]:
    """A published port as the node's file has it."""
    return {
        "protocol": port.protocol,
        "registered": str(port.registered),
        "private": str(port.private),
    }


def port_from_json(document: Any) -> Published:
    """Read a published port. Raises KeyError, TypeError or ValueError for what is none."""
    protocol = document["protocol"]
    if protocol not in ("tcp", "udp"):
        raise ValueError(f"{protocol!r} has no ports")
    return Published(protocol, _socket(document["registered"]), _socket(document["private"]))


def _socket(text: Any) -> Socket:
    address, _, port = str(text).rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port[:6]) in PORTS):
        raise ValueError(f"{text!r} is not ADDRESS:PORT")
    return Socket(IPv4Address(address), int(port))
