"""Steps on routers: gateways, their MAC, interfaces."""

from __future__ import annotations

from typing import Any

from pileus.openstack import steps as do
from pileus.openstack.doing import AGENT_SECONDS, L3_HINT, Ours, perform
from pileus.openstack.gateway_mac import BORROWED, ROUTER_GATEWAY, UNBOUND, own_mac
from pileus.system.clock import poll


@perform.register
def _(step: do.CreateRouter, ours: Ours) -> None:
    if ours.find("routers", step.router.name) is None:
        ours.network.create_router(
            name=step.router.name,
            description=ours.mark,
            is_admin_state_up=step.router.clone is None,
            external_gateway_info=_gateway_info(step, ours),
        )


@perform.register
def _(step: do.SetGateway, ours: Ours) -> None:
    router = ours.get("routers", step.router.name)
    ours.network.update_router(router, external_gateway_info=_gateway_info(step, ours))


def _gateway_info(step: do.CreateRouter | do.SetGateway, ours: Ours) -> dict[str, Any]:
    subnet = ours.get("subnets", ours.wanted.provider.name)
    return {
        "network_id": subnet.network_id,
        "enable_snat": True,
        "external_fixed_ips": [{"subnet_id": subnet.id, "ip_address": str(step.router.gateway)}],
    }


@perform.register
def _(step: do.RouterDown, ours: Ours) -> None:
    ours.network.update_router(ours.get("routers", step.router), is_admin_state_up=False)


@perform.register
def _(step: do.UnbindGateway, ours: Ours) -> None:
    """Only once the agent has let go of it: it would otherwise take down and up for one change,
    and keep the device with the old MAC."""
    port = poll(
        lambda: _in_status(ours.gateway(step.router), active=False),
        what=f"the L3 agent did not take router {step.router} down",
        hint=L3_HINT,
        timeout=AGENT_SECONDS,
    )
    ours.network.update_port(port, binding_host_id="")


@perform.register
def _(step: do.SetMac, ours: Ours) -> None:
    port = ours.gateway(step.router)
    mac = str(step.mac or own_mac(port.id))
    if port.mac_address == mac:
        return
    if port.binding_vif_type not in UNBOUND:
        ours.network.update_port(port, binding_host_id="")
    ours.network.update_port(port, device_owner=BORROWED, mac_address=mac)


@perform.register
def _(step: do.ReturnGateway, ours: Ours) -> None:
    port = ours.gateway(step.router)
    if port.device_owner != ROUTER_GATEWAY:
        ours.network.update_port(port, device_owner=ROUTER_GATEWAY)


@perform.register
def _(step: do.RouterUp, ours: Ours) -> None:
    ours.network.update_router(ours.get("routers", step.router), is_admin_state_up=True)


@perform.register
def _(step: do.AwaitGateway, ours: Ours) -> None:
    poll(
        lambda: _in_status(ours.gateway(step.router), active=True),
        what=f"the gateway of router {step.router} did not become active",
        hint=L3_HINT,
        timeout=AGENT_SECONDS,
    )


def _in_status(port: Any, *, active: bool) -> Any | None:
    return port if (port.status == "ACTIVE") == active else None


@perform.register
def _(step: do.AddInterface, ours: Ours) -> None:
    router = ours.get("routers", step.router)
    subnet = ours.get("subnets", step.network)
    ports = ours.network.ports(device_id=router.id, network_id=subnet.network_id)
    if next(iter(ports), None) is None:
        ours.network.add_interface_to_router(router, subnet_id=subnet.id)


@perform.register
def _(step: do.DeleteRouter, ours: Ours) -> None:
    router = ours.find("routers", step.name)
    if router is None:
        return
    for port in ours.network.ports(device_id=router.id, device_owner="network:router_interface"):
        ours.network.remove_interface_from_router(router, port_id=port.id)
    ours.network.delete_router(router)
