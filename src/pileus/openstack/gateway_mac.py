"""The recipe that gives a router's gateway port the NIC's registered MAC, through the API alone.

Neutron guards the MAC twice: the port's stored vif_type must be `unbound` or `binding_failed`
(ml2 `_check_mac_update_allowed`), and its owner, new or else stored, must not start with
`network:` (`_check_mac_addr_update`). So, while the router is down and nothing binds the port
again: unbind it, change owner and MAC in one call, hand it back; only then take the router up.
The agent then makes the namespace anew, and the first frame that leaves carries the registered MAC.
"""

from __future__ import annotations

from dataclasses import replace

from pileus.model.addresses import Mac
from pileus.model.tenant import GatewayPort
from pileus.openstack.steps import CloneMac, ReturnGateway, UnbindGateway

ROUTER_GATEWAY = "network:router_gateway"
BORROWED = "compute:mac"
"""Any owner outside of `network:` will do; this one tells what is going on."""
UNBOUND = frozenset({"unbound", "binding_failed"})

RecipeStep = UnbindGateway | CloneMac | ReturnGateway


def recipe(router: str, port: GatewayPort, mac: Mac) -> list[RecipeStep]:
    """The steps left until the port has the MAC and its owner again, the router being down."""
    steps: list[RecipeStep] = []
    while step := _next(router, port, mac):
        steps.append(step)
        port = after(step, port)
    return steps


def _next(router: str, port: GatewayPort, mac: Mac) -> RecipeStep | None:
    if port.mac == mac:
        return None if port.owner == ROUTER_GATEWAY else ReturnGateway(router)
    if port.vif_type not in UNBOUND:
        return UnbindGateway(router)
    return CloneMac(router, mac)


def after(step: RecipeStep, port: GatewayPort) -> GatewayPort:
    """The port as it is once a step was applied."""
    match step:
        case UnbindGateway():
            return replace(port, vif_type="unbound", status="DOWN")
        case CloneMac(_, mac):
            return replace(port, mac=mac, owner=BORROWED)
        case ReturnGateway():
            return replace(port, owner=ROUTER_GATEWAY)
