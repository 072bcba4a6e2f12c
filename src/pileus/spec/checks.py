"""What must hold between the values of a spec. Pure: a spec in, findings out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from pileus.model.addresses import LINK_LOCAL, reserved_addresses
from pileus.model.underlay import ROLES
from pileus.spec.schema import MIN_ROOT_GIB, UNSET, Server, Spec, TenantNetwork
from pileus.spec.source import Path

RELEASES = ("2025.1",)
NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
"""What a host name may be [RFC 1123], shorter, in lower case, and beginning with a letter."""
RESERVED_NAMES = {
    "controller": "`pileus ssh controller` is the machine itself",
    "internet": "`pileus trace internet …` sends from the internet",
    "here": "`pileus trace here …` sends from where you are",
    "router": "`pileus trace router …` sends from the cloud's own router",
}
"""What a word means where the name of a server may stand, too."""
ANYWHERE = IPv4Network("0.0.0.0/0")
SMALLEST_SUBNET = 28
"""Of a VPC and of its subnets; the largest is /16. [AWS VPC user guide, VPC and subnet sizing]"""
LARGEST_SUBNET = 16
SMALLEST_TENANT_NETWORK = 29


_Named = tuple[str, Path, IPv4Network]
"""A network: what it is, where it stands, its addresses."""


@dataclass(frozen=True)
class Finding:
    """Something wrong at a path. `about` are the other values it follows from."""

    at: Path
    what: str
    hint: str
    about: tuple[Path, ...] = ()


def findings(spec: Spec) -> Iterator[Finding]:
    """Everything wrong in a spec whose single values are right."""
    yield from _not_built(spec)
    yield from _uplink(spec)
    yield from _sizes(spec)
    yield from _subnets(spec)
    yield from _addresses(spec)
    yield from _names(spec)
    yield from _servers(spec)
    yield from _published(spec)


def warnings(spec: Spec) -> tuple[str, ...]:
    """What is allowed but deserves a second look, one sentence each."""
    if ANYWHERE in spec.underlay.allow_from:
        return (
            "allow_from contains 0.0.0.0/0: anyone may try the machine's SSH and the OpenStack "
            "APIs, which speak plain HTTP",
        )
    return ()


def _not_built(spec: Spec) -> Iterator[Finding]:
    if spec.underlay.kind != "aws":
        yield Finding(
            ("underlay", "kind"), "`kind: openstack` is not built yet", "write `kind: aws`"
        )
    if spec.underlay.endpoint != "simulated":
        yield Finding(
            ("underlay", "endpoint"),
            "`endpoint: aws` is not built yet: nothing was tested on a real account",
            "write `endpoint: simulated`",
        )
    if spec.openstack.network_driver != "ovs":
        yield Finding(
            ("openstack", "network_driver"),
            "`network_driver: ovn` is not built yet",
            "write `network_driver: ovs`",
        )
    if spec.openstack.release not in RELEASES:
        yield Finding(
            ("openstack", "release"),
            f"OpenStack {spec.openstack.release} is not supported",
            f"supported: {', '.join(RELEASES)}",
        )


def _uplink(spec: Spec) -> Iterator[Finding]:
    provider, pool = ("underlay", "provider"), ("underlay", "allocation_pool")
    registered = ("underlay", "registered_address")
    if spec.uplink == "mac-clone":
        if spec.floating_ips:
            yield Finding(
                ("floating_ips",),
                "floating IPs cannot work with `uplink: mac-clone`: the cloud below knows one "
                "address of the provider NIC, and drops what leaves from any other",
                "set `uplink: mac-nat`, or write `floating_ips: 0` and publish ports instead",
            )
        if spec.underlay.more_providers:
            yield Finding(
                ("underlay", "more_providers"),
                "`more_providers` cannot work with `uplink: mac-clone`: the one router has its "
                "gateway on the first provider network, and no other may use a NIC's address",
                "set `uplink: mac-nat`, or remove `more_providers`",
                about=(("uplink",),),
            )
        return
    if "allocation_pool" in spec.underlay.model_fields_set:
        yield Finding(
            pool,
            "`allocation_pool` is for `uplink: mac-clone`; with mac-nat Neutron gives out exactly "
            "the addresses that are registered",
            "remove it and set `floating_ips` to how many are wanted, or set `uplink: mac-clone`",
            about=(("uplink",),),
        )
    subnet = spec.underlay.provider
    yield from _room(
        Finding(
            ("floating_ips",),
            f"{spec.floating_ips} floating IPs do not fit into the provider subnet {subnet}, which "
            f"has room for {_spare(subnet)} beside the router's address",
            f"at most {_spare(subnet)}, or choose a larger provider subnet",
            about=(("uplink",), provider, registered),
        ),
        spec.floating_ips,
        subnet,
    )
    for position, one in enumerate(spec.underlay.more_providers):
        entry = ("underlay", "more_providers", position)
        yield from _room(
            Finding(
                (*entry, "floating_ips"),
                f"{one.floating_ips} floating IPs do not fit into {one.cidr}, which has room for "
                f"{_spare(one.cidr)} beside the NIC's first address",
                f"at most {_spare(one.cidr)}, or choose a larger subnet",
                about=((*entry, "cidr"),),
            ),
            one.floating_ips,
            one.cidr,
        )


def _room(finding: Finding, floating_ips: int, subnet: IPv4Network) -> Iterator[Finding]:
    """The finding, where so many addresses do not fit into a subnet of a size that AWS allows."""
    if floating_ips > _spare(subnet) and subnet.prefixlen <= SMALLEST_SUBNET:
        yield finding


def _spare(subnet: IPv4Network) -> int:
    """Addresses that there are beside a NIC's first one."""
    return subnet.num_addresses - len(reserved_addresses(subnet)) - 1


