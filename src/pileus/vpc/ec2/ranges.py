"""Further address ranges of a VPC. [Amazon VPC user guide, "VPC CIDR blocks"]"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from pileus.model.addresses import LINK_LOCAL
from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.networks import LARGEST_SUBNET, SMALLEST_SUBNET, Networks, canonical

RANGES = 5
"""Of a VPC, its first one among them. Default quota. [Amazon VPC user guide, VPC quotas]"""
_FAMILIES = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.19.0.0/16"))
)
"""A VPC's ranges come from one of these and from none of the others."""


class Ranges(Networks):
    """VPCs that may grow."""

    def associate_vpc_cidr_block(
        self,
        vpc_id: str,
        cidr_block: str,
        amazon_provided_ipv6_cidr_block: bool,  # noqa: ARG002 - refused before
    ) -> Any:
        vpc, cidr = self.get_vpc(vpc_id), IPv4Network(canonical(cidr_block))
        known = networks_of(vpc)
        if not LARGEST_SUBNET <= cidr.prefixlen <= SMALLEST_SUBNET:
            raise errors.vpc_range(str(cidr))
        if cidr.overlaps(LINK_LOCAL) or _family(cidr) not in (None, _family(known[0])):
            raise errors.range_restricted(str(cidr))
        routes = [
            IPv4Network(route.destination_cidr_block)
            for table in self.route_tables.values()
            if table.vpc_id == vpc_id
            for route in table.routes
            if not route.local
        ]
        if any(cidr.overlaps(one) for one in known) or any(one.subnet_of(cidr) for one in routes):
            raise errors.range_conflict(str(cidr))
        if len(known) >= RANGES:
            raise errors.range_limit(vpc_id, RANGES)
        return super().associate_vpc_cidr_block(vpc_id, str(cidr), False)

    def disassociate_vpc_cidr_block(self, association_id: str) -> Any:
        for vpc in self.vpcs.values():
            found = vpc._cidr_block_association_set.get(association_id)
            if found is not None:
                self._take(vpc, IPv4Network(found["cidr_block"]))
                del vpc._cidr_block_association_set[association_id]
                return {**found, "vpc_id": vpc.id}
        raise errors.range_unknown(association_id)

    def _take(self, vpc: Any, cidr: IPv4Network) -> None:
        """A range goes with its local routes, once no subnet is in it."""
        if cidr == IPv4Network(vpc.cidr_block):
            raise errors.first_range(vpc.id)
        if any(
            IPv4Network(subnet.cidr_block).subnet_of(cidr) for subnet in self.subnets_in(vpc.id)
        ):
            raise errors.range_in_use(vpc.id, str(cidr))
        for table in self.route_tables.values():
            for route in table.routes if table.vpc_id == vpc.id else ():
                if route.local and IPv4Network(route.destination_cidr_block) == cidr:
                    del table._routes[route.id]


def networks_of(vpc: Any) -> list[IPv4Network]:
    """A VPC's ranges, the first one first."""
    return [IPv4Network(one["cidr_block"]) for one in vpc.get_cidr_block_association_set()]


def _family(cidr: IPv4Network) -> IPv4Network | None:
    return next((family for family in _FAMILIES if cidr.subnet_of(family)), None)
