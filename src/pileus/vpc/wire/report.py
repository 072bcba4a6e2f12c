"""What the wire let through and dropped, per NIC, from its counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from pileus.model.addresses import Mac
from pileus.model.verdict import Code
from pileus.rules import apply as rules
from pileus.vpc.state import RegionState
from pileus.vpc.wire.frames import attached
from pileus.vpc.wire.names import FRAMES_TABLE, PACKETS_TABLE, counter, device, vpc_namespace


@dataclass(frozen=True)
class PluggedNic:
    """A NIC that is plugged into a machine; `device` is its name there."""

    vpc: str
    eni: str
    instance: str
    device: str
    mac: Mac
    registered: tuple[IPv4Address, ...]


@dataclass(frozen=True)
class NicReport:
    """A NIC's traffic in packets since it was plugged in; `dropped` has every code of the
    wire, zero or not. `metadata_requests` counts what came by it to instance metadata, by kind."""

    nic: PluggedNic
    passed_out: int
    passed_in: int
    dropped: Mapping[Code, int]
    metadata_requests: Mapping[str, int] = field(default_factory=dict)


def plugged(state: RegionState) -> tuple[PluggedNic, ...]:
    """All plugged NICs of a region, VPC by VPC."""
    return tuple(
        PluggedNic(
            vpc, eni.id, eni.instance or "", f"eth{eni.device_index}", eni.mac, eni.registered
        )
        for vpc in sorted(state.vpcs)
        for eni in attached(state, vpc)
    )


def wire_report(region: str, nics: Iterable[PluggedNic]) -> tuple[NicReport, ...]:
    """Read the counters of these NICs from the kernel."""
    nics = tuple(nics)
    counters = {vpc: _counters(vpc_namespace(region, vpc)) for vpc in {nic.vpc for nic in nics}}
    return tuple(_report(nic, counters[nic.vpc]) for nic in nics)


def _counters(namespace: str) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for family, name in (("netdev", FRAMES_TABLE), ("inet", PACKETS_TABLE)):
        table = rules.read(family, name, namespace=namespace)
        for what, each in (table.counted if table else {}).items():
            found.update({counter(nic, what): packets for nic, packets in each.items()})
    return found


def _report(nic: PluggedNic, counters: Mapping[str, int]) -> NicReport:
    def packets(what: str) -> int:
        return counters.get(counter(device(nic.eni), what), 0)

    return NicReport(
        nic,
        packets("passed_out"),
        packets("passed_in"),
        {code: packets(code) for code in Code if code.family == "UNDERLAY"},
    )
