"""Ways from a host behind a router to the cloud, each in namespaces of its own.

    cloud (cloud0) ══ (eth1) node: bridge `uplink0` (port) ══ (qg0) router (qr0) ══ (eth0) host
                                                    (rs)   ══ (leg) resolver

The router translates between the host and its floating IP, as Neutron's do. The three ways differ
in the node alone: the pipeline of mac-nat on eth1; no rules at all, and a cloud that takes any
MAC; or, as others deploy it, no bridge across but a node that routes, with MASQUERADE and DNAT.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from pileus.model.addresses import Mac
from pileus.model.errors import Fault
from pileus.model.uplink import UplinkNic, resolver_mac
from pileus.rules import apply as rules
from pileus.rules.ruleset import Table
from pileus.system import kernel, netns, process
from pileus.uplink import nodewiring, pipeline, wiring
from pileus.uplink.config import NicConfig
from pileus.uplink.wiring import LEG, Names, Wire

PREFIX = "bench-uplink-"
SUBNET = IPv4Network("172.16.16.0/20")
GATEWAY, ADDRESS = IPv4Address("172.16.16.1"), IPv4Address("172.16.20.101")
NIC_MAC, GATEWAY_MAC = Mac("02:00:00:00:20:01"), Mac("02:00:00:00:20:fe")
HOST, INSIDE = IPv4Address("192.168.20.5"), IPv4Address("192.168.20.1")
BEHIND, BEHIND_GATEWAY = IPv4Address("172.24.4.101"), IPv4Address("172.24.4.1")
"""The provider network that others make up on the node, and translate once more."""
NIC = UplinkNic("eth1", NIC_MAC, "mac-nat", resolver_mac(NIC_MAC))
BROADCAST = Mac("ff:ff:ff:ff:ff:ff")
ANNOUNCED, ANNOUNCED_EVERY = 3, 2.0
"""How often Neutron does, seconds apart. [neutron/agent/linux/ip_lib.py, _arping]"""

_QUIET = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/bridge/bridge-nf-call-arptables": "0",
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
}
_ROUTES = {"net/ipv4/ip_forward": "1"}
_WIRE = Wire(
    Names(0), NicConfig(NIC_MAC, "br-ex", "mac-nat", SUBNET, (ADDRESS,)), "netdev", "eth1", 1500
)
_FLOATING = """
table ip floating {{
  chain into {{ type nat hook prerouting priority dstnat;
    iifname "qg0" ip daddr {outer} dnat to {host}; }}
  chain out {{ type nat hook postrouting priority srcnat;
    oifname "qg0" ip saddr {host} snat to {outer}; }}
}}
"""
_OTHERS = """
table ip others {{
  chain into {{ type nat hook prerouting priority dstnat;
    iifname "eth1" ip daddr {address} dnat to {behind}; }}
  chain out {{ type nat hook postrouting priority srcnat; oifname "eth1" masquerade; }}
}}
"""


def addresses(count: int) -> frozenset[IPv4Address]:
    """So many registered addresses, the host's and the routers' among them."""
    return frozenset(ADDRESS + number for number in range(count))


def pipeline_of(count: int) -> Table:
    """The product's rules for so many registered addresses."""
    return pipeline.table(NIC, addresses(count))


def mac(number: int) -> Mac:
    """The MAC that Neutron would give to its port with this number."""
    packed = bytes.fromhex("fa163e") + number.to_bytes(3, "big")
    return Mac(packed.hex(":"))


