"""`stop` and `start`: the machine off and on again, with everything that is on it."""

from __future__ import annotations

from pileus.api import environment
from pileus.api.environment import Cloud
from pileus.api.up import up
from pileus.model.errors import UserError
from pileus.model.report import Progress
from pileus.model.status import UpResult
from pileus.plan.underlay import plan_stop
from pileus.spec import Spec
from pileus.system.workspace import Workspace


def stop(spec: Spec, workspace: Workspace, progress: Progress) -> list[str]:
    """Shut the machine down, servers first; addresses, disks and Elastic IPs stay.

    Raises UserError when the cloud is down, and Busy when another command holds it.
    """
    with workspace.lock():
        cloud = Cloud(spec, workspace)
        aws = environment.reach_aws(cloud)
        with progress.stage("underlay") as stage:
            observed = aws.observe(spec.cloud)
            environment.require_node(observed)
            return environment.apply(aws, spec.cloud, plan_stop(observed), stage)


def start(spec: Spec, workspace: Workspace, progress: Progress) -> UpResult:
    """Start the machine, and see to it that everything on it is there again: as `up` does.

    Raises UserError when the cloud is down: `start` makes nothing.
    """
    aws = environment.reach_aws(Cloud(spec, workspace))
    if aws.observe(spec.cloud).node is None:
        raise UserError("there is no machine to start", hint="make one with `pileus up`")
    return up(spec, workspace, progress)
