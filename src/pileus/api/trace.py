"""`trace`: a packet's way through both clouds, as it must be and as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from pileus.api import controller, environment, tenant
from pileus.api.environment import Cloud
from pileus.api.eyes import PATIENCE, eyes
from pileus.api.record import Record
from pileus.api.wanted import Wants, wants
from pileus.model.agent import AgentStatus, NicState
from pileus.model.ends import MANAGEMENT, Ends
from pileus.model.errors import Fault, PileusError, Refused, UserError
from pileus.model.path import Asked, Half, Trace
from pileus.model.publishing import Published
from pileus.model.scene import Neutron, Scene, UplinkState, Vpc, VpcNic
from pileus.model.underlay import Node
from pileus.openstack import scene as openstack
from pileus.spec import ROUTER, Spec
from pileus.system import http
from pileus.system.clock import seconds
from pileus.system.workspace import Workspace
from pileus.trace import compare
from pileus.trace.connectivity import reason
from pileus.trace.observe import Eyes, starting, watch
from pileus.trace.predict import predict
from pileus.trace.resolve import resolve
from pileus.trace.route import route
from pileus.underlay.aws import Aws
from pileus.uplink import on_node
from pileus.vpc.internet import CLIENT

_UNSEEN = "the cloud below is a real one: what happens inside of its network is predicted only"
_SILENT_AGENT = "the uplink's agent does not answer: its rules are taken to be as they should"
_UNPROBED = "nothing was sent: this is what the APIs of both clouds say"


def trace(
    spec: Spec,
    workspace: Workspace,
    asked: Asked,
    *,
    probe: bool = True,
) -> Trace:
    """Follow a packet there and back; without `probe`, as the APIs say, sending nothing.

    Raises Refused for ends that there are not, UserError where the cloud is down, and CloudFault
    where an API does not answer.
    """
    cloud = Cloud(spec, workspace)
    start = seconds()
    with ExitStack() as stack:
        below = reach(cloud)
        looking = _starting(cloud, below.machine, stack) if probe else None
        answer = follow(cloud, gather(cloud, below), asked, probe=probe, looking=looking)
    return replace(answer, seconds=seconds() - start)


def _starting(cloud: Cloud, machine: Node, stack: ExitStack) -> Eyes | None:
    """None where there is no looking, which is told later on."""
    try:
        _require_running(machine)
        return stack.enter_context(starting(eyes(cloud, machine)))
    except PileusError:
        return None


def follow(
    cloud: Cloud, seen: Seen, asked: Asked, *, probe: bool = True, looking: Eyes | None = None
) -> Trace:
    """`trace`, with what was asked of both clouds already, and eyes that are opening or none."""
    start = seconds()
    ends = seen.find(asked)
    predicted = predict(ends, seen.scene)
    observed = _observed(cloud, seen, ends, looking) if probe else None
    table = compare.rows(route(ends), predicted, observed)
    notes = tuple(_notes(cloud, seen, predicted, observed))
    return Trace(cloud.spec.cloud, asked, table, compare.failing(table), notes, seconds() - start)


def _observed(cloud: Cloud, seen: Seen, ends: Ends, looking: Eyes | None) -> Half:
    """Nothing but a note where the machine cannot be looked at: the other half may say why."""
    try:
        _require_running(seen.machine)
        return watch(ends, route(ends), looking or eyes(cloud, seen.machine))
    except PileusError as error:
        return Half((), (f"nothing was observed: {reason(error)}",))


def _notes(cloud: Cloud, seen: Seen, predicted: Half, observed: Half | None) -> Iterator[str]:
    if seen.silent:
        yield f"OpenStack could not be asked: {seen.silent}"
    yield from seen.agent.problems if seen.agent else (_SILENT_AGENT,)
    yield from predicted.notes
    yield from observed.notes if observed else (_UNPROBED,)
    if not cloud.simulated:
        yield _UNSEEN


@dataclass(frozen=True)
class Seen:
    """What was asked of both clouds and of the machine."""

    scene: Scene
    agent: AgentStatus | None
    """None where it does not answer."""
    silent: PileusError | None
    """Why OpenStack could not be asked."""
    machine: Node

    def find(self, asked: Asked) -> Ends:
        """Both ends. Raises Refused, or, where it was OpenStack who could tell them, its error."""
        try:
            return resolve(asked, self.scene)
        except Refused as refused:
            raise self.silent or refused from refused


@dataclass(frozen=True)
class Below:
    """The cloud below and the machine there."""

    aws: Aws
    machine: Node


def reach(cloud: Cloud) -> Below:
    """Raises UserError where the cloud is down, and CloudFault where it cannot be asked."""
    aws = environment.reach_aws(cloud)
    return Below(aws, environment.require_node(aws.observe(cloud.spec.cloud)))


def gather(cloud: Cloud, below: Below | None = None) -> Seen:
    """The API state of both clouds and of the uplink, all asked at the same time.

    Raises what `reach` does, where that was not done before.
    """
    there = below or reach(cloud)
    aws, machine = there.aws, there.machine
    with ThreadPoolExecutor(max_workers=3) as together:
        vpc_told = together.submit(_vpc, aws, cloud)
        inside = together.submit(_neutron, cloud, machine)
        agent = together.submit(_agent, cloud, machine)
        here = _here(aws)
        vpc, status = vpc_told.result(), agent.result()
        neutron, silent = inside.result()
    return Seen(_scene(cloud, machine, here, vpc, neutron, status), status, silent, machine)


def _here(aws: Aws) -> IPv4Address | None:
    try:
        return aws.caller_address()
    except PileusError:
        return None


def _vpc(aws: Aws, cloud: Cloud) -> Vpc:
    vpc = aws.vpc(cloud.spec.cloud)
    if vpc is None:
        raise UserError(f"cloud `{cloud.spec.cloud}` is down", hint="bring it up with `pileus up`")
    return vpc


def _neutron(cloud: Cloud, machine: Node) -> tuple[Neutron, PileusError | None]:
    """Where it does not answer, the cloud below may say why."""
    try:
        _require_running(machine)
        _knock(machine)
        connection = tenant.connection(cloud, machine)
        return openstack.read(connection, cloud.spec.cloud), None
    except PileusError as error:
        return Neutron(), error


def _require_running(machine: Node) -> None:
    if machine.state != "running":
        raise UserError(f"the machine is {machine.state}", hint="start it with `pileus start`")


def _knock(machine: Node) -> None:
    """The SDK would wait for minutes where nobody answers."""
    url = controller.auth_url(machine)
    try:
        http.get(url, direct=True, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise Fault(
            f"{url} does not answer: {error}",
            hint="see why with `pileus trace here controller --port 5000`",
            retryable=True,
        ) from error


def _agent(cloud: Cloud, machine: Node) -> AgentStatus | None:
    try:
        _require_running(machine)
        return on_node.status(replace(controller.login(cloud, machine), patience=PATIENCE))
    except PileusError:
        return None


def _scene(
    cloud: Cloud,
    machine: Node,
    here: IPv4Address | None,
    vpc: Vpc,
    neutron: Neutron,
    status: AgentStatus | None,
) -> Scene:
    states = {one.mac: one for one in status.nics} if status else {}
    known = {
        role: (nic, states.get(nic.interface.mac))
        for role, nic in vpc.nics.items()
        if role != MANAGEMENT
    }
    named = {role: _named(nic, state) for role, (nic, state) in known.items()}
    return Scene(
        machine=machine.name,
        internet=CLIENT if cloud.simulated or here is None else here,
        here=here,
        vpc=replace(vpc, nics={**vpc.nics, **named}),
        neutron=neutron,
        uplinks={role: _uplink(cloud, nic, state) for role, (nic, state) in known.items()},
        published=_published(cloud, neutron, status),
    )


def _named(nic: VpcNic, state: NicState | None) -> VpcNic:
    """As the machine calls it."""
    device = state.device if state else None
    return replace(nic, interface=replace(nic.interface, device=device)) if device else nic


def _uplink(cloud: Cloud, nic: VpcNic, state: NicState | None) -> UplinkState:
    """As its machine has learned it; as is wanted, where that does not answer."""
    if state:
        return UplinkState(state.mode, frozenset(state.registered), state.learned)
    return UplinkState(cloud.spec.uplink, frozenset(nic.addresses))


def _published(
    cloud: Cloud, neutron: Neutron, status: AgentStatus | None
) -> Mapping[str, frozenset[Published]]:
    """What is in force as the agent says, else what is wanted of our router."""
    if status:
        return status.published
    want: Wants = wants(cloud.spec, Record.read(cloud.workspace.wanted()))
    return {one.id: want.published for one in neutron.routers if one.name == ROUTER}
