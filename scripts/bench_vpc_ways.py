"""What the simulated VPC is measured by: two thin instances of it, and the same without rules.

    cloud (eth0) ══ the VPC's router ══ (eth0) host

Both ends are in subnets of their own, so that the way leads through the router. The one without
rules has the same veths, MTU, offloads, kernel settings, addresses and neighbours, and a route to
each end; it neither filters nor tracks anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from pileus.system import netns
from pileus.testing import Instance, Region, Vpc
from pileus.vpc.wire.names import machine_namespace
from pileus.vpc.wire.reconcile import offload
from pileus.vpc.wire.topology import JUMBO, VPC_SYSCTLS

PREFIX = "bench-vpc-"
OTHER_SUBNET = "10.0.2.0/24"
MANY_SUBNET = "10.0.16.0/20"
LARGE = "m5.metal"
"""Has 15 NICs of 50 addresses. [EC2 user guide, IP addresses per network interface]"""
_END_SYSCTLS = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv4/conf/all/rp_filter": "2",
}
"""As thin instances have them."""


@dataclass(frozen=True)
class Way:
    """Two namespaces, and the address by which each is reached."""

    cloud: str
    host: str
    cloud_address: IPv4Address
    host_address: IPv4Address


@dataclass(frozen=True)
class Pair:
    """Two thin instances and the way between them."""

    cloud: Instance
    host: Instance

    @property
    def way(self) -> Way:
        region, cloud, host = self.cloud.region.name, self.cloud, self.host
        return Way(
            machine_namespace(region, cloud.id),
            machine_namespace(region, host.id),
            IPv4Address(cloud.address),
            IPv4Address(host.address),
        )


def subnet(vpc: Vpc, cidr: str) -> str:
    """One more subnet of a VPC; its id."""
    made = vpc.region.ec2.create_subnet(VpcId=vpc.id, CidrBlock=cidr)
    return str(made["Subnet"]["SubnetId"])


def pair(vpc: Vpc, other: str) -> Pair:
    """An instance in the VPC's own subnet, and one in another."""
    (cloud,) = vpc.launch()
    (host,) = vpc.launch(SubnetId=other, InstanceType="m5.xlarge")
    return Pair(cloud, host)


def register(vpc: Vpc, count: int) -> None:
    """Register so many pairs of MAC and address in a VPC, by NICs that nobody uses."""
    other = subnet(vpc, MANY_SUBNET)
    nics, addresses = max(1, count // 100), min(50, count // 2)
    interfaces: list[dict[str, Any]] = [
        {
            "DeviceIndex": index,
            "SubnetId": other,
            "Groups": [vpc.group],
            "SecondaryPrivateIpAddressCount": addresses - 1,
        }
        for index in range(nics)
    ]
    vpc.launch(2, InstanceType=LARGE, NetworkInterfaces=interfaces)


@contextmanager
def unruled(region: Region) -> Iterator[Way]:
    """The same way without a rule."""
    names = {role: f"{PREFIX}{region.name}-{role}" for role in ("cloud", "router", "host")}
    router = names["router"]
    subnets = {"cloud": "10.0.1", "host": "10.0.2"}
    netns.ensure(*names.values())
    try:
        netns.sysctl(router, VPC_SYSCTLS)
        for role, network in subnets.items():
            end = names[role]
            netns.sysctl(end, _END_SYSCTLS)
            netns.batch(
                router,
                [
                    f"link add {role} mtu {JUMBO} type veth peer name eth0 netns {end} mtu {JUMBO}",
                    f"link set {role} up",
                    f"addr add {network}.1/32 dev {role}",
                    f"route add {network}.10/32 dev {role}",
                ],
            )
            netns.batch(
                end,
                [
                    "link set eth0 up",
                    f"addr add {network}.10/24 dev eth0",
                    f"route add default via {network}.1 dev eth0",
                ],
            )
            offload(router, [role], {end: ["eth0"]})
            mac = netns.links(end)["eth0"]["address"]
            netns.batch(router, [f"neigh replace {network}.10 lladdr {mac} dev {role}"])
        ends = {role: IPv4Address(f"{network}.10") for role, network in subnets.items()}
        yield Way(names["cloud"], names["host"], ends["cloud"], ends["host"])
    finally:
        netns.remove(*names.values())
