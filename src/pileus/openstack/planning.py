"""From what is wanted and what there is to the steps between. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pileus.model.errors import Fault, Refused
from pileus.model.tenant import (
    ObservedNetwork,
    ObservedOpenStack,
    ObservedRouter,
    ObservedServer,
    WantedOpenStack,
    WantedProvider,
    WantedRouter,
    WantedServer,
)
from pileus.openstack import steps as do
from pileus.openstack.floating import let_go, take
from pileus.openstack.gateway_mac import BORROWED, is_right, recipe
from pileus.openstack.holders import refuse
from pileus.openstack.steps import Step

_DEFAULT_FLOATING_IP_QUOTA = 50
"""Neutron's own default. [neutron.conf, quota_floatingip]"""
_ON_THE_WAY = frozenset({"BUILD", "REBOOT", "HARD_REBOOT", "PASSWORD", "REBUILD"})


def plan(wanted: WantedOpenStack, observed: ObservedOpenStack) -> list[Step]:
    """The steps that make OpenStack what it should be, in order; empty when nothing is to be done.

    Objects of ours that are no longer wanted go first, so that their addresses are free. What
    agents take longest to follow is asked for early and awaited last.
    Raises Refused where something would have to be made anew that may hold data, or taken from
    someone else, and Fault for a server of ours that broke after it had run.
    """
    refuse(wanted, observed)
    return [
        *let_go(wanted, observed),
        *_removals(wanted, observed),
        *_quota(wanted.provider, observed),
        *_provider(wanted.provider, observed.provider),
        *(
            step
            for one in wanted.more_providers
            for step in _provider(one, observed.more_providers.get(one.name))
        ),
        *_networks(wanted, observed),
        *(step for router in wanted.routers for step in _router(router, wanted, observed)),
        *_prerequisites(wanted, observed),
        *(step for server in wanted.servers for step in _server(server, observed)),
        *take(wanted, observed),
        *(step for router in wanted.routers for step in _gateway_ready(router, observed)),
        *(step for server in wanted.servers for step in _server_ready(server, observed)),
    ]


def _removals(wanted: WantedOpenStack, observed: ObservedOpenStack) -> Iterator[Step]:
    servers = {server.name for server in wanted.servers}
    yield from (do.DeleteServer(name) for name in sorted(set(observed.servers) - servers))
    yield from (do.DeletePort(name) for name in sorted(set(observed.ports) - servers))
    yield from (do.DeleteSecurityGroup(name) for name in sorted(set(observed.groups) - servers))
    networks = {network.name for network in wanted.networks}
    yield from (do.DeleteNetwork(name) for name in sorted(set(observed.networks) - networks))
    more = {provider.name for provider in wanted.more_providers}
    yield from (do.DeleteNetwork(name) for name in sorted(set(observed.more_providers) - more))
    routers = {router.name for router in wanted.routers}
    yield from (do.DeleteRouter(name) for name in sorted(set(observed.routers) - routers))


def _quota(provider: WantedProvider, observed: ObservedOpenStack) -> Iterator[Step]:
    if not provider.floating_ips and observed.floating_ip_quota != 0:
        yield do.SetFloatingIpQuota(0)
    if provider.floating_ips and observed.floating_ip_quota == 0:
        yield do.SetFloatingIpQuota(_DEFAULT_FLOATING_IP_QUOTA)


def _prerequisites(wanted: WantedOpenStack, observed: ObservedOpenStack) -> Iterator[Step]:
    for image in wanted.images:
        if observed.images.get(image.name) != "active":
            yield do.UploadImage(image)
    for flavor in wanted.flavors:
        if flavor.name not in observed.flavors:
            yield do.CreateFlavor(flavor)
    if _key(wanted.public_key) != _key(observed.public_key or ""):
        yield do.SetKeypair(wanted.keypair, wanted.public_key)


def _key(line: str) -> list[str]:
    """Type and key of an OpenSSH public key line, without its comment."""
    return line.split()[:2]


def _provider(provider: WantedProvider, have: ObservedNetwork | None) -> Iterator[Step]:
    if have is None:
        yield do.CreateProviderNetwork(provider)
    if have is None or have.subnet is None:
        yield do.CreateProviderSubnet(provider)
        return
    _same(f"the subnet of network {provider.name}", have.subnet, provider.subnet)
    now = (have.pools, have.service_types)
    if now != (frozenset(provider.pools), provider.service_types):
        yield do.UpdateProviderSubnet(provider)


