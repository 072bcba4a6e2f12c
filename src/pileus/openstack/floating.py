"""Floating IPs in mac-clone mode: refused, by us and inside OpenStack."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NoReturn

from pileus.model.errors import Refused

GATEWAYS_ONLY = ("network:router_gateway",)
"""Service types of the provider subnet: Neutron then gives its addresses to routers' gateways
only, for every project, admin included. [Neutron admin guide, Service subnets]"""


def refuse_floating_ips(gateway: IPv4Address) -> NoReturn:
    """Raise Refused, saying why there is no floating IP behind one registered address."""
    raise Refused(
        f"floating IPs need a registered address each, and with `uplink: mac-clone` the cloud "
        f"below forwards only {gateway}, the router's own",
        hint="publish a port of that address (`pileus publish SERVER PORT:PORT`), "
        "or set `uplink: mac-nat`",
    )
