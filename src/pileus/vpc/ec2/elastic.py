"""Elastic IPs: a pool, a quota, and one public address for one private one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.filters import ADDRESS, select
from pileus.vpc.ec2.objects import Address, Instance, Interface, LentAddress
from pileus.vpc.ec2.prefixes import Prefixes
from pileus.vpc.ec2.quotas import ELASTIC_IPS
from pileus.vpc.ec2.settings import Ec2Settings


class ElasticIps(Prefixes):
    """Addresses come from the region's pool, so that a wire can route them."""

    def __init__(self, settings: Ec2Settings) -> None:
        self.lent: list[LentAddress] = []
        self._given = 0
        """Position in the pool after the last one given out: a released one rests for a while."""
        super().__init__(settings)

    def allocate_address(
        self,
        domain: str | None,
        address: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Address:
        if domain not in (None, "vpc"):
            raise errors.unsupported("EC2-Classic")
        if len(self.addresses) >= self.quotas[ELASTIC_IPS]:
            raise errors.address_limit()
        public = self._wanted_public(address) if address else self._free_public()
        elastic = Address(self, domain="vpc", address=str(public), tags=dict(tags or {}))
        self.addresses.append(elastic)
        return elastic

    def _wanted_public(self, text: str) -> IPv4Address:
        """AllocateAddress can bring back an address by name while it is in the pool."""
        try:
            address = IPv4Address(text)
        except AddressValueError:
            raise errors.public_address_unknown(text) from None
        if address not in self.settings.elastic_pool:
            raise errors.public_address_unknown(text)
        if address in self._public_in_use():
            raise errors.public_address_in_use(text)
        return address

    def _free_public(self) -> IPv4Address:
        pool = list(self.settings.elastic_pool.hosts())
        used = self._public_in_use()
        for offset in range(len(pool)):
            position = (self._given + offset) % len(pool)
            if pool[position] not in used:
                self._given = position + 1
                return pool[position]
        raise errors.no_free_public_address()

    def _public_in_use(self) -> set[IPv4Address]:
        return {IPv4Address(one.public_ip) for one in (*self.addresses, *self.lent)}

    # Public addresses that are lent to running machines
    # [EC2 user guide, "Public IPv4 addresses"]

    def lend(self, instance: Instance) -> None:
        """Give an instance that wants one a public address, unless it has several interfaces or
        an Elastic IP."""
        interface = instance.primary
        alone = interface is not None and len(instance.nics) == 1
        if interface is None or not alone or not interface.wants_public or interface.association:
            return
        address = LentAddress(self, domain="vpc", address=str(self._free_public()), tags={})
        address.bind(interface, interface.addresses[0])
        self.lent.append(address)

    def take_back(self, interface: Interface | None) -> None:
        """End the loan of an interface, if there is one."""
        for address in [one for one in self.lent if one.eni is interface]:
            address.unbind()
            self.lent.remove(address)

    def address_by_ip(self, ips: Sequence[str], fail_if_not_found: bool = True) -> list[Address]:
        found = [elastic for elastic in self.addresses if elastic.public_ip in ips]
        if fail_if_not_found:
            known = {elastic.public_ip for elastic in found}
            for ip in ips:
                if ip not in known:
                    raise errors.public_address_unknown(ip)
        return found

    def address_by_allocation(self, allocation_ids: Sequence[str]) -> list[Address]:
        found = [elastic for elastic in self.addresses if elastic.allocation_id in allocation_ids]
        known = {elastic.allocation_id for elastic in found}
        for allocation in allocation_ids:
            if allocation not in known:
                raise errors.allocation_unknown(allocation)
        return found

    def describe_addresses(
        self,
        allocation_ids: Sequence[str] | None = None,
        public_ips: Sequence[str] | None = None,
        filters: Any = None,
    ) -> list[Address]:
        found: list[Address] = list(self.addresses)
        if allocation_ids:
            found = self.address_by_allocation(allocation_ids)
        if public_ips:
            named = self.address_by_ip(public_ips)
            found = [one for one in found if one in named]
        return select(found, filters, ADDRESS)

    def associate(
        self, elastic: Address, interface: Interface, private: str | None, reassociate: bool
    ) -> Address:
        """AssociateAddress, to the interface's primary address when none is named."""
        target = self._target(interface, private)
        if elastic.eni is interface and elastic.private == target:
            return elastic
        if self.gateway_of(interface.vpc_id) is None:
            raise errors.no_gateway(interface.vpc_id)
        if elastic.association_id and not reassociate:
            raise errors.already_associated(elastic.allocation_id, elastic.association_id)
        for other in self.addresses:
            if other.eni is interface and other.private == target:
                if not reassociate:
                    raise errors.already_associated(interface.id, str(other.association_id))
                other.unbind()
        if target == interface.addresses[0]:
            self.take_back(interface)
        former = elastic.eni
        elastic.unbind()
        elastic.bind(interface, target)
        self._lend_again(former)  # once it is known where this one is now
        return elastic

    def _release(self, elastic: Address) -> None:
        former = elastic.eni
        elastic.unbind()
        self._lend_again(former)

    def _lend_again(self, former: Interface | None) -> None:
        """A machine that wants a public address gets one for the Elastic IP that it had."""
        instance = former.instance if former is not None else None
        if instance is not None and instance.state in ("pending", "running"):
            self.lend(instance)

    def _target(self, interface: Interface, private: str | None) -> IPv4Address:
        if private is None:
            return interface.addresses[0]
        (address,) = self.checked_addresses(interface.subnet, [private])
        if address not in interface.addresses:
            raise errors.address_not_on([private], interface.id)
        return address

    def only_interface(self, instance: Instance) -> Interface:
        """The interface of an instance that has one alone. Raises InvalidInstanceID."""
        if instance.state not in ("pending", "running", "stopping", "stopped"):
            raise errors.instance_not_ready(instance.id)
        if len(instance.nics) != 1:
            raise errors.several_interfaces(instance.id)
        only: Interface = instance.nics[0]
        return only

    def disassociate_address(
        self, address: str | None = None, association_id: str | None = None
    ) -> None:
        if address:
            (elastic,) = self.address_by_ip([address])
            self._release(elastic)
            return
        for elastic in self.addresses:
            if association_id and elastic.association_id == association_id:
                self._release(elastic)
                return
        raise errors.association_unknown(str(association_id))

    def release_address(self, address: str | None = None, allocation_id: str | None = None) -> None:
        (elastic,) = (
            self.address_by_ip([address])
            if address
            else self.address_by_allocation([str(allocation_id)])
        )
        if elastic.association_id:
            raise errors.public_address_in_use(elastic.public_ip)
        self.tags.pop(elastic.allocation_id, None)
        super().release_address(address=elastic.public_ip)
