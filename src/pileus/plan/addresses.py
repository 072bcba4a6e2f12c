"""Which addresses of provider subnets are registered beside each NIC's first one. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from itertools import chain, islice
from types import MappingProxyType

from pileus.model.addresses import reserved_addresses
from pileus.model.errors import Refused
from pileus.spec import Spec


def floating_addresses(
    spec: Spec,
    added: Collection[IPv4Address] = (),
    released: Mapping[IPv4Address, int] = MappingProxyType({}),
) -> tuple[IPv4Address, ...]:
    """The registered addresses that `floating_ips` asks for, in order, on every provider network.

    They follow the NIC's first one; behind the subnet's last one, its first are next. Those that
    commands `added` are others, and those that they `released` come last, so that no address moves
    when the file or the commands change: a larger number gives the same ones and more. `released`
    has the number that the file asked for then: for as long as it says the same one, so many fewer
    are wanted. Raises Refused where the network has no room.
    """
    return tuple(
        address
        for subnet, own, count in _asked(spec)
        for address in _chosen(subnet, own, count, added, released)
    )


def asked_beside(spec: Spec, address: IPv4Address) -> int:
    """How many floating addresses the file asks for on the network of this one."""
    return next((count for subnet, _, count in _asked(spec) if address in subnet), 0)


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


def _asked(spec: Spec) -> Iterator[tuple[IPv4Network, IPv4Address, int]]:
    """Each provider network, its NIC's first address, and how many the file asks for beside."""
    under = spec.underlay
    yield under.provider, under.registered_address, spec.floating_ips
    for one in under.more_providers:
        yield one.cidr, one.registered_address, one.floating_ips


def _chosen(
    subnet: IPv4Network,
    own: IPv4Address,
    count: int,
    added: Collection[IPv4Address],
    released: Mapping[IPv4Address, int],
) -> tuple[IPv4Address, ...]:
    fewer = sum(address in subnet and then == count for address, then in released.items())
    wanted = max(count - fewer, 0)
    fresh = (one for one in _after(subnet, own) if one not in added and one not in released)
    again = (one for one in _after(subnet, own) if one not in added and one in released)
    chosen = tuple(islice(chain(fresh, again), wanted))
    if len(chosen) < wanted:
        raise Refused(
            f"{subnet} has room for {len(chosen)} floating addresses beside those that were added, "
            f"and pileus.yaml asks for {wanted}",
            hint="write a smaller `floating_ips`",
        )
    return chosen


def _after(subnet: IPv4Network, own: IPv4Address) -> Iterator[IPv4Address]:
    kept = reserved_addresses(subnet)
    start = int(own) - int(subnet.network_address)
    for offset in range(1, subnet.num_addresses):
        address = subnet[(start + offset) % subnet.num_addresses]
        if address not in kept:
            yield address
