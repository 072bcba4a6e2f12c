"""How a provider NIC is connected on the node, as data: what is missing, step by step. Pure.

With Open vSwitch in the kernel (`system`) the NIC is a port of br-ex. With Open vSwitch in
userspace (`netdev`), which reads a NIC past its hooks, a kernel bridge stands between the two:

    cloud ── NIC ─ uplinkN ─ uplinkN-in ══ uplinkN-ex ── br-ex ── routers
                      └───── uplinkN-rs ══ leg (resolver)

In both, the resolver has a leg on the inner side: a namespace that forwards what comes for the
provider subnet. So the kernel's own neighbour code asks for an address behind which nobody has
spoken of late, keeps the packet meanwhile, and delivers it.

It must ask every time: an address that was silent may have moved unheard. Linux sends at once to
a neighbour that it knew, or heard of by the way, and only then finds out whether that is still
there. So what was answered is forgotten within about a second, and the resolver hears nothing but
answers to its own questions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Union

from pileus.model.addresses import Mac
from pileus.model.uplink import resolver_mac
from pileus.rules.ruleset import Chain, Count, Drop, Field, Hook, Match, Rule, Table
from pileus.uplink.config import Datapath, NicConfig

OFFLOADS = ("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload")
"""Userspace OVS reads frames as they are: unfinished checksums and oversize ones break there."""
LEG = "leg"
_NEIGHBOURS = {
    "base_reachable_time_ms": "100",
    "delay_first_probe_time": "1",
    "ucast_solicit": "0",
    "app_solicit": "0",
    "mcast_resolicit": "0",
    "retrans_time_ms": "200",
}
"""How the resolver keeps neighbours. An answer holds for up to 0.15 s and is in doubt for 1 s more;
as it is then not asked for again, it ends as failed, and the next packet waits for a new answer.
Were there no second of doubt it would be stale, and used. [net/core/neighbour.c,
neigh_timer_handler] A question that is not answered is repeated soon: its asker waits. All are
whole numbers of ticks whatever their rate, and so read back as they were written."""
_NEW_MTU = 1500
Link = Mapping[str, Any]
Links = Mapping[str, Link]
"""Devices by name, as `ip -details -json address` describes them."""


@dataclass(frozen=True)
class Run:
    """A program to run."""

    argv: tuple[str, ...]


@dataclass(frozen=True)
class Set:
    """A kernel setting to write, where the kernel has it; in a namespace, None for the node's."""

    path: str
    value: str
    namespace: str | None = None


Step = Union[Run, Set]


@dataclass(frozen=True)
class Names:
    """What belongs to the provider NIC with this number."""

    number: int

    @property
    def bridge(self) -> str:
        return f"uplink{self.number}"

    @property
    def inside(self) -> str:
        """The end of the veth that is a port of the kernel bridge."""
        return f"uplink{self.number}-in"

    @property
    def outside(self) -> str:
        """The end of the veth that is a port of br-ex."""
        return f"uplink{self.number}-ex"

    @property
    def resolver_port(self) -> str:
        return f"uplink{self.number}-rs"

    @property
    def resolver(self) -> str:
        """The resolver's network namespace."""
        return f"uplink{self.number}-resolver"

    def devices(self, datapath: Datapath) -> tuple[str, ...]:
        """Our devices in the node's own namespace."""
        if datapath == "system":
            return (self.resolver_port,)
        return (self.resolver_port, self.inside, self.outside, self.bridge)


@dataclass(frozen=True)
class Wire:
    """A provider NIC that was found, and how it is to be connected."""

    names: Names
    config: NicConfig
    datapath: Datapath
    device: str
    mtu: int


@dataclass(frozen=True)
class Seen:
    """What there is. `inner` are the resolver's devices, None where it has no namespace."""

    links: Links
    inner: Links | None = None
    routes: frozenset[str] = frozenset()
    """Destinations that the resolver has a route to by its leg."""
    kept: frozenset[tuple[str, str]] = frozenset()
    """(MAC, device): frames for this MAC the kernel bridge keeps to itself."""
    offloading: frozenset[str] = frozenset()
    """Devices with an offload on that must be off."""
    settings: Mapping[tuple[str | None, str], str | None] = field(default_factory=dict)
    """By namespace and path, None where the kernel has no such setting."""


def find(links: Links, mac: Mac) -> str | None:
    """The NIC with this MAC. Raises ValueError where there are several.

    Devices that people or switches make on top of a NIC may carry its MAC too; a NIC is of no
    kind, and a veth in a container.
    """
    names = [
        name
        for name, link in links.items()
        if link.get("link_type") == "ether"
        and link.get("address") == str(mac)
        and link.get("linkinfo", {}).get("info_kind", "veth") == "veth"
    ]
    if len(names) > 1:
        raise ValueError(f"{' and '.join(sorted(names))} have the same MAC {mac}")
    return names[0] if names else None


def bridge_mac(nic: Mac) -> Mac:
    """The kernel bridge's own MAC: locally administered, the same at every start."""
    derived = hashlib.sha256(b"pileus bridge " + nic.packed).digest()
    return Mac(":".join(f"{byte:02x}" for byte in b"\x02" + derived[:5]))


