"""What the wire let through and dropped, per NIC, from its counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from pileus.model.addresses import Mac
from pileus.model.verdict import Code
from pileus.rules import apply as rules
from pileus.vpc.state import RegionState
from pileus.vpc.wire.frames import attached
from pileus.vpc.wire.names import FRAMES_TABLE, PACKETS_TABLE, device, vpc_namespace


@dataclass(frozen=True)
class NicReport:
    """One NIC's traffic in packets since it was plugged in; `dropped` has every code, zero or not.

    `registered` are its addresses, primary first; `device` is the VPC's end of its veth.
    """

    eni: str
    instance: str
    device: str
    mac: Mac
    registered: tuple[IPv4Address, ...]
    passed_out: int
    passed_in: int
    dropped: Mapping[Code, int]


def wire_report(region: str, state: RegionState) -> tuple[NicReport, ...]:
    """Read the counters of every plugged NIC of the region."""
    reports: list[NicReport] = []
    for vpc in sorted(state.vpcs):
        counters = _counters(vpc_namespace(region, vpc))
        reports += [_nic(state, eni.id, counters) for eni in attached(state, vpc)]
    return tuple(reports)


def _counters(namespace: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for family, name in (("netdev", FRAMES_TABLE), ("inet", PACKETS_TABLE)):
        table = rules.read(family, name, namespace=namespace)
        found.update(table.counters if table else {})
    return found


def _nic(state: RegionState, eni_id: str, counters: Mapping[str, int]) -> NicReport:
    eni = state.enis[eni_id]
    prefix = device(eni_id)

    def packets(what: str) -> int:
        return counters.get(f"{prefix}.{what}", 0)

    return NicReport(
        eni=eni_id,
        instance=eni.instance or "",
        device=prefix,
        mac=eni.mac,
        registered=eni.addresses,
        passed_out=packets("passed_out"),
        passed_in=packets("passed_in"),
        dropped={code: packets(code) for code in Code},
    )
