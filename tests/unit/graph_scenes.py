"""Scenes to draw: the default cloud, one with two projects, and random ones."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import strategies as st
from trace_ends import PRIVATE
from trace_scene import NEUTRON, SCENE

from pileus.graph.picture import Edge, Kind, Mark, Node, Picture, printable
from pileus.model.addresses import Mac
from pileus.model.ends import Network
from pileus.model.scene import (
    FloatingIp,
    Neutron,
    Port,
    RouterState,
    Scene,
    ServerState,
    Subnet,
    UplinkState,
)

A = IPv4Address
_PROVIDER = Network("provider", "n-provider")


def _only(scene: Scene, *, networks: set[str], devices: set[str]) -> Scene:
    inside = scene.neutron
    return replace(
        scene,
        neutron=replace(
            inside,
            networks=tuple(one for one in inside.networks if one.id in networks),
            subnets=tuple(one for one in inside.subnets if one.network in networks),
            ports=tuple(
                one for one in inside.ports if one.network in networks and one.device in devices
            ),
            routers=tuple(one for one in inside.routers if one.id in devices),
            servers=tuple(one for one in inside.servers if one.id in devices),
            floating=(),
        ),
    )


def _registered(scene: Scene, count: int) -> Scene:
    """With so many addresses on the provider NIC, an Elastic IP each."""
    nics = scene.vpc.nics
    private = tuple(A("172.16.20.101") + n for n in range(count))
    elastic = {A("198.51.100.2") + n: address for n, address in enumerate(private)}
    elastic[A("198.51.100.1")] = nics["management"].addresses[0]
    nics = {**nics, "provider": replace(nics["provider"], addresses=private)}
    uplinks = {"provider": UplinkState("mac-nat", frozenset(private))}
    return replace(scene, vpc=replace(scene.vpc, nics=nics, elastic=elastic), uplinks=uplinks)


DEFAULT = _registered(_only(SCENE, networks={PRIVATE.id, "n-provider"}, devices={"r-1", "s-1"}), 1)


def _project(number: int) -> Neutron:
    """A router, a network and two servers with a floating IP each; addresses as in the others."""
    network = Network(f"net{number}", f"n-{number}")

    def port(owner: str, device: str, on: Network, at: str, mac: int) -> Port:
        text = f"fa:16:3e:00:{number:02x}:{mac:02x}"
        return Port(
            f"p-{device}-{on.id}", on.id, owner, device, Mac(text), (A(at),), groups=("sg",)
        )

    router, servers = f"r-{number}", [f"s-{number}-{n}" for n in (1, 2)]
    gateway = f"172.16.20.{101 + (number - 1) * 3}"
    ports = [
        port("network:router_gateway", router, _PROVIDER, gateway, 1),
        port("network:router_interface", router, network, "10.0.0.1", 2),
        *(
            port("compute:nova", one, network, f"10.0.0.{n}", n)
            for n, one in enumerate(servers, 11)
        ),
    ]
    floating = [
        FloatingIp(A(gateway) + n, router, f"p-{one}-{network.id}", A("10.0.0.10") + n)
        for n, one in enumerate(servers, 1)
    ]
    return Neutron(
        (network,),
        (Subnet(network.id, IPv4Network("10.0.0.0/24"), A("10.0.0.1")),),
        tuple(ports),
        (RouterState(router, f"router{number}", external=_PROVIDER.id),),
        tuple(floating),
        groups=NEUTRON.groups,
        servers=tuple(ServerState(one, f"server{one[1:]}", "ACTIVE") for one in servers),
    )


def _two_projects() -> Scene:
    one, two = _project(1), _project(2)
    inside = replace(
        one,
        networks=(_PROVIDER, *one.networks, *two.networks),
        subnets=(NEUTRON.subnets[-1], *one.subnets, *two.subnets),
        ports=(*one.ports, *two.ports),
        routers=(*one.routers, *two.routers),
        floating=(*one.floating, *two.floating),
        servers=(*one.servers, *two.servers),
    )
    return _registered(replace(SCENE, neutron=inside, published={}), 6)


TWO_PROJECTS = _two_projects()
_NAMES = st.text(max_size=60).map(printable)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Any nodes, with any edges that lead down."""
    kinds = draw(st.lists(st.sampled_from(Kind), min_size=1, max_size=18))
    nodes = tuple(
        Node(
            f"n{n}",
            kind,
            draw(_NAMES),
            tuple(draw(st.lists(_NAMES, max_size=2))),
            mark=draw(st.sampled_from([None, *Mark])),
            why=draw(st.sampled_from(["", "nic: UNDERLAY_SOURCE_IP_UNREGISTERED"])),
        )
        for n, kind in enumerate(kinds)
    )
    possible = [
        Edge(upper.id, lower.id) for upper in nodes for lower in nodes if upper.layer < lower.layer
    ]
    edges = draw(st.lists(st.sampled_from(possible), max_size=30, unique=True)) if possible else []
    return Picture(draw(_NAMES), nodes, tuple(edges), tuple(draw(st.lists(_NAMES, max_size=2))))