def lay(wire: Wire, seen: Seen) -> list[Step]:
    """Make and connect what is missing; nothing of ours on the node is brought up here."""
    broken = _broken(wire, seen)
    seen = replace(seen, links={n: link for n, link in seen.links.items() if n not in broken})
    between = _between if wire.datapath == "netdev" else _nothing_between
    return [
        *(_link("delete", device) for device in broken),
        *_resolver(wire, seen),
        *between(wire, seen),
        *_settings(wire, seen),
        *_mtus(wire, seen),
        *_nic(wire, seen.links[wire.device]),
        *_forwards(wire, seen),
    ]


def raise_up(wire: Wire, links: Links) -> list[Step]:
    """Bring our devices up, and the NIC last of all."""
    devices = (*wire.names.devices(wire.datapath), wire.device)
    return [_link("set", device, "up") for device in devices if not is_up(links.get(device, {}))]


def is_up(link: Link) -> bool:
    return "UP" in link.get("flags", ())


def take_down(device: str) -> Step:
    """No frame passes any more."""
    return _link("set", device, "down")


def rules(wire: Wire) -> Table:
    """What keeps the wiring's own devices from what is not for them.

    The resolver hears only what is for its own MAC, so no question or announcement teaches it. The
    node's own IP stack stays off the kernel bridge and the veth to br-ex; what userspace OVS reads
    has been copied before these hooks.
    """
    names = wire.names
    to_many = Match(Field.ETHER_GROUP, Mac("00:00:00:00:00:00"), negate=True)
    deaf = _chain("to_resolver", "egress", names.resolver_port, "accept", to_many)
    between = (
        _chain("bridge_to_host", "ingress", names.bridge, "drop"),
        _chain("host_to_bridge", "egress", names.bridge, "drop"),
        _chain("switch_to_host", "ingress", names.outside, "drop"),
    )
    chains = (deaf, *between) if wire.datapath == "netdev" else (deaf,)
    return Table("netdev", f"pileus_{names.bridge}", chains)


def _chain(name: str, hook: str, device: str, policy: str, *matches: Match) -> Chain:
    rule = Rule("closed", (*matches, Count(name), Drop()))
    return Chain(name, (rule,), Hook("filter", hook, "0", policy, device))


def settings(wire: Wire) -> dict[tuple[str | None, str], str]:
    """The kernel settings that belong to the wiring."""
    names = wire.names
    own: dict[str, str] = {
        f"net/ipv6/conf/{device}/disable_ipv6": "1"
        for device in (wire.device, *names.devices(wire.datapath))
    }
    if wire.datapath == "netdev":
        # 1 in every new namespace where br_netfilter is there: frames would go through iptables
        # and connection tracking. Neutron's iptables driver sets them again.
        own.update({f"net/bridge/bridge-nf-call-{kind}": "0" for kind in ("iptables", "ip6tables")})
        own["net/bridge/bridge-nf-call-arptables"] = "0"
    inner = {
        "net/ipv4/ip_forward": "1",
        "net/ipv4/conf/all/rp_filter": "0",
        f"net/ipv4/conf/{LEG}/rp_filter": "0",
        "net/ipv4/conf/all/send_redirects": "0",
        f"net/ipv4/conf/{LEG}/send_redirects": "0",
        "net/ipv4/conf/all/arp_ignore": "8",
        "net/ipv6/conf/all/disable_ipv6": "1",
        "net/ipv6/conf/default/disable_ipv6": "1",
        **{f"net/ipv4/neigh/{LEG}/{name}": value for name, value in _NEIGHBOURS.items()},
    }
    wanted: dict[tuple[str | None, str], str] = {(None, path): own[path] for path in own}
    wanted.update({(names.resolver, path): inner[path] for path in inner})
    return wanted


def abandoned(links: Links, count: int) -> list[Step]:
    """Remove what belongs to more NICs than there are."""
    numbers = {
        int(digits)
        for name in links
        for digits in [name[len("uplink") :].partition("-")[0]]
        if name.startswith("uplink") and digits.isdigit()
    }
    return [
        _link("delete", device)
        for names in map(Names, sorted(number for number in numbers if number >= count))
        for device in (names.resolver_port, names.inside, names.bridge)
        if device in links
    ]


def _broken(wire: Wire, seen: Seen) -> list[str]:
    """Devices whose other end is not where it belongs."""
    ends = {wire.names.resolver_port: LEG in (seen.inner or {})}
    if wire.datapath == "netdev":
        ends[wire.names.inside] = wire.names.outside in seen.links
        ends[wire.names.outside] = wire.names.inside in seen.links
    return [device for device, whole in ends.items() if device in seen.links and not whole]


