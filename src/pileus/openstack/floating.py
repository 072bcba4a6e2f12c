"""From floating IPs and port forwardings as wanted to the steps that make them so. Pure.

A floating IP of someone else's at an address that we want is used as it is: `holders` refuses where
that would take it from them. It is never marked as ours, so it is never deleted either.
"""

from __future__ import annotations

from collections.abc import Iterator

from pileus.model.tenant import ObservedOpenStack, WantedOpenStack
from pileus.openstack import steps as do
from pileus.openstack.steps import Step


def let_go(wanted: WantedOpenStack, observed: ObservedOpenStack) -> Iterator[Step]:
    """Take back what is ours and not wanted, or not where it is wanted."""
    yield from (do.DeleteForward(item) for item in sorted(observed.forwards - wanted.forwards))
    servers = {ip.address: ip.server for ip in wanted.floating_ips}
    ours = sorted(address for address, ip in observed.floating_ips.items() if ip.ours)
    for address in ours:
        have = observed.floating_ips[address]
        if address not in servers:
            yield do.DeleteFloatingIp(address)
        elif have.fixed_ip and (have.server is None or have.server != servers[address]):
            yield do.DisassociateFloatingIp(address)


def take(wanted: WantedOpenStack, observed: ObservedOpenStack) -> Iterator[Step]:
    """Make what is missing, once nothing of ours stands in the way."""
    for ip in wanted.floating_ips:
        have = observed.floating_ips.get(ip.address)
        if have is None:
            yield do.CreateFloatingIp(ip.address)
        if ip.server and (have is None or have.server != ip.server):
            yield do.AssociateFloatingIp(ip.address, ip.server)
    yield from (do.CreateForward(item) for item in sorted(wanted.forwards - observed.forwards))
