"""What OpenStack's networks do with a packet, by what Neutron's and Nova's APIs say. Pure.

Sources: neutron/agent/l3/router_info.py and dvr-less NAT of Neutron 26 (iptables: floating IPs
first, then the gateway's address; what is translated to a server and came from inside gets a
source of the router's too), neutron/agent/metadata/driver.py (tcp/80 of 169.254.169.254).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from pileus.model.addresses import Socket
from pileus.model.ends import Metadata, Nobody, Router, Server
from pileus.model.publishing import Published
from pileus.model.scene import Neutron, Port, RouterState
from pileus.model.verdict import Code
from pileus.trace.predict.at import At, Said
from pileus.trace.predict.filters import permitted, text
from pileus.trace.route import PROVIDER_BRIDGE

_UNBOUND = ("unbound", "binding_failed")
_ROUTER_AGENT, _SWITCH_AGENT = "neutron-l3-agent", "neutron-openvswitch-agent"
_DHCP_AGENT, _METADATA_AGENT = "neutron-dhcp-agent", "neutron-metadata-agent"
ACTIVE = "ACTIVE"
_RUNS = (ACTIVE, "VERIFY_RESIZE", "MIGRATING", "PASSWORD")
"""[Nova API guide, server concepts: server status]"""


def server(at: At) -> Said:
    """Nova knows whether it runs; what its own firewall does nobody knows."""
    states = at.scene.neutron.servers
    status = next((one.status for one in states if at.server and one.id == at.server.id), "gone")
    return Said(status, None if status in _RUNS else Code.GUEST_OFF)


def port(at: At) -> Said:
    """Bound, plugged in, and let through by its security groups."""
    neutron = at.scene.neutron
    found = neutron.port(at.server.port) if at.server else None
    if found is None:
        return Said("no such port", Code.NEUTRON_PORT_UNBOUND)
    runs = server(at).code is None
    lost = _lost(found) if runs else None
    if lost:
        return lost
    return _filtered(at, found)


def _lost(port: Port) -> Said | None:
    """A port that nothing goes through."""
    if port.binding in _UNBOUND:
        return Said(f"its binding is {port.binding}", Code.NEUTRON_PORT_UNBOUND)
    if not port.up:
        return Said("administratively down", Code.NEUTRON_PORT_DOWN)
    if port.status != ACTIVE:
        return Said(f"its status is {port.status}", Code.NEUTRON_PORT_DOWN)
    return None


def _filtered(at: At, port: Port) -> Said:
    if not port.filtered:
        return Said("port security is off")
    if not at.begins:
        return Said("an answer")
    neutron = at.scene.neutron
    rules = [rule for group in port.groups for rule in neutron.groups.get(group, ())]
    rule = permitted(rules, at.flow, neutron.members)
    if rule:
        return Said(text(rule))
    code = Code.NEUTRON_GROUP_EGRESS if at.outwards else Code.NEUTRON_GROUP_INGRESS
    return Said(f"{len(rules)} rules, none of which allows it", code)


def switch(at: At) -> Said:
    """br-int carries what the ports let through; a network without a router ends here."""
    if at.place.subject == PROVIDER_BRIDGE:
        return Said("the provider network's bridge")
    leaves = at.begins and at.last
    if leaves and isinstance(at.ends.source, Server) and at.ends.source.router is None:
        return Said("no router has the network's gateway address", Code.NEUTRON_NO_ROUTER)
    return _kept(Said("br-int"), at, _SWITCH_AGENT, _DHCP_AGENT)


def router(at: At) -> Said:
    """Up, with a device on the server's network, and with a route to where the packet goes."""
    state, here = _state(at), at.router
    if state is None or here is None:
        return Said("no such router", Code.NEUTRON_NO_ROUTER)
    if not state.up:
        return Said("administratively down", Code.NEUTRON_ROUTER_DOWN)
    for device in _inner(at, here):
        if lost := _lost(device):
            return replace(lost, detail=f"its port in {device.network}: {lost.detail}")
    if at.headers.destination in _own(here, at.scene.neutron):
        return Said("its own address")
    return _kept(_routed(at, state, here), at, _ROUTER_AGENT)


def _kept(said: Said, at: At, *agents: str) -> Said:
    """Without the agents that keep it a part goes on as it is, as long as nothing changes."""
    dead = [agent for agent in agents if at.scene.neutron.dead(agent)]
    if said.code or not dead:
        return said
    detail = f"{said.detail}, and {' and '.join(dead)} is dead"
    return replace(said, detail=detail, code=Code.NEUTRON_AGENT_DEAD, passes=True)


def _inner(at: At, here: Router) -> Iterator[Port]:
    """The router's ports on the networks of servers at either end."""
    for end in (at.ends.source, at.ends.destination):
        id = here.inner.get(end.network.id) if isinstance(end, Server) else None
        port = at.scene.neutron.port(id) if id else None
        if port:
            yield port


def _own(router: Router, neutron: Neutron) -> set[IPv4Address]:
    return {a for port in neutron.ports if port.device == router.id for a in port.addresses}