def _sizes(spec: Spec) -> Iterator[Finding]:
    if spec.underlay.root_disk_gib < MIN_ROOT_GIB:
        yield Finding(
            ("underlay", "root_disk_gib"),
            f"a disk of {spec.underlay.root_disk_gib} GiB is too small for OpenStack",
            f"at least {MIN_ROOT_GIB}",
        )
    for _, path, network in [_vpc(spec), *_of_vpc(spec)]:
        if not LARGEST_SUBNET <= network.prefixlen <= SMALLEST_SUBNET:
            yield Finding(
                path,
                f"{network} has a size that AWS does not allow",
                f"/{LARGEST_SUBNET} at most, /{SMALLEST_SUBNET} at least",
            )
    for position, tenant in enumerate(spec.networks):
        if tenant.cidr.prefixlen > SMALLEST_TENANT_NETWORK:
            yield Finding(
                ("networks", position, "cidr"),
                f"{tenant.cidr} is too small for a network",
                f"/{SMALLEST_TENANT_NETWORK} at least",
            )


def _vpc(spec: Spec) -> _Named:
    return "the VPC", ("underlay", "vpc"), spec.underlay.vpc


def _of_vpc(spec: Spec) -> list[_Named]:
    """The subnets of the VPC."""
    under = spec.underlay
    return [
        ("the management subnet", ("underlay", "management"), under.management),
        ("the provider subnet", ("underlay", "provider"), under.provider),
        *(
            (
                f"the {one.name} subnet",
                ("underlay", "more_providers", position, "cidr"),
                one.cidr,
            )
            for position, one in enumerate(under.more_providers)
        ),
    ]


