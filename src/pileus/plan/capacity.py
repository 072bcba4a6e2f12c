"""Whether the account and the machine have room for the addresses wanted. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from pileus.model.errors import Refused
from pileus.model.limits import (
    ELASTIC_IPS_REACHED,
    NIC_ADDRESSES_REACHED,
    NICS_REACHED,
    Limits,
    ways_to_elastic_ips,
    ways_to_nic_addresses,
    ways_to_nics,
)
from pileus.model.underlay import ROLES, InstanceType, ObservedUnderlay, WantedUnderlay
from pileus.model.verdict import Code

_REMAKE = "; a machine that exists changes its type by `pileus down --yes` and `pileus up`"


@dataclass(frozen=True)
class Shortage:
    """A limit that is reached: its code, what is used and needed, and the ways around it."""

    code: Code
    what: str
    ways: str


def require_capacity(wanted: WantedUnderlay, observed: ObservedUnderlay, limits: Limits) -> None:
    """Raise Refused, before anything is made, when a limit stands in the way of what is added.

    It names each limit, what is used of it and what is needed, and the ways around it. What is
    there already is never refused: giving addresses back works over any limit.
    """
    short = shortages(wanted, observed, limits)
    if short:
        raise Refused("; ".join(s.what for s in short), hint="; ".join(s.ways for s in short))


def require_growth(
    wanted: WantedUnderlay, grown: WantedUnderlay, observed: ObservedUnderlay, limits: Limits
) -> None:
    """`require_capacity`, and room for what there is on the way: `grown` gives nothing back yet."""
    require_capacity(wanted, observed, limits)
    short = shortages(grown, observed, limits)
    leaving = sorted(_addresses(grown) - _addresses(wanted))
    if short:
        raise Refused(
            f"{'; '.join(s.what for s in short)}; {len(leaving)} of them "
            f"{'are' if len(leaving) > 1 else 'is'} still to be given back: "
            + ", ".join(map(str, leaving)),
            hint="run `pileus up` first, with nothing new in pileus.yaml",
        )


def _addresses(wanted: WantedUnderlay) -> set[IPv4Address]:
    return {address for nic in wanted.nics for address in nic.addresses}


def shortages(
    wanted: WantedUnderlay, observed: ObservedUnderlay, limits: Limits
) -> tuple[Shortage, ...]:
    """Every limit that stands in the way of what is to be added."""
    return (
        *_elastic_ips(wanted, observed, limits),
        *_nics(wanted, observed, limits),
        *_nic_addresses(wanted, observed, limits),
    )


def _elastic_ips(
    wanted: WantedUnderlay, observed: ObservedUnderlay, limits: Limits
) -> Iterator[Shortage]:
    quota, needed = limits.elastic_ips, len(wanted.elastic_ips)
    # Ours that are not wanted any more are released first.
    others = limits.elastic_ips_used - len(observed.elastic_ips)
    there = {elastic.wanted_for for elastic in observed.elastic_ips}
    if quota is None or wanted.elastic_ips <= there or others + needed <= quota:
        return
    floating = sum(len(nic.addresses) - 1 for nic in wanted.nics)
    yield Shortage(
        Code.ELASTIC_IP_LIMIT,
        f"{ELASTIC_IPS_REACHED}: it is {quota}, of which others use {others}, and cloud "
        f"`{wanted.cloud}` needs {needed}",
        ways_to_elastic_ips(others + needed, max(quota - others - (needed - floating), 0)),
    )


def _nics(wanted: WantedUnderlay, observed: ObservedUnderlay, limits: Limits) -> Iterator[Shortage]:
    limit, needed = limits.instance_type.max_nics, len(wanted.nics)
    if needed <= limit or all(nic.role in observed.nics for nic in wanted.nics):
        return
    addresses = max(len(nic.addresses) for nic in wanted.nics)
    larger = _larger(limits, addresses, needed)
    yield Shortage(
        Code.INSTANCE_TYPE,
        f"{NICS_REACHED}: {limits.instance_type.name} takes {limit}, and cloud `{wanted.cloud}` "
        f"needs {needed}",
        ways_to_nics(max(limit - len(ROLES), 0), larger)
        + (_REMAKE if larger and observed.node else ""),
    )


def _nic_addresses(
    wanted: WantedUnderlay, observed: ObservedUnderlay, limits: Limits
) -> Iterator[Shortage]:
    limit = limits.instance_type.addresses_per_nic
    for nic in wanted.nics:
        there = observed.nics.get(nic.role)
        needed = len(nic.addresses)
        if needed > limit and set(nic.addresses) - set(there.addresses if there else ()):
            larger = _larger(limits, needed, max(limits.instance_type.max_nics, len(wanted.nics)))
            yield Shortage(
                Code.NIC_ADDRESS_LIMIT,
                f"{NIC_ADDRESSES_REACHED}: {limits.instance_type.name} takes {limit}, and the "
                f"{nic.role} NIC needs {needed}, its primary one included",
                ways_to_nic_addresses(limit - 1, larger)
                + (_REMAKE if larger and observed.node else ""),
            )


def _larger(limits: Limits, addresses: int, nics: int) -> InstanceType | None:
    """The smallest type of the family that takes so many NICs, and so many addresses on each."""
    fit = [
        one for one in limits.family if one.addresses_per_nic >= addresses and one.max_nics >= nics
    ]
    return min(fit, key=lambda one: (one.memory_mib, one.name), default=None)