def _routed(at: At, state: RouterState, here: Router) -> Said:
    """The longest prefix that the namespace has a route for."""
    neutron, to = at.scene.neutron, at.headers.destination
    if isinstance(at.near, Nobody) and not at.outwards:
        return Said(f"nobody has {to}", Code.NEUTRON_ADDRESS_UNUSED)
    if at.begins and at.ends.destination == Metadata("openstack", to):
        return Said("taken for its metadata proxy")
    networks = {*here.inner, *([state.external] if here.gateway else [])}
    on_link = [one.cidr for one in neutron.subnets if one.network in networks if to in one.cidr]
    if on_link:
        return Said(f"{on_link[0]} is on one of its networks")
    extra = [(net, by) for net, by in state.routes if to in net]
    if extra:
        network, by = max(extra, key=lambda one: one[0].prefixlen)
        return Said(f"{network} by {by}")
    if here.gateway is None:
        return Said(f"no gateway, and no route to {to}", Code.NEUTRON_NO_GATEWAY)
    default = next((s.gateway for s in neutron.subnets if s.network == state.external), None)
    if default is None:
        return Said("the provider subnet has no gateway", Code.NEUTRON_NO_ROUTE)
    return Said(f"default by {default}")


def nat(at: At) -> Said:
    """Published ports, floating IPs, and for what leaves, the gateway's address."""
    if not at.begins:
        return Said("translated back")
    return _source_nat(at) if at.outwards else _destination_nat(at)


def _source_nat(at: At) -> Said:
    source = _leaves_as(at)
    if source is None:
        return Said("SNAT is off")
    if source == at.headers.source:
        return Said("as it is")
    return Said(f"from {source}", headers=replace(at.headers, source=source))


def _leaves_as(at: At) -> IPv4Address | None:
    """The source that the router gives a packet from inside; None where it keeps its own."""
    source, state = at.ends.source, _state(at)
    if isinstance(source, Server) and source.floating and at.headers.source == source.address:
        return source.floating
    if state is None or not state.snat or at.router is None or at.router.gateway is None:
        return None
    return at.router.gateway.address


def _destination_nat(at: At) -> Said:
    to = _leads_to(at)
    if to is None:
        if isinstance(at.ends.destination, Router) and at.protocol == "icmp":
            return Said("the router's own address")
        asked = _socket(at.headers.destination, at.headers.destination_port)
        return Said(f"nothing is at {at.protocol} {asked}", Code.NEUTRON_NOT_PUBLISHED)
    headers = replace(at.headers, destination=to[0], destination_port=to[1])
    inside = isinstance(at.ends.source, Server | Router) and not at.ends.by_public
    hairpin = inside and _same_router(at) and _leaves_as(at)
    if hairpin:
        headers = replace(headers, source=hairpin)
    return Said(f"to {_socket(*to)}", headers=headers)


def _same_router(at: At) -> bool:
    source = at.ends.source
    own = source.router if isinstance(source, Server) else source
    return isinstance(own, Router) and at.router is not None and own.id == at.router.id


def _leads_to(at: At) -> tuple[IPv4Address, int | None] | None:
    """Where the router sends what comes for one of its addresses."""
    here = at.router.id if at.router else ""
    address, number = at.headers.destination, at.headers.destination_port
    floating = [f for f in at.scene.neutron.floating if f.address == address and f.router == here]
    ports: set[Published] = set(at.scene.published.get(here, frozenset()))
    for one in floating:
        ports |= one.forwards
    for item in ports:
        at_port = Socket(address, number) if number is not None else None
        if item.protocol == at.protocol and item.registered == at_port:
            return item.private.address, item.private.port
    return next(((f.fixed, number) for f in floating if f.fixed), None)


def _socket(address: IPv4Address, port: int | None) -> str:
    return f"{address}:{port}" if port is not None else str(address)


def gateway(at: At) -> Said:
    """The router's device on the provider network."""
    if isinstance(at.near, Nobody) and at.router is None:
        return Said(f"nobody has {at.near.address}", Code.NEUTRON_ADDRESS_UNUSED)
    state, here = _state(at), at.router
    if state and not state.up:
        return Said("its router is administratively down", Code.NEUTRON_ROUTER_DOWN)
    device = at.scene.neutron.port(here.gateway.port) if here and here.gateway else None
    if device is None or here is None or here.gateway is None:
        return Said("no gateway", Code.NEUTRON_NO_GATEWAY)
    return _lost(device) or Said(f"{here.gateway.device} {here.gateway.mac}")


def metadata(at: At) -> Said:
    """Nova's answer comes by the metadata agent; nothing stands before that of the cloud below."""
    if at.place.subject == "openstack" and at.scene.neutron.dead(_METADATA_AGENT):
        return Said(f"{_METADATA_AGENT} is dead", Code.NEUTRON_AGENT_DEAD)
    return Said("answers")


def _state(at: At) -> RouterState | None:
    id = at.router.id if at.router else None
    return next((one for one in at.scene.neutron.routers if one.id == id), None)
