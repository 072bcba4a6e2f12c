"""From what is wanted of the cloud below and what is there to the steps between. Pure.

A plan made again after its steps were applied, all or some of them, is what is left to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from pileus.model.errors import Refused
from pileus.model.underlay import (
    ElasticIp,
    ObservedNic,
    ObservedUnderlay,
    Role,
    WantedNic,
    WantedUnderlay,
)
from pileus.model.underlay_steps import (
    AllocateElasticIp,
    AssignAddresses,
    AssociateElasticIp,
    AttachInternetGateway,
    AttachNic,
    Authorize,
    AwaitRunning,
    AwaitStopped,
    AwaitTermination,
    CreateGroup,
    CreateInternetGateway,
    CreateNic,
    CreateSubnet,
    CreateVpc,
    DeleteGroup,
    DeleteInternetGateway,
    DeleteKey,
    DeleteNic,
    DeleteSpareGateway,
    DeleteSpareVpc,
    DeleteSubnet,
    DeleteVpc,
    DetachInternetGateway,
    DetachNic,
    ImportKey,
    ReleaseElasticIp,
    Revoke,
    RevokeStrays,
    RouteToInternet,
    RunInstance,
    StartInstance,
    Step,
    StopInstance,
    TerminateInstance,
    UnassignAddresses,
)

RULES_PER_GROUP = 60
"""Inbound rules of a security group, by default. [Amazon VPC user guide, Quotas]"""
_REMAKE = "run `pileus down --yes` and `pileus up`, or undo the change in pileus.yaml"


def plan_underlay(wanted: WantedUnderlay, observed: ObservedUnderlay) -> tuple[Step, ...]:
    """The steps to what is wanted, in the order of their doing; empty when it is there.

    Raises Refused, before anything is done, for a difference that cannot be applied in place.
    """
    _refuse_what_cannot_be(wanted)
    _refuse_what_cannot_change(wanted, observed)
    steps = [*_left_over(observed), *_network(wanted, observed)]
    for nic in wanted.nics:
        steps += [*_group(nic, observed), *_nic(nic, observed)]
    kept = _kept_elastic_ips(wanted, observed)
    # What is given back makes room for what is added, under the same limits.
    steps += [ReleaseElasticIp(one.public) for one in observed.elastic_ips if one not in kept]
    steps += [*_unwanted(wanted, observed)]
    for nic in wanted.nics:
        steps += [*_addresses(nic, observed)]
    steps += [*_elastic_ips(wanted, kept), *_machine(wanted, observed)]
    return tuple(steps)


def with_nics_there(wanted: WantedUnderlay, observed: ObservedUnderlay) -> WantedUnderlay:
    """What is wanted, and the NICs that the machine has beside, as they are.

    For as long as something in OpenStack may still be on them.
    """
    roles = {nic.role for nic in wanted.nics}
    more = tuple(
        WantedNic(role, observed.subnets[role], nic.addresses, observed.groups[role])
        for role, nic in sorted(observed.nics.items(), key=_by_index)
        if role not in roles and nic.index is not None
    )
    addresses = {address for nic in more for address in nic.addresses}
    public = {one.wanted_for for one in observed.elastic_ips if one.wanted_for in addresses}
    return replace(
        wanted,
        nics=(*wanted.nics, *more),
        elastic_ips=wanted.elastic_ips | frozenset(filter(None, public)),
    )


def _by_index(item: tuple[Role, ObservedNic]) -> int:
    return item[1].index or 0


def plan_removal(observed: ObservedUnderlay) -> tuple[Step, ...]:
    """The steps that remove everything observed, in the order that the cloud accepts."""
    return tuple(_removal(observed))


def plan_stop(observed: ObservedUnderlay) -> tuple[Step, ...]:
    """The steps until the machine is stopped; nothing else changes, Elastic IPs stay.

    Without a machine there are none.
    """
    match observed.node.state if observed.node else "stopped":
        case "stopped":
            return ()
        case "stopping":
            return (AwaitStopped(),)
        case "pending":
            return (AwaitRunning(), StopInstance(), AwaitStopped())
        case _:
            return (StopInstance(), AwaitStopped())


def plan_start(observed: ObservedUnderlay) -> tuple[Step, ...]:
    """The steps until the machine runs, from whatever state. Without a machine there are none."""
    match observed.node.state if observed.node else "running":
        case "running":
            return ()
        case "pending":
            return (AwaitRunning(),)
        case "stopping":
            return (AwaitStopped(), StartInstance(), AwaitRunning())
        case _:
            return (StartInstance(), AwaitRunning())


def _refuse_what_cannot_be(wanted: WantedUnderlay) -> None:
    for nic in wanted.nics:
        if len(nic.ingress) > RULES_PER_GROUP:
            raise Refused(
                f"the {nic.role} NIC would need {len(nic.ingress)} rules inbound, and a security "
                f"group holds {RULES_PER_GROUP}",
                hint="name fewer networks in underlay.allow_from, or publish fewer ports",
            )


def _refuse_what_cannot_change(wanted: WantedUnderlay, observed: ObservedUnderlay) -> None:
    if observed.vpc not in (None, wanted.vpc):
        raise Refused(f"the VPC is {observed.vpc}, and {wanted.vpc} is wanted", hint=_REMAKE)
    for nic in wanted.nics:
        subnet = observed.subnets.get(nic.role, nic.subnet)
        if subnet != nic.subnet:
            raise Refused(
                f"the {nic.role} subnet is {subnet}, and {nic.subnet} is wanted", hint=_REMAKE
            )
        there = observed.nics.get(nic.role)
        if there and there.addresses[0] != nic.addresses[0]:
            raise Refused(
                f"the {nic.role} NIC has {there.addresses[0]}, and {nic.addresses[0]} is wanted",
                hint=_REMAKE,
            )
    _refuse_other_order(wanted, observed)
    if observed.node and observed.instance_type not in (None, wanted.instance_type):
        raise Refused(
            f"the machine is a {observed.instance_type}, and {wanted.instance_type} is wanted",
            hint=_REMAKE,
        )
    if observed.node and observed.public_key and not _same_key(wanted, observed):
        raise Refused("the machine was made with another SSH key", hint=_REMAKE)


def _refuse_other_order(wanted: WantedUnderlay, observed: ObservedUnderlay) -> None:
    """A NIC keeps its place for as long as the machine has it."""
    roles = [nic.role for nic in wanted.nics]
    for role, there in observed.nics.items():
        if there.index is None:
            continue
        if role in roles and roles.index(role) != there.index:
            what = f"would be eth{roles.index(role)}"
        elif role not in roles and there.index < len(roles):
            what = f"is to make room for the {roles[there.index]} NIC"
        else:
            continue
        raise Refused(
            f"the {role} NIC is eth{there.index} of the machine, and {what}",
            hint="in underlay.more_providers, add and take away at the end only; what is to be "
            f"another takes two runs of `pileus up`; or {_REMAKE}",
        )


def _unwanted(wanted: WantedUnderlay, observed: ObservedUnderlay) -> Iterator[Step]:
    """Take away what is of a role that nobody wants any more."""
    roles = {nic.role for nic in wanted.nics}
    for role in observed.roles:
        if role not in roles:
            there = observed.nics.get(role)
            if there and there.index is not None:
                yield DetachNic(role)
            yield from _remove(role, observed)


def _remove(role: Role, observed: ObservedUnderlay) -> Iterator[Step]:
    if role in observed.nics:
        yield DeleteNic(role)
    if role in observed.groups:
        yield DeleteGroup(role)
    if role in observed.subnets:
        yield DeleteSubnet(role)


def _same_key(wanted: WantedUnderlay, observed: ObservedUnderlay) -> bool:
    """Whether the keys are one; what follows as a comment is the cloud's to change."""
    return wanted.public_key.split()[:2] == (observed.public_key or "").split()[:2]