def _subnets(spec: Spec) -> Iterator[Finding]:
    vpc, named = spec.underlay.vpc, _of_vpc(spec)
    for what, path, subnet in named:
        if not subnet.subnet_of(vpc):
            yield Finding(
                path,
                f"{what} {subnet} lies outside the VPC {vpc}",
                "choose a subnet of the VPC, or a VPC that holds it",
                about=(("underlay", "vpc"),),
            )
    tenants: list[_Named] = [
        (f"network `{tenant.name}`", ("networks", position, "cidr"), tenant.cidr)
        for position, tenant in enumerate(spec.networks)
    ]
    whole_vpc = _vpc(spec)
    pairs = [*combinations(named, 2), *combinations(tenants, 2)]
    for (one, path_one, first), (other, path_other, second) in [
        *pairs,
        *((whole_vpc, tenant) for tenant in tenants),
    ]:
        if first.overlaps(second):
            yield Finding(
                path_other,
                f"{other} ({second}) overlaps {one} ({first})",
                "choose ranges that have no address in common",
                about=(path_one,),
            )
    for what, path, network in [whole_vpc, *tenants]:
        if network.is_multicast or network.is_loopback or network.overlaps(LINK_LOCAL):
            yield Finding(
                path,
                f"{what} ({network}) lies in a range that hosts cannot use",
                "choose a private range, such as 192.168.20.0/24",
            )


def _addresses(spec: Spec) -> Iterator[Finding]:
    underlay = spec.underlay
    first, last = underlay.allocation_pool
    provider, pool = ("underlay", "provider"), ("underlay", "allocation_pool")
    yield from _usable(
        ("underlay", "management_address"),
        underlay.management_address,
        underlay.management,
        about=("underlay", "management"),
    )
    yield from _usable(
        ("underlay", "registered_address"),
        underlay.registered_address,
        underlay.provider,
        about=provider,
    )
    if spec.uplink != "mac-clone":
        return
    ends = [
        finding
        for end in (first, last)
        for finding in _usable(pool, end, underlay.provider, about=provider)
    ]
    yield from ends
    if not ends and not first <= underlay.registered_address <= last:
        yield Finding(
            ("underlay", "registered_address"),
            f"the registered address {underlay.registered_address} is outside the allocation "
            f"pool {first}-{last}",
            "choose a pool that covers it: the router's gateway is given an address of the pool",
            about=(pool, provider),
        )


def _usable(
    at: Path, address: IPv4Address, subnet: IPv4Network, *, about: Path
) -> Iterator[Finding]:
    if address not in subnet:
        yield Finding(
            at,
            f"{address} lies outside its subnet {subnet}",
            f"choose an address of {subnet}",
            about=(about,),
        )
    elif address in reserved_addresses(subnet):
        yield Finding(
            at,
            f"{address} is one of the five addresses of {subnet} that AWS keeps for itself",
            f"choose one from {subnet.network_address + 4} to {subnet.broadcast_address - 1}",
            about=(about,),
        )


def _names(spec: Spec) -> Iterator[Finding]:
    named: list[tuple[Path, str]] = [
        (("cloud",), spec.cloud),
        *((("networks", i, "name"), network.name) for i, network in enumerate(spec.networks)),
        *((("servers", i, "name"), server.name) for i, server in enumerate(spec.servers)),
        *(
            (("underlay", "more_providers", i, "name"), one.name)
            for i, one in enumerate(spec.underlay.more_providers)
        ),
    ]
    for path, name in named:
        if not NAME.fullmatch(name):
            yield Finding(
                path,
                f"`{name}` cannot be a name",
                "use a-z, 0-9 and -, beginning with a letter, 32 characters at most",
            )
    yield from _repeated("networks", "network", [network.name for network in spec.networks])
    yield from _repeated("servers", "server", [server.name for server in spec.servers])
    yield from _provider_names(spec)
    reserved = {**RESERVED_NAMES, f"{spec.cloud}-controller": "the machine itself is called so"}
    for position, server in enumerate(spec.servers):
        if server.name in reserved:
            yield Finding(
                ("servers", position, "name"),
                f"a server cannot be called `{server.name}`: {reserved[server.name]}",
                "choose another name",
            )


def _provider_names(spec: Spec) -> Iterator[Finding]:
    """They are names of roles in the cloud below, and of networks in OpenStack."""
    taken: dict[str, Path] = {role: ("underlay", role) for role in ROLES}
    taken |= {one.name: ("networks", i, "name") for i, one in enumerate(spec.networks)}
    for position, one in enumerate(spec.underlay.more_providers):
        path: Path = ("underlay", "more_providers", position, "name")
        if one.name in taken:
            yield Finding(
                path,
                f"there is a network called `{one.name}` already",
                "give each its own name",
                about=(taken[one.name],),
            )
        taken.setdefault(one.name, path)


