"""What the cloud below must have for the cloud above to work. Pure: wanted and observed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address

from pileus.model.finding import Finding
from pileus.model.limits import Limits
from pileus.model.underlay import (
    ROLES,
    InstanceType,
    Nic,
    ObservedNic,
    ObservedUnderlay,
    Permission,
    WantedNic,
    WantedUnderlay,
)
from pileus.model.verdict import Code
from pileus.trace.on_machine import MEMORY_GIB


def judge(wanted: WantedUnderlay, observed: ObservedUnderlay) -> Iterator[Finding]:
    """The environment of a cloud that has a machine."""
    yield _machine(observed)
    yield _route(observed)
    yield _nics(wanted, observed)
    for nic in wanted.nics:
        there = observed.nics.get(nic.role)
        if there is not None:
            yield _registered(nic, there)
            yield _source_dest_check(nic, there)
            yield _let_in(nic, there, observed)
            yield _open(nic, observed)
            yield _let_out(nic, observed)
    if observed.node is not None:
        for attached in observed.node.nics:
            yield _elastic_ips(attached, wanted.elastic_ips)


def instance_type(facts: InstanceType, nics: int = len(ROLES)) -> Iterator[Finding]:
    """Whether machines of a type can carry a controller with so many NICs."""
    subject, gib = f"instance type {facts.name}", facts.memory_mib / 1024
    if gib < MEMORY_GIB:
        told = f"{facts.name} has {gib:.0f} GiB of memory, {MEMORY_GIB} GiB are needed"
        yield Finding(Code.INSTANCE_TYPE, subject, False, told)
    elif facts.max_nics < nics:
        noun = "NIC" if facts.max_nics == 1 else "NICs"
        told = f"{facts.name} has {facts.max_nics} {noun}, {nics} are needed"
        yield Finding(Code.INSTANCE_TYPE, subject, False, told)
    else:
        told = f"{gib:.0f} GiB of memory, up to {facts.max_nics} NICs"
        yield Finding(Code.INSTANCE_TYPE, subject, True, told)


def room(
    observed: ObservedUnderlay, limits: Limits, reached: Mapping[Code, str]
) -> Iterator[Finding]:
    """How many addresses more there may be; `reached` says of a limit that there is no room."""
    yield _judged(Code.NIC_ADDRESS_LIMIT, "addresses on a NIC", _on_nics(observed, limits), reached)
    subject = "Elastic IPs of the account"
    quota, used = limits.elastic_ips, limits.elastic_ips_used
    if quota is None:
        told = f"{used} in the region, and the account does not tell its limit"
        yield Finding(Code.ELASTIC_IP_LIMIT, subject, None, told)
        return
    told = f"{used} of {quota} in the region, room for {max(quota - used, 0)} more"
    yield _judged(Code.ELASTIC_IP_LIMIT, subject, told, reached)


def _judged(code: Code, subject: str, told: str, reached: Mapping[Code, str]) -> Finding:
    return Finding(code, subject, code not in reached, reached.get(code, told))


def _on_nics(observed: ObservedUnderlay, limits: Limits) -> str:
    limit = limits.instance_type.addresses_per_nic
    used = {role: len(nic.addresses) for role, nic in observed.nics.items()}
    told = [
        f"{role} NIC {count} of {limit}, room for {max(limit - count, 0)} more"
        for role, count in used.items()
    ]
    return "; ".join(told) or f"{limits.instance_type.name} takes {limit}"


def _machine(observed: ObservedUnderlay) -> Finding:
    node = observed.node
    if node is None:
        return Finding(Code.MACHINE_OFF, "machine", False, "the cloud has no machine")
    told = f"{node.instance_id} is {node.state}"
    return Finding(Code.MACHINE_OFF, "machine", node.state == "running", told)


def _route(observed: ObservedUnderlay) -> Finding:
    subject = "route to the internet"
    if not observed.gateway_attached:
        return Finding(Code.NO_ROUTE, subject, False, "no internet gateway is attached to the VPC")
    told = f"0.0.0.0/0 to {observed.gateway_id}"
    right = observed.default_route
    return Finding(Code.NO_ROUTE, subject, right, told if right else f"no {told}")


def _nics(wanted: WantedUnderlay, observed: ObservedUnderlay) -> Finding:
    roles = [nic.role for nic in wanted.nics]
    there = observed.node.nics if observed.node else ()
    attached = {nic.role for nic in there if nic.index is not None}
    missing = [role for role in roles if role not in attached or role not in observed.nics]
    told = f"no {' and no '.join(missing)} NIC" if missing else " and ".join(roles)
    return Finding(Code.NIC_MISSING, "NICs", not missing, told)


def _registered(nic: WantedNic, there: ObservedNic) -> Finding:
    missing = [address for address in nic.addresses if address not in there.addresses]
    told = f"{_list(missing)} not registered" if missing else _list(there.addresses)
    return Finding(Code.SOURCE_IP, f"registered on the {nic.role} NIC", not missing, told)


def _source_dest_check(nic: WantedNic, there: ObservedNic) -> Finding:
    subject, on = f"source/dest check of the {nic.role} NIC", there.source_dest_check
    return Finding(Code.SOURCE_DEST_CHECK, subject, on, f"{'on' if on else 'off'} ({there.id})")


def _let_in(nic: WantedNic, there: ObservedNic, observed: ObservedUnderlay) -> Finding:
    subject = f"let in to the {nic.role} NIC"
    have = observed.groups.get(nic.role)
    if have is None or not there.grouped:
        told = f"{there.id} is not in its security group"
        return Finding(Code.GROUP_INGRESS, subject, False, told)
    missing = nic.ingress - have
    told = f"not {_traffic(missing)}" if missing else _traffic(nic.ingress) or "nothing"
    return Finding(Code.GROUP_INGRESS, subject, not missing, told)


def _open(nic: WantedNic, observed: ObservedUnderlay) -> Finding:
    more = observed.groups.get(nic.role, frozenset()) - nic.ingress
    strays = observed.stray_rules.get(nic.role, ())
    told = "; ".join(filter(None, (_traffic(more), ", ".join(strays))))
    subject = f"let in to the {nic.role} NIC beyond that"
    return Finding(Code.GROUP_OPEN, subject, not told, told or "nothing")


def _let_out(nic: WantedNic, observed: ObservedUnderlay) -> Finding:
    closed = nic.role in observed.closed_outbound
    told = "not everything" if closed else "everything"
    return Finding(Code.GROUP_EGRESS, f"let out of the {nic.role} NIC", not closed, told)


def _elastic_ips(nic: Nic, wanted: frozenset[IPv4Address]) -> Finding:
    """By the NIC's own description: an Elastic IP that is associated elsewhere does not count."""
    ours = [one for one in nic.addresses if one.private in wanted]
    without = [one.private for one in ours if one.public is None]
    told = (
        f"none for {_list(without)}"
        if without
        else ", ".join(f"{one.private} as {one.public}" for one in ours)
    )
    subject = f"Elastic IPs of the {nic.role} NIC"
    return Finding(Code.NO_PUBLIC_ADDRESS, subject, not without, told)


def _list(addresses: Iterable[IPv4Address]) -> str:
    return ", ".join(map(str, addresses))


def _traffic(permissions: Iterable[Permission]) -> str:
    """Protocols and ports, by the networks that they come from."""
    by_source: dict[str, list[str]] = {}
    for one in sorted(permissions, key=lambda one: (one.protocol, one.ports or (-1, -1))):
        by_source.setdefault(str(one.source), []).append(_kind(one))
    return "; ".join(
        f"{', '.join(kinds)} from {source}" for source, kinds in sorted(by_source.items())
    )


def _kind(permission: Permission) -> str:
    if permission.ports is None:
        return permission.protocol
    first, last = permission.ports
    return f"{permission.protocol}/{first}" + (f"-{last}" if last != first else "")
