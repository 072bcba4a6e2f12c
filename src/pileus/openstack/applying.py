"""Doing one step inside OpenStack; every step may be done twice, or after a part of it was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from pileus.model.errors import Fault
from pileus.model.tenant import ObservedOpenStack, WantedOpenStack, WantedProvider
from pileus.model.underlay import Permission
from pileus.openstack import steps as do
from pileus.openstack.connection import calling
from pileus.openstack.floating import GATEWAYS_ONLY
from pileus.openstack.gateway_mac import BORROWED, ROUTER_GATEWAY, UNBOUND
from pileus.openstack.observing import SERVER_MARK, group_of, observe
from pileus.openstack.planning import plan
from pileus.openstack.steps import Step
from pileus.system.clock import poll, seconds

AGENT_SECONDS = 60.0
"""How long agents may take to follow the API; they do within about 5 s when they live."""
BOOT_SECONDS = 180.0
"""How long Nova may take to start a server; under emulation it takes some 10 s."""
_L3_HINT = (
    "see `systemctl status neutron-l3-agent neutron-openvswitch-agent` on the controller, "
    "then repeat"
)


@dataclass(frozen=True)
class Took:
    """A step that was done, and how long it took."""

    step: Step
    seconds: float


@dataclass(frozen=True)
class Ensured:
    """What `ensure` did (nothing, when all was right) and what there is now."""

    took: tuple[Took, ...]
    observed: ObservedOpenStack


def ensure(
    connection: Any, wanted: WantedOpenStack, progress: Callable[[str], None] = lambda _: None
) -> Ensured:
    """Make OpenStack what it should be; `progress` is told each step before it is done.

    Raises what `plan` and `apply` raise. It may be interrupted and repeated at any point.
    """
    observed = observe(connection, wanted)
    took = []
    for step in plan(wanted, observed):
        progress(str(step))
        start = seconds()
        apply(connection, wanted, step)
        took.append(Took(step, seconds() - start))
    return Ensured(tuple(took), observe(connection, wanted) if took else observed)


def apply(connection: Any, wanted: WantedOpenStack, step: Step) -> None:
    """Do one step. Raises CloudFault when the API refuses, Fault when it does not come true."""
    with calling(str(step)):
        _apply(step, Ours(connection, wanted))


@dataclass(frozen=True)
class Ours:
    """Our objects by name: what steps look their ids up in."""

    connection: Any
    wanted: WantedOpenStack

    @property
    def mark(self) -> str:
        return self.wanted.mark

    @property
    def network(self) -> Any:
        return self.connection.network

    @property
    def compute(self) -> Any:
        return self.connection.compute

    def find(self, kind: str, name: str) -> Any | None:
        """The network object of ours with that name; `kind` as the SDK's list call has it."""
        found = getattr(self.network, kind)(name=name, description=self.mark)
        return next(iter(found), None)

    def get(self, kind: str, name: str) -> Any:
        """Like `find`. Raises Fault when there is none."""
        if (found := self.find(kind, name)) is None:
            raise Fault(
                f"{name} is not among our {kind.replace('_', ' ')} any more",
                hint="someone removed it meanwhile; repeat the command",
                retryable=True,
            )
        return found

    def server(self, name: str) -> Any | None:
        """The server of ours with that name."""
        return next(
            (
                server
                for server in self.compute.servers(name=f"^{name}$")
                if server.metadata.get(SERVER_MARK) == self.wanted.cloud
            ),
            None,
        )

    def gateway(self, router: str) -> Any:
        """A router's port on the provider network. Raises Fault when it has none."""
        network = self.get("networks", self.wanted.provider.name)
        owner = self.get("routers", router)
        found = self.network.ports(device_id=owner.id, network_id=network.id)
        if (port := next(iter(found), None)) is None:
            raise Fault(
                f"router {router} has no gateway port",
                hint="someone took its gateway away meanwhile; repeat the command",
                retryable=True,
            )
        return port


@singledispatch
def _apply(step: Any, _ours: Ours) -> None:
    raise TypeError(f"no way to do {type(step).__name__}")


@_apply.register
def _(step: do.SetFloatingIpQuota, ours: Ours) -> None:
    ours.network.update_quota(ours.connection.current_project_id, floating_ips=step.quota)


@_apply.register
def _(step: do.UploadImage, ours: Ours) -> None:
    image = ours.connection.image
    for stale in image.images(name=step.image.name, tag=ours.mark):
        if stale.status == "active":
            return
        image.delete_image(stale)  # an upload that was cut off
    image.create_image(
        step.image.name,
        filename=str(step.image.file),
        disk_format=step.image.disk_format,
        container_format="bare",
        tags=[ours.mark],
        validate_checksum=True,
        wait=True,
    )