@dataclass(frozen=True)
class Path:
    """One way, by the name that its namespaces have in common."""

    name: str

    def namespace(self, role: str) -> str:
        return f"{PREFIX}{self.name}-{role}"

    @property
    def cloud(self) -> str:
        return self.namespace("cloud")

    @property
    def node(self) -> str:
        return self.namespace("node")

    @property
    def host(self) -> str:
        return self.namespace("host")

    @property
    def cloud_address(self) -> IPv4Address:
        return GATEWAY

    @property
    def host_address(self) -> IPv4Address:
        """As the cloud knows it."""
        return ADDRESS

    def run(self, role: str, *argv: str, stdin: str | None = None) -> None:
        process.run(["ip", "netns", "exec", self.namespace(role), *argv], stdin=stdin)

    def batch(self, role: str, *commands: str) -> None:
        netns.batch(self.namespace(role), commands)

    def make(self, role: str, settings: dict[str, str] | None = None) -> str:
        """A namespace in which nobody speaks by itself; its name."""
        name = self.namespace(role)
        netns.ensure(name)
        netns.sysctl(name, {**_QUIET, **(settings or {})})
        return name

    def plug(self, role: str, port: str, gateway_mac: Mac) -> None:
        """Give a router a `qg0` on the bridge that is not up yet, as one that is made anew has."""
        router = self.make(role, _ROUTES)
        self.batch(
            "node",
            f"link add {port} type veth peer name qg0 netns {router} address {gateway_mac}",
            f"link set {port} master uplink0",
            f"link set {port} up",
        )

    def unplug(self, role: str, port: str) -> None:
        """Remove a router, and what it was plugged into at once."""
        self.batch("node", f"link delete {port}")
        netns.remove(self.namespace(role))


@contextmanager
def fresh() -> Iterator[None]:
    """Nothing of ours is there before and after."""
    _clear()
    try:
        yield
    finally:
        _clear()


def _clear() -> None:
    with ExitStack() as all_of_them:  # one that cannot be removed does not keep the others
        for name in netns.existing(PREFIX):
            all_of_them.callback(netns.remove, name)


def bridged(name: str, *, cut: bool = False) -> Path:
    """No rule on the way, and the cloud knows the router's own MAC."""
    path = _between(name)
    _router(path, ADDRESS, GATEWAY, IPv4Network((ADDRESS, SUBNET.prefixlen), strict=False))
    path.batch("cloud", _knows(ADDRESS, mac(1)))
    if cut:
        _cut(path)
    return path


def translated(name: str, count: int, *, cut: bool = False) -> Path:
    """Through mac-nat, with so many registered addresses that all have spoken."""
    path = _between(name)
    _router(path, ADDRESS, GATEWAY, IPv4Network((ADDRESS, SUBNET.prefixlen), strict=False))
    path.batch("cloud", *(_knows(ADDRESS + number, NIC_MAC) for number in range(2)))
    _resolver(path)
    wanted = pipeline_of(count)
    rules.apply(wanted, namespace=path.node)
    kernel.inside(path.node, lambda: nodewiring.fasten(NIC.device, NIC.mac))
    path.run("host", "ping", "-q", "-c", "1", "-w", "5", str(GATEWAY))
    speak(path, count)
    found = rules.read(wanted.family, wanted.name, namespace=path.node)
    if not found or set(pipeline.learned(found)) != addresses(count) - {ADDRESS + 1}:
        raise Fault("the pipeline has not learned who spoke", hint="see the tests of the pipeline")
    if cut:
        _cut(path)
    return path


def masqueraded(name: str) -> Path:
    """Routed by the node, which translates addresses on top of what the router translates."""
    path = _below(name, _ROUTES)
    path.batch(
        "node",
        "link add uplink0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0",
        f"addr add {ADDRESS}/{SUBNET.prefixlen} dev eth1",
        f"addr add {BEHIND_GATEWAY}/24 dev uplink0",
        "link set uplink0 up",
        "link set eth1 up",
    )
    _router(path, BEHIND, BEHIND_GATEWAY, IPv4Network((BEHIND, 24), strict=False))
    path.run("node", "nft", "-f", "-", stdin=_OTHERS.format(address=ADDRESS, behind=BEHIND))
    path.batch("cloud", _knows(ADDRESS, NIC_MAC))
    return path


def speak(path: Path, count: int) -> None:
    """Let an inner MAC of its own speak for each registered address but those of routers."""
    raw = netns.run_inside(path.namespace("router"), lambda: _raw("qg0"))
    with raw:
        for number in range(2, count):
            raw.send(_gratuitous(mac(1000 + number), ADDRESS + number, request=True))


