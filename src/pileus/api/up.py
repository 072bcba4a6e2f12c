"""`up`: from whatever there is to what is wanted, stage by stage, and the checks at the end.

Each stage looks first and does only what is missing, so a run that was cut off anywhere is
completed by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from pileus.api import controller, environment, tenant
from pileus.api.environment import Cloud
from pileus.api.outside import Outside, WireView
from pileus.api.publications import Record, published
from pileus.api.status import look
from pileus.model.errors import Fault
from pileus.model.node import Login
from pileus.model.publishing import Published
from pileus.model.report import Progress
from pileus.model.status import Check, UpResult
from pileus.model.tenant import ObservedRouter
from pileus.model.underlay import Node
from pileus.spec import Spec
from pileus.system.workspace import Workspace
from pileus.trace import checks


def up(spec: Spec, workspace: Workspace, progress: Progress) -> UpResult:
    """Bring the cloud to what is wanted and check that it works.

    Raises Busy when another command holds the cloud, UserError and Refused before anything is
    touched, CloudFault and CommandFailed when a part fails, and Fault when a check does.
    """
    with workspace.lock():
        return _up(Cloud(spec, workspace), progress)


def _up(cloud: Cloud, progress: Progress) -> UpResult:
    ports = published(cloud.spec, Record.read(cloud.workspace.wanted()))
    environment.open_simulated(cloud, progress)
    aws = environment.reach_aws(cloud)
    changed: list[str] = []
    with progress.stage("underlay") as stage:
        before = _dropped_before(cloud, aws.observe(cloud.spec.cloud).node)
        changed += environment.ensure(aws, environment.wanted(cloud, aws, ports), stage)
        machine = environment.require_node(aws.observe(cloud.spec.cloud))
    with progress.stage("machine") as stage:
        stage.note(f"waiting for SSH at {controller.management_public(machine)}")
        controller.require_size(controller.wait_for_ssh(cloud, machine))
    with progress.stage("openstack") as stage:
        stage.note("configuring services")
        changed += controller.configure(cloud, machine).changed
    with progress.stage("networks and servers") as stage:
        steps, observed = tenant.bring_up(cloud, machine, ports, stage)
        changed += steps
        router = tenant.require_router(observed)
    with progress.stage("published ports"):
        changed += tenant.publish_ports(cloud, machine, router, ports)
    with progress.stage("checks") as stage:
        results = []
        for check in checks.run(_scene(cloud, machine, router, ports, before), _checks(ports)):
            stage.note(check.sentence)
            results.append(check)
    _require_all(results)
    return UpResult(
        look(cloud),
        tuple(changed),
        tuple(Check(item.sentence, item.ok is not False, item.detail) for item in results),
    )


def _dropped_before(cloud: Cloud, machine: Node | None) -> checks.Counters:
    """What was dropped before this run; nothing for a machine that this run makes."""
    return (WireView(cloud, machine).counters() if machine else None) or {}


def _checks(ports: frozenset[Published]) -> Sequence[checks.Check]:
    """Without a published SSH port nobody outside can look into a server."""
    if _ssh_port(ports) is not None:
        return checks.CHECKS
    inside = {"internet-reaches-server", "server-reaches-internet"}
    return [check for check in checks.CHECKS if check.name not in inside]


def _ssh_port(ports: frozenset[Published]) -> Published | None:
    return next((item for item in sorted(ports) if item.private.port == 22), None)


def _scene(
    cloud: Cloud,
    machine: Node,
    router: ObservedRouter,
    ports: frozenset[Published],
    before: checks.Counters,
) -> checks.Scene:
    nic = machine.nic("provider")
    target = _ssh_port(ports)
    return checks.Scene(
        node=controller.login(cloud, machine),
        namespace=router.namespace,
        server=Login(
            nic.primary.public or IPv4Address(0),
            tenant.GUEST_USER,
            cloud.workspace.private_key,
            cloud.workspace.directory / "known_hosts_servers",
            target.registered.port if target else 22,
        ),
        server_address=target.private.address if target else IPv4Address(0),
        page="http://www.example.com/",
        nic=nic.mac,
        device=controller.device_name(cloud, machine, nic.mac),
        registered=nic.primary.private,
        outside=Outside(cloud),
        wire=WireView(cloud, machine),
        baseline=before,
    )


def _require_all(results: list[checks.Checked]) -> None:
    failed = [f"{check.sentence}: {check.detail}" for check in results if check.ok is False]
    if failed:
        raise Fault(
            "the cloud is built but does not work; failed: " + "; ".join(failed),
            hint="see `pileus sim wire` for what the cloud below dropped, then run `pileus up`",
            retryable=True,
        )