def _resolver(wire: Wire, seen: Seen) -> Iterator[Step]:
    names, mac = wire.names, str(resolver_mac(wire.config.mac))
    if seen.inner is None:
        yield Run(("ip", "netns", "add", names.resolver))
    if not is_up((seen.inner or {}).get("lo", {})):
        # Without it there is no table of local routes, and Linux then takes every address for a
        # broadcast one that needs no ARP. [net/ipv4/fib_frontend.c, __inet_dev_addr_type]
        yield _inner(wire, "link", "set", "lo", "up")
    if names.resolver_port not in seen.links:
        end = ("peer", "name", LEG, "address", mac, "netns", names.resolver)
        yield _link("add", names.resolver_port, "type", "veth", *end)
    elif (seen.inner or {})[LEG].get("address") != mac:
        yield _inner(wire, "link", "set", LEG, "address", mac)


def _forwards(wire: Wire, seen: Seen) -> Iterator[Step]:
    fresh = wire.names.resolver_port not in seen.links
    down = fresh or not is_up((seen.inner or {}).get(LEG, {}))
    if down:
        yield _inner(wire, "link", "set", LEG, "up")
    if down or str(wire.config.subnet) not in seen.routes:
        yield _inner(wire, "route", "replace", str(wire.config.subnet), "dev", LEG)


def _between(wire: Wire, seen: Seen) -> Iterator[Step]:
    names, links = wire.names, seen.links
    if names.bridge not in links:
        mac = str(bridge_mac(wire.config.mac))
        yield _link("add", names.bridge, "address", mac, "type", "bridge", *_words(_BRIDGE))
    else:
        yield from _bridge_again(wire, links[names.bridge])
    if names.inside not in links:
        yield _link("add", names.inside, "type", "veth", "peer", "name", names.outside)
    for device in (names.inside, names.outside):
        if device not in links or device in seen.offloading:
            yield Run(("ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off"))
    for device in (names.inside, names.resolver_port, wire.device):
        if links.get(device, {}).get("master") != names.bridge:
            yield _link("set", device, "master", names.bridge)
    # The bridge keeps frames for the MAC of its own port, which in mac-clone is the router's.
    own = str(wire.config.mac), wire.device
    if links[wire.device].get("master") != names.bridge or own in seen.kept:
        yield Run(("bridge", "fdb", "delete", own[0], "dev", own[1], "master"))


_BRIDGE = {
    "stp_state": 0,
    "forward_delay": 0,
    "mcast_snooping": 0,
    "nf_call_iptables": 0,
    "nf_call_ip6tables": 0,
    "nf_call_arptables": 0,
}


def _bridge_again(wire: Wire, link: Link) -> Iterator[Step]:
    mac = str(bridge_mac(wire.config.mac))
    if link.get("address") != mac:
        yield _link("set", wire.names.bridge, "address", mac)
    data = link.get("linkinfo", {}).get("info_data", {})
    if any(data.get(name) != value for name, value in _BRIDGE.items()):
        yield _link("set", wire.names.bridge, "type", "bridge", *_words(_BRIDGE))


def _words(options: Mapping[str, int]) -> list[str]:
    return [word for name, value in options.items() for word in (name, str(value))]


def _nothing_between(wire: Wire, seen: Seen) -> Iterator[Step]:
    names = wire.names
    if seen.links[wire.device].get("master") == names.bridge:
        yield _link("set", wire.device, "nomaster")
    for device in (names.inside, names.bridge):
        if device in seen.links:
            yield _link("delete", device)


def _settings(wire: Wire, seen: Seen) -> Iterator[Step]:
    """New devices have no settings yet when they are looked at: all of theirs are written."""
    links = {None: seen.links, wire.names.resolver: seen.inner or {}}
    for (namespace, path), value in settings(wire).items():
        parts = path.split("/")
        device = parts[3] if parts[2] in ("conf", "neigh") else "all"
        fresh = device not in ("all", "default") and device not in links[namespace]
        known = seen.settings.get((namespace, path))
        if fresh or (namespace and seen.inner is None) or known not in (None, value):
            yield Set(path, value, namespace)


def _mtus(wire: Wire, seen: Seen) -> Iterator[Step]:
    for device in wire.names.devices(wire.datapath):
        if seen.links.get(device, {}).get("mtu", _NEW_MTU) != wire.mtu:
            yield _link("set", device, "mtu", str(wire.mtu))
    fresh = wire.names.resolver_port not in seen.links
    leg = {} if fresh else (seen.inner or {}).get(LEG, {})
    if leg.get("mtu", _NEW_MTU) != wire.mtu:
        yield _inner(wire, "link", "set", LEG, "mtu", str(wire.mtu))


def _nic(wire: Wire, nic: Link) -> Iterator[Step]:
    """The node itself has nothing to say on the provider NIC."""
    if nic.get("addr_info"):
        yield Run(("ip", "address", "flush", "dev", wire.device))
    if "MULTICAST" in nic.get("flags", ()):
        yield _link("set", wire.device, "multicast", "off")


def _link(verb: str, device: str, *words: str) -> Run:
    return Run(("ip", "link", verb, device, *words))


def _inner(wire: Wire, *words: str) -> Run:
    return Run(("ip", "-netns", wire.names.resolver, *words))
