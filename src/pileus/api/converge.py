"""What `up` and the commands that change a running cloud have in common.

The order keeps every address usable for as long as anybody may use it: the cloud below grows
first, then OpenStack follows, then the cloud below lets go of what OpenStack no longer uses.
"""

from __future__ import annotations

from dataclasses import dataclass

from pileus.api import controller, environment, tenant
from pileus.api.environment import Cloud
from pileus.api.wanted import Wants
from pileus.model.report import Progress
from pileus.model.tenant import ObservedRouter
from pileus.model.underlay import Node
from pileus.plan.capacity import require_capacity
from pileus.underlay.aws import Aws
from pileus.uplink import on_node

REGISTERED_SECONDS = 60.0
"""How long instance metadata may take to name an address that was just registered."""


@dataclass(frozen=True)
class Inside:
    """What was done inside the machine, and the router that carries the published ports."""

    changed: tuple[str, ...]
    router: ObservedRouter


def require_possible(cloud: Cloud, aws: Aws, want: Wants) -> None:
    """Raise Refused for what cannot be, before anything is recorded or changed."""
    target, observed = environment.wanted(cloud, aws, want), aws.observe(cloud.spec.cloud)
    require_capacity(target, observed, aws.limits(target.instance_type))
    tenant.require_possible(cloud, environment.require_node(observed), want)


def inside(cloud: Cloud, aws: Aws, machine: Node, want: Wants, progress: Progress) -> Inside:
    """Bring what is inside OpenStack to what is wanted, then the cloud below, exactly."""
    with progress.stage("networks and servers") as stage:
        changed, observed = tenant.bring_up(cloud, machine, want, stage)
        router = tenant.require_router(observed)
    with progress.stage("published ports") as stage:
        changed += tenant.publish_ports(cloud, machine, router, want)
        changed += environment.settle(cloud, aws, want, stage)
        stage.note("waiting until the uplink has the registered addresses")
        login = controller.login(cloud, machine)
        for nic in environment.require_node(aws.observe(cloud.spec.cloud)).providers:
            addresses = frozenset(address.private for address in nic.addresses)
            on_node.await_registered(login, nic.mac, addresses, REGISTERED_SECONDS)
    return Inside(tuple(changed), router)
