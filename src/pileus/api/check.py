"""`check`: what must be true before a cloud can work, looked at on every layer below OpenStack.

Nothing is changed, and OpenStack is not asked. What can be looked at at the same time is.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pileus.api import controller, environment, images, preflight
from pileus.api.environment import Cloud
from pileus.api.record import Record
from pileus.api.wanted import wants
from pileus.model.errors import CommandFailed, PileusError, Refused
from pileus.model.finding import CheckReport, Finding
from pileus.model.limits import Limits
from pileus.model.underlay import Node, ObservedUnderlay, WantedUnderlay
from pileus.model.verdict import Code
from pileus.plan.capacity import shortages
from pileus.plan.underlay import plan_underlay
from pileus.plan.wanted import Caller, wanted_underlay
from pileus.spec import Spec
from pileus.system.clock import seconds
from pileus.system.runner import here, root_on
from pileus.system.workspace import Workspace
from pileus.trace import machine, on_host, on_machine, on_underlay
from pileus.underlay.aws import Aws


def check(spec: Spec, workspace: Workspace) -> CheckReport:
    """Look at the cloud below and at the machine; where there is none yet, at what will carry it.

    A simulated region that does not run would be carried by this host. What is wrong is a finding;
    raises CloudFault and UserError only where the cloud below cannot be asked.
    """
    start = seconds()
    cloud = Cloud(spec, workspace)
    aws = environment.find_aws(cloud)
    findings = tuple(_host(cloud) if aws is None else _below(cloud, aws))
    return CheckReport(spec.cloud, findings, seconds() - start)


def _host(cloud: Cloud) -> Iterator[Finding]:
    """This host, whose kernel its simulated machines will share."""
    host = preflight.look(images.images_directory())
    yield from on_host.judge(host, baked=images.controller_image().baked)
    yield from on_machine.kernel(machine.gather(here()), cloud.spec.openstack.hypervisor)


def _below(cloud: Cloud, aws: Aws) -> Iterator[Finding]:
    with ThreadPoolExecutor(max_workers=2) as together:
        limits = together.submit(aws.limits, cloud.spec.underlay.instance_type)
        wanted = together.submit(_wanted, cloud, aws)
        observed = aws.observe(cloud.spec.cloud)
        inside = tuple(_inside(cloud, observed.node)) if observed.node else ()
    yield from _environment(wanted.result(), observed, limits.result())
    yield from inside


def _wanted(cloud: Cloud, aws: Aws) -> WantedUnderlay:
    """The environment as it should be. A key that is missing is not made."""
    want = wants(cloud.spec, Record.read(cloud.workspace.wanted()))
    public = cloud.workspace.private_key.with_suffix(".pub")
    key = public.read_text().strip() if public.exists() else ""
    image = images.controller_image().name
    return wanted_underlay(
        cloud.spec, Caller(aws.caller_address(), key), want.ports, image, want.floating
    )


def _environment(
    wanted: WantedUnderlay, observed: ObservedUnderlay, limits: Limits
) -> Iterator[Finding]:
    short = {one.code: one.what for one in shortages(wanted, observed, limits)}
    yield from on_underlay.instance_type(limits.instance_type, len(wanted.nics))
    yield from on_underlay.room(observed, limits, short)
    if observed.vpc_id is not None:
        yield _same(wanted, observed)
        yield from on_underlay.judge(wanted, observed)


def _same(wanted: WantedUnderlay, observed: ObservedUnderlay) -> Finding:
    try:
        plan_underlay(wanted, observed)
    except Refused as refused:
        return Finding(Code.DIFFERS, "pileus.yaml", False, refused.message)
    return Finding(Code.DIFFERS, "pileus.yaml", True, "nothing that `pileus up` would refuse")


def _inside(cloud: Cloud, node: Node) -> Iterator[Finding]:
    """The machine, by one SSH call. Where it cannot answer one, the cloud below has said why."""
    if node.state != "running" or "management" not in {nic.role for nic in node.nics}:
        return
    hypervisor = cloud.spec.openstack.hypervisor
    expected = on_machine.Expected(node, controller.host_name(node), hypervisor)
    try:
        seen = machine.gather(root_on(controller.login(cloud, node)), machine.CLOCK)
    except PileusError as error:
        yield Finding(Code.NODE_UNREACHABLE, "SSH", False, _last_line(error))
        return
    yield Finding(Code.NODE_UNREACHABLE, "SSH", True, "answers")
    yield from on_machine.judge(seen, expected)


def _last_line(error: PileusError) -> str:
    """What the program said in the end, without its long command."""
    said = error.output.strip() if isinstance(error, CommandFailed) else ""
    return said.splitlines()[-1] if said else error.message
