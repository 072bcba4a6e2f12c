"""From the words of `pileus trace` to the ends of a packet's way. Pure.

An end is `internet`, `here`, the machine, a router, a server, or any address. What has no address
of its own out there is called by the one that leads to it: its floating IP, or a published port.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from pileus.model.addresses import METADATA_SERVICE
from pileus.model.ends import (
    MANAGEMENT,
    Below,
    End,
    Ends,
    Gateway,
    Machine,
    Metadata,
    Network,
    Nobody,
    Outside,
    Router,
    Server,
)
from pileus.model.errors import Refused
from pileus.model.path import Asked, Headers
from pileus.model.publishing import Published
from pileus.model.scene import Neutron, Port, RouterState, Scene, ServerState
from pileus.trace.route import registered

INTERNET = "internet"
HERE = "here"
"""Where the user is: in the simulation not a host of its internet, and so not `internet`."""
MACHINE = "controller"
RESERVED = (INTERNET, HERE, MACHINE)
"""Words that are no server's and no router's name."""
WELL_KNOWN = IPv4Address("8.8.8.8")
"""What `internet` stands for as a destination: it answers ping and DNS to anyone."""
_UNSET = IPv4Address(0)
METADATA_PORT = 80
"""Neutron's routers take this port of 169.254.169.254 for their own proxy, and no other."""


def names(neutron: Neutron) -> dict[str, str]:
    """What networks, routers and servers are called, by their ids.

    Projects may give the same names. Of several with one name the cloud's own keeps it, and the
    others go by their ids, as do those with a name that means something else here.
    """
    ends = [(one.id, one.name) for one in _ends(neutron)]
    networks = [(one.id, one.name) for one in neutron.networks]
    own = neutron.own
    return dict((*_told_apart(ends, own, RESERVED), *_told_apart(networks, own)))


def _ends(neutron: Neutron) -> list[RouterState | ServerState]:
    return [*neutron.routers, *neutron.servers]


def _told_apart(
    named: Iterable[tuple[str, str]], own: Collection[str], taken: Collection[str] = ()
) -> Iterator[tuple[str, str]]:
    ids: dict[str, list[str]] = {}
    for id, name in named:
        ids.setdefault(name, []).append(id)
    for name, same in ids.items():
        keepers = [id for id in same if id in own] or same
        keeper = keepers[0] if len(keepers) == 1 and name not in taken else None
        yield from ((id, name if id == keeper else id) for id in same)


def below(scene: Scene) -> Below:
    """The cloud below, as far as the names of hops go."""
    vpc = scene.vpc
    nics = {role: nic.interface for role, nic in vpc.nics.items()}
    return Below(vpc.network, nics, {private: public for public, private in vpc.elastic.items()})


def routers(neutron: Neutron) -> dict[str, Router]:
    """Routers by id, each with its ports."""
    called = names(neutron)
    return {one.id: replace(_router(one, neutron), name=called[one.id]) for one in neutron.routers}


def _router(state: RouterState, neutron: Neutron) -> Router:
    ports = [port for port in neutron.ports if port.device == state.id and port.addresses]
    outer = [port for port in ports if port.network == state.external]
    gateway = Gateway(outer[0].id, outer[0].addresses[0], outer[0].mac) if outer else None
    inner = {port.network: port.id for port in ports if port.network != state.external}
    return Router(state.name, state.id, gateway, inner)


def servers(neutron: Neutron) -> tuple[Server, ...]:
    """Servers, once for each of their addresses."""
    return tuple(_servers(neutron, routers(neutron)))


def _servers(neutron: Neutron, known: Mapping[str, Router]) -> Iterator[Server]:
    called = names(neutron)
    networks = {one.id: Network(called[one.id], one.id) for one in neutron.networks}
    floating = {(one.port, one.fixed): one.address for one in neutron.floating if one.port}
    for state in neutron.servers:
        ports = [port for port in neutron.ports if port.device == state.id]
        for port, address in [(one, address) for one in ports for address in one.addresses]:
            yield Server(
                called[state.id],
                state.id,
                port.id,
                address,
                port.mac,
                networks[port.network],
                router=_default_router(port, address, neutron, known),
                floating=floating.get((port.id, address)),
            )


