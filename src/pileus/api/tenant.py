"""What is inside OpenStack: the wanted networks, router and servers, and the published ports."""

from __future__ import annotations

from typing import Any

from pileus.api.controller import auth_url, login
from pileus.api.environment import Cloud
from pileus.model.addresses import subnet_router
from pileus.model.errors import Fault, Refused
from pileus.model.node import Login
from pileus.model.publishing import Published
from pileus.model.report import Stage
from pileus.model.tenant import (
    ANYWHERE,
    SSH_AND_PING,
    ObservedOpenStack,
    ObservedRouter,
    WantedNetwork,
    WantedOpenStack,
    WantedProvider,
    WantedRouter,
    WantedServer,
)
from pileus.model.underlay import Node, Permission
from pileus.openstack import connect, ensure, observe
from pileus.spec import ROUTER, Server, Spec
from pileus.system import ssh
from pileus.uplink import on_node, publish, source_guard

GUEST_IMAGE = "pileus-guest"
FLAVOR = "m1.tiny"
"""Both are made when the controller is configured."""
GUEST_USER = "root"


def connection(cloud: Cloud, machine: Node) -> Any:
    """A connection to OpenStack as its administrator."""
    password = cloud.workspace.secrets()["admin_password"]
    return connect(auth_url=auth_url(machine), username="admin", password=password)


def wanted_openstack(
    spec: Spec, machine: Node, public_key: str, published: frozenset[Published]
) -> WantedOpenStack:
    """Everything of ours inside OpenStack. Pure."""
    nic = machine.nic("provider")
    return WantedOpenStack(
        cloud=spec.cloud,
        provider=WantedProvider(
            subnet=spec.underlay.provider,
            gateway=subnet_router(spec.underlay.provider),
            pools=(spec.underlay.allocation_pool,),
        ),
        routers=(
            WantedRouter(ROUTER, spec.underlay.registered_address, nic.mac, clone=nic.mac),
        ),
        networks=tuple(WantedNetwork(net.name, net.cidr, ROUTER) for net in spec.networks),
        servers=tuple(_server(server, published) for server in spec.servers),
        public_key=public_key,
    )


def _server(server: Server, published: frozenset[Published]) -> WantedServer:
    opened = frozenset(
        Permission(item.protocol, (item.private.port, item.private.port), ANYWHERE)
        for item in published
        if item.private.address == server.fixed_ip
    )
    return WantedServer(
        server.name,
        server.network,
        server.fixed_ip,
        GUEST_IMAGE,
        FLAVOR,
        SSH_AND_PING | opened,
    )


def bring_up(
    cloud: Cloud, machine: Node, published: frozenset[Published], stage: Stage
) -> tuple[list[str], ObservedOpenStack]:
    """Make OpenStack's inside what is wanted; what was done, and what there is now."""
    target = wanted_openstack(cloud.spec, machine, cloud.workspace.public_key(), published)
    result = ensure(connection(cloud, machine), target, stage.note)
    return [str(took.step) for took in result.took], result.observed


def publish_ports(
    cloud: Cloud, machine: Node, router: ObservedRouter, published: frozenset[Published]
) -> list[str]:
    """Make exactly these ports published in the router's namespace; what was changed.

    And nothing may leave it with a source that the cloud below would drop: see `source_guard`.
    """
    inside = on_node(login(cloud, machine), router)
    guarded = source_guard.apply(inside, cloud.spec.underlay.registered_address)
    outcome = publish.apply(inside, published)
    return [
        *(["guard the sources that leave the router"] if guarded else []),
        *(f"publish {item}" for item in sorted(outcome.added)),
        *(f"unpublish {item}" for item in sorted(outcome.removed)),
    ]


def require_router(observed: ObservedOpenStack) -> ObservedRouter:
    """The cloud's router. Raises Fault when it is not there."""
    router = observed.routers.get(ROUTER)
    if router is None:
        raise Fault("the router is missing", hint="run `pileus up` to make it again")
    return router


def server_shell(cloud: Cloud, machine: Node, name: str, words: list[str]) -> list[str]:
    """The argument list for SSH to a server, published or not: through its router's namespace.

    Raises Refused for a server that is not there.
    """
    servers = {server.name: server for server in cloud.spec.servers}
    if name not in servers:
        known = ", ".join(["controller", *sorted(servers)])
        raise Refused(f"there is no machine `{name}`", hint=f"machines are: {known}")
    target = wanted_openstack(cloud.spec, machine, cloud.workspace.public_key(), frozenset())
    router = require_router(observe(connection(cloud, machine), target))
    address = servers[name].fixed_ip
    node = login(cloud, machine)
    relay = ["bash", "-c", f"exec 3<>/dev/tcp/{address}/22; cat <&3 & exec cat >&3"]
    through = ssh.command(node, ["sudo", "ip", "netns", "exec", router.namespace, *relay])
    server = Login(
        address, GUEST_USER, node.private_key, cloud.workspace.directory / "known_hosts_servers"
    )
    return ssh.command(server, words, tty=not words, through=through)
