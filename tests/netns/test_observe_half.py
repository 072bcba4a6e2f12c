"""The observed half for real, on a machine of namespaces: a router, a server, a NIC, an internet.

Each fault is put into the kernel and told at its hop; nothing of the machine is changed by looking.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from pileus.model.addresses import Mac
from pileus.model.ends import (
    Below,
    Ends,
    Gateway,
    Interface,
    Network,
    Outside,
    Router,
    Server,
)
from pileus.model.errors import CommandFailed
from pileus.model.path import Asked, Fate, Half, Headers, Stage, Way
from pileus.model.verdict import Code
from pileus.system import netns, process
from pileus.system.dialogue import talk
from pileus.trace.observe import Eyes, starting, watch, watching
from pileus.trace.route import route

pytestmark = pytest.mark.netns

A = IPv4Address
NAME = f"ob{os.getpid()}"
NODE, GUEST, WORLD, CLOUD = (f"{NAME}-{what}" for what in ("node", "guest", "world", "cloud"))
AT, CLIENT, FIXED, WELL_KNOWN = map(A, ("172.16.20.101", "198.18.0.7", "192.168.20.5", "8.8.8.8"))
HOP = A("198.18.0.1")
NETWORK = Network("private", "n-1")
MAC = Mac("fa:16:3e:00:01:01")
ROUTER = Router("router", NAME, Gateway("gw", AT, MAC), {"n-1": "in"})
WEB = Server("web", "s-1", "web", FIXED, Mac("fa:16:3e:00:00:05"), NETWORK, router=ROUTER)
NIC = Interface(
    "provider", "eth1", "eni-p", Mac("02:00:00:00:00:14"), IPv4Network("172.16.20.0/24")
)
BELOW = Below(IPv4Network("172.16.0.0/16"), {"provider": NIC}, {})
SPACE = ROUTER.namespace
PUBLISH = f"""
table ip pileus_publish {{
  chain prerouting {{
    type nat hook prerouting priority -105; policy accept;
    ip daddr {AT} tcp dport 522 dnat to {FIXED}:22
  }}
}}
"""
DROP = """
table netdev pileus_eth1 {
  counter out.UPLINK_SOURCE_UNREGISTERED { }
  chain out {
    type filter hook egress device "eth1" priority 0; policy accept;
    ip protocol { tcp, icmp } counter name "out.UPLINK_SOURCE_UNREGISTERED" drop
  }
}
"""
FIREWALL = """
table inet guest {
  chain in { type filter hook input priority 0; policy accept; ip protocol { tcp, icmp } drop; }
}
"""


@pytest.fixture
def machine() -> Iterator[None]:
    """The internet ── eth1, bridge ── qg-, router, qr- ── bridge, tap ── the server."""
    try:
        for name in (NODE, GUEST, WORLD, CLOUD, SPACE):
            netns.ensure(name)
            netns.sysctl(name, {"net/ipv6/conf/all/disable_ipv6": "1"})
        for name in (SPACE, CLOUD):
            netns.sysctl(name, {"net/ipv4/ip_forward": "1"})
        netns.batch(NODE, _wires())
        for what in ("ip", "arp"):
            netns.sysctl(NODE, {f"net/bridge/bridge-nf-call-{what}tables": "0"})
        netns.batch(WORLD, ["link add eth0 type veth peer name world netns " + CLOUD])
        netns.batch(CLOUD, _cloud())
        netns.batch(WORLD, _world())
        netns.batch(SPACE, _router())
        own = [f"addr add {FIXED}/24 dev eth0", "route add default via 192.168.20.1"]
        netns.batch(GUEST, [*_up("eth0"), *own])
        nft(SPACE, PUBLISH)
        yield
    finally:
        for name in (NODE, GUEST, WORLD, CLOUD, SPACE):
            netns.remove(name)


def _cloud() -> list[str]:
    """It knows who has which address, and asks nobody."""
    known = f"neigh add {AT} lladdr {MAC} dev eth1 nud permanent"
    routes = [f"route add {address}/32 dev world" for address in (CLIENT, WELL_KNOWN)]
    own = ["addr add 172.16.20.1/24 dev eth1", f"addr add {HOP}/32 dev world"]
    return [*_up("eth1", "world"), *own, known, *routes]


def _world() -> list[str]:
    own = [f"addr add {address}/32 dev eth0" for address in (CLIENT, WELL_KNOWN)]
    return [
        *_up("eth0"),
        *own,
        f"route add {AT}/32 via {HOP} dev eth0 onlink src {CLIENT}",
    ]


def _router() -> list[str]:
    own = [f"addr add {AT}/24 dev qg-gw", "addr add 192.168.20.1/24 dev qr-in"]
    mac = f"link set qg-gw address {MAC}"
    return [mac, *_up("qg-gw", "qr-in"), *own, "route add default via 172.16.20.1"]


def _wires() -> list[str]:
    pairs = (("eth1", CLOUD, "eth1"), ("uplink", SPACE, "qg-gw"), ("inner", SPACE, "qr-in"))
    commands = ["link add outer type bridge", "link add br-int type bridge"]
    for own, there, theirs in (*pairs, (WEB.tap, GUEST, "eth0")):
        commands.append(f"link add {own} type veth peer name {theirs} netns {there}")
        commands.append(
            f"link set {own} master {'outer' if own in ('eth1', 'uplink') else 'br-int'}"
        )
    return commands + _up("outer", "br-int", "eth1", "uplink", "inner", WEB.tap)


def _up(*devices: str) -> list[str]:
    return [f"link set {device} up" for device in devices]


def nft(namespace: str, text: str) -> None:
    process.run(["ip", "netns", "exec", namespace, "nft", "--file", "-"], stdin=text)


class Untold:
    def counters(self) -> None:
        return None


def inside(namespace: str, argv: Sequence[str]) -> list[str]:
    return ["ip", "netns", "exec", namespace, *argv]


EYES = Eyes(lambda argv: inside(NODE, argv), lambda argv: inside(WORLD, argv), True, Untold())
BLIND = replace(EYES, sees_outside=False)
PUBLISHED = Ends(
    Asked("internet", str(AT), "tcp", 522),
    Outside("internet", CLIENT),
    WEB,
    BELOW,
    Headers(CLIENT, AT, None, 522),
    AT,
    ROUTER,
    22,
)
LEAVING = Ends(
    Asked("router", "8.8.8.8", "icmp", None),
    ROUTER,
    Outside("8.8.8.8", WELL_KNOWN),
    BELOW,
    Headers(AT, WELL_KNOWN),
)


@pytest.fixture
def listening(machine: None) -> Iterator[None]:
    """Something listens on the server's port 22."""
    program = "import socket; s = socket.create_server(('', 22)); print(flush=True); input()"
    with talk(inside(GUEST, ["python3", "-c", program])) as served:
        served.hear(10.0)
        yield


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "ANSWER_SECONDS", (0.4, 0.4))


