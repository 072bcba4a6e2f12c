"""What there is of ours inside OpenStack, read through the API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.tenant import (
    ANYWHERE,
    GatewayPort,
    ObservedGroup,
    ObservedNetwork,
    ObservedOpenStack,
    ObservedRouter,
    ObservedServer,
    Pool,
    WantedOpenStack,
)
from pileus.model.underlay import Permission
from pileus.openstack.connection import calling
from pileus.openstack.survey import FloatingIp, Owner, addresses_of, survey

SERVER_MARK = "pileus"
"""Key of our mark in a server's metadata; its value is the cloud's name."""
_AT_ONCE = 4


def observe(connection: Any, wanted: WantedOpenStack) -> ObservedOpenStack:
    """Read what carries this cloud's mark, and who has the providers' addresses in any project.

    Raises CloudFault when the API does not answer.
    """
    with calling("look at OpenStack"):
        connection.authorize()
        questions = _questions(connection, wanted)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            futures = {name: pool.submit(question) for name, question in questions.items()}
            found = {name: future.result() for name, future in futures.items()}
    owner = Owner(wanted.mark, connection.current_project_id, found["projects"])
    networks = networks_of(found["networks"], found["subnets"])
    provider = networks.pop(wanted.provider.name, None)
    external = {str(one.name) for one in found["networks"] if one.is_router_external}
    more = {name: networks.pop(name) for name in external & set(networks)}
    ports = [port for port in found["ports"] if owner.is_ours(port)]
    outside = survey(
        {network.id for network in (provider, *more.values()) if network},
        floating_ips=found["floating_ips"],
        ports=found["ports"],
        routers=found["routers"],
        owner=owner,
    )
    return ObservedOpenStack(
        provider=provider,
        more_providers=more,
        floating_ip_quota=found["quota"],
        networks=networks,
        routers={
            str(router.name): router_of(router, found["ports"], provider)
            for router in found["routers"]
            if owner.is_ours(router)
        },
        ports={str(port.name): _first_address(port) for port in ports},
        groups={str(group.name): group_of(group, wanted.mark) for group in found["groups"]},
        servers={
            str(server.name): server_of(server, outside.floating_ip_of(str(server.name)))
            for server in found["servers"]
            if server.metadata.get(SERVER_MARK) == wanted.cloud
        },
        flavors=found["flavors"],
        images=found["images"],
        public_key=found["keypair"].public_key if found["keypair"] else None,
        floating_ips=outside.floating_ips,
        forwards=outside.forwards,
        gateways=outside.gateways,
        other_ports=outside.other_ports,
    )


def _questions(connection: Any, wanted: WantedOpenStack) -> dict[str, Callable[[], Any]]:
    network, compute, image = connection.network, connection.compute, connection.image
    project = connection.current_project_id
    ours = {"description": wanted.mark, "project_id": project}
    return {
        "networks": lambda: list(network.networks(**ours)),
        "subnets": lambda: list(network.subnets(**ours)),
        "routers": lambda: list(network.routers()),
        "ports": lambda: list(network.ports()),
        "floating_ips": lambda: [FloatingIp.of(network, ip) for ip in network.ips()],
        "projects": lambda: {str(p.id): str(p.name) for p in connection.identity.projects()},
        "groups": lambda: list(network.security_groups(**ours)),
        "quota": lambda: network.get_quota(project).floating_ips,
        "servers": lambda: [whole(compute, server) for server in compute.servers()],
        "flavors": lambda: frozenset(str(f.name) for f in compute.flavors(details=False)),
        "keypair": lambda: compute.find_keypair(wanted.keypair),
        "images": lambda: {str(i.name): str(i.status) for i in image.images(tag=wanted.mark)},
    }


def networks_of(networks: Iterable[Any], subnets: Iterable[Any]) -> dict[str, ObservedNetwork]:
    """Networks by name, each with its subnet of ours, if it has one."""
    subnet_of = {subnet.network_id: subnet for subnet in subnets}
    return {str(n.name): _network(n, subnet_of.get(n.id)) for n in networks}


def _network(network: Any, subnet: Any | None) -> ObservedNetwork:
    if subnet is None:
        return ObservedNetwork(network.id)
    return ObservedNetwork(
        id=network.id,
        subnet_id=subnet.id,
        subnet=IPv4Network(subnet.cidr),
        gateway=IPv4Address(subnet.gateway_ip) if subnet.gateway_ip else None,
        pools=pools_in(subnet.allocation_pools),
        service_types=tuple(subnet.service_types or ()),
    )


def pools_in(allocation_pools: Iterable[Mapping[str, str]]) -> frozenset[Pool]:
    """A subnet's pools; Neutron lists them in any order."""
    return frozenset(
        (IPv4Address(pool["start"]), IPv4Address(pool["end"])) for pool in allocation_pools
    )


def router_of(
    router: Any, ports: Iterable[Any], provider: ObservedNetwork | None
) -> ObservedRouter:
    """A router with its gateway, found by its network: its owner changes on the way."""
    gateway = None
    networks = set()
    for port in (port for port in ports if port.device_id == router.id):
        if provider and port.network_id == provider.id:
            gateway = GatewayPort(
                id=port.id,
                address=_first_address(port),
                mac=Mac.parse(port.mac_address),
                owner=port.device_owner,
                vif_type=port.binding_vif_type,
                status=port.status,
            )
        else:
            networks.add(str(port.network_id))
    return ObservedRouter(router.id, bool(router.is_admin_state_up), gateway, frozenset(networks))


def _first_address(port: Any) -> IPv4Address:
    """0.0.0.0 for a port that lost its address: it is then like one with a wrong address."""
    return next(addresses_of(port), IPv4Address(0))


def group_of(group: Any, mark: str) -> ObservedGroup:
    """A security group with what it lets in; rules we cannot express are users' own."""
    rules = [(permission_of(rule), rule["description"]) for rule in group.security_group_rules]
    return ObservedGroup(
        id=group.id,
        ingress=frozenset(p for p, _ in rules if p),
        ours=frozenset(p for p, description in rules if p and description == mark),
    )


def permission_of(rule: Any) -> Permission | None:
    """A rule inbound for IPv4 as a Permission; None for any that is something else."""
    protocol = rule["protocol"]
    if (
        rule["direction"] != "ingress"
        or rule["ethertype"] != "IPv4"
        or rule["remote_group_id"]
        or protocol not in ("tcp", "udp", "icmp")
    ):
        return None
    source = IPv4Network(rule["remote_ip_prefix"]) if rule["remote_ip_prefix"] else ANYWHERE
    if protocol == "icmp":
        return Permission("icmp", None, source)
    first, last = rule["port_range_min"], rule["port_range_max"]
    return Permission(protocol, (first or 1, last or 65535), source)


def whole(compute: Any, server: Any) -> Any:
    """A server from a list, with its fault: Nova tells that only when asked for the one server."""
    return compute.get_server(server.id) if server.status == "ERROR" else server


def server_of(server: Any, floating_ip: IPv4Address | None) -> ObservedServer:
    """A server's state, with Nova's reason where it is in ERROR."""
    fault = server.fault or {}
    return ObservedServer(
        id=server.id,
        status=str(server.status),
        launched=bool(server.launched_at),
        fault=fault.get("message"),
        floating_ip=floating_ip,
    )