def _networks(wanted: WantedOpenStack, observed: ObservedOpenStack) -> Iterator[Step]:
    for network in wanted.networks:
        have = observed.networks.get(network.name)
        if have is None:
            yield do.CreateNetwork(network)
        if have is None or have.subnet is None:
            yield do.CreateSubnet(network)
        else:
            _same(f"the subnet of network {network.name}", have.subnet, network.subnet)


def _router(
    router: WantedRouter, wanted: WantedOpenStack, observed: ObservedOpenStack
) -> Iterator[Step]:
    """With a cloned MAC the router is up only while its gateway's address and MAC are right."""
    name = router.name
    have = observed.routers.get(name)
    if have is None:
        yield do.CreateRouter(router)
        yield from _clone(router)
    else:
        yield from _gateway(router, have)
    yield from _interfaces(router, have, wanted, observed)
    if (have is None and router.clone) or (have and (not have.up or _restarts(router, have))):
        yield do.RouterUp(name)


def _gateway(router: WantedRouter, have: ObservedRouter) -> Iterator[Step]:
    if have.up and _restarts(router, have):
        yield do.RouterDown(router.name)
    if have.gateway is None:
        yield do.SetGateway(router)
        yield from _clone(router)
        return
    yield from recipe(router, have.gateway)
    if have.gateway.address != router.gateway:
        yield do.SetGateway(router)


def _clone(router: WantedRouter) -> Iterator[Step]:
    """What a new gateway port takes to carry the NIC's MAC; others carry Neutron's own."""
    if router.clone:
        yield do.SetMac(router.name, router.clone)
        yield do.ReturnGateway(router.name)


def _restarts(router: WantedRouter, have: ObservedRouter) -> bool:
    """Whether the router must go down and up: for another MAC, or to be bound again.

    A clone goes down for another address as well: no frame may leave with a wrong pair.
    """
    port = have.gateway
    if port is None:
        return router.clone is not None
    return (
        not is_right(router, port.mac)
        or (router.clone is not None and port.address != router.gateway)
        or port.owner == BORROWED
        or port.vif_type == "binding_failed"
    )


def _interfaces(
    router: WantedRouter,
    have: ObservedRouter | None,
    wanted: WantedOpenStack,
    observed: ObservedOpenStack,
) -> Iterator[Step]:
    connected = have.networks if have else frozenset()
    for network in wanted.networks:
        if network.router != router.name:
            continue
        known = observed.networks.get(network.name)
        if known is None or known.id not in connected:
            yield do.AddInterface(router.name, network.name)


def _gateway_ready(router: WantedRouter, observed: ObservedOpenStack) -> Iterator[Step]:
    have = observed.routers.get(router.name)
    if (
        have is None
        or not have.up
        or _restarts(router, have)
        or have.gateway is None
        or have.gateway.status != "ACTIVE"
    ):
        yield do.AwaitGateway(router.name)


def _server(server: WantedServer, observed: ObservedOpenStack) -> Iterator[Step]:
    group = observed.groups.get(server.name)
    if group is None or server.ingress - group.ingress or group.ours - server.ingress:
        yield do.SetSecurityGroup(server.name, server.ingress)
    address = observed.ports.get(server.name)
    if address is None:
        yield do.CreatePort(server)
    else:
        _same(f"the address of server {server.name}", address, server.fixed_ip)
    have = observed.servers.get(server.name)
    if have and have.status == "ERROR":
        yield from _broken(server.name, have)
    if have is None or have.status == "ERROR":
        yield do.CreateServer(server)
    elif have.status == "SHUTOFF":
        yield do.StartServer(server.name)


def _broken(name: str, server: ObservedServer) -> Iterator[Step]:
    if server.launched:
        raise Fault(
            f"server {name} is in ERROR: {server.fault or 'Nova does not say why'}",
            hint=f"`openstack server reboot --hard {name}` may bring it back; it was left as it is",
        )
    yield do.DeleteServer(name)


def _server_ready(server: WantedServer, observed: ObservedOpenStack) -> Iterator[Step]:
    have = observed.servers.get(server.name)
    if have is None or have.status in _ON_THE_WAY | {"ERROR", "SHUTOFF"}:
        yield do.AwaitServer(server.name)


def _same(what: str, have: object, want: object) -> None:
    if have != want:
        raise Refused(
            f"{what} is {have} and cannot become {want} while it is in use",
            hint="take it out of pileus.yaml and run `pileus up`, then put it in again; "
            "what is on it is lost",
        )
