"""Two projects of users behind one NIC, made by plain OpenStack calls as users make them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import yaml
from cloud_under_test import CloudUnderTest, openstack, until
from openstack import connection, exceptions

NO_ADDRESS = exceptions.HttpException
"""What Neutron answers when the pool is used up; SDK classes differ by release."""


FLOATING = 6
"""Two become gateways of the projects' routers, four are floating IPs."""
POOL = [IPv4Address("172.16.20.101") + offset for offset in range(FLOATING + 1)]


@dataclass(frozen=True)
class UsersServer:
    """A server with its floating IP, by registered address and by Elastic IP."""

    name: str
    id: str
    registered: IPv4Address
    public: IPv4Address


class Users:
    """What users do in OpenStack."""

    def __init__(self, cloud: CloudUnderTest, external: str = "provider") -> None:
        self.cloud = cloud
        self.admin = connection.Connection(config=None, **_credentials(cloud))
        self.external = self.admin.network.find_network(external, ignore_missing=False)
        image = self.admin.image.find_image("pileus-guest", ignore_missing=False)
        flavor = self.admin.compute.find_flavor("m1.tiny", ignore_missing=False)
        self._boot = {"image_id": image.id, "flavor_id": flavor.id, "key_name": "users"}
        self._key = (cloud.state / "id_ed25519.pub").read_text()

    def project(self, name: str) -> connection.Connection:
        """A connection of a project's own administrator-less member: here, its one user."""
        identity = self.admin.identity
        project = identity.create_project(name=name, domain_id="default")
        password = "only-in-the-simulation"
        user = identity.create_user(name=name, domain_id="default", password=password)
        role = identity.find_role("member")
        identity.assign_project_role_to_user(project, user, role)
        own = {**_credentials(self.cloud), "username": name, "password": password}
        made = connection.Connection(config=None, **{**own, "project_name": name})
        made.compute.create_keypair(name="users", public_key=self._key)
        self._open(made, project.id)
        return made

    def _open(self, project: Any, project_id: str) -> None:
        """SSH and ping into the project's default security group, as users do first."""
        (group,) = project.network.security_groups(name="default", project_id=project_id)
        for protocol, port in (("tcp", 22), ("icmp", None)):
            project.network.create_security_group_rule(
                security_group_id=group.id,
                direction="ingress",
                ethertype="IPv4",
                protocol=protocol,
                port_range_min=port,
                port_range_max=port,
            )

    def router(self, project: Any, name: str, cidr: str) -> Any:
        """A network behind a router of its own; Neutron chooses the gateway's address."""
        network = project.network.create_network(name=name)
        subnet = project.network.create_subnet(
            name=name, network_id=network.id, ip_version=4, cidr=cidr, dns_nameservers=["8.8.8.8"]
        )
        router = project.network.create_router(
            name=name, external_gateway_info={"network_id": self.external.id}
        )
        project.network.add_interface_to_router(router, subnet_id=subnet.id)
        return network

    def server(self, project: Any, name: str, network: Any) -> Any:
        return project.compute.create_server(
            name=name, networks=[{"uuid": network.id}], **self._boot
        )

    def float(self, project: Any, server: Any) -> UsersServer:
        """A floating IP for a server, whichever Neutron hands out."""
        port: Any = until(
            "its port", lambda: next(iter(project.network.ports(device_id=server.id)), 0)
        )
        made = project.network.create_ip(floating_network_id=self.external.id, port_id=port.id)
        registered = IPv4Address(made.floating_ip_address)
        public = public_of(self.cloud, registered, self.external.name)
        return UsersServer(server.name, server.id, registered, public)


def _credentials(cloud: CloudUnderTest) -> dict[str, Any]:
    entry = yaml.safe_load((cloud.state / "clouds.yaml").read_text())["clouds"][cloud.name]
    return {**entry["auth"], "region_name": entry["region_name"]}


def public_of(
    cloud: CloudUnderTest, registered: IPv4Address, role: str = "provider"
) -> IPv4Address:
    """The Elastic IP of a registered address of a provider NIC."""
    by_private = {one["private"]: one["public"] for one in cloud.nic(role)["addresses"]}
    return IPv4Address(by_private[str(registered)])


@dataclass(frozen=True)
class Town:
    """Everything that the users made."""

    users: Users
    projects: tuple[Any, Any]
    servers: tuple[UsersServer, ...]
    spare: IPv4Address
    """A floating IP of nobody's, for port forwardings."""
    dropped_before: dict[str, int]


def settle_in(cloud: CloudUnderTest) -> Town:
    """Two projects, each with a router; three servers, each with a floating IP."""
    dropped = cloud.dropped("eth1")
    _grow(cloud)
    users = Users(cloud)
    first, second = users.project("first"), users.project("second")
    net_one = users.router(first, "first", "192.168.31.0/24")
    net_two = users.router(second, "second", "192.168.32.0/24")
    made = [
        (first, users.server(first, "one", net_one)),
        (first, users.server(first, "two", net_one)),
        (second, users.server(second, "three", net_two)),
    ]
    servers = tuple(users.float(project, server) for project, server in made)
    spare = json.loads(openstack(cloud, "floating", "ip", "create", "provider", "-f", "json"))
    address = IPv4Address(spare["floating_ip_address"])
    return Town(users, (first, second), servers, address, dropped)


def _grow(cloud: CloudUnderTest) -> None:
    """Six floating addresses need eight Elastic IPs: refused first, then made."""
    cloud.write(floating_ips=FLOATING)
    before = cloud.status
    refused = cloud.pileus("up", check=False)
    assert refused.code == 1, refused.stderr
    assert "limit of Elastic IPs" in refused.stderr
    assert "pileus sim quota elastic-ips 8" in refused.stderr
    assert cloud.status["nodes"] == before["nodes"], "nothing half-made stays"
    cloud.pileus("sim", "quota", "elastic-ips", "10")
    cloud.pileus("up", timeout=300)


def leave(projects: Sequence[Any]) -> None:
    """The users of some projects delete what they made."""
    for project in projects:
        for ip in list(project.network.ips()):
            project.network.delete_ip(ip)
        for server in list(project.compute.servers()):
            project.compute.delete_server(server)
        until("servers are gone", partial(_no_servers, project), 60)
        for router in list(project.network.routers()):
            ports = project.network.ports(device_id=router.id)
            for port in [p for p in ports if p.device_owner == "network:router_interface"]:
                project.network.remove_interface_from_router(router, port_id=port.id)
            project.network.delete_router(router)


def _no_servers(project: Any) -> bool:
    return not list(project.compute.servers())
