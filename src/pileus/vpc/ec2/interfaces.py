"""Network interfaces and their private addresses."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from pileus.model.addresses import reserved_addresses
from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.acls import NetworkAcls
from pileus.vpc.ec2.filters import INTERFACE, select
from pileus.vpc.ec2.objects import Instance, Interface

GROUPS_PER_INTERFACE = 5
"""Default quota. [Amazon VPC user guide, Security groups quotas]"""


class Interfaces(NetworkAcls):
    """Every private address of a subnet is on one interface at most."""

    def create_network_interface(
        self,
        subnet: Any,
        private_ip_address: str | None = None,
        private_ip_addresses: Sequence[Mapping[str, Any]] | None = None,
        group_ids: Sequence[str] | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        secondary_ips_count: int | None = None,
        **options: Any,
    ) -> Interface:
        if any(options.get(name) for name in ("ipv6_addresses", "ipv6_address_count")):
            raise errors.unsupported("IPv6 addresses")
        subnet = self.get_subnet(subnet) if isinstance(subnet, str) else subnet
        groups = self.groups_in(subnet.vpc_id, group_ids or ())
        addresses = self._wanted(
            subnet, private_ip_address, private_ip_addresses or (), secondary_ips_count or 0
        )
        ids = [group.id for group in groups]
        interface = Interface(self, subnet, addresses, ids, description)
        interface.add_tags(dict(tags or {}))
        self.enis[interface.id] = interface
        return interface

    def _wanted(
        self, subnet: Any, primary: str | None, listed: Sequence[Mapping[str, Any]], more: int
    ) -> list[IPv4Address]:
        """The addresses asked for, primary first, chosen where none was named."""
        if more < 0:
            raise errors.invalid_value("secondaryPrivateIpAddressCount must not be negative")
        if any("PrivateIpAddress" not in entry for entry in listed):
            raise errors.missing_parameter("PrivateIpAddresses.PrivateIpAddress")
        first = [entry["PrivateIpAddress"] for entry in listed if entry.get("Primary")]
        first += [primary] if primary else []
        if len(first) > 1:
            raise errors.invalid_combination(
                "Only one primary private IP address can be specified."
            )
        if listed and more:
            raise errors.invalid_combination(
                "privateIpAddresses and secondaryPrivateIpAddressCount may not be specified on "
                "the same request"
            )
        rest = [entry["PrivateIpAddress"] for entry in listed if not entry.get("Primary")]
        named = self.checked_addresses(subnet, [*first, *rest])
        if any(address in self.taken(subnet) for address in named):
            raise errors.address_in_use()
        chosen = self.free(subnet, more + (0 if first else 1), avoid=named)
        return [*named, *chosen] if first else [chosen[0], *named, *chosen[1:]]

    def taken(self, subnet: Any) -> set[IPv4Address]:
        """Addresses of a subnet that are on an interface."""
        return {
            address
            for eni in self.enis.values()
            if eni.subnet is subnet
            for address in eni.registered
        }

    def free(self, subnet: Any, count: int, avoid: Sequence[IPv4Address] = ()) -> list[IPv4Address]:
        """Random unused addresses. Raises InsufficientFreeAddressesInSubnet."""
        network = IPv4Network(subnet.cidr_block)
        used = {*self.taken(subnet), *avoid, *reserved_addresses(network)}
        if network.num_addresses - len(used) < count:
            raise errors.subnet_full()
        chosen: list[IPv4Address] = []
        while len(chosen) < count:
            start = secrets.randbelow(network.num_addresses)
            address = next(
                candidate
                for offset in range(network.num_addresses)
                if (candidate := network[(start + offset) % network.num_addresses]) not in used
            )
            used.add(address)
            chosen.append(address)
        return chosen

    def checked_addresses(self, subnet: Any, texts: Sequence[str]) -> list[IPv4Address]:
        """Addresses that may be on an interface of this subnet, each once."""
        network = IPv4Network(subnet.cidr_block)
        addresses = []
        for text in texts:
            try:
                address = IPv4Address(text)
            except AddressValueError:
                raise errors.address_malformed(text) from None
            if address not in network:
                raise errors.address_outside(text)
            if address in reserved_addresses(network):
                raise errors.address_reserved(text)
            if address in addresses:
                raise errors.invalid_value(f"Duplicate private IP address {text}")
            addresses.append(address)
        return addresses

    def groups_in(self, vpc_id: str, ids: Sequence[str]) -> list[Any]:
        """Groups by id, all of one VPC; its default group when none is named."""
        if not ids:
            return [self.get_default_security_group(vpc_id)]
        if len(set(ids)) > GROUPS_PER_INTERFACE:
            raise errors.groups_limit()
        groups = [self.security_group(id) for id in dict.fromkeys(ids)]
        for group in groups:
            if group.vpc_id != vpc_id:
                raise errors.invalid_value(
                    "You have specified two resources that belong to different networks."
                )
        return groups

    def get_all_network_interfaces(
        self, eni_ids: Sequence[str] | None = None, filters: Any = None
    ) -> list[Any]:
        return select(super().get_all_network_interfaces(eni_ids), filters, INTERFACE)

    def delete_network_interface(self, eni_id: str) -> None:
        interface = self.get_network_interface(eni_id)
        if interface.attachment_id:
            raise errors.interface_to_delete_in_use(eni_id)
        self.unbind(interface, interface.addresses)
        super().delete_network_interface(eni_id)
        self.tags.pop(eni_id, None)

    def unbind(self, interface: Interface, addresses: Sequence[IPv4Address]) -> None:
        """Take the Elastic IPs off these addresses."""
        for elastic in self.addresses:
            if elastic.eni is interface and elastic.private in addresses:
                elastic.unbind()

    # Attachment

    def attach_network_interface(self, eni_id: str, instance_id: str, device_index: int) -> Any:
        interface = self.get_network_interface(eni_id)
        instance: Instance = self.get_instance(instance_id)
        if interface.attachment_id:
            raise errors.interface_in_use(eni_id)
        if instance.state not in ("running", "stopped"):
            raise errors.instance_not_ready(instance_id)
        if int(device_index) < 0:
            raise errors.invalid_value(f"Invalid device index '{device_index}'")
        if int(device_index) in instance.nics:
            raise errors.device_index_taken(instance_id, int(device_index))
        if interface.vpc_id != instance.vpc_id:
            raise errors.different_networks(f"interface {eni_id}", f"instance {instance_id}")
        if interface.availability_zone != instance.placement.zone:
            raise errors.other_zone()
        self.check_limits(instance.instance_type, [*instance.nics.values(), interface])
        return super().attach_network_interface(eni_id, instance_id, int(device_index))

    def check_limits(self, instance_type: str, interfaces: Sequence[Interface]) -> None:
        """Raises AttachmentLimitExceeded or PrivateIpAddressLimitExceeded."""
        limits = INSTANCE_TYPES[instance_type]["NetworkInfo"]
        if len(interfaces) > limits["MaximumNetworkInterfaces"]:
            raise errors.attachment_limit(len(interfaces), instance_type)
        if any(interface.slots > limits["Ipv4AddressesPerInterface"] for interface in interfaces):
            raise errors.private_address_limit()
        if any(interface.prefixes for interface in interfaces):
            check_prefixes(instance_type)

    def detach_network_interface(self, attachment_id: str) -> None:
        for eni in self.enis.values():
            if eni.attachment_id == attachment_id:
                if eni.device_index == 0:
                    raise errors.primary_interface()
                eni.instance.detach_eni(eni)
                return
        raise errors.no_attachment(attachment_id)

    def modify_network_interface_attribute(
        self,
        eni_id: str,
        group_ids: Sequence[str],
        source_dest_check: bool | None = None,
        description: str | None = None,
    ) -> None:
        interface = self.get_network_interface(eni_id)
        if group_ids:
            interface._group_set = self.groups_in(interface.vpc_id, group_ids)
        super().modify_network_interface_attribute(eni_id, [], source_dest_check, description)

    # Secondary addresses

    def assign(
        self, eni_id: str, texts: Sequence[str], count: int, reassign: bool
    ) -> list[IPv4Address]:
        """AssignPrivateIpAddresses: the addresses that are new on the interface."""
        interface: Interface = self.get_network_interface(eni_id)
        if count < 0 or bool(texts) == bool(count):
            raise errors.invalid_combination(
                "Exactly one of privateIpAddresses and secondaryPrivateIpAddressCount is needed"
            )
        named = self.checked_addresses(interface.subnet, texts)
        wanted = [address for address in named if address not in interface.addresses]
        owners = [self._owner(interface.subnet, address) for address in wanted]
        if any(owner and not reassign for owner in owners):
            raise errors.address_in_use()
        if any(
            owner and address not in owner.addresses[1:]
            for owner, address in zip(owners, wanted, strict=True)
        ):
            raise errors.address_in_use()
        new = wanted or self.free(interface.subnet, count)
        self._check_count(interface, len(new))
        for address in new:
            self._move(address, self._owner(interface.subnet, address), interface)
        return new

    def _owner(self, subnet: Any, address: IPv4Address) -> Interface | None:
        for eni in self.enis.values():
            if eni.subnet is subnet and address in eni.registered:
                found: Interface = eni
                return found
        return None

    def _check_count(self, interface: Interface, more: int) -> None:
        if interface.instance is None:
            return
        limits = INSTANCE_TYPES[interface.instance.instance_type]["NetworkInfo"]
        if interface.slots + more > limits["Ipv4AddressesPerInterface"]:
            raise errors.private_address_limit()

    def _move(self, address: IPv4Address, owner: Interface | None, to: Interface) -> None:
        """Register an address on an interface; its Elastic IP comes along. [API reference]"""
        to.add(address)
        if owner is None:
            return
        owner.remove(address)
        for elastic in self.addresses:
            if elastic.eni is owner and elastic.private == address:
                elastic.eni = to
                elastic.show()

    def unassign_private_ip_addresses(
        self, eni_id: str, private_ip_address: Sequence[str] | None = None
    ) -> Interface:
        interface: Interface = self.get_network_interface(eni_id)
        texts = private_ip_address or ()
        if not texts:
            raise errors.missing_parameter("privateIpAddress")
        addresses = self.checked_addresses(interface.subnet, texts)
        if any(address not in interface.addresses for address in addresses):
            raise errors.address_not_on(texts, eni_id)
        if interface.addresses[0] in addresses:
            raise errors.primary_address(str(interface.addresses[0]))
        self.unbind(interface, addresses)
        for address in addresses:
            interface.remove(address)
        return interface


def check_prefixes(instance_type: str) -> None:
    """Raises UnsupportedOperation for a type that is not built on Nitro."""
    if INSTANCE_TYPES[instance_type].get("Hypervisor") == "xen":
        raise errors.no_prefixes(instance_type)
