"""Delegated prefixes: blocks of 16 addresses that an interface has as its own.
[EC2 user guide, "Prefix delegation for Amazon EC2 network interfaces"]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from pileus.model.addresses import reserved_addresses
from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.interfaces import Interfaces, check_prefixes
from pileus.vpc.ec2.objects import Interface

LENGTH = 28
"""The only length there is."""


class Prefixes(Interfaces):
    """Each prefix counts as one address of its interface."""

    def create_with_prefixes(
        self, request: Mapping[str, Any], tags: Mapping[str, str] | None = None
    ) -> Interface:
        """CreateNetworkInterface, or what RunInstances says of one, by AWS's names."""
        named = [str(entry.get("Ipv4Prefix", "")) for entry in request.get("Ipv4Prefixes") or ()]
        count = int(request.get("Ipv4PrefixCount") or 0)
        several = ("PrivateIpAddresses", "SecondaryPrivateIpAddressCount")
        if (named or count) and any(request.get(name) for name in several):
            raise errors.invalid_combination(
                "IPv4 prefixes may not be specified together with several private IPv4 addresses"
            )
        subnet = self.get_subnet(request["SubnetId"])
        prefixes = self._wanted_prefixes(subnet, named, count) if named or count else []
        theirs = [address for prefix in prefixes for address in prefix]
        primary = str(request.get("PrivateIpAddress") or "")
        if primary in map(str, theirs):
            raise errors.address_in_use()
        if theirs and not primary:
            primary = str(self.free(subnet, 1, avoid=theirs)[0])
        interface = self.create_network_interface(
            subnet,
            primary or None,
            request.get("PrivateIpAddresses"),
            request.get("Groups"),
            request.get("Description"),
            tags,
            request.get("SecondaryPrivateIpAddressCount"),
            ipv6_addresses=request.get("Ipv6Addresses"),
            ipv6_address_count=request.get("Ipv6AddressCount"),
        )
        interface.prefixes = prefixes
        return interface

    def assign_prefixes(self, eni_id: str, texts: Sequence[str], count: int) -> list[IPv4Network]:
        """AssignPrivateIpAddresses with prefixes: those that are new on the interface."""
        interface: Interface = self.get_network_interface(eni_id)
        others = [text for text in texts if text not in map(str, interface.prefixes)]
        if texts and not others:
            return []
        new = self._wanted_prefixes(interface.subnet, others, count)
        if interface.instance:
            check_prefixes(interface.instance.instance_type)
        self._check_count(interface, len(new))
        interface.prefixes += new
        return new

    def unassign_prefixes(self, eni_id: str, texts: Sequence[str]) -> None:
        """UnassignPrivateIpAddresses with prefixes: all of them or none."""
        interface: Interface = self.get_network_interface(eni_id)
        prefixes = self._checked_prefixes(interface.subnet, texts)
        if any(prefix not in interface.prefixes for prefix in prefixes):
            raise errors.address_not_on(texts, eni_id)
        interface.prefixes = [one for one in interface.prefixes if one not in prefixes]

    def _wanted_prefixes(self, subnet: Any, texts: Sequence[str], count: int) -> list[IPv4Network]:
        """Prefixes that were named, else so many unused ones."""
        if count < 0 or bool(texts) == bool(count):
            raise errors.invalid_combination(
                "Exactly one of ipv4Prefix and ipv4PrefixCount is needed"
            )
        named = self._checked_prefixes(subnet, texts)
        if any(not self.taken(subnet).isdisjoint(prefix) for prefix in named):
            raise errors.address_in_use()
        return named or self._free_prefixes(subnet, count)

    def _checked_prefixes(self, subnet: Any, texts: Sequence[str]) -> list[IPv4Network]:
        network = IPv4Network(subnet.cidr_block)
        prefixes: list[IPv4Network] = []
        for text in texts:
            try:
                prefix = IPv4Network(text)
            except ValueError:
                raise errors.prefix_malformed(text) from None
            if prefix.prefixlen != LENGTH:
                raise errors.prefix_malformed(text)
            if not prefix.subnet_of(network):
                raise errors.address_outside(text)
            if reserved_addresses(network) & set(prefix):
                raise errors.address_reserved(text)
            if prefix in prefixes:
                raise errors.invalid_value(f"Duplicate IPv4 prefix {text}")
            prefixes.append(prefix)
        return prefixes

    def _free_prefixes(self, subnet: Any, count: int) -> list[IPv4Network]:
        """The first unused ones. Raises InsufficientCidrBlocks."""
        network = IPv4Network(subnet.cidr_block)
        used = {*self.taken(subnet), *reserved_addresses(network)}
        free: list[IPv4Network] = []
        for prefix in network.subnets(new_prefix=LENGTH):
            if len(free) == count:
                break
            if used.isdisjoint(prefix):
                free.append(prefix)
        if len(free) < count:
            raise errors.no_free_prefix()
        return free
