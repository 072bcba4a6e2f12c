"""A cloud below in which nothing is missing, with one floating IP: as wanted, and as observed."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from underlay_world import World

from pileus.model.underlay import (
    InstanceType,
    Nic,
    ObservedUnderlay,
    Registered,
    WantedUnderlay,
)
from pileus.plan.addresses import floating_addresses
from pileus.plan.underlay import plan_underlay
from pileus.plan.wanted import Caller, wanted_underlay
from pileus.spec import loads

CALLER = Caller(IPv4Address("203.0.113.7"), "ssh-ed25519 AAAA me")
XLARGE = InstanceType("m5.xlarge", 16 * 1024, 4, 15, False)


def wanted(floating: int = 1) -> WantedUnderlay:
    spec = loads(f"floating_ips: {floating}".encode(), name="pileus.yaml")
    return wanted_underlay(spec, CALLER, (), "image", floating_addresses(spec))


def built(target: WantedUnderlay) -> ObservedUnderlay:
    """A whole cloud, with the NICs as the machine has them."""
    world = World()
    for step in plan_underlay(target, world.observed):
        world.apply(step)
    observed = world.observed
    publics = {one.associated: one.public for one in observed.elastic_ips}
    nics = tuple(
        Nic(
            role,
            there.id,
            there.mac,
            tuple(Registered(a, publics[a]) for a in there.addresses),
            there.index,
        )
        for role in observed.roles
        for there in [observed.nics[role]]
    )
    assert observed.node is not None
    return replace(observed, node=replace(observed.node, nics=nics))


WANTED = wanted()
HEALTHY = built(WANTED)
