"""`sim` and `image`: the simulated region on its own."""

from __future__ import annotations

from pileus.api import images, preflight
from pileus.api.environment import SIMULATED_KEYS, Cloud
from pileus.model.errors import Refused, UserError
from pileus.model.report import Progress
from pileus.model.status import NicTraffic, WireReport
from pileus.spec import Spec
from pileus.system.workspace import Workspace
from pileus.underlay.aws import AwsEndpoint
from pileus.underlay.aws.quotas import raise_quota
from pileus.vpc import control
from pileus.vpc.control import RunningRegion

HOSTS = ("internet",)


def sim_endpoint(spec: Spec, workspace: Workspace) -> str:
    """URL of the cloud's simulated EC2 API. Raises UserError when it does not run."""
    return _running(spec, workspace).url


def sim_exec(spec: Spec, workspace: Workspace, host: str, words: list[str]) -> list[str]:
    """The argument list that runs a command on a host of the simulation.

    Raises Refused for a host that is not there.
    """
    if host not in HOSTS:
        raise Refused(f"there is no host `{host}`", hint=f"hosts are: {', '.join(HOSTS)}")
    return control.internet_command(_running(spec, workspace).name, words)


def sim_wire(spec: Spec, workspace: Workspace) -> WireReport:
    """What the wire let through and dropped, per NIC."""
    return WireReport(
        tuple(
            NicTraffic(
                report.nic.eni,
                report.nic.instance,
                report.nic.device,
                report.nic.mac,
                report.nic.registered,
                report.passed_out,
                report.passed_in,
                report.dropped,
                report.metadata_requests,
            )
            for report in control.counters(_running(spec, workspace).name)
        )
    )


def sim_quota(spec: Spec, workspace: Workspace, name: str, value: int) -> list[str]:
    """Raise a quota of the region by its Service Quotas API; what changed, as sentences.

    Raises Refused for an unknown quota and for a smaller value.
    """
    running = _running(spec, workspace)
    region = spec.underlay.region
    endpoint = AwsEndpoint(region, running.url, running.check_ip_url, SIMULATED_KEYS)
    done = raise_quota(endpoint, name, value)
    return [done] if done else []


def sim_fault(spec: Spec, workspace: Workspace, name: str, value: str) -> None:
    """Switch one of the region's faults, from now on. Raises Refused for what there is not."""
    control.set_fault(_running(spec, workspace).name, name, value)


def image_build(spec: Spec, workspace: Workspace, progress: Progress) -> str:  # noqa: ARG001
    """Bake the machine image unless it is there; where it is."""
    image = images.controller_image()
    if not image.baked:
        preflight.require(preflight.look(images.images_directory()), baked=False)
        with progress.stage("image") as stage:
            images.bake(image, stage, images.images_directory() / "bake.log")
    return str(image.root)


def image_exists(spec: Spec, workspace: Workspace) -> bool:  # noqa: ARG001
    """Whether the machine image is baked."""
    return images.controller_image().baked


def _running(spec: Spec, workspace: Workspace) -> RunningRegion:
    cloud = Cloud(spec, workspace)
    if not cloud.simulated:
        raise Refused(
            f"cloud `{spec.cloud}` is not simulated", hint="set underlay.endpoint to simulated"
        )
    running = control.find(cloud.region)
    if running is None:
        raise UserError(
            f"the simulated region of cloud `{spec.cloud}` is not running",
            hint="bring it up with `pileus up`",
        )
    return running
