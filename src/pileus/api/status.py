"""`status`: what is there, layer by layer, as far down as it can be reached."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from pileus.api import controller, environment, tenant
from pileus.api.environment import Cloud
from pileus.api.record import Record
from pileus.api.wanted import Wants, wants
from pileus.model.addresses import Socket
from pileus.model.errors import PileusError
from pileus.model.publishing import Published
from pileus.model.status import (
    NicStatus,
    NodeStatus,
    OpenStackStatus,
    PublishedStatus,
    RouterStatus,
    ServerStatus,
    State,
    Status,
    UnderlayStatus,
)
from pileus.model.tenant import ObservedOpenStack
from pileus.model.underlay import Nic, Node
from pileus.openstack import observe
from pileus.spec import ROUTER, Server, Spec
from pileus.system.workspace import Workspace
from pileus.uplink import on_node


@dataclass(frozen=True)
class Seen:
    """What was found; layers that are missing or do not answer are None or empty."""

    endpoint: str | None = None
    vpc_id: str | None = None
    machine: Node | None = None
    inside: ObservedOpenStack | None = None
    published: frozenset[Published] = frozenset()


def status(spec: Spec, workspace: Workspace) -> Status:
    """What is there now; changes nothing."""
    return look(Cloud(spec, workspace))


def look(cloud: Cloud) -> Status:
    """Observe every layer, from the cloud below upward."""
    seen = _see(cloud)
    under = cloud.spec.underlay
    nodes = (_node(seen.machine, cloud.spec.cloud),) if seen.machine else ()
    answering = seen.machine if seen.inside else None
    return Status(
        cloud=cloud.spec.cloud,
        state=_state(cloud, seen),
        underlay=UnderlayStatus(under.kind, under.region, seen.endpoint, seen.vpc_id),
        nodes=nodes,
        openstack=OpenStackStatus(
            cloud.spec.openstack.release,
            controller.auth_url(answering) if answering else None,
            controller.dashboard_url(answering) if answering else None,
        ),
        routers=_routers(seen.inside),
        servers=tuple(_server(server, seen) for server in cloud.spec.servers),
    )


def _see(cloud: Cloud) -> Seen:
    aws = environment.find_aws(cloud)
    if aws is None:
        return Seen()
    below = aws.observe(cloud.spec.cloud)
    seen = Seen(aws.endpoint_url, below.vpc_id, below.node)
    if below.node is None or below.node.state != "running":
        return seen
    try:
        target = tenant.target_of(cloud, below.node, Wants())
        inside = observe(tenant.connection(cloud, below.node), target)
    except PileusError:
        return seen
    return replace(seen, inside=inside, published=_published(cloud, below.node, inside))


def _published(cloud: Cloud, machine: Node, inside: ObservedOpenStack) -> frozenset[Published]:
    """What is in force: by the router as its node's agent says, by Neutron on floating IPs."""
    router = inside.routers.get(ROUTER)
    if router is None:
        return inside.forwards
    try:
        agent = on_node.status(controller.login(cloud, machine))
    except PileusError:
        return inside.forwards
    return inside.forwards | agent.published.get(router.id, frozenset())


def _state(cloud: Cloud, seen: Seen) -> State:
    if seen.vpc_id is None and seen.machine is None:
        return "down"
    wanted = wants(cloud.spec, Record.read(cloud.workspace.wanted())).ports
    running = seen.inside is not None and all(
        server.name in seen.inside.servers and seen.inside.servers[server.name].status == "ACTIVE"
        for server in cloud.spec.servers
    )
    return "up" if running and seen.published == wanted else "partial"


def _node(machine: Node, name: str) -> NodeStatus:
    nics = tuple(_nic(nic) for nic in machine.nics)
    public = next((n.primary.public for n in machine.nics if n.role == "management"), None)
    return NodeStatus(machine.name or name, machine.instance_id, public, nics)


def _nic(nic: Nic) -> NicStatus:
    return NicStatus(nic.role, nic.device, nic.mac, nic.addresses)


def _routers(inside: ObservedOpenStack | None) -> tuple[RouterStatus, ...]:
    return tuple(
        RouterStatus(
            name,
            router.gateway.address if router.gateway else None,
            router.gateway.mac if router.gateway else None,
        )
        for name, router in sorted((inside.routers if inside else {}).items())
    )


def _server(server: Server, seen: Seen) -> ServerStatus:
    there = seen.inside.servers.get(server.name) if seen.inside else None
    ports = sorted(p for p in seen.published if p.private.address == server.fixed_ip)
    return ServerStatus(
        server.name,
        server.fixed_ip if there else None,
        there.floating_ip if there else None,
        tuple(PublishedStatus(_public(seen.machine, p), p.registered, p.private) for p in ports),
    )


def _public(machine: Node | None, port: Published) -> Socket | None:
    publics: dict[IPv4Address, IPv4Address] = {
        address.private: address.public
        for nic in (machine.nics if machine else ())
        for address in nic.addresses
        if address.public is not None
    }
    public = publics.get(port.registered.address)
    return Socket(public, port.registered.port) if public else None
