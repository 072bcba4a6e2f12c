"""The recipe that changes the MAC of a router's gateway port, through the API alone.

In mac-clone it becomes the NIC's registered one; in mac-nat one that still has the NIC's, from a
time as a clone, gets one of its own.

Neutron guards the MAC twice: the port's stored vif_type must be `unbound` or `binding_failed`
(ml2 `_check_mac_update_allowed`), and its owner, new or else stored, must not start with
`network:` (`_check_mac_addr_update`). So, while the router is down and nothing binds the port
again: unbind it, change owner and MAC in one call, hand it back; only then take the router up.
The agent then makes the namespace anew, and the first frame that leaves carries the new MAC.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from pileus.model.addresses import Mac
from pileus.model.tenant import GatewayPort, WantedRouter
from pileus.openstack.steps import ReturnGateway, SetMac, UnbindGateway

ROUTER_GATEWAY = "network:router_gateway"
BORROWED = "compute:mac"
"""Any owner outside of `network:` will do; this one tells what is going on."""
UNBOUND = frozenset({"unbound", "binding_failed"})

RecipeStep = UnbindGateway | SetMac | ReturnGateway


def own_mac(port_id: str) -> Mac:
    """A MAC of Neutron's style (its `base_mac` fa:16:3e), always the same one for a port."""
    digest = hashlib.sha256(port_id.encode()).hexdigest()
    return Mac(f"fa:16:3e:{digest[:2]}:{digest[2:4]}:{digest[4:6]}")


def is_right(router: WantedRouter, mac: Mac) -> bool:
    """Whether a gateway may have this MAC: the clone, or else any but the NIC's."""
    return mac == router.clone if router.clone else mac != router.nic


def recipe(router: WantedRouter, port: GatewayPort) -> list[RecipeStep]:
    """The steps left until the port has its MAC and its owner again, the router being down."""
    steps: list[RecipeStep] = []
    while step := _next(router, port):
        steps.append(step)
        port = after(step, port)
    return steps


def _next(router: WantedRouter, port: GatewayPort) -> RecipeStep | None:
    if is_right(router, port.mac):
        return None if port.owner == ROUTER_GATEWAY else ReturnGateway(router.name)
    if port.vif_type not in UNBOUND:
        return UnbindGateway(router.name)
    return SetMac(router.name, router.clone)


def after(step: RecipeStep, port: GatewayPort) -> GatewayPort:
    """The port as it is once a step was applied."""
    match step:
        case UnbindGateway():
            return replace(port, vif_type="unbound", status="DOWN")
        case SetMac(_, mac):
            return replace(port, mac=mac or own_mac(port.id), owner=BORROWED)
        case ReturnGateway():
            return replace(port, owner=ROUTER_GATEWAY)
