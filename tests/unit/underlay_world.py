"""A cloud below as a value: what steps do to it, and what AWS would refuse, as assertions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import singledispatchmethod
from ipaddress import IPv4Address
from typing import Any, TypeVar

from pileus.model.addresses import Mac
from pileus.model.underlay import ElasticIp, Node, ObservedNic, ObservedUnderlay, Role
from pileus.model.underlay_steps import (
    AllocateElasticIp,
    AssignAddresses,
    AssociateElasticIp,
    AttachInternetGateway,
    AttachNic,
    Authorize,
    AwaitRunning,
    AwaitStopped,
    CreateGroup,
    CreateInternetGateway,
    CreateNic,
    CreateSubnet,
    CreateVpc,
    DeleteGroup,
    DeleteInternetGateway,
    DeleteKey,
    DeleteNic,
    DeleteSubnet,
    DeleteVpc,
    DetachInternetGateway,
    DetachNic,
    ImportKey,
    ReleaseElasticIp,
    Revoke,
    RouteToInternet,
    RunInstance,
    StartInstance,
    Step,
    StopInstance,
    TerminateInstance,
    UnassignAddresses,
)

Key = TypeVar("Key")
Value = TypeVar("Value")


def _without(mapping: Mapping[Key, Value], key: Key) -> dict[Key, Value]:
    assert key in mapping
    return {one: value for one, value in mapping.items() if one != key}


class LimitReached(Exception):
    """A call that asks for more than the account may have."""


class World:
    """Steps are applied by the same order of dependencies that AWS insists on."""

    def __init__(self, elastic_quota: int = 50, addresses_per_nic: int = 50) -> None:
        self.elastic_quota = elastic_quota
        self.addresses_per_nic = addresses_per_nic
        self.observed = ObservedUnderlay()
        self._given = 0

    def apply(self, step: Step) -> None:
        self._do(step)

    def _now(self, **changed: Any) -> None:
        self.observed = replace(self.observed, **changed)

    @singledispatchmethod
    def _do(self, step: Any) -> None:
        raise TypeError(step)

    @_do.register
    def _(self, step: CreateVpc) -> None:
        assert self.observed.vpc_id is None
        self._now(vpc_id="vpc-1", vpc=step.cidr)

    @_do.register
    def _(self, step: CreateInternetGateway) -> None:
        assert self.observed.gateway_id is None
        self._now(gateway_id="igw-1")

    @_do.register
    def _(self, step: AttachInternetGateway) -> None:
        assert self.observed.vpc_id
        assert self.observed.gateway_id
        assert not self.observed.gateway_attached
        self._now(gateway_attached=True)

    @_do.register
    def _(self, step: RouteToInternet) -> None:
        assert self.observed.gateway_attached
        self._now(default_route=True)

    @_do.register
    def _(self, step: CreateSubnet) -> None:
        assert self.observed.vpc is not None
        assert step.cidr.subnet_of(self.observed.vpc)
        assert step.role not in self.observed.subnets
        self._now(subnets={**self.observed.subnets, step.role: step.cidr})

    @_do.register
    def _(self, step: CreateGroup) -> None:
        assert self.observed.vpc_id
        assert step.role not in self.observed.groups
        self._now(groups={**self.observed.groups, step.role: frozenset()})

    @_do.register
    def _(self, step: Authorize) -> None:
        rules = self.observed.groups[step.role]
        assert step.permission not in rules
        self._now(groups={**self.observed.groups, step.role: rules | {step.permission}})

    @_do.register
    def _(self, step: Revoke) -> None:
        rules = self.observed.groups[step.role]
        assert step.permission in rules
        self._now(groups={**self.observed.groups, step.role: rules - {step.permission}})

    @_do.register
    def _(self, step: ImportKey) -> None:
        assert self.observed.public_key is None
        self._now(public_key=step.public_key)

    @_do.register
    def _(self, step: DeleteKey) -> None:
        assert self.observed.public_key is not None
        self._now(public_key=None)

    @_do.register
    def _(self, step: CreateNic) -> None:
        assert step.role in self.observed.groups
        assert step.address in self.observed.subnets[step.role]
        assert step.role not in self.observed.nics
        self._given += 1
        nic = ObservedNic(
            f"eni-{self._given}", Mac(f"02:00:00:00:00:{self._given:02x}"), (step.address,)
        )
        self._now(nics={**self.observed.nics, step.role: nic})

    @_do.register
    def _(self, step: AssignAddresses) -> None:
        nic = self.observed.nics[step.role]
        assert step.addresses
        assert not set(step.addresses) & set(nic.addresses)
        more = replace(nic, addresses=(*nic.addresses, *step.addresses))
        assert len(more.addresses) <= self.addresses_per_nic
        self._now(nics={**self.observed.nics, step.role: more})

    @_do.register
    def _(self, step: UnassignAddresses) -> None:
        nic = self.observed.nics[step.role]
        assert step.addresses
        assert set(step.addresses) <= set(nic.addresses[1:])
        assert not any(one.associated in step.addresses for one in self.observed.elastic_ips)
        kept = tuple(address for address in nic.addresses if address not in step.addresses)
        self._now(nics={**self.observed.nics, step.role: replace(nic, addresses=kept)})

    @_do.register
    def _(self, step: AllocateElasticIp) -> None:
        if len(self.observed.elastic_ips) >= self.elastic_quota:
            raise LimitReached
        self._given += 1
        public = IPv4Address("198.51.100.0") + self._given
        made = ElasticIp(f"eipalloc-{self._given}", public, step.address, None)
        self._now(elastic_ips=(*self.observed.elastic_ips, made))

    @_do.register
    def _(self, step: AssociateElasticIp) -> None:
        assert self.observed.gateway_attached
        assert step.address in self.observed.nics[step.role].addresses
        (mine,) = [one for one in self.observed.elastic_ips if one.wanted_for == step.address]
        self._now(
            elastic_ips=tuple(
                replace(one, associated=step.address) if one == mine else one
                for one in self.observed.elastic_ips
            )
        )

    def _unbind(self, address: IPv4Address) -> None:
        self._now(
            elastic_ips=tuple(
                replace(one, associated=None) if one.associated == address else one
                for one in self.observed.elastic_ips
            )
        )

    @_do.register
    def _(self, step: ReleaseElasticIp) -> None:
        kept = tuple(one for one in self.observed.elastic_ips if one.public != step.public)
        assert len(kept) == len(self.observed.elastic_ips) - 1
        self._now(elastic_ips=kept)

    @_do.register
    def _(self, step: RunInstance) -> None:
        assert self.observed.node is None
        assert not self.observed.leaving
        assert self.observed.public_key
        assert step.roles[:2] == ("management", "provider")
        assert not any(nic.index is not None for nic in self.observed.nics.values())
        for index, role in enumerate(step.roles):
            self._place(role, index)
        self._given += 1
        node = Node("demo-controller", f"i-{self._given}", "running", ())
        self._now(node=node, instance_type=step.instance_type)

    @_do.register
    def _(self, step: AttachNic) -> None:
        assert self.observed.node is not None
        assert self.observed.node.state in ("running", "stopped")
        assert self.observed.nics[step.role].index is None
        assert step.index not in {nic.index for nic in self.observed.nics.values()}
        self._place(step.role, step.index)

    @_do.register
    def _(self, step: DetachNic) -> None:
        assert self.observed.nics[step.role].index
        self._place(step.role, None)

    def _place(self, role: Role, index: int | None) -> None:
        nic = replace(self.observed.nics[role], index=index)
        self._now(nics={**self.observed.nics, role: nic})

    @_do.register
    def _(self, step: StopInstance) -> None:
        self._turn("running", "stopping")

    @_do.register
    def _(self, step: AwaitStopped) -> None:
        self._turn("stopping", "stopped")

    @_do.register
    def _(self, step: StartInstance) -> None:
        self._turn("stopped", "pending")

    @_do.register
    def _(self, step: AwaitRunning) -> None:
        self._turn("pending", "running")

    def _turn(self, before: str, after: str) -> None:
        assert self.observed.node is not None
        assert self.observed.node.state == before
        self._now(node=replace(self.observed.node, state=after))

    @_do.register
    def _(self, step: TerminateInstance) -> None:
        assert self.observed.node is not None
        self._now(node=None, instance_type=None)
        for role in self.observed.nics:
            self._place(role, None)

    @_do.register
    def _(self, step: DeleteNic) -> None:
        assert self.observed.nics[step.role].index is None
        for address in self.observed.nics[step.role].addresses:
            self._unbind(address)
        self._now(nics=_without(self.observed.nics, step.role))

    @_do.register
    def _(self, step: DeleteGroup) -> None:
        assert step.role not in self.observed.nics
        self._now(groups=_without(self.observed.groups, step.role))

    @_do.register
    def _(self, step: DeleteSubnet) -> None:
        assert step.role not in self.observed.nics
        self._now(subnets=_without(self.observed.subnets, step.role))

    @_do.register
    def _(self, step: DetachInternetGateway) -> None:
        assert self.observed.gateway_attached
        assert not any(one.associated for one in self.observed.elastic_ips)
        self._now(gateway_attached=False)

    @_do.register
    def _(self, step: DeleteInternetGateway) -> None:
        assert not self.observed.gateway_attached
        self._now(gateway_id=None, default_route=False)

    @_do.register
    def _(self, step: DeleteVpc) -> None:
        assert not self.observed.subnets
        assert not self.observed.groups
        assert not self.observed.gateway_attached
        self._now(vpc_id=None, vpc=None, default_route=False)
