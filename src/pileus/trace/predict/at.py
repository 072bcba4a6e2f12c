"""Where a packet is, and what the part there says of it."""

from __future__ import annotations

from dataclasses import dataclass

from pileus.model.ends import End, Ends, Router, Server
from pileus.model.path import Headers, Place, Protocol, Way
from pileus.model.scene import Scene
from pileus.model.verdict import Code
from pileus.trace.predict.filters import Flow

_ECHO, _ECHO_REPLY = 8, 0
"""Types of ICMP. [RFC 792]"""


@dataclass(frozen=True)
class Said:
    """What a part does with a packet: it lets it pass, unless there is a code and no `passes`."""

    detail: str = ""
    code: Code | None = None
    passes: bool = False
    """Whether the code is of something that is wrong and stops no packet now."""
    headers: Headers | None = None
    """Where it changes them."""

    @property
    def dies(self) -> bool:
        return self.code is not None and not self.passes


@dataclass(frozen=True)
class At:
    """A packet that comes to a place."""

    ends: Ends
    scene: Scene
    place: Place
    headers: Headers
    last: bool
    """Whether it is to go no further on this way."""

    @property
    def protocol(self) -> Protocol:
        return self.ends.asked.protocol

    @property
    def outwards(self) -> bool:
        return self.place.outwards

    @property
    def begins(self) -> bool:
        """Whether it is the question: who knows connections lets answers pass."""
        return self.place.way is Way.THERE

    @property
    def near(self) -> End:
        """The end on whose side of the cloud below the place lies."""
        return self.ends.source if self.outwards is self.begins else self.ends.destination

    @property
    def server(self) -> Server | None:
        return self.near if isinstance(self.near, Server) else None

    @property
    def flow(self) -> Flow:
        """As filters see it."""
        number = self.headers.destination_port
        if self.protocol == "icmp":
            number = _ECHO if self.begins else _ECHO_REPLY
        source, destination = self.headers.source, self.headers.destination
        return Flow(self.outwards, self.protocol, source, destination, number)

    @property
    def sender(self) -> Router | None:
        """The router behind which a packet was sent that leaves by the uplink."""
        if self.begins:
            return _router_of(self.ends.source)
        return self.ends.through or _router_of(self.ends.destination)

    @property
    def router(self) -> Router | None:
        """The router that the place belongs to: of two with one name, the nearer."""
        known = [self.ends.through, *map(_router_of, (self.ends.destination, self.ends.source))]
        if self.near is self.ends.source:
            known.reverse()
        return next((one for one in known if one and one.name == self.place.subject), None)


def _router_of(end: End) -> Router | None:
    if isinstance(end, Server):
        return end.router
    return end if isinstance(end, Router) else None


def swapped(headers: Headers) -> Headers:
    """Those of an answer."""
    return Headers(
        headers.destination, headers.source, headers.destination_port, headers.source_port
    )