def _default_router(
    port: Port, address: IPv4Address, neutron: Neutron, known: Mapping[str, Router]
) -> Router | None:
    """The one with the gateway address of the subnet that the address is from."""
    gateways = {
        subnet.gateway
        for subnet in neutron.subnets
        if subnet.network == port.network and address in subnet.cidr
    }
    for other in neutron.ports:
        here = other.device in known and other.network == port.network
        if here and gateways & set(other.addresses):
            return known[other.device]
    return None


@dataclass(frozen=True)
class _Called:
    """A destination, and how it is called."""

    end: End
    address: IPv4Address
    at: IPv4Address | None
    through: Router | None
    port: int | None
    """The port that the first packet is sent to."""
    target_port: int | None


def resolve(asked: Asked, scene: Scene) -> Ends:
    """Find both ends. Raises Refused for what there is not, and for two ends that are outside."""
    book = _Book(asked, scene)
    source = book.source()
    called = book.destination(source)
    if _same(source, called):
        raise Refused(
            f"{asked.source} and {asked.destination} are the same",
            hint="name two ends between which a packet travels",
        )
    if isinstance(source, Outside) and isinstance(called.end, Outside):
        raise Refused(
            f"neither {asked.source} nor {asked.destination} is in this cloud",
            hint="one end is to be a server, a router, the machine, or an address of theirs; the "
            f"Elastic IPs are {book.publics}",
        )
    first = Headers(book.start(source, called), called.address, None, called.port)
    return Ends(
        asked,
        source,
        called.end,
        book.below,
        first,
        called.at,
        called.through,
        called.target_port,
    )


def _same(source: End, called: _Called) -> bool:
    """A server may ask for itself by a floating IP or a published port: its router sees that."""
    if isinstance(source, Machine) and isinstance(called.end, Machine):
        return True
    return source == called.end and not (isinstance(source, Server) and called.at)


