"""`check connectivity`: a running cloud is tried from all its places, and left as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address

from pileus.api import controller, tenant
from pileus.api.environment import Cloud
from pileus.api.outside import Outside, WireView
from pileus.api.record import Record
from pileus.api.trace import Seen, follow, gather
from pileus.api.wanted import Wants, wants
from pileus.model.addresses import Socket, reserved_addresses
from pileus.model.connectivity import ConnectivityReport, Tried
from pileus.model.errors import Fault, PileusError, UserError
from pileus.model.path import Asked, Trace
from pileus.model.publishing import Published
from pileus.model.scene import (
    ANY,
    Neutron,
    Permit,
    Port,
    RouterState,
    ServerState,
)
from pileus.model.tenant import ANYWHERE
from pileus.model.underlay import Node
from pileus.model.verdict import Code
from pileus.spec import ROUTER, Spec
from pileus.system import process, ssh
from pileus.system.clock import seconds
from pileus.system.process import Done
from pileus.system.runner import Runner, root_on
from pileus.system.workspace import Workspace
from pileus.trace import batch, connectivity
from pileus.trace.checks import Nic, forge_once
from pileus.trace.connectivity import (
    INTERNET,
    NODE,
    WIRE,
    Place,
    Scene,
    Server,
    Way,
    by_commands,
)

_AT_ONCE, _TRACES = 16, 3
_ALL = (1, 65535)
_CLOSED = range(523, 65536)
"""Ports of which one is looked for that must be closed."""
_WHERE_AM_I = ["sh", "-c", "hostname; ip -4 addr"]


@dataclass(frozen=True)
class _Stage:
    """What there is, as both clouds' APIs and the record of commands say it."""

    cloud: Cloud
    seen: Seen
    router: RouterState
    want: Wants

    @property
    def machine(self) -> Node:
        return self.seen.machine

    @property
    def neutron(self) -> Neutron:
        return self.seen.scene.neutron


def check_connectivity(
    spec: Spec, workspace: Workspace, names: Sequence[str] = (), *, again: bool = True
) -> ConnectivityReport:
    """Try each way that must be open, and those that must be closed; `names` chooses cases.

    With `again`, what fails is tried once more before it is told, with the hops of its way. Raises
    UserError where there is no cloud that runs, Refused for a name that is none, and CloudFault
    where the cloud below cannot be asked what there is.
    """
    start = seconds()
    cloud = Cloud(spec, workspace)
    seen = gather(cloud)
    if seen.machine.state != "running":
        raise UserError("the cloud's machine is off", hint="start it with `pileus start`")
    try:
        stage = _stage(cloud, seen)
    except PileusError as error:
        tried: tuple[Tried, ...] = (_nobody_in(error, seen),)
    else:
        chosen = connectivity.chosen(list(connectivity.cases(_scene(stage))), names)
        tried = connectivity.run(chosen, _places(stage), again=again)
    return ConnectivityReport(spec.cloud, _traced(cloud, seen, tried), seconds() - start)


def _nobody_in(error: PileusError, seen: Seen) -> Tried:
    """Without the machine, or OpenStack's word of what there is, nothing can be tried."""
    case = connectivity.entry_of_the_machine()
    told = f"{connectivity.reason(error)} ({error.hint})"
    return Tried(case.name, case.sentence, False, told, case.asked, code=_who(error, seen))


def _who(error: PileusError, seen: Seen) -> Code | None:
    """Who is silent; None where somebody answers, and refuses or lacks something."""
    if error is not seen.silent:
        return None
    if not seen.agent:
        return Code.NODE_UNREACHABLE
    return Code.NODE_SERVICE_DEAD if isinstance(error, Fault) and error.retryable else None


