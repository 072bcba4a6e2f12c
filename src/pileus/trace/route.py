"""Which hops lie between two ends, and what each is called. Pure.

It says where a packet would be looked for, not what becomes of it. Both halves of a trace name
their hops after it, so that they can be laid side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from pileus.model.ends import (
    MANAGEMENT,
    Ends,
    Interface,
    Machine,
    Metadata,
    Network,
    Nobody,
    Outside,
    Router,
    Server,
)
from pileus.model.path import Place, Stage, Way
from pileus.model.underlay import Role

PROVIDER_BRIDGE = "br-ex"


@dataclass(frozen=True)
class _Hop:
    stage: Stage
    subject: str
    outwards: bool = True


@dataclass(frozen=True)
class _Nic:
    """All that a packet passes at a NIC in the cloud below, outwards or inwards."""

    nic: Interface
    outwards: bool

    def hops(self) -> Iterator[_Hop]:
        hops = [
            _Hop(Stage.NIC, self.nic.eni, self.outwards),
            _Hop(Stage.GROUPS, self.nic.eni, self.outwards),
            _Hop(Stage.ACL, self.nic.role, self.outwards),
        ]
        if self.nic.role != MANAGEMENT:
            hops.insert(0, _Hop(Stage.UPLINK, self.nic.device, self.outwards))
        yield from hops if self.outwards else reversed(hops)
        if self.outwards:
            yield _Hop(Stage.ROUTE, self.nic.role)


_Part = _Hop | _Nic


def route(ends: Ends) -> tuple[Place, ...]:
    """The hops of a question and its answer, in the order in which they are passed."""
    there = [*_there(ends)]
    return (*_places(Way.THERE, there), *_places(Way.BACK, _reversed(there)))


def _reversed(parts: Sequence[_Part]) -> list[_Part]:
    return [replace(part, outwards=not part.outwards) for part in reversed(parts)]


def _places(way: Way, parts: Sequence[_Part]) -> Iterator[Place]:
    for part in parts:
        for hop in part.hops() if isinstance(part, _Nic) else (part,):
            yield Place(way, hop.stage, hop.subject, hop.outwards)


def _there(ends: Ends) -> Iterator[_Part]:
    match ends.source, ends.destination:
        case Server() as a, Server() as b if not ends.at and _together(a, b):
            yield from _to_network(a)
            if a.network != b.network:
                yield from _across(a)
                yield _switch(b.network)
            yield from _from_port(b)
        case Router() as a, Server() as b if not ends.at and b.network.id in a.inner:
            yield from (_Hop(Stage.ROUTER, a.name), *_from_switch(b))
        case Server() as a, Router() as b if not ends.at and a.network.id in b.inner:
            yield from (*_to_network(a), _Hop(Stage.ROUTER, b.name))
        case Server() as a, Metadata(name="openstack") as service:
            yield from (*_to_network(a), *_across(a), _Hop(Stage.METADATA, service.name))
        case Machine() as a, Metadata() as service:
            yield from (_Hop(Stage.NODE, a.name), _Hop(Stage.METADATA, service.name))
        case a, b:
            yield from _far(ends, a, b)


def _together(a: Server, b: Server) -> bool:
    """On one network, or on one router."""
    return a.network == b.network or (a.router is not None and b.network.id in a.router.inner)


def _far(ends: Ends, a: object, b: object) -> Iterator[_Part]:
    """Ways that leave the source's router, or the machine."""
    if isinstance(a, Server) and a.router is None:
        yield from _to_network(a)
        return
    near = _router_of(a)
    if near and ends.through and not ends.by_public and _role_of(ends) == _role_to(ends):
        yield from _inside(a, near, ends)
        return
    yield from _out_of(a)
    yield from _between(ends)
    yield from _into(ends, b)


def _inside(a: object, near: Router, ends: Ends) -> Iterator[_Part]:
    """From behind one router to an address of the provider network, without leaving the machine."""
    far = ends.through
    assert far is not None  # noqa: S101 - for the type checker: `_far` looked
    if near.id == far.id:
        yield from _to_router(a)
        yield _Hop(Stage.NAT, far.name, outwards=False)
        if isinstance(ends.destination, Server):
            yield from _from_switch(ends.destination)
        return
    yield from _out_of(a)
    yield _Hop(Stage.SWITCH, PROVIDER_BRIDGE)
    yield from _into(ends, ends.destination)


