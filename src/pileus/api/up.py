"""`up`: from whatever there is to what is wanted, stage by stage, and the checks at the end.

Each stage looks first and does only what is missing, so a run that was cut off anywhere is
completed by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from pileus.api import controller, converge, environment, tenant
from pileus.api.environment import Cloud
from pileus.api.outside import Outside, WireView
from pileus.api.record import Record
from pileus.api.status import look
from pileus.api.wanted import Wants, wants
from pileus.model.addresses import Socket
from pileus.model.errors import CloudFault, Fault, PileusError, Refused
from pileus.model.node import Login
from pileus.model.publishing import Published
from pileus.model.report import Progress, Stage
from pileus.model.status import Check, UpResult
from pileus.model.tenant import ObservedRouter
from pileus.model.underlay import Node
from pileus.spec import Spec
from pileus.system import clock
from pileus.system.workspace import Workspace
from pileus.trace import checks

OPENSTACK_SECONDS = 180.0
"""How long OpenStack may take to answer after its machine let us in."""


def up(spec: Spec, workspace: Workspace, progress: Progress) -> UpResult:
    """Bring the cloud to what is wanted and check that it works.

    Raises Busy when another command holds the cloud, UserError and Refused before anything is
    touched, CloudFault and CommandFailed when a part fails, and Fault when a check does.
    """
    with workspace.lock():
        return _up(Cloud(spec, workspace), progress)


def _up(cloud: Cloud, progress: Progress) -> UpResult:
    want = wants(cloud.spec, Record.read(cloud.workspace.wanted()))
    environment.open_simulated(cloud, progress)
    cloud.workspace.make_credentials()
    aws = environment.reach_aws(cloud)
    there = aws.observe(cloud.spec.cloud).node
    if there is None:
        environment.require_room(aws, environment.growth(cloud, aws, want))
        environment.bake_image(cloud, progress)
    changed: list[str] = []
    with progress.stage("underlay") as stage:
        before = _dropped_before(cloud, there)
        asked = _asked(cloud, there, want)
        changed += environment.grow(cloud, aws, want, stage)
        machine = environment.require_node(aws.observe(cloud.spec.cloud))
    with progress.stage("machine") as stage:
        stage.note(f"waiting for SSH at {controller.management_public(machine)}")
        controller.require_size(controller.wait_for_ssh(cloud, machine))
        if there is not None and not asked:
            _ask_late(cloud, machine, want, stage)
    with progress.stage("openstack") as stage:
        stage.note("configuring services")
        changed += controller.configure(cloud, machine).changed
    inside = converge.inside(cloud, aws, machine, want, progress)
    changed += inside.changed
    machine = environment.require_node(aws.observe(cloud.spec.cloud))
    with progress.stage("checks") as stage:
        results = []
        for check in checks.run(_scene(cloud, machine, inside.router, want, before), _checks(want)):
            stage.note(check.sentence)
            results.append(check)
    _require_all(results)
    return UpResult(
        look(cloud),
        tuple(changed),
        tuple(Check(item.sentence, item.ok is not False, item.detail) for item in results),
    )


def _asked(cloud: Cloud, machine: Node | None, want: Wants) -> bool:
    """Refuse what OpenStack cannot follow to before anything is changed; whether it was asked."""
    if machine is None or machine.state != "running":
        return False
    try:
        tenant.require_possible(cloud, machine, want)
    except Refused:
        raise
    except PileusError:
        return False  # not configured yet, or not well: what follows is there to mend that
    return True


def _ask_late(cloud: Cloud, machine: Node, want: Wants, stage: Stage) -> None:
    """Ask OpenStack as soon as it answers, where the machine's uplink is about to change.

    Else everybody behind the old uplink would be cut off before OpenStack could object.
    """
    try:
        if converge.follows(cloud, machine):
            return
    except PileusError:
        return  # no agent yet, and nobody behind an uplink
    stage.note("waiting for OpenStack, to ask it before the uplink changes")

    def look() -> bool | None:
        try:
            tenant.require_possible(cloud, machine, want)
        except CloudFault:
            return None
        return True

    clock.poll(
        look,
        what="the uplink is to change, and OpenStack did not say who uses it",
        hint="write `uplink` and `more_providers` as they were, run `pileus up`, which mends "
        "OpenStack, and change them then",
        timeout=OPENSTACK_SECONDS,
        interval=2,
    )


def _dropped_before(cloud: Cloud, machine: Node | None) -> checks.Counters:
    """What was dropped before this run; nothing for a machine that this run makes."""
    return (WireView(cloud, machine).counters() if machine else None) or {}


def _checks(want: Wants) -> Sequence[checks.Check]:
    """Without a published SSH port nobody outside can look into a server."""
    left_out = set()
    if _ssh_port(want) is None:
        left_out |= {"internet-reaches-server", "server-reaches-internet"}
    if not want.holders:
        left_out.add("internet-reaches-floating-ips")
    return [check for check in checks.CHECKS if check.name not in left_out]


def _ssh_port(want: Wants) -> Published | None:
    return next(
        (
            item
            for item in sorted(want.ports)
            if (item.protocol, item.private.port) == ("tcp", tenant.SSH_PORT)
        ),
        None,
    )


def _scene(
    cloud: Cloud,
    machine: Node,
    router: ObservedRouter,
    want: Wants,
    before: checks.Counters,
) -> checks.Scene:
    target = _ssh_port(want)
    management = machine.nic("management")
    return checks.Scene(
        node=controller.login(cloud, machine),
        namespace=router.namespace,
        server=_server_login(cloud, machine, target.registered if target else None),
        server_address=target.private.address if target else IPv4Address(0),
        page="http://www.example.com/",
        forger=checks.Nic(
            controller.device_name(cloud, machine, management.mac),
            management.mac,
            management.primary.private,
        ),
        outside=Outside(cloud),
        wire=WireView(cloud, machine),
        baseline=before,
        floating=tuple(
            (_server_login(cloud, machine, Socket(address, tenant.SSH_PORT)), server.fixed_ip)
            for address, name in sorted(want.holders.items())
            for server in cloud.spec.servers
            if server.name == name
        ),
    )


def _server_login(cloud: Cloud, machine: Node, at: Socket | None) -> Login:
    """By the Elastic IP of a registered address; nowhere, where there is none."""
    publics = machine.publics
    public = (publics.get(at.address) if at else None) or IPv4Address(0)
    return tenant.server_login(cloud, Socket(public, at.port if at else tenant.SSH_PORT))


def _require_all(results: list[checks.Checked]) -> None:
    failed = [f"{check.sentence}: {check.detail}" for check in results if check.ok is False]
    if failed:
        raise Fault(
            "the cloud is built but does not work; failed: " + "; ".join(failed),
            hint="`pileus check connectivity` tries each way and traces those that fail, `pileus "
            "trace SOURCE DESTINATION` follows one packet; then run `pileus up`",
            retryable=True,
        )