@_apply.register
def _(step: do.CreateFlavor, ours: Ours) -> None:
    flavor = step.flavor
    if ours.compute.find_flavor(flavor.name) is None:
        ours.compute.create_flavor(
            name=flavor.name,
            vcpus=flavor.vcpus,
            ram=flavor.memory_mib,
            disk=flavor.disk_gib,
            description=ours.mark,
        )


@_apply.register
def _(step: do.SetKeypair, ours: Ours) -> None:
    ours.compute.delete_keypair(step.name, ignore_missing=True)
    ours.compute.create_keypair(name=step.name, public_key=step.public_key)


@_apply.register
def _(step: do.CreateProviderNetwork, ours: Ours) -> None:
    if ours.find("networks", step.provider.name) is None:
        ours.network.create_network(
            name=step.provider.name,
            description=ours.mark,
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=step.provider.physnet,
        )


@_apply.register
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


@_apply.register
def _(step: do.UpdateProviderSubnet, ours: Ours) -> None:
    subnet = ours.get("subnets", step.provider.name)
    ours.network.update_subnet(subnet, **_provider_attributes(step.provider))


def _provider_attributes(provider: WantedProvider) -> dict[str, Any]:
    first, last = provider.pool
    return {
        "allocation_pools": [{"start": str(first), "end": str(last)}],
        "service_types": [] if provider.floating_ips else list(GATEWAYS_ONLY),
    }


@_apply.register
def _(step: do.CreateNetwork, ours: Ours) -> None:
    if ours.find("networks", step.network.name) is None:
        ours.network.create_network(name=step.network.name, description=ours.mark)


@_apply.register
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


@_apply.register
def _(step: do.CreateRouter, ours: Ours) -> None:
    if ours.find("routers", step.router.name) is None:
        ours.network.create_router(
            name=step.router.name,
            description=ours.mark,
            is_admin_state_up=False,
            external_gateway_info=_gateway_info(step, ours),
        )


@_apply.register
def _(step: do.SetGateway, ours: Ours) -> None:
    router = ours.get("routers", step.router.name)
    ours.network.update_router(router, external_gateway_info=_gateway_info(step, ours))


def _gateway_info(step: do.CreateRouter | do.SetGateway, ours: Ours) -> dict[str, Any]:
    subnet = ours.get("subnets", ours.wanted.provider.name)
    address = str(step.router.gateway.address)
    return {
        "network_id": subnet.network_id,
        "enable_snat": True,
        "external_fixed_ips": [{"subnet_id": subnet.id, "ip_address": address}],
    }


@_apply.register
def _(step: do.RouterDown, ours: Ours) -> None:
    ours.network.update_router(ours.get("routers", step.router), is_admin_state_up=False)


@_apply.register
def _(step: do.UnbindGateway, ours: Ours) -> None:
    """Only once the agent has let go of it: it would otherwise take down and up for one change,
    and keep the device with the old MAC."""
    port = poll(
        lambda: _in_status(ours.gateway(step.router), active=False),
        what=f"the L3 agent did not take router {step.router} down",
        hint=_L3_HINT,
        timeout=AGENT_SECONDS,
    )
    ours.network.update_port(port, binding_host_id="")


@_apply.register
def _(step: do.CloneMac, ours: Ours) -> None:
    port = ours.gateway(step.router)
    if port.mac_address == str(step.mac):
        return
    if port.binding_vif_type not in UNBOUND:
        ours.network.update_port(port, binding_host_id="")
    ours.network.update_port(port, device_owner=BORROWED, mac_address=str(step.mac))


@_apply.register
def _(step: do.ReturnGateway, ours: Ours) -> None:
    port = ours.gateway(step.router)
    if port.device_owner != ROUTER_GATEWAY:
        ours.network.update_port(port, device_owner=ROUTER_GATEWAY)


@_apply.register
def _(step: do.RouterUp, ours: Ours) -> None:
    ours.network.update_router(ours.get("routers", step.router), is_admin_state_up=True)


@_apply.register
def _(step: do.AwaitGateway, ours: Ours) -> None:
    poll(
        lambda: _in_status(ours.gateway(step.router), active=True),
        what=f"the gateway of router {step.router} did not become active",
        hint=_L3_HINT,
        timeout=AGENT_SECONDS,
    )


def _in_status(port: Any, *, active: bool) -> Any | None:
    return port if (port.status == "ACTIVE") == active else None


@_apply.register
def _(step: do.AddInterface, ours: Ours) -> None:
    router = ours.get("routers", step.router)
    subnet = ours.get("subnets", step.network)
    ports = ours.network.ports(device_id=router.id, network_id=subnet.network_id)
    if next(iter(ports), None) is None:
        ours.network.add_interface_to_router(router, subnet_id=subnet.id)