def _left_over(observed: ObservedUnderlay) -> Iterator[Step]:
    for instance in observed.leaving:
        yield AwaitTermination(instance)
    for gateway in observed.spare_gateways:
        yield DeleteSpareGateway(gateway)
    for vpc in observed.spare_vpcs:
        yield DeleteSpareVpc(vpc)


def _network(wanted: WantedUnderlay, observed: ObservedUnderlay) -> Iterator[Step]:
    if observed.vpc is None:
        yield CreateVpc(wanted.vpc)
    if observed.gateway_id is None:
        yield CreateInternetGateway()
    if not observed.gateway_attached:
        yield AttachInternetGateway()
    if not observed.default_route:
        yield RouteToInternet()
    for nic in wanted.nics:
        if nic.role not in observed.subnets:
            yield CreateSubnet(nic.role, nic.subnet)


def _group(nic: WantedNic, observed: ObservedUnderlay) -> Iterator[Step]:
    if nic.role not in observed.groups:
        yield CreateGroup(nic.role)
    if strays := observed.stray_rules.get(nic.role):
        yield RevokeStrays(nic.role, strays)
    have = observed.groups.get(nic.role, frozenset())
    closed: list[Step] = [Revoke(nic.role, one) for one in sorted(have - nic.ingress, key=str)]
    opened: list[Step] = [Authorize(nic.role, one) for one in sorted(nic.ingress - have, key=str)]
    # Where both sets fit in, what stays open under another rule is open all the time.
    if len(have | nic.ingress) <= RULES_PER_GROUP:
        yield from opened + closed
    else:
        yield from closed + opened


