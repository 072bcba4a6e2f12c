"""The cloud below, as commands use it: opened, brought to what is wanted, looked at, removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pileus.api import images, preflight
from pileus.api.wanted import Wants
from pileus.model.errors import Refused, UserError
from pileus.model.finding import require
from pileus.model.report import Progress, Stage
from pileus.model.underlay import Node, ObservedUnderlay, WantedUnderlay
from pileus.model.underlay_steps import Step
from pileus.plan.capacity import require_growth
from pileus.plan.underlay import plan_removal, plan_underlay, with_nics_there
from pileus.plan.wanted import Caller, wanted_underlay
from pileus.spec import Spec
from pileus.system.workspace import Workspace
from pileus.trace import on_underlay
from pileus.underlay.aws import Aws, AwsEndpoint
from pileus.vpc import control
from pileus.vpc.control import Offer

AWS_CHECK_IP = "https://checkip.amazonaws.com"
SIMULATED_KEYS = ("simulated", "simulated")
"""The simulated region verifies no signature; real keys are never sent to it."""


@dataclass(frozen=True)
class Cloud:
    """A cloud as commands know it: what it should be, and where its state is."""

    spec: Spec
    workspace: Workspace

    @property
    def simulated(self) -> bool:
        return self.spec.underlay.endpoint == "simulated"

    @property
    def region(self) -> str:
        """Name of its simulated region: each cloud has one of its own."""
        return self.spec.cloud


def open_simulated(cloud: Cloud, progress: Progress) -> None:
    """Have the cloud's simulated region running. Does nothing where it runs."""
    if not cloud.simulated:
        return
    _require_root(cloud)
    if control.reach(cloud.region) is not None:
        if not control.carries_cloud(cloud.region):
            raise Refused(
                f"the simulated region {cloud.region} was started by `pileus sim up`",
                hint="remove it with `pileus sim down`, or give the cloud another name",
            )
        return
    image = images.controller_image()
    preflight.require(preflight.look(images.images_directory()), baked=image.baked)
    with progress.stage("region") as stage:
        offer = Offer({image.name: image.root}, cloud.spec.underlay.region, cloud=True)
        running = control.start(cloud.region, offer)
        stage.note(running.url)


def bake_image(cloud: Cloud, progress: Progress) -> None:
    """Have the image baked that a machine of the simulated region boots from."""
    image = images.controller_image()
    if not cloud.simulated or image.baked:
        return
    with progress.stage("image") as stage:
        images.bake(image, stage, cloud.workspace.directory / "logs" / "image.log")


def find_aws(cloud: Cloud) -> Aws | None:
    """The cloud below as it can be reached now; None where a simulated region does not run.

    Raises Refused for a user who may not use the one that is there.
    """
    region = cloud.spec.underlay.region
    if not cloud.simulated:
        return Aws(AwsEndpoint(region, None, AWS_CHECK_IP))
    _require_root(cloud)
    running = control.find(cloud.region)
    if running is None:
        return None
    return Aws(AwsEndpoint(region, running.url, running.check_ip_url, SIMULATED_KEYS))


def reach_aws(cloud: Cloud) -> Aws:
    """The cloud below; a simulated region whose process has died is brought back as it was.

    Raises UserError where there is no such region or it is not this user's, and Fault where it does
    not come back.
    """
    if cloud.simulated:
        _require_root(cloud)
        control.reach(cloud.region)
    aws = find_aws(cloud)
    if aws is None:
        raise UserError(f"cloud `{cloud.spec.cloud}` is down", hint="bring it up with `pileus up`")
    return aws


def _require_root(cloud: Cloud) -> None:
    """Its machines, and the state of the cloud, are root's where there is a region."""
    if cloud.region in control.existing():
        preflight.require_root()


def wanted(cloud: Cloud, aws: Aws, wants: Wants) -> WantedUnderlay:
    """The environment as it should be."""
    caller = Caller(aws.caller_address(), cloud.workspace.public_key())
    image = images.controller_image().name
    return wanted_underlay(cloud.spec, caller, wants.ports, image, wants.floating)


@dataclass(frozen=True)
class Growth:
    """What the environment is to be, and what it is on the way there."""

    final: WantedUnderlay
    grown: WantedUnderlay
    """Takes no address and no NIC away yet."""
    observed: ObservedUnderlay


def growth(cloud: Cloud, aws: Aws, wants: Wants) -> Growth:
    """From what there is to what is wanted."""
    there = aws.observe(cloud.spec.cloud)
    kept = {
        address
        for role, nic in there.nics.items()
        if role != "management"
        for address in nic.addresses[1:]
    }
    floating = tuple(sorted({*wants.floating, *kept}))
    grown = wanted(cloud, aws, replace(wants, floating=floating))
    return Growth(wanted(cloud, aws, wants), with_nics_there(grown, there), there)


def require_room(aws: Aws, to: Growth) -> None:
    """Raise Refused where a limit is in the way of what is wanted, or of the way there."""
    if to.observed.node is None:
        require_instance_type(aws, to.final.instance_type)
    if plan_underlay(to.grown, to.observed):
        require_growth(to.final, to.grown, to.observed, aws.limits(to.final.instance_type))


def grow(cloud: Cloud, aws: Aws, wants: Wants, stage: Stage) -> list[str]:
    """Bring the environment to what is wanted, and take no address and no NIC away yet.

    What is inside OpenStack lets go of an address before the cloud below does: see `settle`.
    Raises Refused, before anything is made, where a limit is in the way.
    """
    to = growth(cloud, aws, wants)
    require_room(aws, to)
    return ensure(aws, to.grown, stage)


def settle(cloud: Cloud, aws: Aws, wants: Wants, stage: Stage) -> list[str]:
    """Bring the environment to exactly what is wanted; what was done, a sentence each."""
    return ensure(aws, wanted(cloud, aws, wants), stage)


def require_instance_type(aws: Aws, name: str) -> None:
    """Refuse an instance type that cannot carry a controller, before anything is made."""
    require(on_underlay.instance_type(aws.instance_type(name)))


def ensure(aws: Aws, target: WantedUnderlay, stage: Stage) -> list[str]:
    """Bring the environment to what is wanted; returns what was done, a sentence each."""
    return apply(aws, target.cloud, plan_underlay(target, aws.observe(target.cloud)), stage)


def remove(aws: Aws, cloud: str, stage: Stage) -> list[str]:
    """Remove everything that carries the cloud's tag; returns what was done."""
    return apply(aws, cloud, plan_removal(aws.observe(cloud)), stage)


def apply(aws: Aws, cloud: str, steps: Sequence[Step], stage: Stage) -> list[str]:
    """Do what was planned; what was done, a sentence each."""
    for step in steps:
        stage.note(str(step))
        aws.apply(cloud, step)
    return [str(step) for step in steps]


def require_node(observed: ObservedUnderlay) -> Node:
    """The cloud's machine. Raises UserError where there is none."""
    if observed.node is None:
        raise UserError("the cloud has no machine", hint="bring it up with `pileus up`")
    return observed.node
