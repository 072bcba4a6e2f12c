"""Following a packet from hop to hop, there and back, until it arrives or dies. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pileus.model.ends import Ends, Router
from pileus.model.path import Fate, Half, Headers, Hop, Place, Stage, Way
from pileus.model.scene import Scene
from pileus.trace.predict import neutron, vpc
from pileus.trace.predict.at import At, Said, swapped
from pileus.trace.route import route

_PARTS: Mapping[Stage, Callable[[At], Said]] = {
    Stage.SERVER: neutron.server,
    Stage.PORT: neutron.port,
    Stage.SWITCH: neutron.switch,
    Stage.ROUTER: neutron.router,
    Stage.NAT: neutron.nat,
    Stage.GATEWAY: neutron.gateway,
    Stage.METADATA: neutron.metadata,
    Stage.UPLINK: vpc.uplink,
    Stage.NIC: vpc.nic,
    Stage.GROUPS: vpc.groups,
    Stage.ACL: vpc.acl,
    Stage.ROUTE: vpc.route_table,
    Stage.ELASTIC_IP: vpc.elastic_ip,
    Stage.INTERNET: vpc.internet,
    Stage.NODE: vpc.node,
}


def predict(ends: Ends, scene: Scene) -> Half:
    """What must become of a packet between these ends, and of its answer."""
    return Half(tuple(_hops(ends, scene)), tuple(_notes(ends)))


def _notes(ends: Ends) -> Iterator[str]:
    """A server that nothing leads to is called by its router's address."""
    asked, router = ends.asked, ends.destination
    if not isinstance(router, Router):
        return
    if asked.destination not in (router.name, router.id, str(ends.first.destination)):
        what = "pings lead" if asked.port is None else f"{asked.protocol} port {asked.port} leads"
        none = "no" if asked.port is None else "no published"
        yield (
            f"{none} {what} to {asked.destination}, which has no floating IP: this is the way to "
            "its router; `pileus status` tells the ports that are published"
        )


def _hops(ends: Ends, scene: Scene) -> Iterator[Hop]:
    places = route(ends)
    translated: list[tuple[Stage, str, Headers]] = []
    headers = ends.first
    for index, place in enumerate(places):
        last = index + 1 == len(places) or places[index + 1].way is not place.way
        said = _PARTS[place.stage](At(ends, scene, place, headers, last))
        fate = Fate.DIES if said.dies else Fate.PASSES
        before, headers = headers, _after(place, said, headers, translated)
        if said.headers and place.way is Way.THERE:
            translated.append((place.stage, place.subject, before))
        yield Hop(place.way, place.stage, place.subject, fate, headers, said.code, said.detail)
        if said.dies:
            return
        if last:
            headers = swapped(headers)


def _after(
    place: Place, said: Said, headers: Headers, translated: list[tuple[Stage, str, Headers]]
) -> Headers:
    """An answer is translated back where its question was translated."""
    if place.way is Way.THERE:
        return said.headers or headers
    if translated and translated[-1][:2] == (place.stage, place.subject):
        return swapped(translated.pop()[2])
    return headers