def _nic(nic: WantedNic, observed: ObservedUnderlay) -> Iterator[Step]:
    if nic.role not in observed.nics:
        yield CreateNic(nic.role, nic.addresses[0])


def _addresses(nic: WantedNic, observed: ObservedUnderlay) -> Iterator[Step]:
    there = observed.nics.get(nic.role)
    have = set(there.addresses) if there else {nic.addresses[0]}
    if gone := have - set(nic.addresses):
        yield UnassignAddresses(nic.role, tuple(sorted(gone)))
    if new := set(nic.addresses) - have:
        yield AssignAddresses(nic.role, tuple(sorted(new)))


def _kept_elastic_ips(wanted: WantedUnderlay, observed: ObservedUnderlay) -> list[ElasticIp]:
    """One for each wanted address that has any."""
    by_address = {
        elastic.wanted_for: elastic
        # One that is in use comes last, and so stays.
        for elastic in sorted(observed.elastic_ips, key=lambda one: one.associated is not None)
        if elastic.wanted_for in wanted.elastic_ips
    }
    return list(by_address.values())


def _elastic_ips(wanted: WantedUnderlay, kept: Iterable[ElasticIp]) -> Iterator[Step]:
    by_address = {elastic.wanted_for: elastic for elastic in kept}
    for nic in wanted.nics:
        for address in nic.addresses:
            if address not in wanted.elastic_ips:
                continue
            there = by_address.get(address)
            # One by one, so that a limit met in the middle leaves none without its address.
            if there is None:
                yield AllocateElasticIp(address)
            if there is None or there.associated != address:
                yield AssociateElasticIp(nic.role, address)


def _machine(wanted: WantedUnderlay, observed: ObservedUnderlay) -> Iterator[Step]:
    if observed.public_key is None:
        yield ImportKey(wanted.public_key)
    elif not _same_key(wanted, observed):
        yield DeleteKey()
        yield ImportKey(wanted.public_key)
    if observed.node is None:
        yield RunInstance(
            wanted.instance_type,
            wanted.image_name,
            wanted.root_gib,
            wanted.nested_virtualization,
            tuple(nic.role for nic in wanted.nics),
        )
        return
    yield from plan_start(observed)
    for index, nic in enumerate(wanted.nics):
        there = observed.nics.get(nic.role)
        if there is None or there.index is None:
            yield AttachNic(nic.role, index)


def _removal(observed: ObservedUnderlay) -> Iterator[Step]:
    if observed.node:
        yield TerminateInstance()
    yield from _left_over(observed)
    for elastic in observed.elastic_ips:
        yield ReleaseElasticIp(elastic.public)
    for role in observed.roles:
        if role in observed.nics:
            yield DeleteNic(role)
    for role in observed.roles:
        if role in observed.groups:
            yield DeleteGroup(role)
        if role in observed.subnets:
            yield DeleteSubnet(role)
    if observed.gateway_attached:
        yield DetachInternetGateway()
    if observed.gateway_id:
        yield DeleteInternetGateway()
    if observed.vpc:
        yield DeleteVpc()
    if observed.public_key:
        yield DeleteKey()