def _out_of(end: object) -> Iterator[_Part]:
    """From an end to where it leaves the machine, or from a host outside."""
    match end:
        case Server(router=Router() as router):
            yield from _to_router(end)
            yield _Hop(Stage.NAT, router.name)
            yield _Hop(Stage.GATEWAY, router.name)
        case Router():
            yield from (_Hop(Stage.ROUTER, end.name), _Hop(Stage.GATEWAY, end.name))
        case Machine():
            yield _Hop(Stage.NODE, end.name)
        case Outside():
            yield _Hop(Stage.INTERNET, end.name, outwards=False)


def _between(ends: Ends) -> Iterator[_Part]:
    """What lies in the cloud below."""
    leaves, enters = _role_of(ends), _role_to(ends)
    if leaves:
        yield _nic(ends, leaves, outwards=True)
    if isinstance(ends.destination, Metadata):
        return
    inside = enters is not None or ends.first.destination in ends.below.vpc
    if leaves and (ends.by_public or not inside):
        yield _Hop(Stage.ELASTIC_IP, _public(ends, registered(ends.source)))
    if enters:
        if ends.by_public or not leaves:
            yield _Hop(Stage.ELASTIC_IP, str(ends.first.destination), outwards=False)
        yield _nic(ends, enters, outwards=False)


def _nic(ends: Ends, role: Role, *, outwards: bool) -> _Part:
    """One that the machine lacks is a hop by the name of what it is for."""
    nic = ends.below.nics.get(role)
    return _Nic(nic, outwards) if nic else _Hop(Stage.NIC, role, outwards)


def _role_of(ends: Ends) -> Role | None:
    """The NIC by which the source leaves the machine."""
    match ends.source:
        case Machine():
            return MANAGEMENT
        case Server() | Router():
            return ends.below.provider_of(registered(ends.source))
    return None


def _role_to(ends: Ends) -> Role | None:
    if isinstance(ends.destination, Machine):
        return MANAGEMENT
    return ends.below.provider_of(ends.at) if ends.at else None


def registered(end: object) -> IPv4Address | None:
    """The registered address that an end's packets leave with; None where there is none."""
    match end:
        case Server(floating=IPv4Address() as floating):
            return floating
        case Server(router=Router() as router):
            return registered(router)
        case Router(gateway=gateway):
            return gateway.address if gateway else None
        case Machine(address=address):
            return address
    return None


def _public(ends: Ends, address: IPv4Address | None) -> str:
    return str(ends.below.public.get(address, address)) if address else "-"


def _into(ends: Ends, end: object) -> Iterator[_Part]:
    """From the NIC to an end, or out to a host."""
    if ends.through:
        for stage in (Stage.GATEWAY, Stage.NAT, Stage.ROUTER):
            yield _Hop(stage, ends.through.name, outwards=False)
    match end:
        case Server() if ends.through:
            yield from _from_switch(end)
        case Server() | Router() if not ends.through:
            yield _Hop(Stage.INTERNET, str(ends.first.destination))
        case Machine():
            yield _Hop(Stage.NODE, end.name, outwards=False)
        case Outside():
            yield _Hop(Stage.INTERNET, end.name)
        case Metadata():
            yield _Hop(Stage.METADATA, end.name)
        case Nobody() if ends.at and not ends.through:
            yield _Hop(Stage.GATEWAY, end.name, outwards=False)


def _router_of(end: object) -> Router | None:
    if isinstance(end, Server):
        return end.router
    return end if isinstance(end, Router) else None


def _to_router(end: object) -> Iterator[_Part]:
    if isinstance(end, Server):
        yield from _to_network(end)
        yield from _across(end)
    elif isinstance(end, Router):
        yield _Hop(Stage.ROUTER, end.name)


def _across(server: Server) -> Iterator[_Part]:
    if server.router:
        yield _Hop(Stage.ROUTER, server.router.name)


def _to_network(server: Server) -> Iterator[_Part]:
    yield from _reversed([*_from_switch(server)])


def _from_switch(server: Server) -> Iterator[_Part]:
    yield _switch(server.network)
    yield from _from_port(server)


def _from_port(server: Server) -> Iterator[_Part]:
    yield _Hop(Stage.PORT, server.name, outwards=False)
    yield _Hop(Stage.SERVER, server.name, outwards=False)


def _switch(network: Network) -> _Hop:
    """Named after the network: a packet between two networks passes br-int twice."""
    return _Hop(Stage.SWITCH, network.name, outwards=False)
