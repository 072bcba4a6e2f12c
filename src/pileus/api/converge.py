"""What `up` and the commands that change a running cloud have in common.

The order keeps every address usable for as long as anybody may use it: the cloud below grows
first, then OpenStack follows, then the cloud below lets go of what OpenStack no longer uses.
"""

from __future__ import annotations

from dataclasses import dataclass

from pileus.api import controller, environment, tenant
from pileus.api.environment import Cloud
from pileus.api.wanted import Wants
from pileus.model.errors import Refused
from pileus.model.report import Progress
from pileus.model.tenant import ObservedRouter
from pileus.model.underlay import Node
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
    to = environment.growth(cloud, aws, want)
    machine = environment.require_node(to.observed)
    environment.require_room(aws, to)
    if not follows(cloud, machine):
        raise Refused(
            "pileus.yaml has another `uplink`, or other `more_providers`, than the machine",
            hint="run `pileus up` first, or undo the change in pileus.yaml",
        )
    tenant.require_possible(cloud, machine, want)


def follows(cloud: Cloud, machine: Node) -> bool:
    """Whether the machine's uplink has the mode and the provider NICs that pileus.yaml says.

    Raises CommandFailed where the machine has no agent that could tell.
    """
    under = cloud.spec.underlay
    roles = {"provider", *(one.name for one in under.more_providers)}
    macs = {nic.role: nic.mac for nic in machine.providers}
    nics = on_node.status(controller.login(cloud, machine)).nics
    return roles <= set(macs) and {(nic.mac, nic.mode) for nic in nics} == {
        (macs[role], cloud.spec.uplink) for role in roles
    }


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
