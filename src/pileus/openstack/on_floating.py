"""Steps on floating IPs and their port forwardings.

Neutron neither associates nor deletes a floating IP whose ports are forwarded, and forwards none of
one that is associated. [neutron/services/portforwarding/pf_plugin.py]
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from pileus.model.errors import Fault
from pileus.model.publishing import Published
from pileus.openstack import steps as do
from pileus.openstack.doing import Ours, perform


@perform.register
def _(step: do.CreateFloatingIp, ours: Ours) -> None:
    if ours.floating_ip(step.address) is None:
        ours.network.create_ip(
            floating_network_id=ours.get("networks", ours.wanted.provider.name).id,
            floating_ip_address=str(step.address),
            description=ours.mark,
        )


@perform.register
def _(step: do.AssociateFloatingIp, ours: Ours) -> None:
    ip = _there(step.address, ours)
    port = ours.get("ports", step.server)
    if ip.port_id == port.id:
        return
    if ip.port_id:
        raise Fault(
            f"someone associated {step.address} with another server meanwhile",
            hint="repeat the command: it tells with which",
            retryable=True,
        )
    ours.network.update_ip(ip, port_id=port.id)


@perform.register
def _(step: do.DisassociateFloatingIp, ours: Ours) -> None:
    if (ip := _of_ours(step.address, ours)) is not None:
        ours.network.update_ip(ip, port_id=None)


@perform.register
def _(step: do.DeleteFloatingIp, ours: Ours) -> None:
    if (ip := _of_ours(step.address, ours)) is None:
        return
    for forward in ours.network.floating_ip_port_forwardings(ip):
        ours.network.delete_floating_ip_port_forwarding(ip, forward)
    ours.network.delete_ip(ip)


@perform.register
def _(step: do.CreateForward, ours: Ours) -> None:
    item = step.forward
    ip = _there(item.registered.address, ours)
    if _find(item, ip, ours) is None:
        ours.network.create_floating_ip_port_forwarding(
            ip,
            description=ours.mark,
            protocol=item.protocol,
            external_port=item.registered.port,
            internal_port_id=ours.get("ports", _server(item.private.address, ours)).id,
            internal_ip_address=str(item.private.address),
            internal_port=item.private.port,
        )


@perform.register
def _(step: do.DeleteForward, ours: Ours) -> None:
    ip = ours.floating_ip(step.forward.registered.address)
    forward = ip and _find(step.forward, ip, ours)
    if forward:
        ours.network.delete_floating_ip_port_forwarding(ip, forward)


def _there(address: IPv4Address, ours: Ours) -> Any:
    if (ip := ours.floating_ip(address)) is None:
        raise Fault(
            f"there is no floating IP {address} any more",
            hint="someone removed it meanwhile; repeat the command",
            retryable=True,
        )
    return ip


def _of_ours(address: IPv4Address, ours: Ours) -> Any | None:
    ip = ours.floating_ip(address)
    return ip if ip is not None and ours.is_ours(ip) else None


def _find(item: Published, ip: Any, ours: Ours) -> Any | None:
    """The forwarding of that very port, wherever it leads."""
    return next(
        (
            forward
            for forward in ours.network.floating_ip_port_forwardings(ip)
            if (forward.protocol, forward.external_port) == (item.protocol, item.registered.port)
        ),
        None,
    )


def _server(address: IPv4Address, ours: Ours) -> str:
    return next(server.name for server in ours.wanted.servers if server.fixed_ip == address)
