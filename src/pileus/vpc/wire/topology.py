"""Which links, addresses, routes and neighbours a VPC's namespace has. Pure.

A packet is routed by these rules, in this order: straight to a NIC, where its frame was addressed
so; registered addresses of the VPC; the route table of the subnet it comes from, which is its mark;
and, when none has a route, the device `nowhere`, where it is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from pileus.model.addresses import METADATA_SERVICE, Mac, name_server, subnet_router
from pileus.system.netns import NamespaceConfig, Neighbour, Route, RoutingRule
from pileus.vpc.state import RegionState, Vpc
from pileus.vpc.wire.frames import attached, straight_numbers, subnet_numbers
from pileus.vpc.wire.names import GATEWAY, NOWHERE, device, router_mac

JUMBO = 9001
"""MTU inside a VPC, in bytes. [AWS EC2 user guide, Network MTU]"""
INTERNET_MTU = 1500

DEFAULT = IPv4Network("0.0.0.0/0")
_MAIN, _NOWHERE_TABLE = 254, 900

VPC_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
}


@dataclass(frozen=True)
class Uplink:
    """A VPC's link to the internet: a /30 of which the VPC has the second usable address."""

    network: IPv4Network
    internet_device: str

    @property
    def internet_end(self) -> IPv4Address:
        return self.network.network_address + 1

    @property
    def vpc_end(self) -> IPv4Address:
        return self.network.network_address + 2


@dataclass(frozen=True)
class NicLink:
    """A veth: the VPC's end, and the machine's end as the guest sees it."""

    device: str
    instance: str
    guest_device: str
    guest_mac: Mac
    vpc_mac: Mac


def nic_links(state: RegionState, vpc: str) -> tuple[NicLink, ...]:
    """The veths of a VPC; a machine's NIC with device index N is called ethN."""
    return tuple(
        NicLink(
            device(eni.id), eni.instance, f"eth{eni.device_index}", eni.mac, router_mac(eni.vpc)
        )
        for eni in attached(state, vpc)
        if eni.instance is not None
    )


def vpc_config(state: RegionState, vpc_id: str, uplink: Uplink) -> NamespaceConfig:
    """The wanted content of the VPC's namespace."""
    vpc = state.vpcs[vpc_id]
    tables = subnet_numbers(state, vpc_id)
    enis = attached(state, vpc_id)
    straight = straight_numbers(enis)
    pairs = [(device(eni.id), address, eni.mac) for eni in enis for address in eni.registered]
    return NamespaceConfig(
        addresses=frozenset(
            [
                ("lo", IPv4Interface(METADATA_SERVICE)),
                ("lo", IPv4Interface(name_server(vpc.cidr))),
                (GATEWAY, IPv4Interface((uplink.vpc_end, 30))),
                *(
                    (device(eni.id), IPv4Interface(subnet_router(state.subnets[eni.subnet].cidr)))
                    for eni in enis
                ),
            ]
        ),
        routes=frozenset(
            [
                *(Route(IPv4Network(address), name) for name, address, _ in pairs),
                *(Route(network, NOWHERE) for network in vpc.networks),
                Route(DEFAULT, NOWHERE, table=_NOWHERE_TABLE),
                *_subnet_routes(state, vpc, uplink),
                *(
                    Route(DEFAULT, device(id), state.enis[id].addresses[0], table=number)
                    for id, number in straight.items()
                ),
            ]
        ),
        neighbours=frozenset(Neighbour(address, name, mac) for name, address, mac in pairs),
        rules=frozenset(
            [
                *(RoutingRule(50, number, mark=number) for number in straight.values()),
                RoutingRule(100, _MAIN, suppress_default=True),
                *(RoutingRule(200, number, mark=number) for number in tables.values()),
                RoutingRule(300, _NOWHERE_TABLE),
            ]
        ),
        sysctls=VPC_SYSCTLS,
    )


def _subnet_routes(state: RegionState, vpc: Vpc, uplink: Uplink) -> list[Route]:
    """Each subnet's route table, its `local` route aside: that one is the main table."""
    plugged = {eni.id: eni for eni in attached(state, vpc.id)}
    routes = []
    for id, table in subnet_numbers(state, vpc.id).items():
        for route in state.route_table_of(state.subnets[id]).routes:
            if route.target == "igw" and vpc.has_internet_gateway:
                routes.append(Route(route.destination, GATEWAY, uplink.internet_end, table=table))
            elif route.target in plugged:
                eni = plugged[route.target]
                routes.append(
                    Route(route.destination, device(eni.id), eni.addresses[0], table=table)
                )
            elif route.target != "local":  # a black hole, as a NIC is while unplugged
                routes.append(Route(route.destination, NOWHERE, table=table))
    return routes
