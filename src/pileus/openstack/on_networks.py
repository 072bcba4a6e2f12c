"""Steps on networks and their subnets."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Any

from pileus.model.errors import Refused
from pileus.model.tenant import Pool, WantedProvider, within
from pileus.openstack import steps as do
from pileus.openstack.doing import Ours, perform
from pileus.openstack.observing import pools_in
from pileus.openstack.survey import addresses_of


@perform.register
def _(step: do.SetFloatingIpQuota, ours: Ours) -> None:
    ours.network.update_quota(ours.connection.current_project_id, floating_ips=step.quota)


@perform.register
def _(step: do.CreateProviderNetwork, ours: Ours) -> None:
    if ours.find("networks", step.provider.name) is None:
        ours.network.create_network(
            name=step.provider.name,
            description=ours.mark,
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=step.provider.physnet,
        )


@perform.register
def _(step: do.CreateProviderSubnet, ours: Ours) -> None:
    provider = step.provider
    if ours.find("subnets", provider.name) is None:
        ours.network.create_subnet(
            name=provider.name,
            description=ours.mark,
            network_id=ours.get("networks", provider.name).id,
            ip_version=4,
            cidr=str(provider.subnet),
            gateway_ip=str(provider.gateway),
            is_dhcp_enabled=False,
            **_provider_attributes(provider),
        )


@perform.register
def _(step: do.UpdateProviderSubnet, ours: Ours) -> None:
    """Looks again once nobody can take an address more, and goes back where someone just did.

    Neutron itself lets pools shrink below what is in use.
    [neutron/db/db_base_plugin_v2.py, _update_subnet_precommit]
    """
    subnet = ours.get("subnets", step.provider.name)
    before = {name: getattr(subnet, name) for name in ("allocation_pools", "service_types")}
    ours.network.update_subnet(subnet, **_provider_attributes(step.provider))
    if taken := _outside(step.provider, pools_in(before["allocation_pools"]), ours):
        ours.network.update_subnet(subnet, **before)
        raise Refused(
            f"meanwhile someone took {', '.join(map(str, sorted(taken)))}, to be given back",
            hint="repeat the command: it tells who has it",
        )


def _outside(provider: WantedProvider, before: Iterable[Pool], ours: Ours) -> set[IPv4Address]:
    """Addresses in use that left the pools, but for our routers', which move next."""
    routers = {router.id for router in ours.network.routers() if ours.is_ours(router)}
    network = ours.get("networks", provider.name)
    return {
        address
        for port in ours.network.ports(network_id=network.id)
        if port.device_id not in routers
        for address in addresses_of(port)
        if within(address, before) and not within(address, provider.pools)
    }


def _provider_attributes(provider: WantedProvider) -> dict[str, Any]:
    return {
        "allocation_pools": [
            {"start": str(first), "end": str(last)} for first, last in provider.pools
        ],
        "service_types": list(provider.service_types),
    }


@perform.register
def _(step: do.CreateNetwork, ours: Ours) -> None:
    if ours.find("networks", step.network.name) is None:
        ours.network.create_network(name=step.network.name, description=ours.mark)


@perform.register
def _(step: do.CreateSubnet, ours: Ours) -> None:
    network = step.network
    if ours.find("subnets", network.name) is None:
        ours.network.create_subnet(
            name=network.name,
            description=ours.mark,
            network_id=ours.get("networks", network.name).id,
            ip_version=4,
            cidr=str(network.subnet),
            gateway_ip=str(network.subnet.network_address + 1),
            is_dhcp_enabled=True,
            dns_nameservers=[str(address) for address in network.dns],
        )


@perform.register
def _(step: do.DeleteNetwork, ours: Ours) -> None:
    network = ours.find("networks", step.name)
    if network is None:
        return
    for port in ours.network.ports(network_id=network.id, device_owner="network:router_interface"):
        ours.network.remove_interface_from_router(port.device_id, port_id=port.id)
    ours.network.delete_network(network)
