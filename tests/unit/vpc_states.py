"""States of a region for tests of the wire: the guide's topology, and parts to change it with."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.model.addresses import Mac
from pileus.vpc.state import (
    AclEntry,
    ElasticIp,
    Eni,
    NetworkAcl,
    Permission,
    RegionState,
    Route,
    RouteTable,
    SecurityGroup,
    Subnet,
    Vpc,
)

NETWORK = IPv4Network
ANYWHERE = frozenset({IPv4Network("0.0.0.0/0")})
CALLER = frozenset({IPv4Network("198.51.100.254/32")})
ALL = Permission("-1", None, ANYWHERE)
VPC = "vpc-0a1b2c3d4e5f60718"
MANAGEMENT, PROVIDER = "subnet-0000000000000000a", "subnet-0000000000000000b"
MANAGEMENT_NIC, PROVIDER_NIC = "eni-00000000000000101", "eni-00000000000000201"


def subnet(id: str, cidr: str, vpc: str = VPC) -> Subnet:
    return Subnet(id, vpc, IPv4Network(cidr))


def eni(id: str, subnet: str, *addresses: str, **changes: Any) -> Eni:
    """A NIC that is plugged into the machine i-1, unless told otherwise."""
    number = int(id.removeprefix("eni-")) % 1000
    made = Eni(
        id=id,
        mac=Mac(f"02:00:00:00:{number // 100:02d}:{number % 100:02d}"),
        vpc=VPC,
        subnet=subnet,
        addresses=tuple(IPv4Address(address) for address in addresses),
        groups=(),
        source_dest_check=True,
        instance="i-1",
        device_index=0,
    )
    return replace(made, **changes)


def table(id: str, *routes: tuple[str, str], subnets: tuple[str, ...] = ()) -> RouteTable:
    """A route table; the main one where it names no subnets."""
    made = tuple(Route(IPv4Network(to), target) for to, target in routes)
    return RouteTable(id, VPC, made, frozenset(subnets), main=not subnets)


def group(id: str, *ingress: Permission, egress: tuple[Permission, ...] = (ALL,)) -> SecurityGroup:
    return SecurityGroup(id, VPC, id, ingress, egress)


def entry(number: int, what: str, network: str = "0.0.0.0/0", *, allow: bool = True) -> AclEntry:
    """One entry of a network ACL; `what` is "-1", "icmp", "tcp/22" or "tcp/1024-65535"."""
    protocol, _, ports = what.partition("/")
    first, _, last = ports.partition("-")
    span = (int(first), int(last or first)) if ports else None
    return AclEntry(number, allow, protocol, span, IPv4Network(network))


def acl(
    id: str, subnet: str, ingress: tuple[AclEntry, ...], egress: tuple[AclEntry, ...]
) -> NetworkAcl:
    return NetworkAcl(id, VPC, ingress, egress, frozenset({subnet}))


def elastic(id: str, public: str, private: str, nic: str) -> ElasticIp:
    return ElasticIp(id, IPv4Address(public), nic, IPv4Address(private), f"eipassoc-{id}")


def region(*parts: Any, vpc: Vpc | None = None) -> RegionState:
    """A region of these parts, in a VPC with an internet gateway unless told otherwise."""
    made = vpc or Vpc(VPC, IPv4Network("172.16.0.0/16"), has_internet_gateway=True)
    state = RegionState(vpcs={made.id: made})
    kinds: dict[type, dict[str, Any]] = {
        Subnet: state.subnets,
        RouteTable: state.route_tables,
        SecurityGroup: state.groups,
        NetworkAcl: state.network_acls,
        Eni: state.enis,
        ElasticIp: state.elastic_ips,
        Vpc: state.vpcs,
    }
    for part in parts:
        kinds[type(part)][part.id] = part
    return state


GUIDE = region(
    subnet(MANAGEMENT, "172.16.10.0/24"),
    subnet(PROVIDER, "172.16.20.0/24"),
    table("rtb-main", ("172.16.0.0/16", "local"), ("0.0.0.0/0", "igw")),
    group("sg-management", Permission("tcp", (22, 22), CALLER)),
    group(
        "sg-provider", Permission("icmp", None, ANYWHERE), Permission("tcp", (522, 522), ANYWHERE)
    ),
    eni(MANAGEMENT_NIC, MANAGEMENT, "172.16.10.101", groups=("sg-management",)),
    eni(PROVIDER_NIC, PROVIDER, "172.16.20.101", groups=("sg-provider",), device_index=1),
    elastic("a", "198.51.100.10", "172.16.10.101", MANAGEMENT_NIC),
    elastic("b", "198.51.100.11", "172.16.20.101", PROVIDER_NIC),
)
"""Two NICs of one machine, an Elastic IP on each."""
