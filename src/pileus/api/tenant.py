"""What is inside OpenStack: the wanted networks, router and servers, and the published ports."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.api.controller import auth_url, login
from pileus.api.environment import Cloud
from pileus.api.wanted import Wants
from pileus.model.addresses import Mac, Socket, subnet_router
from pileus.model.errors import Fault, Refused
from pileus.model.node import Login
from pileus.model.publishing import Published
from pileus.model.report import Stage
from pileus.model.tenant import (
    ANYWHERE,
    SSH_AND_PING,
    ObservedOpenStack,
    ObservedRouter,
    WantedFloatingIp,
    WantedNetwork,
    WantedOpenStack,
    WantedProvider,
    WantedRouter,
    WantedServer,
    pools_of,
)
from pileus.model.underlay import Node, Permission
from pileus.openstack import connect, ensure, observe, plan
from pileus.spec import ROUTER, Provider, Server, Spec
from pileus.system import ssh
from pileus.uplink import on_node

GUEST_IMAGE = "pileus-guest"
FLAVOR = "m1.tiny"
"""Both are made when the controller is configured."""
GUEST_USER = "root"
SSH_PORT = 22


def connection(cloud: Cloud, machine: Node) -> Any:
    """A connection to OpenStack as its administrator."""
    password = cloud.workspace.secrets()["admin_password"]
    return connect(auth_url=auth_url(machine), username="admin", password=password)


def wanted_openstack(spec: Spec, nic: Mac, public_key: str, want: Wants) -> WantedOpenStack:
    """Everything of ours inside OpenStack; `nic` is the provider NIC's MAC. Pure."""
    return WantedOpenStack(
        cloud=spec.cloud,
        provider=_provider(spec, want),
        more_providers=tuple(_more_provider(one, want) for one in spec.underlay.more_providers),
        routers=(_router(spec, nic),),
        networks=tuple(WantedNetwork(net.name, net.cidr, ROUTER) for net in spec.networks),
        servers=tuple(_server(server, want.ports) for server in spec.servers),
        public_key=public_key,
        floating_ips=tuple(_floating_ips(want)),
        forwards=want.forwards,
    )


def _provider(spec: Spec, want: Wants) -> WantedProvider:
    """In mac-nat Neutron gives out exactly what is registered."""
    under = spec.underlay
    cloned = spec.uplink == "mac-clone"
    registered = _registered(under.registered_address, under.provider, want)
    return WantedProvider(
        subnet=under.provider,
        gateway=subnet_router(under.provider),
        pools=(under.allocation_pool,) if cloned else pools_of(registered),
        floating_ips=not cloned,
    )


def _more_provider(provider: Provider, want: Wants) -> WantedProvider:
    return WantedProvider(
        subnet=provider.cidr,
        gateway=subnet_router(provider.cidr),
        pools=pools_of(_registered(provider.registered_address, provider.cidr, want)),
        physnet=provider.name,
        name=provider.name,
        floating_ips=True,
    )


def _registered(own: IPv4Address, subnet: IPv4Network, want: Wants) -> set[IPv4Address]:
    return {own, *(address for address in want.floating if address in subnet)}


def _router(spec: Spec, nic: Mac) -> WantedRouter:
    clone = nic if spec.uplink == "mac-clone" else None
    return WantedRouter(ROUTER, spec.underlay.registered_address, nic=nic, clone=clone)


def _floating_ips(want: Wants) -> Iterator[WantedFloatingIp]:
    """Those of our servers, and those whose ports are forwarded."""
    for address in want.floating:
        forwarded = any(item.registered.address == address for item in want.forwards)
        if address in want.holders or forwarded:
            yield WantedFloatingIp(address, want.holders.get(address))


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


def target_of(cloud: Cloud, machine: Node, want: Wants) -> WantedOpenStack:
    """Everything of ours inside this cloud's OpenStack."""
    mac = machine.nic("provider").mac
    return wanted_openstack(cloud.spec, mac, cloud.workspace.public_key(), want)


def require_possible(cloud: Cloud, machine: Node, want: Wants) -> None:
    """Raise Refused for what cannot be done inside OpenStack; changes nothing."""
    target = target_of(cloud, machine, want)
    plan(target, observe(connection(cloud, machine), target))


def bring_up(
    cloud: Cloud, machine: Node, want: Wants, stage: Stage
) -> tuple[list[str], ObservedOpenStack]:
    """Make OpenStack's inside what is wanted; what was done, and what there is now."""
    target = target_of(cloud, machine, want)
    result = ensure(connection(cloud, machine), target, stage.note)
    return [str(took.step) for took in result.took], result.observed


def publish_ports(cloud: Cloud, machine: Node, router: ObservedRouter, want: Wants) -> list[str]:
    """Make exactly these ports published in the router's namespace; what was changed.

    The agent on the node does it, and does it again whenever the namespace is made anew.
    """
    return list(on_node.publish(login(cloud, machine), {router.id: want.published}))


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
    target = target_of(cloud, machine, Wants())
    router = require_router(observe(connection(cloud, machine), target))
    return shell_by(cloud, machine, router.namespace, servers[name].fixed_ip, words)


def shell_by(
    cloud: Cloud, machine: Node, namespace: str, address: IPv4Address, words: list[str]
) -> list[str]:
    """The argument list for SSH through the namespace of a router to a server behind it."""
    node = login(cloud, machine)
    relay = ["bash", "-c", f"exec 3<>/dev/tcp/{address}/{SSH_PORT}; cat <&3 & exec cat >&3"]
    through = ssh.command(node, ["sudo", "ip", "netns", "exec", namespace, *relay])
    server = server_login(cloud, Socket(address, SSH_PORT))
    return ssh.command(server, words, tty=not words, through=through)


def server_login(cloud: Cloud, at: Socket) -> Login:
    """How to log in to a server of ours that answers SSH there."""
    known_hosts = cloud.workspace.directory / "known_hosts_servers"
    return Login(at.address, GUEST_USER, cloud.workspace.private_key, known_hosts, at.port)