@_apply.register
def _(step: do.SetSecurityGroup, ours: Ours) -> None:
    group = ours.find("security_groups", step.server)
    if group is None:
        group = ours.network.create_security_group(name=step.server, description=ours.mark)
    have = group_of(group, ours.mark)
    for permission in sorted(step.ingress - have.ingress, key=str):
        ours.network.create_security_group_rule(
            security_group_id=group.id, description=ours.mark, **_rule(permission)
        )
    for rule in group.security_group_rules:
        surplus = group_of(_OneRule(group.id, rule), ours.mark).ours - step.ingress
        if surplus:
            ours.network.delete_security_group_rule(rule["id"])


class _OneRule:
    """A group as if it had this rule alone."""

    def __init__(self, group_id: str, rule: Any) -> None:
        self.id = group_id
        self.security_group_rules = [rule]


def _rule(permission: Permission) -> dict[str, Any]:
    first, last = permission.ports or (None, None)
    return {
        "direction": "ingress",
        "ether_type": "IPv4",
        "protocol": permission.protocol,
        "port_range_min": first,
        "port_range_max": last,
        "remote_ip_prefix": str(permission.source),
    }


@_apply.register
def _(step: do.CreatePort, ours: Ours) -> None:
    server = step.server
    if ours.find("ports", server.name) is not None:
        return
    subnet = ours.get("subnets", server.network)
    ours.network.create_port(
        name=server.name,
        description=ours.mark,
        network_id=subnet.network_id,
        fixed_ips=[{"subnet_id": subnet.id, "ip_address": str(server.fixed_ip)}],
        security_group_ids=[ours.get("security_groups", server.name).id],
    )


@_apply.register
def _(step: do.CreateServer, ours: Ours) -> None:
    server = step.server
    if ours.server(server.name) is None:
        ours.compute.create_server(
            name=server.name,
            image_id=_image(server.image, ours).id,
            flavor_id=ours.compute.find_flavor(server.flavor, ignore_missing=False).id,
            networks=[{"port": ours.get("ports", server.name).id}],
            key_name=ours.wanted.keypair,
            metadata={SERVER_MARK: ours.wanted.cloud},
        )


def _image(name: str, ours: Ours) -> Any:
    """Our own image of that name before anyone else's."""
    images = list(ours.connection.image.images(name=name, status="active"))
    images.sort(key=lambda image: ours.mark not in image.tags)
    if not images:
        raise Fault(
            f"there is no image {name} in OpenStack",
            hint="upload it, or name one that `openstack image list` shows",
        )
    return images[0]


@_apply.register
def _(step: do.StartServer, ours: Ours) -> None:
    server = ours.server(step.name)
    if server is not None and server.status == "SHUTOFF":
        ours.compute.start_server(server)


@_apply.register
def _(step: do.AwaitServer, ours: Ours) -> None:
    def running() -> Any | None:
        server = ours.server(step.name)
        if server is not None and server.status == "ERROR":
            raise _server_fault(step.name, (server.fault or {}).get("message"))
        return server if server is not None and server.status == "ACTIVE" else None

    poll(
        running,
        what=f"server {step.name} did not become active",
        hint="see the journal of nova-compute on the controller, then repeat",
        timeout=BOOT_SECONDS,
        interval=0.5,
    )


def _server_fault(name: str, message: str | None) -> Fault:
    hint = "see the journal of nova-compute on the controller, then repeat: it is made anew"
    if message and "No valid host" in message:
        hint = "the controller has no room for it: take a smaller flavor or a larger instance_type"
    return Fault(f"server {name} failed to start: {message or 'Nova does not say why'}", hint=hint)


@_apply.register
def _(step: do.DeleteServer, ours: Ours) -> None:
    server = ours.server(step.name)
    if server is not None:
        ours.compute.delete_server(server, ignore_missing=True)
        ours.compute.wait_for_delete(server, interval=1, wait=AGENT_SECONDS)


@_apply.register
def _(step: do.DeletePort, ours: Ours) -> None:
    if (port := ours.find("ports", step.server)) is not None:
        ours.network.delete_port(port)


@_apply.register
def _(step: do.DeleteSecurityGroup, ours: Ours) -> None:
    if (group := ours.find("security_groups", step.server)) is not None:
        ours.network.delete_security_group(group)


@_apply.register
def _(step: do.DeleteNetwork, ours: Ours) -> None:
    network = ours.find("networks", step.name)
    if network is None:
        return
    for port in ours.network.ports(network_id=network.id, device_owner="network:router_interface"):
        ours.network.remove_interface_from_router(port.device_id, port_id=port.id)
    ours.network.delete_network(network)


@_apply.register
def _(step: do.DeleteRouter, ours: Ours) -> None:
    router = ours.find("routers", step.name)
    if router is None:
        return
    for port in ours.network.ports(device_id=router.id, device_owner="network:router_interface"):
        ours.network.remove_interface_from_router(router, port_id=port.id)
    ours.network.delete_router(router)
