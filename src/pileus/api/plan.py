"""`plan`: what `up` would change, as far as it can be told without changing anything."""

from __future__ import annotations

from pileus.api import environment, images, tenant
from pileus.api.environment import Cloud
from pileus.api.record import Record
from pileus.api.wanted import Wants, wants
from pileus.model.errors import PileusError
from pileus.model.status import PlanResult
from pileus.model.underlay import Node
from pileus.openstack import observe
from pileus.openstack import plan as plan_openstack
from pileus.plan.underlay import plan_underlay
from pileus.spec import Spec
from pileus.system.workspace import Workspace


def plan(spec: Spec, workspace: Workspace) -> PlanResult:
    """The changes that `up` would make, in order. Nothing is changed, on disk neither.

    Raises Refused where `up` would: for what cannot be changed, and where a limit is in the way.
    """
    cloud = Cloud(spec, workspace)
    aws = environment.find_aws(cloud)
    if aws is None:
        return PlanResult(("start the simulated region", *_bake(cloud), *_REST))
    want = wants(spec, Record.read(workspace.wanted()))
    to = environment.growth(cloud, aws, want)
    changes = tuple(str(step) for step in plan_underlay(to.final, to.observed))
    environment.require_room(aws, to)
    machine = to.observed.node
    if machine is None:
        return PlanResult((*_bake(cloud), *changes, *_REST[1:]))
    return PlanResult((*changes, *_inside(cloud, machine, want)))


def _bake(cloud: Cloud) -> tuple[str, ...]:
    baked = not cloud.simulated or images.controller_image().baked
    return () if baked else ("bake the machine image",)


_REST = (
    "make the environment, one machine and its addresses",
    "configure OpenStack on the machine",
    "make networks, router and servers",
    "publish ports",
)


def _inside(cloud: Cloud, machine: Node, want: Wants) -> tuple[str, ...]:
    target = tenant.target_of(cloud, machine, want)
    try:
        seen = observe(tenant.connection(cloud, machine), target)
    except PileusError:
        return _REST[1:]
    return tuple(str(step) for step in plan_openstack(target, seen))
