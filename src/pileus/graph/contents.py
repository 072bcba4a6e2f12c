"""What a picture shows of a scene: both clouds, and what stands between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pileus.graph.picture import Edge, Kind, Node, Picture, printable
from pileus.model.ends import MANAGEMENT, Network
from pileus.model.publishing import Published
from pileus.model.scene import Neutron, Port, RouterState, Scene, ServerState, VpcNic
from pileus.model.underlay import Role
from pileus.trace.resolve import names
from pileus.trace.route import PROVIDER_BRIDGE

_INTERNET = Node("internet", Kind.INTERNET, "internet")
_Parts = Iterator[Node | Edge]


def picture(title: str, scene: Scene) -> Picture:
    """Everything that has an address in either cloud, and the networks between."""
    parts = [_INTERNET, *_elastic_ips(scene), *_nics(scene), *_inside(scene)]
    nodes = tuple(part for part in parts if isinstance(part, Node))
    edges = dict.fromkeys(part for part in parts if isinstance(part, Edge))
    return Picture(printable(title), nodes, tuple(edges))


def _node(id: str, kind: Kind, name: str, lines: Iterable[str], *called: str) -> Node:
    """`called` is what a trace calls it: by default as it is named."""
    return Node(id, kind, printable(name), tuple(map(printable, lines)), called or (name,))


def _bridges(scene: Scene) -> dict[Role, tuple[str, Network | None]]:
    """Behind each provider NIC a bridge, br-ex for the first, then br-ex2; and what is on it."""
    roles = [role for role in scene.vpc.nics if role != MANAGEMENT]
    return {
        role: (PROVIDER_BRIDGE + (str(number) if number > 1 else ""), _network_of(role, scene))
        for number, role in enumerate(roles, start=1)
    }


def _network_of(role: Role, scene: Scene) -> Network | None:
    """OpenStack's network on a NIC's subnet; a project's own may look alike but for its name."""
    cidr = scene.vpc.nics[role].interface.subnet
    there = {subnet.network for subnet in scene.neutron.subnets if subnet.cidr == cidr}
    found = [network for network in scene.neutron.networks if network.id in there]
    return min(found, key=lambda network: network.name != role, default=None)


# The cloud below.


def _elastic_ips(scene: Scene) -> _Parts:
    """Those that are not associated lead nowhere."""
    nics = scene.vpc.nics.values()
    holders = {address: nic.interface.eni for nic in nics for address in nic.addresses}
    for public, private in sorted({**scene.vpc.loose, **scene.vpc.elastic}.items()):
        id, loose = f"elastic-ip:{public}", public not in scene.vpc.elastic
        lines = [f"for {private}, not associated" if loose else f"→ {private}"]
        yield _node(id, Kind.ELASTIC_IP, str(public), lines, str(public), str(private))
        yield Edge(_INTERNET.id, id)
        if not loose and private in holders:
            yield Edge(id, f"nic:{holders[private]}")


def _nics(scene: Scene) -> _Parts:
    """Each NIC with what is behind it: the machine itself, or the uplink and its bridge."""
    bridges = _bridges(scene)
    for role, nic in scene.vpc.nics.items():
        id, device = f"nic:{nic.interface.eni}", nic.interface.device
        yield _node(id, Kind.NIC, device, _about_nic(nic), device, nic.interface.eni, role)
        if role == MANAGEMENT:
            called = (scene.machine, "controller")
            yield _node("machine", Kind.MACHINE, scene.machine, [scene.vpc.machine], *called)
            yield Edge(id, "machine")
        else:
            uplink, (bridge, network) = f"uplink:{device}", bridges[role]
            mode = scene.uplinks[role].mode if role in scene.uplinks else "not known"
            yield _node(uplink, Kind.UPLINK, mode, [f"on {device}"], device)
            yield _node(f"bridge:{bridge}", Kind.BRIDGE, bridge, _about_bridge(network, nic))
            yield Edge(id, uplink)
            yield Edge(uplink, f"bridge:{bridge}")


def _about_bridge(network: Network | None, nic: VpcNic) -> Iterator[str]:
    if network:
        yield f"network {network.name}"
    yield str(nic.interface.subnet)


def _about_nic(nic: VpcNic) -> Iterator[str]:
    yield from (nic.interface.role, nic.interface.eni, str(nic.interface.mac))
    yield from map(str, nic.addresses)
    if not nic.attached:
        yield "not attached"


# OpenStack.


def _inside(scene: Scene) -> _Parts:
    neutron, called = scene.neutron, names(scene.neutron)
    bridges = {network.id: bridge for bridge, network in _bridges(scene).values() if network}
    at = {id: f"bridge:{bridge}" for id, bridge in bridges.items()}
    for network in neutron.networks:
        if network.id not in bridges:
            at[network.id] = id = f"network:{network.id}"
            cidrs = [str(one.cidr) for one in neutron.subnets if one.network == network.id]
            yield _node(id, Kind.NETWORK, network.name, cidrs, called[network.id])
    for router in neutron.routers:
        id, ports = f"router:{router.id}", _ports(neutron, router.id, at)
        yield _node(id, Kind.ROUTER, router.name, _about_router(router, ports), called[router.id])
        for port in ports:
            ends = (at[port.network], id) if port.network in bridges else (id, at[port.network])
            yield Edge(*ends)
    for server in neutron.servers:
        id, ports = f"server:{server.id}", _ports(neutron, server.id, at)
        about = _about_server(server, ports, scene)
        yield _node(id, Kind.SERVER, server.name, about, called[server.id])
        yield from (Edge(at[port.network], id) for port in ports)


def _ports(neutron: Neutron, device: str, networks: Iterable[str]) -> list[Port]:
    """The ports of a router or server, on networks that are known."""
    return [port for port in neutron.ports if port.device == device and port.network in networks]


def _about_router(router: RouterState, ports: Iterable[Port]) -> Iterator[str]:
    if not router.up:
        yield "administratively down"
    for port in sorted(ports, key=lambda port: port.network != router.external):
        outer = port.network == router.external
        yield from (f"gateway {one}" if outer else str(one) for one in port.addresses)
        if outer:
            yield str(port.mac)


def _about_server(server: ServerState, ports: Iterable[Port], scene: Scene) -> Iterator[str]:
    if server.status != "ACTIVE":
        yield server.status
    for port in ports:
        yield from map(str, port.addresses)
        yield str(port.mac)
        yield from _reached_by(port, scene)


def _reached_by(port: Port, scene: Scene) -> Iterator[str]:
    """A server's floating IP, and its published ports: by their Elastic IP where there is one."""
    publics = {private: public for public, private in scene.vpc.elastic.items()}
    for floating in scene.neutron.floating:
        if floating.port == port.id:
            yield f"floating {floating.address}"
    for item in sorted(_published(scene, port.network)):
        if item.private.address in port.addresses:
            at = publics.get(item.registered.address, item.registered.address)
            yield f"{at}:{item.registered.port}/{item.protocol} → :{item.private.port}"


def _published(scene: Scene, network: str) -> set[Published]:
    """By the routers on a network: projects may have the same addresses on others."""
    near = {port.device for port in scene.neutron.ports if port.network == network}
    found = [*scene.published.items()]
    found += [(str(one.router), one.forwards) for one in scene.neutron.floating]
    return {item for router, items in found if router in near for item in items}
