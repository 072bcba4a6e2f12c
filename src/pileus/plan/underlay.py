"""From what is wanted of the cloud below and what is there to the steps between. Pure.

A plan made again after its steps were applied, all or some of them, is what is left to do.
"""

from __future__ import annotations

from collections.abc import Iterator

from pileus.model.errors import Refused
from pileus.model.underlay import ROLES, ObservedUnderlay, WantedNic, WantedUnderlay
from pileus.model.underlay_steps import (
    AllocateElasticIp,
    AssignAddress,
    AssociateElasticIp,
    AttachInternetGateway,
    Authorize,
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
    ImportKey,
    ReleaseElasticIp,
    Revoke,
    RevokeStrays,
    RouteToInternet,
    RunInstance,
    StartInstance,
    Step,
    TerminateInstance,
    UnassignAddress,
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
    steps += [*_elastic_ips(wanted, observed), *_machine(wanted, observed)]
    return tuple(steps)


def plan_removal(observed: ObservedUnderlay) -> tuple[Step, ...]:
    """The steps that remove everything observed, in the order that the cloud accepts."""
    return tuple(_removal(observed))


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
    if observed.node and observed.instance_type not in (None, wanted.instance_type):
        raise Refused(
            f"the machine is a {observed.instance_type}, and {wanted.instance_type} is wanted",
            hint=_REMAKE,
        )
    if observed.node and observed.public_key and not _same_key(wanted, observed):
        raise Refused("the machine was made with another SSH key", hint=_REMAKE)


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
    for permission in sorted(have - nic.ingress, key=str):
        yield Revoke(nic.role, permission)
    for permission in sorted(nic.ingress - have, key=str):
        yield Authorize(nic.role, permission)


def _nic(nic: WantedNic, observed: ObservedUnderlay) -> Iterator[Step]:
    there = observed.nics.get(nic.role)
    if there is None:
        yield CreateNic(nic.role, nic.addresses[0])
    have = set(there.addresses) if there else {nic.addresses[0]}
    for address in sorted(have - set(nic.addresses)):
        yield UnassignAddress(nic.role, address)
    for address in sorted(set(nic.addresses) - have):
        yield AssignAddress(nic.role, address)


def _elastic_ips(wanted: WantedUnderlay, observed: ObservedUnderlay) -> Iterator[Step]:
    by_address = {
        elastic.wanted_for: elastic
        # One that is in use comes last, and so stays.
        for elastic in sorted(observed.elastic_ips, key=lambda one: one.associated is not None)
        if elastic.wanted_for in wanted.elastic_ips
    }
    for elastic in observed.elastic_ips:
        if elastic not in by_address.values():
            yield ReleaseElasticIp(elastic.public)
    for nic in wanted.nics:
        for address in nic.addresses:
            if address not in wanted.elastic_ips:
                continue
            there = by_address.get(address)
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
        )
    elif observed.node.state in ("stopping", "stopped"):
        yield StartInstance()


def _removal(observed: ObservedUnderlay) -> Iterator[Step]:
    if observed.node:
        yield TerminateInstance()
    yield from _left_over(observed)
    for elastic in observed.elastic_ips:
        yield ReleaseElasticIp(elastic.public)
    for role in ROLES:
        if role in observed.nics:
            yield DeleteNic(role)
    for role in ROLES:
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
