"""`sim` and `image`: a simulated region on its own, or below a cloud."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pileus.api import images, preflight
from pileus.api.environment import SIMULATED_KEYS, Cloud
from pileus.model.errors import Refused, UserError
from pileus.model.report import Progress
from pileus.model.status import NicTraffic, RegionStatus, SimEndpoint, WireReport
from pileus.spec import Spec
from pileus.spec.checks import NAME
from pileus.system.workspace import Workspace
from pileus.underlay.aws import AwsEndpoint
from pileus.underlay.aws.quotas import raise_quota
from pileus.vpc import control, faults
from pileus.vpc.control import Offer, RunningRegion

HOSTS = ("internet",)


@dataclass(frozen=True)
class SimOptions:
    """How a region on its own is started; `images` are written NAME=DIRECTORY."""

    api_region: str = "us-east-1"
    port: int = 0
    images: tuple[str, ...] = ()


def sim_name(name: str) -> str:
    """A region's name as the user gives it. Raises Refused for what can be none."""
    if not NAME.fullmatch(name):
        raise Refused(
            f"`{name}` cannot be a region's name",
            hint="use a-z, 0-9 and -, beginning with a letter, 32 characters at most",
        )
    return name


def sim_name_of(spec: Spec, workspace: Workspace) -> str:
    """The name of the region below a cloud. Raises Refused where that is not simulated."""
    cloud = Cloud(spec, workspace)
    if not cloud.simulated:
        raise Refused(
            f"cloud `{spec.cloud}` is not simulated", hint="set underlay.endpoint to simulated"
        )
    return cloud.region


def sim_up(region: str, options: SimOptions, progress: Progress) -> SimEndpoint:
    """Have a region running: started where there is none, left alone where there is one, and
    brought back as it was where its process has died.

    Raises Refused where the host or an option is not fit, Fault when it does not start.
    """
    running = control.reach(region)
    if running is None:
        preflight.require_region()
        offered = _images(options.images)
        with progress.stage("region") as stage:
            running = control.start(region, Offer(offered, options.api_region, options.port))
            stage.note(running.url)
    return _endpoint(running)


def _images(written: Sequence[str]) -> dict[str, Path]:
    """The images that a region offers: those that are named, and the baked one."""
    baked = images.controller_image()
    offered = {baked.name: baked.root} if baked.baked else {}
    for text in written:
        name, _, directory = text.partition("=")
        root = Path(directory)
        if not (name and directory and root.is_dir()):
            raise Refused(
                f"`{text}` is no machine image", hint="write --image NAME=DIRECTORY, of a root"
            )
        offered[name] = root.resolve()
    return offered


def sim_down(region: str, progress: Progress) -> list[str]:
    """Remove a region and all that is in it; what was removed.

    Raises Refused where a cloud lives in it.
    """
    if region not in control.existing():
        return []
    _require_no_cloud(region)
    with progress.stage("region"):
        control.remove(region)
    return [f"removed the region {region}"]


def sim_reset(region: str, progress: Progress) -> list[str]:
    """Remove everything in a region, whose API goes on; what was removed.

    Raises Refused where a cloud lives in it, and UserError where there is none.
    """
    _require_no_cloud(region)
    with progress.stage("region"):
        control.reset(region)
    return [f"emptied the region {region}"]


def _require_no_cloud(region: str) -> None:
    if control.carries_cloud(region):
        raise Refused(
            f"the region {region} carries the cloud `{region}`",
            hint="remove the cloud with `pileus down`, or give --name for another region",
        )


def sim_status(region: str) -> RegionStatus:
    """A region and what is in it."""
    running = control.reach(region)
    if running is None:
        return RegionStatus(region, "down", None)
    return RegionStatus(region, "up", _endpoint(running), control.overview(region), _faults(region))


def sim_list() -> list[RegionStatus]:
    """The regions of this host, without what is in them."""
    found = [(name, control.find(name)) for name in control.existing()]
    return [
        RegionStatus(name, "up", _endpoint(one), faults=_faults(name))
        if one
        else RegionStatus(name, "down", None)
        for name, one in found
    ]


def _faults(region: str) -> dict[str, str]:
    return faults.switched_on(control.faults_of(region))


def sim_endpoint(region: str) -> SimEndpoint:
    """Where a region's EC2 API is. Raises UserError when it does not run."""
    return _endpoint(_running(region))


def _endpoint(running: RunningRegion) -> SimEndpoint:
    return SimEndpoint(
        running.name, running.url, running.api_region, running.check_ip_url, SIMULATED_KEYS
    )


def sim_exec(region: str, host: str, words: list[str]) -> list[str]:
    """The argument list that runs a command on a host of the simulation.

    Raises Refused for a host that is not there.
    """
    name = _running(region).name
    if host in HOSTS:
        return control.internet_command(name, words)
    if host.startswith("i-"):
        return control.instance_command(name, host, words)
    raise Refused(
        f"there is no host `{host}`", hint=f"hosts are: {', '.join(HOSTS)}, and instances' ids"
    )


def sim_wire(region: str) -> WireReport:
    """What the wire let through and dropped, per NIC, and the last frames that it dropped."""
    name = _running(region).name
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
            for report in control.counters(name)
        ),
        control.drops(name),
    )


def sim_capture(
    region: str, eni: str, count: int | None = None, seconds: float | None = None
) -> Iterator[bytes]:
    """A pcap stream of one NIC's frames, both ways, until there were `count` or time is up.

    Raises Refused for a NIC that is not plugged in.
    """
    return control.capture(_running(region).name, eni, count=count, seconds=seconds)


def sim_quota(region: str, name: str, value: int) -> list[str]:
    """Raise a quota of a region by its Service Quotas API; what changed, as sentences.

    Raises Refused for an unknown quota and for a smaller value.
    """
    running = _running(region)
    endpoint = AwsEndpoint(running.api_region, running.url, running.check_ip_url, SIMULATED_KEYS)
    done = raise_quota(endpoint, name, value)
    return [done] if done else []


def sim_fault(region: str, name: str, value: str) -> None:
    """Switch one of a region's faults, from now on. Raises Refused for what there is not."""
    control.set_fault(_running(region).name, name, value)


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


def _running(region: str) -> RunningRegion:
    running = control.reach(region)
    if running is None:
        raise UserError(
            f"the simulated region {region} is not running",
            hint="bring it up with `pileus up`, or with `pileus sim up` on its own",
        )
    return running
