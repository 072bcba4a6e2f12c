"""The environment below that a spec asks for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from pileus.model.publishing import Published
from pileus.model.tenant import ANYWHERE
from pileus.model.underlay import ALL_PORTS, Permission, Role, WantedNic, WantedUnderlay
from pileus.spec import Spec

API_PORTS = {
    22: "SSH",
    80: "Horizon",
    5000: "Keystone",
    8774: "Nova",
    8778: "Placement",
    9292: "Glance",
    9696: "Neutron",
}
"""What users reach on the management NIC, from `allow_from` only."""

EVERYTHING = frozenset(
    {
        Permission("tcp", ALL_PORTS, ANYWHERE),
        Permission("udp", ALL_PORTS, ANYWHERE),
        Permission("icmp", None, ANYWHERE),
    }
)
"""All that Neutron's security groups can let in to a server in turn, whatever they are set to."""

ELASTIC_IP_DOLLARS = 0.005
"""An hour, for each public IPv4 address, attached or not. [AWS, since 2024-02-01]"""
HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Caller:
    """Who runs Pileus: the address the cloud below sees, and the key that machines accept."""

    address: IPv4Address
    public_key: str


def wanted_underlay(
    spec: Spec,
    caller: Caller,
    published: Iterable[Published],
    image_name: str,
    floating: Collection[IPv4Address] = (),
) -> WantedUnderlay:
    """A NIC for management, and one for each provider network with its floating addresses.

    Each registered address has an Elastic IP. Without `allow_from` the management NIC lets in the
    caller's own address alone. Published ports are open to everyone: that is what publishing means.

    With floating addresses, everything is let in to their provider NIC: users make floating IPs and
    open ports by plain OpenStack calls that the cloud below does not hear of, so there OpenStack's
    security groups are the filter of each server. Nothing of the machine itself listens on that
    NIC. Without any, it stays closed but for published ports.
    """
    under = spec.underlay
    sources = under.allow_from or (IPv4Network(caller.address),)
    management = WantedNic(
        "management",
        under.management,
        (under.management_address,),
        frozenset(_management(sources)),
    )
    providers = (
        _provider(
            "provider", under.provider, under.registered_address, floating, _open_ports(published)
        ),
        *(
            _provider(one.name, one.cidr, one.registered_address, floating)
            for one in under.more_providers
        ),
    )
    return WantedUnderlay(
        cloud=spec.cloud,
        vpc=under.vpc,
        nics=(management, *providers),
        instance_type=under.instance_type,
        root_gib=under.root_disk_gib,
        public_key=caller.public_key,
        image_name=image_name,
        elastic_ips=frozenset(
            address for nic in (management, *providers) for address in nic.addresses
        ),
        nested_virtualization=spec.openstack.hypervisor != "qemu",
    )


def _management(sources: Iterable[IPv4Network]) -> Iterable[Permission]:
    for source in sources:
        for port in API_PORTS:
            yield Permission("tcp", (port, port), source)
        yield Permission("icmp", None, source)


def _provider(
    role: Role,
    subnet: IPv4Network,
    own: IPv4Address,
    floating: Iterable[IPv4Address],
    ports: Iterable[Permission] = (),
) -> WantedNic:
    more = sorted(address for address in floating if address in subnet)
    return WantedNic(role, subnet, (own, *more), EVERYTHING if more else frozenset(ports))


def _open_ports(published: Iterable[Published]) -> Iterable[Permission]:
    for item in published:
        port = item.registered.port
        yield Permission(item.protocol, (port, port), ANYWHERE)


def monthly_dollars(wanted: WantedUnderlay) -> float:
    """What the public addresses of a real account cost a month; machines and disks come on top."""
    return len(wanted.elastic_ips) * ELASTIC_IP_DOLLARS * HOURS_A_MONTH
