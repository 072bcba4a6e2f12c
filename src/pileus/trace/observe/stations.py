"""Where a packet can be seen on its way: which device, and whether it comes in or goes out. Pure.

A packet socket sees what a device receives before the hooks of netfilter, and what it sends after
them. So the two sides of the pipeline on a NIC are the NIC itself and, where there is one, the
uplink's veth behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pileus.model.ends import Ends, Machine, Network, Router, Server
from pileus.model.path import Place, Stage


class At(StrEnum):
    """A kind of device on the way."""

    TAP = "tap"
    """The server's device."""
    INNER = "qr"
    OUTER = "qg"
    VETH = "veth"
    """The uplink's, between Open vSwitch in userspace and the pipeline."""
    NIC = "nic"
    OUTSIDE = "outside"
    """Any device of the host outside."""


@dataclass(frozen=True)
class Eye:
    """A device to be watched."""

    kind: At
    device: str
    """For a veth, the NIC that it belongs to; empty outside."""
    namespace: str | None = None

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.device}"

    def __str__(self) -> str:
        if self.kind is At.VETH:
            return f"the veth behind {self.device}"
        return self.device or "the host outside"


@dataclass(frozen=True)
class Point:
    """Where a packet is to be seen next: a device, and the direction in which it passes."""

    eye: Eye
    out: bool
    owner: Place
    """The hop that has the device."""
    network: Network | None = None
    """The network that the device is on."""

    def __str__(self) -> str:
        way = "leaving" if self.out else "coming in"
        return f"{way} at {self.eye}"


Station = Place | Point
OUTSIDE = Eye(At.OUTSIDE, "")
_ROUTING = (Stage.ROUTER, Stage.NAT)


def stations(ends: Ends, places: Sequence[Place]) -> tuple[Station, ...]:
    """The hops of one way, with the points between them at which a packet can be seen."""
    found: list[Station] = []
    for number, place in enumerate(places):
        before = places[number - 1] if number else None
        after = places[number + 1] if number + 1 < len(places) else None
        entry = _entry(ends, place, before)
        if entry and not (found and _same(found[-1], entry)):
            found.append(entry)
        found.append(place)
        leave = _exit(ends, place, after)
        if leave:
            found.append(leave)
    return tuple(found)


def _same(one: Station, other: Point) -> bool:
    return isinstance(one, Point) and (one.eye, one.out) == (other.eye, other.out)


def points(stations: Sequence[Station]) -> Iterator[Point]:
    return (one for one in stations if isinstance(one, Point))


def _entry(ends: Ends, place: Place, before: Place | None) -> Point | None:
    """What a packet that comes to a hop is seen by, given the hop that it comes from."""
    if before is None:
        return None
    match place.stage:
        case Stage.PORT if before.stage is Stage.SERVER:
            return _tap(ends, place, out=False)
        case Stage.ROUTER | Stage.NAT if before.stage is Stage.SWITCH:
            return _inner(ends, place, before, out=False)
        case Stage.GATEWAY if before.stage in _ROUTING:
            return _outer(ends, place, out=True)
        case Stage.UPLINK if before.stage is not Stage.NIC:
            return Point(Eye(At.VETH, place.subject), False, place)
        case Stage.INTERNET:
            return Point(OUTSIDE, False, place)
        case Stage.NODE:
            return _management(ends, place, out=False)
    return None


def _exit(ends: Ends, place: Place, after: Place | None) -> Point | None:
    """What a packet that leaves a hop is seen by, given the hop that it goes to."""
    if after is None:
        return None
    match place.stage:
        case Stage.PORT if after.stage is Stage.SERVER:
            return _tap(ends, place, out=True)
        case Stage.ROUTER | Stage.NAT if after.stage is Stage.SWITCH:
            return _inner(ends, place, after, out=True)
        case Stage.GATEWAY if after.stage in _ROUTING:
            return _outer(ends, place, out=False)
        case Stage.UPLINK if after.stage is Stage.NIC:
            return Point(Eye(At.NIC, place.subject), True, place)
        case Stage.UPLINK:
            return Point(Eye(At.VETH, place.subject), True, place)
        case Stage.NIC if after.stage is Stage.UPLINK:
            return Point(Eye(At.NIC, after.subject), False, after)
        case Stage.INTERNET:
            return Point(OUTSIDE, True, place)
        case Stage.NODE:
            return _management(ends, place, out=True)
    return None


def _tap(ends: Ends, place: Place, *, out: bool) -> Point | None:
    for end in (ends.source, ends.destination):
        if isinstance(end, Server) and end.name == place.subject:
            return Point(Eye(At.TAP, end.tap), out, place, end.network)
    return None


def _routers(ends: Ends) -> Iterator[Router]:
    for end in (ends.source, ends.destination):
        if isinstance(end, Router):
            yield end
        elif isinstance(end, Server) and end.router:
            yield end.router
    if ends.through:
        yield ends.through


def _router(ends: Ends, name: str) -> Router | None:
    return next((one for one in _routers(ends) if one.name == name), None)


def _inner(ends: Ends, place: Place, switch: Place, *, out: bool) -> Point | None:
    router = _router(ends, place.subject)
    networks = {end.network for end in (ends.source, ends.destination) if isinstance(end, Server)}
    for network in networks:
        if router and network.name == switch.subject and network.id in router.inner:
            eye = Eye(At.INNER, router.inner_device(network), router.namespace)
            return Point(eye, out, place, network)
    return None


def _outer(ends: Ends, place: Place, *, out: bool) -> Point | None:
    router = _router(ends, place.subject)
    if router is None or router.gateway is None:
        return None
    return Point(Eye(At.OUTER, router.gateway.device, router.namespace), out, place)


def _management(ends: Ends, place: Place, *, out: bool) -> Point | None:
    nic = ends.below.nics.get("management")
    machine = any(isinstance(end, Machine) for end in (ends.source, ends.destination))
    return Point(Eye(At.NIC, nic.device), out, place) if nic and machine else None
