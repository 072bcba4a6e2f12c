"""Which addresses of the provider subnet are registered beside the router's own. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address
from itertools import islice

from pileus.model.addresses import reserved_addresses
from pileus.model.errors import Refused
from pileus.spec import Spec


def floating_addresses(spec: Spec) -> tuple[IPv4Address, ...]:
    """The registered addresses that `floating_ips` asks for, in order.

    They follow the router's own; behind the subnet's last one, its first are next. The same file
    gives the same addresses, and a larger number the same ones and more.
    """
    return tuple(islice(_after_registered(spec), spec.floating_ips))


def next_free(spec: Spec, taken: Collection[IPv4Address]) -> IPv4Address:
    """The first address in that order that is not taken. Raises Refused when there is none."""
    for address in _after_registered(spec):
        if address not in taken:
            return address
    raise Refused(
        f"every address of the provider subnet {spec.underlay.provider} is registered already",
        hint="give back one with `pileus floating-ip remove ADDRESS`",
    )


def _after_registered(spec: Spec) -> Iterator[IPv4Address]:
    subnet, own = spec.underlay.provider, spec.underlay.registered_address
    kept = reserved_addresses(subnet)
    start = int(own) - int(subnet.network_address)
    for offset in range(1, subnet.num_addresses):
        address = subnet[(start + offset) % subnet.num_addresses]
        if address not in kept:
            yield address
