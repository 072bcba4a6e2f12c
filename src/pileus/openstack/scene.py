"""Reading what OpenStack's networks decide by when a packet passes: for `pileus trace`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.model.addresses import Mac, Socket
from pileus.model.ends import Network
from pileus.model.publishing import Published
from pileus.model.scene import (
    ANY,
    Agent,
    FloatingIp,
    Neutron,
    Permit,
    Port,
    RouterState,
    ServerState,
    Subnet,
)
from pileus.openstack.connection import calling
from pileus.openstack.observing import SERVER_MARK
from pileus.openstack.survey import FloatingIp as Found
from pileus.openstack.survey import Owner, addresses_of

_PROTOCOLS = {None: ANY, "any": ANY, "0": ANY, "1": "icmp", "6": "tcp", "17": "udp"}
"""Names that Neutron stores as they were given. [Networking API, security group rules]"""


def read(connection: Any, cloud: str) -> Neutron:
    """Networks, routers and servers of all projects. Raises CloudFault when an API is silent.

    Those that carry the mark of `cloud`, in our project, are told to be its own.

    Neutron is asked one thing after the other: it answers one at a time, and starts processes more
    where many wait, which takes longer than all the answers.
    """
    with calling("look at OpenStack"), ThreadPoolExecutor(1) as aside:
        connection.authorize()
        network, compute = connection.network, connection.compute
        of_neutron: dict[str, Callable[[], Any]] = {
            "networks": lambda: list(network.networks()),
            "subnets": lambda: list(network.subnets(ip_version=4)),
            "ports": lambda: list(network.ports()),
            "routers": lambda: list(network.routers()),
            "floating": lambda: [Found.of(network, ip) for ip in network.ips()],
            "groups": lambda: list(network.security_groups()),
            "agents": lambda: list(network.agents()),
        }
        servers = aside.submit(lambda: list(compute.servers(all_projects=True)))
        found = {name: question() for name, question in of_neutron.items()}
        owner = Owner(f"{SERVER_MARK}:{cloud}", connection.current_project_id)
        return neutron({**found, "servers": servers.result()}, owner)


def neutron(found: Mapping[str, list[Any]], owner: Owner) -> Neutron:
    """The SDK's answers as values."""
    return Neutron(
        networks=tuple(Network(str(one.name or one.id), one.id) for one in found["networks"]),
        subnets=tuple(map(_subnet, found["subnets"])),
        ports=tuple(map(_port, found["ports"])),
        routers=tuple(map(_router, found["routers"])),
        floating=tuple(map(_floating, found["floating"])),
        groups={one.id: tuple(_permits(one.security_group_rules)) for one in found["groups"]},
        servers=tuple(ServerState(s.id, str(s.name), str(s.status)) for s in found["servers"]),
        agents=tuple(Agent(str(one.binary), bool(one.is_alive)) for one in found["agents"]),
        own=frozenset(_own(found, owner)),
    )


def _own(found: Mapping[str, list[Any]], owner: Owner) -> Iterator[str]:
    yield from (one.id for one in [*found["networks"], *found["routers"]] if owner.is_ours(one))
    for server in found["servers"]:
        mark = f"{SERVER_MARK}:{(server.metadata or {}).get(SERVER_MARK)}"
        if (mark, server.project_id) == (owner.mark, owner.project):
            yield server.id


def _subnet(subnet: Any) -> Subnet:
    gateway = IPv4Address(subnet.gateway_ip) if subnet.gateway_ip else None
    return Subnet(subnet.network_id, IPv4Network(subnet.cidr), gateway)


def _port(port: Any) -> Port:
    return Port(
        id=port.id,
        network=port.network_id,
        owner=str(port.device_owner or ""),
        device=str(port.device_id or ""),
        mac=Mac.parse(port.mac_address),
        addresses=tuple(addresses_of(port)),
        status=str(port.status),
        up=bool(port.is_admin_state_up),
        binding=str(port.binding_vif_type),
        filtered=bool(port.is_port_security_enabled),
        groups=tuple(port.security_group_ids or ()),
    )


def _router(router: Any) -> RouterState:
    gateway = router.external_gateway_info or {}
    return RouterState(
        id=router.id,
        name=str(router.name or router.id),
        up=bool(router.is_admin_state_up),
        snat=bool(gateway.get("enable_snat", True)),
        external=gateway.get("network_id"),
        routes=tuple(
            (IPv4Network(route["destination"]), IPv4Address(route["nexthop"]))
            for route in router.routes or ()
            if ":" not in route["destination"]
        ),
    )


def _floating(found: Found) -> FloatingIp:
    ip = found.ip
    return FloatingIp(
        address=found.address,
        router=ip.router_id,
        port=ip.port_id,
        fixed=IPv4Address(ip.fixed_ip_address) if ip.fixed_ip_address else None,
        forwards=frozenset(_forwards(found)),
    )


def _forwards(found: Found) -> Iterator[Published]:
    """Ranges of ports have no single one, and are left out."""
    for one in found.forwards:
        if one.external_port and one.internal_port and one.protocol in ("tcp", "udp"):
            private = Socket(IPv4Address(one.internal_ip_address), one.internal_port)
            yield Published(one.protocol, Socket(found.address, one.external_port), private)


def _permits(rules: Iterable[Mapping[str, Any]]) -> Iterator[Permit]:
    for rule in rules:
        if rule["ethertype"] == "IPv4":
            protocol = _PROTOCOLS.get(rule["protocol"], rule["protocol"])
            prefix = rule["remote_ip_prefix"]
            yield Permit(
                outwards=rule["direction"] == "egress",
                protocol=protocol,
                ports=_span(protocol, rule["port_range_min"], rule["port_range_max"]),
                far=IPv4Network(prefix) if prefix else None,
                group=rule["remote_group_id"],
            )


def _span(protocol: str, first: int | None, last: int | None) -> tuple[int, int] | None:
    """Of ICMP, the type; Neutron keeps it where other protocols have their first port."""
    if first is None:
        return None
    return (first, first) if protocol == "icmp" else (first, last if last is not None else first)
