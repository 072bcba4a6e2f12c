"""A healthy scene for tests of the predicted half: two routers, three servers, both clouds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from trace_ends import APP, BELOW, DB, OTHER, PRIVATE, ROUTER, SECOND, THIRD, WEB, A

from pileus.model.addresses import Socket
from pileus.model.ends import Network, Router, Server
from pileus.model.path import Asked, Half, Protocol
from pileus.model.publishing import Published
from pileus.model.scene import (
    AclEntry,
    Agent,
    FloatingIp,
    Neutron,
    Permit,
    Port,
    RouterState,
    Scene,
    ServerState,
    Subnet,
    TableRoute,
    UplinkState,
    Vpc,
    VpcNic,
)
from pileus.trace.predict import predict
from pileus.trace.resolve import resolve

ANYWHERE = IPv4Network("0.0.0.0/0")
REGISTERED = (A("172.16.20.101"), A("172.16.20.102"), A("172.16.20.103"))
LOCAL = TableRoute(BELOW.vpc, "local")
DEFAULT = TableRoute(ANYWHERE, "igw-1")
OPEN = (
    AclEntry(100, allow=True, about=Permit(outwards=True, far=ANYWHERE)),
    AclEntry(100, allow=True, about=Permit(outwards=False, far=ANYWHERE)),
)
EVERYTHING_OUT = Permit(outwards=True, far=ANYWHERE)
SSH_IN = Permit(False, "tcp", (22, 22), ANYWHERE)
PING_IN = Permit(False, "icmp", None, ANYWHERE)
PUBLISHED = Published("tcp", Socket(A("172.16.20.101"), 522), Socket(WEB.address, 22))

Change = Callable[[Scene], Scene]


def _server_port(server: Server) -> Port:
    return Port(
        server.port,
        server.network.id,
        "compute:nova",
        server.id,
        server.mac,
        (server.address,),
        groups=("sg",),
    )


def _router_port(router: Router, network: Network, address: str) -> Port:
    return Port(
        router.inner[network.id],
        network.id,
        "network:router_interface",
        router.id,
        WEB.mac,
        (A(address),),
    )


def _gateway_port(router: Router) -> Port:
    gateway = router.gateway
    assert gateway
    owner = "network:router_gateway"
    return Port(gateway.port, "n-provider", owner, router.id, gateway.mac, (gateway.address,))


NEUTRON = Neutron(
    networks=(PRIVATE, SECOND, THIRD, Network("provider", "n-provider")),
    subnets=(
        Subnet("n-private", IPv4Network("192.168.20.0/24"), A("192.168.20.1")),
        Subnet("n-second", IPv4Network("192.168.21.0/24"), A("192.168.21.1")),
        Subnet("n-third", IPv4Network("192.168.22.0/24"), A("192.168.22.1")),
        Subnet("n-provider", IPv4Network("172.16.20.0/24"), A("172.16.20.1")),
    ),
    ports=(
        *map(_server_port, (WEB, DB, APP)),
        _router_port(ROUTER, PRIVATE, "192.168.20.1"),
        _router_port(ROUTER, SECOND, "192.168.21.1"),
        _router_port(OTHER, THIRD, "192.168.22.1"),
        _gateway_port(ROUTER),
        _gateway_port(OTHER),
    ),
    routers=(
        RouterState("r-1", "router", external="n-provider"),
        RouterState("r-2", "other", external="n-provider"),
    ),
    floating=(FloatingIp(A("172.16.20.102"), "r-2", APP.port, APP.address),),
    groups={"sg": (EVERYTHING_OUT, SSH_IN, PING_IN)},
    servers=tuple(ServerState(one.id, one.name, "ACTIVE") for one in (WEB, DB, APP)),
    agents=tuple(
        Agent(program, alive=True)
        for program in (
            "neutron-l3-agent",
            "neutron-metadata-agent",
            "neutron-openvswitch-agent",
            "neutron-dhcp-agent",
        )
    ),
)
VPC = Vpc(
    network=BELOW.vpc,
    gateway="igw-1",
    machine="running",
    nics={
        "management": VpcNic(
            BELOW.nics["management"],
            (A("172.16.10.101"),),
            groups=("sg-m",),
            acl=OPEN,
            routes=(LOCAL, DEFAULT),
        ),
        "provider": VpcNic(
            BELOW.nics["provider"],
            REGISTERED,
            groups=("sg-p",),
            acl=OPEN,
            routes=(LOCAL, DEFAULT),
        ),
    },
    groups={
        "sg-m": (EVERYTHING_OUT, SSH_IN),
        "sg-p": (EVERYTHING_OUT, Permit(outwards=False, far=ANYWHERE)),
    },
    elastic={public: private for private, public in BELOW.public.items()},
)
SCENE = Scene(
    machine="demo-controller",
    internet=A("198.18.0.7"),
    here=A("203.0.113.7"),
    vpc=VPC,
    neutron=NEUTRON,
    uplinks={"provider": UplinkState("mac-nat", frozenset(REGISTERED))},
    published={"r-1": frozenset({PUBLISHED})},
)


def asked(
    source: str, destination: str, port: int | None = None, protocol: Protocol = "tcp"
) -> Asked:
    return Asked(source, destination, protocol if port is not None else "icmp", port)


def predicted(question: Asked, scene: Scene = SCENE) -> Half:
    return predict(resolve(question, scene), scene)


def neutron(**changed: Any) -> Change:
    return lambda scene: replace(scene, neutron=replace(scene.neutron, **changed))


def vpc(**changed: Any) -> Change:
    return lambda scene: replace(scene, vpc=replace(scene.vpc, **changed))


def nic(**changed: Any) -> Change:
    """The provider NIC."""

    def change(scene: Scene) -> Scene:
        nics = {**scene.vpc.nics, "provider": replace(scene.vpc.nics["provider"], **changed)}
        return replace(scene, vpc=replace(scene.vpc, nics=nics))

    return change


def port(id: str, **changed: Any) -> Change:
    def change(scene: Scene) -> Scene:
        ports = tuple(
            replace(one, **changed) if one.id == id else one for one in scene.neutron.ports
        )
        return replace(scene, neutron=replace(scene.neutron, ports=ports))

    return change


def router(id: str, **changed: Any) -> Change:
    def change(scene: Scene) -> Scene:
        routers = tuple(
            replace(one, **changed) if one.id == id else one for one in scene.neutron.routers
        )
        return replace(scene, neutron=replace(scene.neutron, routers=routers))

    return change


def server(name: str, status: str) -> Change:
    def change(scene: Scene) -> Scene:
        servers = tuple(
            replace(one, status=status) if one.name == name else one
            for one in scene.neutron.servers
        )
        return replace(scene, neutron=replace(scene.neutron, servers=servers))

    return change


def uplink(**changed: Any) -> Change:
    """Of the provider NIC."""

    def change(scene: Scene) -> Scene:
        changed_one = replace(scene.uplinks["provider"], **changed)
        return replace(scene, uplinks={**scene.uplinks, "provider": changed_one})

    return change


def both(*changes: Change) -> Change:
    def change(scene: Scene) -> Scene:
        for one in changes:
            scene = one(scene)
        return scene

    return change


def address(text: str) -> IPv4Address:
    return IPv4Address(text)