def _repeated(key: str, what: str, names: Iterable[str]) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in seen:
            yield Finding(
                (key, position, "name"),
                f"there are two {what}s called `{name}`",
                "give each its own name",
                about=((key, seen[name], "name"),),
            )
        seen.setdefault(name, position)


def _servers(spec: Spec) -> Iterator[Finding]:
    networks = {network.name: network for network in spec.networks}
    taken: dict[tuple[str, IPv4Address], str] = {}
    for position, server in enumerate(spec.servers):
        path: Path = ("servers", position, "fixed_ip")
        network = networks.get(server.network)
        if network is None:
            known = ", ".join(networks) or "none"
            yield Finding(
                ("servers", position, "network"),
                f"server `{server.name}` is on network `{server.network}`, which does not exist"
                if server.network
                else f"there is no network for server `{server.name}`",
                f"networks: {known}",
                about=(("networks",),),
            )
            continue
        yield from _fixed_ip(path, server, network)
        key = (server.network, server.fixed_ip)
        if key in taken and server.fixed_ip != UNSET:
            yield Finding(
                path,
                f"servers `{taken[key]}` and `{server.name}` both have {server.fixed_ip}",
                "give each its own address",
            )
        taken.setdefault(key, server.name)


def _fixed_ip(path: Path, server: Server, network: TenantNetwork) -> Iterator[Finding]:
    address, about = server.fixed_ip, (("networks",),)
    if address == UNSET:
        yield Finding(
            path,
            f"network `{network.name}` ({network.cidr}) has no free address for `{server.name}`",
            "choose a larger network",
            about,
        )
    elif address not in network.cidr:
        yield Finding(
            path,
            f"{address} lies outside network `{network.name}` ({network.cidr})",
            f"choose an address of {network.cidr}, or leave fixed_ip out",
            about,
        )
    elif address in kept_by_neutron(network.cidr):
        yield Finding(
            path,
            f"{address} is the network's own: its first, its router's or its last address",
            "choose another one, or leave fixed_ip out",
            about,
        )


def kept_by_neutron(network: IPv4Network) -> frozenset[IPv4Address]:
    """Addresses that no server can have: the network, the router's interface, broadcast."""
    start = network.network_address
    return frozenset({start, start + 1, network.broadcast_address})


def _published(spec: Spec) -> Iterator[Finding]:
    seen: dict[tuple[IPv4Address | None, str, int], tuple[Path, str]] = {}
    for position, server in enumerate(spec.servers):
        for index, publication in enumerate(server.publish):
            path: Path = ("servers", position, "publish", index)
            if publication.address is not None:
                yield from _published_address(path, publication.address, spec)
            key = (publication.address, publication.protocol, publication.port)
            if key in seen:
                first, owner = seen[key]
                at = f" of {publication.address}" if publication.address else ""
                yield Finding(
                    path,
                    f"port {publication.port}/{publication.protocol}{at} is published twice, "
                    f"by `{owner}` and by `{server.name}`",
                    "choose another port for one of them",
                    about=(first,),
                )
            seen.setdefault(key, (path, server.name))


def _published_address(path: Path, address: IPv4Address, spec: Spec) -> Iterator[Finding]:
    """What can be said of it from the file; commands add floating addresses beside those of it."""
    registered = ("underlay", "registered_address")
    if spec.uplink == "mac-clone":
        yield Finding(
            path,
            f"{address} cannot be published on: with `uplink: mac-clone` there is one address, "
            "the router's",
            "leave the address out, as in 522:22, or set `uplink: mac-nat` and `floating_ips`",
        )
    elif address == spec.underlay.registered_address:
        yield Finding(
            path,
            f"{address} is the router's own address, not a floating one",
            "leave the address out, as in 522:22",
            about=(("underlay", "provider"), registered),
        )
    else:
        yield from _usable(path, address, spec.underlay.provider, about=("underlay", "provider"))
