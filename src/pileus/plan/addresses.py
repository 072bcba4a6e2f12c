"""Which addresses of provider subnets are registered beside each NIC's first one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import islice

from pileus.model.addresses import reserved_addresses
from pileus.model.errors import Refused
from pileus.spec import Spec


def floating_addresses(spec: Spec) -> tuple[IPv4Address, ...]:
    """The registered addresses that `floating_ips` asks for, in order, on every provider network.

    They follow the NIC's first one; behind the subnet's last one, its first are next. The same file
    gives the same addresses, and a larger number the same ones and more.
    """
    under = spec.underlay
    asked = [
        (under.provider, under.registered_address, spec.floating_ips),
        *((one.cidr, one.registered_address, one.floating_ips) for one in under.more_providers),
    ]
    return tuple(
        address for subnet, own, count in asked for address in islice(_after(subnet, own), count)
    )


def next_free(spec: Spec, taken: Collection[IPv4Address]) -> IPv4Address:
    """The first address of the router's network, in that order, that is not taken.

    Raises Refused when there is none.
    """
    for address in _after(spec.underlay.provider, spec.underlay.registered_address):
        if address not in taken:
            return address
    raise Refused(
        f"every address of the provider subnet {spec.underlay.provider} is registered already",
        hint="give back one with `pileus floating-ip remove ADDRESS`",
    )


def _after(subnet: IPv4Network, own: IPv4Address) -> Iterator[IPv4Address]:
    kept = reserved_addresses(subnet)
    start = int(own) - int(subnet.network_address)
    for offset in range(1, subnet.num_addresses):
        address = subnet[(start + offset) % subnet.num_addresses]
        if address not in kept:
            yield address