def announce(path: Path, role: str, sender: Mac, address: IPv4Address) -> None:
    """What Neutron sends for a gateway's address each time: `arping -U`, then `arping -A`."""
    with netns.run_inside(path.namespace(role), lambda: _raw("qg0")) as raw:
        for request in (True, False):
            raw.send(_gratuitous(sender, address, request=request))


def _raw(device: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    opened.bind((device, 0))
    return opened


def _gratuitous(sender: Mac, address: IPv4Address, *, request: bool) -> bytes:
    ethernet = BROADCAST.packed + sender.packed + struct.pack("!H", 0x0806)
    target = BROADCAST if request else sender
    about = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1 if request else 2)
    return ethernet + about + sender.packed + address.packed + target.packed + address.packed


def _below(name: str, settings: dict[str, str] | None = None) -> Path:
    """The cloud and the node's NIC."""
    path = Path(name)
    path.make("cloud")
    path.make("node", settings)
    path.batch(
        "node",
        f"link add eth1 address {NIC_MAC} type veth "
        f"peer name cloud0 netns {path.cloud} address {GATEWAY_MAC}",
    )
    path.batch("cloud", f"addr add {GATEWAY}/{SUBNET.prefixlen} dev cloud0", "link set cloud0 up")
    return path


def _between(name: str) -> Path:
    """The same with the kernel bridge behind the NIC."""
    path = _below(name)
    path.batch(
        "node",
        "link add uplink0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0",
        "link set eth1 master uplink0",
        "link set uplink0 up",
        "link set eth1 up",
    )
    path.run("node", "bridge", "fdb", "del", str(NIC_MAC), "dev", "eth1", "master")
    return path


def _router(path: Path, outer: IPv4Address, gateway: IPv4Address, subnet: IPv4Network) -> None:
    """A router with a floating IP, and the host behind it."""
    path.plug("router", "port", mac(1))
    host = path.make("host")
    path.batch(
        "router",
        f"link add qr0 type veth peer name eth0 netns {host}",
        f"addr add {INSIDE}/24 dev qr0",
        "link set qr0 up",
        *gateway_commands(outer, gateway, subnet),
    )
    path.batch(
        "host",
        f"addr add {HOST}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {INSIDE}",
    )
    path.run("router", "nft", "-f", "-", stdin=_FLOATING.format(outer=outer, host=HOST))
    # A port forwards a moment after its other end is up.
    path.run("router", "ping", "-q", "-i", "0.01", "-c", "1", "-w", "5", str(gateway))


def gateway_commands(
    address: IPv4Address, gateway: IPv4Address, subnet: IPv4Network
) -> Iterable[str]:
    """What brings a router's gateway device up."""
    yield "link set qg0 up"
    yield f"addr add {address}/{subnet.prefixlen} dev qg0"
    yield f"route add default via {gateway}"


def _resolver(path: Path) -> None:
    leg = path.make("resolver")
    path.batch(
        "node",
        f"link add rs type veth peer name {LEG} netns {leg} address {NIC.resolver}",
        "link set rs master uplink0",
        "link set rs up",
    )
    netns.sysctl(
        leg, {key: value for (where, key), value in wiring.settings(_WIRE).items() if where}
    )
    path.batch("resolver", "link set lo up", f"link set {LEG} up", f"route add {SUBNET} dev {LEG}")


def _knows(address: IPv4Address, owner: Mac) -> str:
    return f"neigh replace {address} lladdr {owner} dev cloud0 nud permanent"


def _cut(path: Path) -> None:
    """Frames as they are on a wire, as Open vSwitch in userspace needs them."""
    for role, device in (("node", "port"), ("router", "qg0")):
        path.run(role, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off")


def as_the_agent(path: Path, table: Table, known: rules.Applied | None) -> rules.Applied:
    """Apply rules as a process does that is on the node itself."""
    before = known.kernel if known else None
    return kernel.inside(path.node, lambda: rules.apply(table, known=before))