def observed(ends: Ends, eyes: Eyes = EYES) -> Half:
    return watch(ends, route(ends), eyes)


def death(half: Half) -> tuple[Way, Stage, Code | None]:
    assert half.death, half
    return half.death.way, half.death.stage, half.death.code


def fingerprint() -> dict[str, str]:
    """All that looking might leave behind, its counters aside."""
    shows = "ip address; ip route; ip rule; nft -s list ruleset"
    return {
        name: process.run(inside(name, ["sh", "-ec", shows])).stdout
        for name in (NODE, GUEST, WORLD, CLOUD, SPACE)
    }


def test_a_published_port_is_seen_at_each_hop_and_nothing_is_changed(listening: None) -> None:
    before = fingerprint()
    half = observed(PUBLISHED)
    assert half.death is None, half.death
    assert {hop.fate for hop in half.hops} == {Fate.PASSES}
    assert [hop.key for hop in half.hops] == [*route(PUBLISHED)]
    assert fingerprint() == before
    assert not [one for name in (NODE, WORLD, SPACE) for one in netns.processes(name)]
    assert translated(half, Way.THERE) == {Stage.GATEWAY: (AT, 522), Stage.NAT: (FIXED, 22)}
    (nat,) = [hop for hop in half.hops if hop.key.stage is Stage.NAT and hop.way is Way.THERE]
    assert nat.detail.startswith(f"tracked as {nat.headers}; seen "), nat.detail


