"""Which flows end when the API takes addresses away. Pure.

A packet that the cloud has begun to translate goes on being translated by connection tracking,
whatever the rules say by now: what was taken away has to be forgotten there too.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from pileus.vpc.state import RegionState
from pileus.vpc.wire.frames import attached
from pileus.vpc.wire.packets import elastic_pairs


def taken_away(former: RegionState, state: RegionState, vpc: str) -> frozenset[IPv4Address]:
    """Addresses of a VPC that were somebody's and now are nobody's or another's.

    Private ones are their NIC's, Elastic IPs the private address's that they stand for.
    """
    before, now = _holders(former, vpc), _holders(state, vpc)
    return frozenset(address for address, holder in before.items() if now.get(address) != holder)


def _holders(state: RegionState, vpc: str) -> dict[IPv4Address, object]:
    private = {address: eni.id for eni in attached(state, vpc) for address in eni.registered}
    return {**private, **{public: one for one, public in elastic_pairs(state, vpc).items()}}
