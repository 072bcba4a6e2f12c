"""`down`: remove everything that was made for a cloud, and nothing else."""

from __future__ import annotations

from pileus.api import environment, preflight
from pileus.api.environment import Cloud
from pileus.model.errors import Fault
from pileus.model.report import Progress, Stage
from pileus.spec import Spec
from pileus.system.workspace import Workspace
from pileus.underlay.aws import Aws
from pileus.vpc import control


def down(spec: Spec, workspace: Workspace, progress: Progress) -> list[str]:
    """Remove the environment, its simulated region and the cloud's files; what was removed.

    Works from any state that an interrupted command left. Raises Busy when another command holds
    the cloud, Refused for a user who may not, and CloudFault when an API refuses.
    """
    with workspace.lock():
        cloud = Cloud(spec, workspace)
        if cloud.simulated:
            preflight.require_root()
        removed: list[str] = []
        aws = environment.find_aws(cloud)
        if aws is not None:
            with progress.stage("underlay") as stage:
                removed += _remove_environment(cloud, aws, stage)
        if cloud.simulated:
            with progress.stage("region"):
                control.remove(cloud.region)
        workspace.remove()
        return removed


def _remove_environment(cloud: Cloud, aws: Aws, stage: Stage) -> list[str]:
    """A simulated region that fails at it does not hold `down` up: it goes as a whole."""
    try:
        return environment.remove(aws, cloud.spec.cloud, stage)
    except Fault as fault:
        if not cloud.simulated:
            raise
        stage.note(fault.message)
        return []
