"""What a cloud is to have besides its fixed parts: registered addresses, floating IPs, ports.

That is what pileus.yaml says, changed by what commands recorded. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from pileus.api.record import Pair, Record, in_file, ports_in_file
from pileus.model.addresses import Socket
from pileus.model.errors import Refused
from pileus.model.publishing import Publication, Published
from pileus.spec import Spec
from pileus.spec.schema import Server


@dataclass(frozen=True)
class Wants:
    """The changing part of a cloud's wanted state."""

    published: frozenset[Published] = frozenset()
    """Ports of the router's registered address: translated in the router's namespace."""
    forwards: frozenset[Published] = frozenset()
    """Ports of floating IPs: Neutron's own port forwardings."""
    floating: tuple[IPv4Address, ...] = ()
    """Registered addresses besides each provider NIC's first one, in order."""
    holders: Mapping[IPv4Address, str] = field(default_factory=dict)
    """Of those, the ones that are a server's floating IP by our doing; others are anybody's."""

    @property
    def ports(self) -> frozenset[Published]:
        """Every published port."""
        return self.published | self.forwards


def wants(spec: Spec, record: Record) -> Wants:
    """Resolve the file and the record. Raises Refused where they contradict each other."""
    floating = _floating(spec, record)
    holders = {address: name for name, address in record.floating if name in _names(spec)}
    ports = _published(spec, record)
    own = spec.underlay.registered_address
    forwards = frozenset(item for item in ports if item.registered.address != own)
    if spec.uplink == "mac-clone":
        _refuse_forwards(forwards)
    for item in sorted(forwards):
        _require_near(item.registered.address, spec)
        _require_free(item.registered.address, floating, holders)
    return Wants(ports - forwards, forwards, floating, holders)


def _floating(spec: Spec, record: Record) -> tuple[IPv4Address, ...]:
    added = record.addresses
    if spec.uplink == "mac-clone" and added:
        raise Refused(
            "with `uplink: mac-clone` the cloud below knows one address, and "
            f"{', '.join(map(str, sorted(added)))} were added as floating IPs",
            hint="set `uplink: mac-nat` again, and `pileus floating-ip remove` them before you "
            "change it",
        )
    return tuple(sorted({*in_file(spec, record), *added}))


def _refuse_forwards(forwards: Iterable[Published]) -> None:
    """The file cannot have any with this mode; commands recorded them before."""
    for item in sorted(forwards):
        raise Refused(
            f"with `uplink: mac-clone` there are no floating IPs, and {item} is published on one",
            hint="set `uplink: mac-nat` again, and before you change it `pileus unpublish` the "
            f"port, and publish it without the address {item.registered.address}",
        )


def _require_free(
    address: IPv4Address, floating: tuple[IPv4Address, ...], holders: Mapping[IPv4Address, str]
) -> None:
    if address not in floating:
        known = ", ".join(map(str, floating)) or "none"
        raise Refused(
            f"{address} is not one of the cloud's floating addresses",
            hint=f"they are: {known}; leave the address out to publish on the router's own",
        )
    if address in holders:
        raise Refused(
            f"{address} is the floating IP of {holders[address]}, with all its ports",
            hint="its security group decides which are open; publish on another address",
        )


def _require_near(address: IPv4Address, spec: Spec) -> None:
    """Neutron hands on to a server from the network of its router's gateway alone."""
    for one in spec.underlay.more_providers:
        if address in one.cidr:
            raise Refused(
                f"{address} is on the network `{one.name}`, and the servers' router has its "
                "gateway on `provider`",
                hint=f"publish on an address of {spec.underlay.provider}, or make a router on "
                f"`{one.name}` with OpenStack's own commands",
            )


def _names(spec: Spec) -> frozenset[str]:
    return frozenset(server.name for server in spec.servers)


def wanted_pairs(spec: Spec, record: Record) -> frozenset[Pair]:
    """What is to be published, of servers that exist."""
    pairs = (ports_in_file(spec) | record.added) - record.removed
    return frozenset(pair for pair in pairs if pair[0] in _names(spec))


def _published(spec: Spec, record: Record) -> frozenset[Published]:
    servers = {server.name: server for server in spec.servers}
    found: dict[tuple[str, Socket], Published] = {}
    for name, port in sorted(wanted_pairs(spec, record), key=str):
        item = _resolve(spec, servers[name], port)
        other = found.setdefault((item.protocol, item.registered), item)
        if other != item:
            raise Refused(
                f"port {port.port} is published already, to {other.private}",
                hint="choose another port, or `pileus unpublish` that one first",
            )
    return frozenset(found.values())


def _resolve(spec: Spec, server: Server, port: Publication) -> Published:
    return Published(
        port.protocol,
        Socket(port.address or spec.underlay.registered_address, port.port),
        Socket(server.fixed_ip, port.target),
    )


def parse_pair(spec: Spec, server: str, port: str) -> Pair:
    """A server and a port as the user typed them. Raises Refused for what cannot be."""
    try:
        return require_server(spec, server), Publication.parse(port)
    except ValueError as error:
        raise Refused(str(error), hint="write it as 522:22, or 53:53/udp") from error


def require_server(spec: Spec, name: str) -> str:
    """The name, if the cloud has such a server. Raises Refused."""
    if name not in _names(spec):
        known = ", ".join(sorted(_names(spec))) or "none"
        raise Refused(f"there is no server `{name}`", hint=f"servers are: {known}")
    return name