class _Book:
    """Who has which name and which address."""

    def __init__(self, asked: Asked, scene: Scene) -> None:
        self._asked = asked
        self._scene = scene
        self.below = below(scene)
        self._routers = routers(scene.neutron)
        self._servers = tuple(_servers(scene.neutron, self._routers))

    @property
    def publics(self) -> str:
        found = {**self._scene.vpc.loose, **self._scene.vpc.elastic}
        return ", ".join(map(str, sorted(found))) or "all gone"

    # Names.

    def source(self) -> End:
        word = self._asked.source
        address = _address(word)
        if address is None:
            return self._outside(word) or self._named(word)
        if address == METADATA_SERVICE:
            raise Refused("nothing is sent from there", hint="169.254.169.254 is a destination")
        return self._at(address) or self._elsewhere(address)

    def _outside(self, word: str) -> Outside | None:
        if word == INTERNET:
            return Outside(INTERNET, self._scene.internet)
        if word != HERE:
            return None
        if self._scene.here is None:
            raise Refused("your own address cannot be told", hint="name it instead of `here`")
        return Outside(HERE, self._scene.here)

    def _named(self, word: str) -> Server | Router | Machine:
        if word in (MACHINE, self._scene.machine):
            return self._machine(word)
        named: list[Server | Router] = [*self._servers, *self._routers.values()]
        found = [one for one in named if one.id == word]
        found = found or [one for one in named if one.name == word]
        if found:
            return min(found, key=_rank)
        raise self._unknown(word)

    def _unknown(self, word: str) -> Refused:
        """Why a word names nobody: it names several, or none."""
        same = [one for one in _ends(self._scene.neutron) if one.name == word]
        if len(same) == 1:
            hint = "`openstack server show` or `openstack router show` tells what became of it"
            return Refused(f"`{word}` has no address", hint=hint)
        if same:
            ids = ", ".join(f"{one.id}{self._at_addresses(one.id)}" for one in same)
            return Refused(
                f"there are {len(same)} named `{word}`, and none is the cloud's own",
                hint=f"name one by its id, or by an address of its own: {ids}",
            )
        ends: list[Server | Router] = [*self._servers, *self._routers.values()]
        known = ", ".join([*RESERVED, *sorted({one.name for one in ends})])
        return Refused(f"there is no `{word}`", hint=f"ends are: {known}, an id, or any address")

    def _at_addresses(self, id: str) -> str:
        ports = (port for port in self._scene.neutron.ports if port.device == id)
        addresses = ", ".join(str(address) for port in ports for address in port.addresses)
        return f" ({addresses})" if addresses else ""

    def _machine(self, name: str) -> Machine:
        management = self._scene.vpc.nics.get(MANAGEMENT)
        if management is None:
            raise Refused(
                "the machine has no management NIC",
                hint="run `pileus down --yes` and `pileus up` to make the machine anew",
            )
        return Machine(name, management.addresses[0])

    def _at(self, address: IPv4Address) -> Server | Router | Machine | None:
        """Who has an address of its own, in whichever of the clouds."""
        private = self._scene.vpc.elastic.get(address, address)
        for server in self._servers:
            if private in (server.address, server.floating):
                return server
        for router in self._routers.values():
            if private in self._addresses(router):
                return router
        management = self._scene.vpc.nics.get(MANAGEMENT)
        if management and private in management.addresses:
            return self._machine(MACHINE)
        return None

    def _addresses(self, router: Router) -> frozenset[IPv4Address]:
        ports = (port for port in self._scene.neutron.ports if port.device == router.id)
        return frozenset(address for port in ports for address in port.addresses)

    def _elsewhere(self, address: IPv4Address) -> Outside:
        """A host outside. Raises Refused for an address of a project's network: nobody here knows
        who has it, and it does not lead out of there."""
        names = {network.id: network.name for network in self._scene.neutron.networks}
        for subnet in self._scene.neutron.subnets:
            if address in subnet.cidr and not subnet.cidr.overlaps(self._scene.vpc.network):
                raise Refused(
                    f"no server and no router has {address}, an address of network "
                    f"{names.get(subnet.network, subnet.network)}",
                    hint="name a server or a router there",
                )
        return Outside(str(address), address)

    # How a destination is called.

    def destination(self, source: End) -> _Called:
        word = self._asked.destination
        address = _address(word)
        if address is not None:
            return self._address_called(source, address)
        if word == INTERNET:
            return self._plainly(Outside(INTERNET, WELL_KNOWN), WELL_KNOWN)
        if outside := self._outside(word):
            return self._plainly(outside, outside.address)
        match self._named(word):
            case Server() as server:
                return self._server_called(source, server)
            case Router() as router:
                return self._router_called(source, router)
            case Machine() as machine:
                return self._machine_called(source, machine)

    def _plainly(self, end: End, address: IPv4Address) -> _Called:
        """By an address of its own, with nothing in between."""
        return _Called(end, address, None, None, self._asked.port, self._asked.port)

    def _server_called(self, source: End, server: Server) -> _Called:
        port = self._asked.port
        if _neighbours(source, server):
            return self._plainly(server, server.address)
        way = self._way_to(server)
        if way is not None:
            return self._by(source, way)
        if isinstance(source, Outside) and server.router and server.router.gateway:
            return self._by(source, self._at_registered(server.router.gateway.address, port))
        return self._plainly(server, server.address)

    def _way_to(self, server: Server) -> _Called | None:
        """By its floating IP, or by the port of an address that leads to this port of it."""
        port = self._asked.port
        if server.floating:
            return self._at_registered(server.floating, port)
        for router, item in self._published():
            if (item.private.address, item.private.port) == (server.address, port):
                at = item.registered
                return _Called(server, at.address, at.address, router, at.port, port)
        return None

    def _router_called(self, source: End, router: Router) -> _Called:
        port = self._asked.port
        if isinstance(source, Server) and source.network.id in router.inner:
            inner = self._scene.neutron.port(router.inner[source.network.id])
            if inner:
                return self._plainly(router, inner.addresses[0])
        if router.gateway is None:
            raise Refused(
                f"router {router.name} has no gateway by which it could be reached",
                hint="name a server on one of its networks as the source",
            )
        return self._by(source, self._at_registered(router.gateway.address, port))

    def _machine_called(self, source: End, machine: Machine) -> _Called:
        address = machine.address
        if isinstance(source, Outside):
            address = self.below.public.get(address, address)
        return self._plainly(machine, address)

    def _by(self, source: End, called: _Called) -> _Called:
        """From outside, by the Elastic IP of its registered address."""
        if isinstance(source, Outside) and called.at:
            public = self.below.public.get(called.at)
            public = public or next(
                (one for one, at in self._scene.vpc.loose.items() if at == called.at), called.at
            )
            return replace(called, address=public)
        return called

    def _address_called(self, source: End, address: IPv4Address) -> _Called:
        port, vpc = self._asked.port, self._scene.vpc
        if address == METADATA_SERVICE:
            return self._metadata_called(source)
        if address in {**vpc.elastic, **vpc.loose}:
            at = {**vpc.loose, **vpc.elastic}[address]
            if at in self._provider():
                called = self._at_registered(at, port)
                return _Called(called.end, address, at, called.through, port, called.target_port)
            return self._plainly(self._at(at) or Nobody(at), address)
        if address in self._provider():
            return self._at_registered(address, port)
        held = self._at(address)
        if held is not None:
            return self._plainly(held, address)
        end: End = Nobody(address) if address in vpc.network else self._elsewhere(address)
        return self._plainly(end, address)

    def _provider(self) -> frozenset[IPv4Address]:
        """Addresses of provider networks: those that are registered, and those that are used."""
        held = {floating.address for floating in self._scene.neutron.floating}
        held |= {r.gateway.address for r in self._routers.values() if r.gateway}
        for role, nic in self._scene.vpc.nics.items():
            held |= set(nic.addresses) if role != MANAGEMENT else set()
        return frozenset(held)

    def _metadata_called(self, source: End) -> _Called:
        port = self._asked.port
        own = isinstance(source, Server) and (self._asked.protocol, port) == ("tcp", METADATA_PORT)
        end = Metadata("openstack" if own else "underlay", METADATA_SERVICE)
        return self._plainly(end, METADATA_SERVICE)

    def _at_registered(self, at: IPv4Address, port: int | None) -> _Called:
        """Who is behind an address of the provider network, at a port."""
        by_address = {server.address: server for server in self._servers}
        for router, item in self._published():
            to = item.private
            if (item.registered.address, item.registered.port) == (at, port):
                end: End = by_address.get(to.address) or Nobody(to.address)
                return _Called(end, at, at, router, port, to.port)
        for server in self._servers:
            if server.floating == at:
                return _Called(server, at, at, self._router_with(at) or server.router, port, port)
        holder = self._router_with(at)
        if holder:
            return _Called(holder, at, at, holder, port, port)
        return _Called(Nobody(at), at, at, None, port, port)

    def _router_with(self, at: IPv4Address) -> Router | None:
        """By its gateway, or by a floating IP."""
        for router in self._routers.values():
            if router.gateway and router.gateway.address == at:
                return router
        for floating in self._scene.neutron.floating:
            if floating.address == at and floating.router:
                return self._routers.get(floating.router)
        return None

    def _published(self) -> Iterator[tuple[Router, Published]]:
        """Ports of the provider's addresses that lead to servers, and the routers that do it."""
        found = [*self._scene.published.items()]
        found += [(str(one.router), one.forwards) for one in self._scene.neutron.floating]
        for router, ports in found:
            for item in sorted(ports):
                if router in self._routers and item.protocol == self._asked.protocol:
                    yield self._routers[router], item

    # Where the first packet comes from.

    def start(self, source: End, called: _Called) -> IPv4Address:
        match source:
            case Server() | Machine() | Outside() | Metadata() | Nobody():
                return source.address
            case Router():
                return self._router_start(source, called)

    def _router_start(self, router: Router, called: _Called) -> IPv4Address:
        """Its own address on the network that it sends to; without a gateway any that it has."""
        if isinstance(called.end, Server) and not called.at:
            inner = self._scene.neutron.port(router.inner.get(called.end.network.id, ""))
            if inner:
                return inner.addresses[0]
        ports = [self._scene.neutron.port(id) for id in router.inner.values()]
        own = [port.addresses[0] for port in ports if port]
        return registered(router) or next(iter(own), _UNSET)


def _rank(end: Server | Router) -> tuple[bool, bool, IPv4Address]:
    """Of a server's several addresses, the one that leads farthest."""
    if isinstance(end, Router):
        return False, False, _UNSET
    return end.floating is None, end.router is None, end.address


def _neighbours(source: End, server: Server) -> bool:
    """Whether the server's own address can be reached without leaving the router."""
    if isinstance(source, Router):
        return server.network.id in source.inner
    if isinstance(source, Server):
        on_router = source.router is not None and server.network.id in source.router.inner
        return source.network == server.network or on_router
    return False


def _address(word: str) -> IPv4Address | None:
    """None for a name. Raises Refused for an address that no host has."""
    try:
        address = ip_address(word)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        raise Refused(f"{word} is an IPv6 address", hint="IPv4 alone is carried here")
    if address == _UNSET or address.is_loopback or address.is_multicast or address.is_reserved:
        raise Refused(f"{word} is no host's address", hint="name one that a host can have")
    return address