def _traced(cloud: Cloud, seen: Seen, tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """What failed, with the hop where its packet dies; the same question is asked once."""
    questions = {one.asked for one in tried if one.ok is False and one.asked}
    with ThreadPoolExecutor(_TRACES) as pool:
        traces = pool.map(partial(_trace, cloud, seen), questions)
        answers = dict(zip(questions, traces, strict=True))
    return tuple(
        _with_hops(one, answers[one.asked]) if one.ok is False and one.asked else one
        for one in tried
    )


def _with_hops(tried: Tried, answer: Trace | PileusError) -> Tried:
    """What a case says stands without its hops."""
    if isinstance(answer, PileusError):
        return replace(tried, untraced=f"{connectivity.reason(answer)} ({answer.hint})")
    return replace(tried, trace=answer)


def _trace(cloud: Cloud, seen: Seen, asked: Asked) -> Trace | PileusError:
    try:
        return follow(cloud, seen, asked)
    except PileusError as error:
        return error


def _stage(cloud: Cloud, seen: Seen) -> _Stage:
    """Raises what kept OpenStack from being asked, and Fault where there is no router of ours."""
    if seen.silent:
        raise seen.silent
    want = wants(cloud.spec, Record.read(cloud.workspace.wanted()))
    return _Stage(cloud, seen, _router(seen.scene.neutron, cloud.spec), want)


def _router(neutron: Neutron, spec: Spec) -> RouterState:
    """By its registered address; where it has no gateway now, the cloud's own by its name."""
    own = spec.underlay.registered_address
    at = {port.device for port in neutron.ports if own in port.addresses}
    routers = sorted(neutron.routers, key=lambda one: one.id not in at)
    for router in routers:
        if router.id in at or (router.name == ROUTER and router.id in neutron.own):
            return router
    raise Fault("the router is missing", hint="run `pileus up` to make it again")


def _scene(stage: _Stage) -> Scene:
    nic = stage.machine.nic("provider")
    device = stage.seen.scene.vpc.nics["provider"].interface.device
    running = {one.name for one in _own_servers(stage) if one.status == "ACTIVE"}
    return Scene(
        router=stage.router.name,
        namespace=f"qrouter-{stage.router.id}",
        instance_id=stage.machine.instance_id,
        provider=Nic(device, nic.mac, nic.primary.private),
        unregistered=_unregistered(stage),
        closed=_closed(stage),
        servers=tuple(
            Server(server.name, server.fixed_ip)
            for server in stage.cloud.spec.servers
            if server.name in running
        ),
        ways=(*_published(stage), *_floating(stage)),
    )


def _own_servers(stage: _Stage) -> Iterator[ServerState]:
    """Those that pileus.yaml names: users may have servers of the same names."""
    return (one for one in stage.neutron.servers if one.id in stage.neutron.own)


def _unregistered(stage: _Stage) -> IPv4Address:
    """The last address of the provider subnet that nobody has."""
    subnet = stage.cloud.spec.underlay.provider
    taken = (
        reserved_addresses(subnet)
        | _publics(stage).keys()
        | {ip.address for ip in stage.neutron.floating}
    )
    candidates = (subnet.broadcast_address - n for n in range(1, subnet.num_addresses))
    return next(address for address in candidates if address not in taken)


def _closed(stage: _Stage) -> Socket | None:
    own = stage.cloud.spec.underlay.registered_address
    public = _publics(stage).get(own)
    taken = {port.registered.port for port in stage.want.published}
    free = next(port for port in _CLOSED if port not in taken)
    return Socket(public, free) if public else None


def _publics(stage: _Stage) -> dict[IPv4Address, IPv4Address | None]:
    return stage.machine.publics


def _published(stage: _Stage) -> Iterator[Way]:
    names = {server.fixed_ip: server.name for server in stage.cloud.spec.servers}
    for port in sorted(stage.want.ports):
        yield Way(
            public=_publics(stage).get(port.registered.address),
            registered=port.registered,
            protocol=port.protocol,
            server=names[port.private.address],
            address=port.private.address,
            login=_landing(stage, port.registered) if _is_ssh(port) else None,
        )


def _is_ssh(port: Published) -> bool:
    return port.protocol == "tcp" and port.private.port == tenant.SSH_PORT


def _floating(stage: _Stage) -> Iterator[Way]:
    """Ours by logging in; others' where they answer pings."""
    ours = {server.id for server in _own_servers(stage)}
    names = {server.id: server.name for server in stage.neutron.servers}
    for ip in sorted(stage.neutron.floating, key=lambda one: one.address):
        port = stage.neutron.port(ip.port) if ip.port else None
        if port is None or ip.fixed is None:
            continue
        server = names.get(port.device, str(ip.fixed))
        own = port.device in ours
        at = Socket(ip.address, tenant.SSH_PORT)
        if own or _answers(port, stage.neutron):
            yield Way(
                public=_publics(stage).get(ip.address),
                registered=at,
                protocol="tcp",
                server=server,
                address=ip.fixed,
                login=_landing(stage, at) if own else None,
                floating=True,
                shut=_shut(port, stage.neutron),
            )


def _shut(port: Port, neutron: Neutron) -> int | None:
    """A TCP port that no security group of a server opens to an address, whichever it is."""
    permits = [one for one in _permits(port, neutron) if not one.outwards and one.group is None]
    spans = [one.ports or _ALL for one in permits if one.protocol in (ANY, "tcp")]
    if not port.filtered:
        return None
    return next((n for n in _CLOSED if not any(a <= n <= b for a, b in spans)), None)


def _answers(port: Port, neutron: Neutron) -> bool:
    """Whether a server, by OpenStack's word, answers pings from anywhere."""
    rules = _permits(port, neutron)
    return port.status == "ACTIVE" and (not port.filtered or any(map(_lets_ping_in, rules)))


def _permits(port: Port, neutron: Neutron) -> list[Permit]:
    return [permit for group in port.groups for permit in neutron.groups.get(group, ())]


def _lets_ping_in(permit: Permit) -> bool:
    anywhere = permit.group is None and permit.far in (None, ANYWHERE)
    return not permit.outwards and permit.protocol in (ANY, "icmp") and anywhere


def _landing(stage: _Stage, registered: Socket) -> tuple[str, ...] | None:
    public = _publics(stage).get(registered.address)
    if public is None:
        return None
    login = tenant.server_login(stage.cloud, Socket(public, registered.port))
    return tuple(ssh.command(login, _WHERE_AM_I))


def _places(stage: _Stage) -> dict[str, Place]:
    """How to run commands at each place."""
    node = root_on(controller.login(stage.cloud, stage.machine))
    outside, wire = Outside(stage.cloud), WireView(stage.cloud, stage.machine)
    return {
        NODE: by_commands(partial(batch.run_all, node)),
        INTERNET: by_commands(partial(_side_by_side, outside)),
        WIRE: lambda _: [forge_once(node, _forger(stage), wire)],
        **{
            server.name: by_commands(partial(batch.run_all, _in_server(stage, server.fixed_ip)))
            for server in stage.cloud.spec.servers
        },
    }


def _forger(stage: _Stage) -> Nic:
    """The management NIC, which has no pipeline that would stop a forged frame first."""
    nic = stage.machine.nic("management")
    device = controller.device_name(stage.cloud, stage.machine, nic.mac)
    return Nic(device, nic.mac, nic.primary.private)


def _side_by_side(outside: Outside, commands: Sequence[Sequence[str]]) -> list[Done]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(outside.run, commands))


def _in_server(stage: _Stage, address: IPv4Address) -> Runner:
    space = f"qrouter-{stage.router.id}"

    def run(
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        command = tenant.shell_by(stage.cloud, stage.machine, space, address, list(argv))
        return process.run(command, stdin=stdin, timeout=timeout, check=check)

    return run