def translated(half: Half, way: Way) -> dict[Stage, tuple[IPv4Address, int | None]]:
    return {
        hop.stage: (hop.headers.destination, hop.headers.destination_port)
        for hop in half.hops
        if hop.way is way and hop.headers and hop.stage in (Stage.GATEWAY, Stage.NAT)
    }


def test_a_real_cloud_tells_nothing_of_its_inside_but_an_answer_does(listening: None) -> None:
    """Sent as a user may, and not watched outside."""
    half = observed(PUBLISHED, BLIND)
    assert half.death is None, half.death
    assert {hop.fate for hop in half.hops} == {Fate.PASSES}
    nft(GUEST, FIREWALL)
    assert death(observed(PUBLISHED, BLIND)) == (Way.THERE, Stage.SERVER, Code.GUEST_NO_ANSWER)
    netns.batch(NODE, ["link set eth1 nomaster"])
    lost = observed(PUBLISHED, BLIND)
    assert lost.death
    assert lost.death.stage in (Stage.UPLINK, Stage.GATEWAY)


FAULTS = [
    (GUEST, "link set eth0 arp off", Stage.SERVER, Code.GUEST_NO_NEIGHBOUR),
    (NODE, f"link set {WEB.tap} down", Stage.PORT, Code.NEUTRON_PORT_DOWN),
    (NODE, f"link set {WEB.tap} mtu 1200", Stage.PORT, Code.NODE_MTU),
    (SPACE, "link set qr-in down", Stage.ROUTER, Code.NEUTRON_DEVICE_DOWN),
    (SPACE, "link del qg-gw", Stage.GATEWAY, Code.NEUTRON_DEVICE_MISSING),
    (NODE, "link set eth1 down", Stage.UPLINK, Code.NODE_NIC_DOWN),
]


@pytest.mark.parametrize(("where", "fault", "stage", "code"), FAULTS)
def test_each_broken_device_is_told_at_its_hop(
    listening: None, where: str, fault: str, stage: Stage, code: Code
) -> None:
    netns.batch(where, [fault])
    assert death(observed(PUBLISHED)) == (Way.THERE, stage, code)


def test_what_the_server_or_its_router_does_with_a_packet_is_told(machine: None) -> None:
    assert death(observed(PUBLISHED))[1:] == (Stage.SERVER, Code.GUEST_REFUSED)
    nft(GUEST, FIREWALL)
    assert death(observed(PUBLISHED))[1:] == (Stage.SERVER, Code.GUEST_NO_ANSWER)
    netns.sysctl(SPACE, {"net/ipv4/ip_forward": "0"})
    assert death(observed(PUBLISHED))[1:] == (Stage.ROUTER, Code.NEUTRON_NOT_FORWARDING)
    nft(SPACE, "delete table ip pileus_publish")
    assert death(observed(PUBLISHED))[1:] == (Stage.NAT, Code.NEUTRON_NOT_PUBLISHED)


def test_programs_that_are_started_beforehand_are_used(machine: None) -> None:
    asked: list[Sequence[str]] = []

    def counted(argv: Sequence[str]) -> list[str]:
        asked.append(argv)
        return inside(NODE, argv)

    with starting(replace(EYES, node=counted)) as eyes:
        assert len(asked) == 1
        assert observed(LEAVING, eyes).hops
    assert len(asked) == 1


def test_a_router_sends_for_itself(machine: None) -> None:
    assert observed(LEAVING).death is None
    nft(NODE, DROP)
    half = observed(LEAVING)
    assert death(half) == (Way.THERE, Stage.UPLINK, Code.UPLINK_SOURCE_IP)
    nft(NODE, "delete table netdev pileus_eth1")
    netns.batch(SPACE, ["route del default"])
    assert death(observed(LEAVING)) == (Way.THERE, Stage.ROUTER, Code.NEUTRON_NO_ROUTE)


def test_the_router_is_gone(machine: None) -> None:
    netns.remove(SPACE)
    half = observed(PUBLISHED)
    assert half.death
    assert half.death.code is Code.NEUTRON_DEVICE_MISSING


def test_a_program_that_cannot_be_run_is_an_error(machine: None) -> None:
    gone = replace(
        EYES, node=lambda argv: inside(NODE, ["sh", "-c", "echo no such thing >&2; exit 3"])
    )
    with pytest.raises(CommandFailed, match="no such thing"):
        observed(LEAVING, gone)
