"""What Neutron's and Nova's APIs answer, as values: read by the SDK's own classes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from keystoneauth1 import exceptions as auth
from openstack.compute.v2.server import Server
from openstack.exceptions import SDKException
from openstack.network.v2.agent import Agent
from openstack.network.v2.floating_ip import FloatingIP
from openstack.network.v2.network import Network
from openstack.network.v2.port import Port
from openstack.network.v2.port_forwarding import PortForwarding
from openstack.network.v2.router import Router
from openstack.network.v2.security_group import SecurityGroup
from openstack.network.v2.subnet import Subnet

from pileus.model.addresses import Socket
from pileus.model.errors import CloudFault
from pileus.model.publishing import Published
from pileus.model.scene import Neutron, Permit, RouterState
from pileus.model.scene import Port as PortState
from pileus.openstack import scene
from pileus.openstack.survey import FloatingIp, Owner

ANYWHERE = IPv4Network("0.0.0.0/0")
OWNER = Owner("pileus:demo", "admin")


def rule(direction: str, **more: Any) -> dict[str, Any]:
    """A rule as Neutron lists it."""
    names = ("protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id")
    return {"ethertype": "IPv4", "direction": direction, **dict.fromkeys(names), **more}


FOUND: dict[str, list[Any]] = {
    "networks": [
        Network.existing(id="n-1", name="private", **{"router:external": False}),
        Network.existing(id="n-3", name="other", **{"router:external": True}),
        Network.existing(
            id="n-2", name="provider", description="pileus:demo", **{"router:external": True}
        ),
    ],
    "subnets": [
        Subnet.existing(network_id="n-1", cidr="192.168.20.0/24", gateway_ip="192.168.20.1"),
        Subnet.existing(network_id="n-2", cidr="172.16.20.0/24", gateway_ip=None),
    ],
    "ports": [
        Port.existing(
            **{
                "id": "p-1",
                "network_id": "n-1",
                "device_owner": "compute:nova",
                "device_id": "s-1",
                "mac_address": "FA:16:3E:00:00:05",
                "fixed_ips": [{"ip_address": "192.168.20.5"}, {"ip_address": "fd00::5"}],
                "status": "DOWN",
                "admin_state_up": False,
                "binding:vif_type": "binding_failed",
                "port_security_enabled": True,
                "security_groups": ["sg-1"],
            }
        )
    ],
    "routers": [
        Router.existing(
            id="r-1",
            name="router",
            admin_state_up=False,
            external_gateway_info={"network_id": "n-2", "enable_snat": False},
            routes=[{"destination": "10.0.0.0/8", "nexthop": "192.168.20.9"}],
        ),
        Router.existing(id="r-2", name="", admin_state_up=True, external_gateway_info=None),
    ],
    "floating": [
        FloatingIp(
            FloatingIP.existing(
                floating_ip_address="172.16.20.102",
                router_id="r-1",
                port_id="p-1",
                fixed_ip_address="192.168.20.5",
            ),
            (),
        ),
        FloatingIp(
            FloatingIP.existing(floating_ip_address="172.16.20.103", router_id="r-1"),
            (
                PortForwarding.existing(
                    protocol="tcp",
                    external_port=522,
                    internal_port=22,
                    internal_ip_address="192.168.20.5",
                ),
                PortForwarding.existing(protocol="tcp", external_port_range="1:9"),
            ),
        ),
    ],
    "groups": [
        SecurityGroup.existing(
            id="sg-1",
            security_group_rules=[
                rule("egress"),
                rule("egress") | {"ethertype": "IPv6"},
                rule("ingress", protocol="tcp", port_range_min=22, port_range_max=23),
                rule("ingress", protocol="udp", remote_group_id="sg-1"),
                rule("ingress", protocol="icmp", port_range_min=8, port_range_max=0),
                rule("ingress", protocol="6", remote_ip_prefix="0.0.0.0/0"),
            ],
        )
    ],
    "agents": [Agent.existing(binary="neutron-l3-agent", alive=False)],
    "servers": [Server.existing(id="s-1", name="web", status="SHUTOFF")],
}


@pytest.fixture(scope="module")
def neutron() -> Neutron:
    return scene.neutron(FOUND, OWNER)


def test_a_port_with_what_can_be_wrong_with_it(neutron: Neutron) -> None:
    (port,) = neutron.ports
    assert port == PortState(
        "p-1",
        "n-1",
        "compute:nova",
        "s-1",
        port.mac,
        (IPv4Address("192.168.20.5"),),
        status="DOWN",
        up=False,
        binding="binding_failed",
        filtered=True,
        groups=("sg-1",),
    )
    assert str(port.mac) == "fa:16:3e:00:00:05"


def test_routers_with_and_without_a_gateway(neutron: Neutron) -> None:
    extra = (IPv4Network("10.0.0.0/8"), IPv4Address("192.168.20.9"))
    assert neutron.routers == (
        RouterState("r-1", "router", up=False, snat=False, external="n-2", routes=(extra,)),
        RouterState("r-2", "r-2"),
    )


def test_floating_ips_and_forwarded_ports(neutron: Neutron) -> None:
    held, forwarding = neutron.floating
    assert (held.port, held.fixed, held.router) == ("p-1", IPv4Address("192.168.20.5"), "r-1")
    at, to = Socket(forwarding.address, 522), Socket(IPv4Address("192.168.20.5"), 22)
    assert forwarding.forwards == {Published("tcp", at, to)}


def test_rules_of_security_groups_for_ipv4(neutron: Neutron) -> None:
    assert neutron.groups["sg-1"] == (
        Permit(outwards=True),
        Permit(False, "tcp", (22, 23)),
        Permit(False, "udp", group="sg-1"),
        Permit(False, "icmp", (8, 8)),
        Permit(False, "tcp", far=ANYWHERE),
    )


def test_agents_servers_and_subnets(neutron: Neutron) -> None:
    assert neutron.dead("neutron-l3-agent")
    assert not neutron.dead("neutron-metadata-agent"), "which nobody knows"
    assert [(one.name, one.status) for one in neutron.servers] == [("web", "SHUTOFF")]
    assert [subnet.gateway for subnet in neutron.subnets] == [IPv4Address("192.168.20.1"), None]


def test_the_clouds_own_have_its_mark_and_are_in_its_project() -> None:
    """Elsewhere anyone may write anything."""
    network = {"name": "private", "description": "pileus:demo"}
    router = {"name": "router", "description": "pileus:demo"}
    server = {"name": "web", "status": "ACTIVE", "metadata": {"pileus": "demo"}}
    found = {
        **FOUND,
        "networks": [
            Network.existing(id="n-own", project_id="admin", **network),
            Network.existing(id="n-forged", project_id="other", **network),
        ],
        "routers": [
            Router.existing(id="r-own", project_id="admin", **router),
            Router.existing(id="r-forged", project_id="other", **router),
            Router.existing(id="r-users", project_id="admin", name="router", description=""),
        ],
        "servers": [
            Server.existing(id="s-own", project_id="admin", **server),
            Server.existing(id="s-forged", project_id="other", **server),
            Server.existing(id="s-users", project_id="admin", name="web", status="ACTIVE"),
        ],
    }
    assert scene.neutron(found, OWNER).own == {"n-own", "r-own", "s-own"}


class Unwelcome:
    """A connection whose password Keystone does not take."""

    def authorize(self) -> None:
        try:
            self.network  # noqa: B018
        except auth.Unauthorized as error:
            raise SDKException(error)  # noqa: B904 - as the SDK does

    @property
    def network(self) -> None:
        raise auth.Unauthorized("The request you have made requires authentication.")

    compute = network


def test_a_password_that_is_not_taken_is_told_with_a_way_out() -> None:
    with pytest.raises(CloudFault, match="requires authentication") as fault:
        scene.read(Unwelcome(), "demo")
    assert fault.value.code == "401"
    assert "credentials are not accepted" in fault.value.hint
