"""The wire in fresh namespaces: what a bare machine may send, and what the cloud drops and counts.

Each machine is a namespace with one NIC. Every allowed path has denied twins; a twin asserts that
exactly its own counter rises, by the number of frames sent.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from thin_region import (
    ALICE,
    ALL,
    BOB,
    BROADCAST,
    FOREIGN_MAC,
    REGION,
    ROUTER,
    STATE,
    UDP,
    UPLINK,
    Listening,
    Region,
    arp,
    ethernet,
    ipv4,
    serve,
    tap,
    udp,
)

from pileus.model.addresses import Mac
from pileus.model.verdict import Code
from pileus.vpc.internet import CLIENT, RESOLVER, WEB
from pileus.vpc.wire.frames import owners
from pileus.vpc.wire.names import internet_namespace, machine_namespace
from pileus.vpc.wire.report import plugged

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    made = Region(tmp_path_factory.mktemp("region"))
    try:
        made.start()
        yield made
    finally:
        made.close()


def public_of(region: Region) -> IPv4Address:
    return region.state.elastic_ips["e"].public


def test_a_registered_machine_reaches_the_internet_and_keeps_its_public_address(
    region: Region,
) -> None:
    before = region.counters(ALICE)
    assert region.run(ALICE, "ping", "-c", "2", "-W", "2", str(RESOLVER)).code == 0
    page = region.run(ALICE, "curl", "-s", "--max-time", "5", f"http://{WEB}/ip")
    assert page.stdout.strip() == str(public_of(region))
    assert region.rise(ALICE, before) == {}


DENIED = {
    "wrong MAC": (
        ethernet(FOREIGN_MAC, ROUTER, 0x0800, ipv4("172.16.10.11", "8.8.8.8")),
        Code.SOURCE_MAC,
    ),
    "wrong IP": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.99", "8.8.8.8")),
        Code.SOURCE_IP,
    ),
    "wrong MAC and IP": (
        ethernet(FOREIGN_MAC, ROUTER, 0x0800, ipv4("172.16.10.99", "8.8.8.8")),
        Code.SOURCE_MAC,
    ),
    "a neighbour's IP": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.12", "8.8.8.8")),
        Code.SOURCE_IP,
    ),
    "ARP from a wrong MAC": (
        ethernet(
            FOREIGN_MAC, BROADCAST, 0x0806, arp(1, (FOREIGN_MAC, "172.16.10.11"), "172.16.10.1")
        ),
        Code.SOURCE_MAC,
    ),
    "ARP naming a wrong MAC": (
        ethernet(
            ALICE.mac, BROADCAST, 0x0806, arp(1, (FOREIGN_MAC, "172.16.10.11"), "172.16.10.1")
        ),
        Code.ARP_SENDER,
    ),
    "ARP naming a wrong IP": (
        ethernet(ALICE.mac, BROADCAST, 0x0806, arp(1, (ALICE.mac, "172.16.10.12"), "172.16.10.1")),
        Code.ARP_SENDER,
    ),
    "ARP reply naming a wrong IP": (
        ethernet(ALICE.mac, BOB.mac, 0x0806, arp(2, (ALICE.mac, "172.16.10.1"), "172.16.10.12")),
        Code.ARP_SENDER,
    ),
    "ARP reply naming a wrong MAC": (
        ethernet(ALICE.mac, BOB.mac, 0x0806, arp(2, (FOREIGN_MAC, "172.16.10.11"), "172.16.10.12")),
        Code.ARP_SENDER,
    ),
    "ARP reply from a wrong MAC": (
        ethernet(FOREIGN_MAC, BOB.mac, 0x0806, arp(2, (ALICE.mac, "172.16.10.11"), "172.16.10.12")),
        Code.SOURCE_MAC,
    ),
    "ARP reply that nobody asked for": (
        ethernet(ALICE.mac, BOB.mac, 0x0806, arp(2, (ALICE.mac, "172.16.10.11"), "172.16.10.12")),
        Code.ARP_SILENT,
    ),
    "gratuitous ARP as a reply": (
        ethernet(ALICE.mac, BROADCAST, 0x0806, arp(2, (ALICE.mac, "172.16.10.11"), "172.16.10.11")),
        Code.ARP_SILENT,
    ),
    "gratuitous ARP for a neighbour's address": (
        ethernet(ALICE.mac, BROADCAST, 0x0806, arp(1, (ALICE.mac, "172.16.10.12"), "172.16.10.12")),
        Code.ARP_SENDER,
    ),
    "gratuitous ARP": (
        ethernet(ALICE.mac, BROADCAST, 0x0806, arp(1, (ALICE.mac, "172.16.10.11"), "172.16.10.11")),
        Code.ARP_SILENT,
    ),
    "ARP for an unregistered address": (
        ethernet(ALICE.mac, BROADCAST, 0x0806, arp(1, (ALICE.mac, "172.16.10.11"), "172.16.10.77")),
        Code.ARP_SILENT,
    ),
    "IPv6": (ethernet(ALICE.mac, ROUTER, 0x86DD, b"\x60" + b"\0" * 39), Code.NOT_CARRIED),
    "VLAN tag": (
        ethernet(ALICE.mac, ROUTER, 0x8100, b"\0\x05\x08\0" + ipv4("172.16.10.11", "8.8.8.8")),
        Code.NOT_CARRIED,
    ),
    "VLAN tag with a wrong IP in it": (
        ethernet(ALICE.mac, ROUTER, 0x8100, b"\0\x05\x08\0" + ipv4("172.16.10.99", "8.8.8.8")),
        Code.NOT_CARRIED,
    ),
    "two VLAN tags": (
        ethernet(
            ALICE.mac,
            ROUTER,
            0x88A8,
            b"\0\x05\x81\0\0\x06\x08\0" + ipv4("172.16.10.11", "8.8.8.8"),
        ),
        Code.NOT_CARRIED,
    ),
    "IPv6 to all nodes": (
        ethernet(ALICE.mac, Mac("33:33:00:00:00:01"), 0x86DD, b"\x60" + b"\0" * 47),
        Code.NOT_CARRIED,
    ),
    "broadcast": (
        ethernet(ALICE.mac, BROADCAST, 0x0800, ipv4("172.16.10.11", "172.16.10.255")),
        Code.NOT_CARRIED,
    ),
    "multicast": (
        ethernet(ALICE.mac, Mac("01:00:5e:00:00:05"), 0x0800, ipv4("172.16.10.11", "224.0.0.5")),
        Code.NOT_CARRIED,
    ),
    "unknown destination MAC": (
        ethernet(ALICE.mac, FOREIGN_MAC, 0x0800, ipv4("172.16.10.11", "172.16.10.12")),
        Code.NOT_CARRIED,
    ),
    "link-local, not the metadata port": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.11", "169.254.169.254")),
        Code.LINK_LOCAL,
    ),
    "link-local source": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("169.254.1.1", "8.8.8.8")),
        Code.SOURCE_IP,
    ),
    "unregistered address of the VPC": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.11", "172.16.10.77")),
        Code.NO_SUCH_ADDRESS,
    ),
    "the far end of the gateway's link": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.11", "169.254.0.1")),
        Code.LINK_LOCAL,
    ),
    "too short for IPv4": (
        ethernet(ALICE.mac, ROUTER, 0x0800, b"\x45" + b"\0" * 9),
        Code.NOT_CARRIED,
    ),
    # A match on a network of whole bytes reads just those: this frame ends after two of them.
    "ends within an address": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.11", "8.8.8.8")[:18]),
        Code.NOT_CARRIED,
    ),
    "longer in its header than on the wire": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.11", "8.8.8.8")[:24]),
        Code.NOT_CARRIED,
    ),
    "a DHCP server's broadcast": (
        ethernet(
            ALICE.mac,
            BROADCAST,
            0x0800,
            ipv4("172.16.10.11", "255.255.255.255", UDP, udp(68, from_port=67)),
        ),
        Code.NOT_CARRIED,
    ),
    "a DHCP server's answer": (
        ethernet(
            ALICE.mac,
            BOB.mac,
            0x0800,
            ipv4("172.16.10.11", "172.16.10.12", UDP, udp(68, from_port=67)),
        ),
        Code.DHCP_SERVER,
    ),
    "a DHCP server's answer through the router": (
        ethernet(
            ALICE.mac,
            ROUTER,
            0x0800,
            ipv4("172.16.10.11", "8.8.8.8", UDP, udp(68, from_port=67)),
        ),
        Code.DHCP_SERVER,
    ),
    "last fragment from a wrong MAC": (
        ethernet(FOREIGN_MAC, ROUTER, 0x0800, ipv4("172.16.10.11", "8.8.8.8", fragment=1)),
        Code.SOURCE_MAC,
    ),
    "first fragment from a wrong IP": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.99", "8.8.8.8", fragment=0x2000)),
        Code.SOURCE_IP,
    ),
    "last fragment from a wrong IP": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.99", "8.8.8.8", fragment=1)),
        Code.SOURCE_IP,
    ),
    "last fragment for a link-local address": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.11", "169.254.169.253", fragment=1)),
        Code.LINK_LOCAL,
    ),
    "for another address by a neighbour that checks": (
        ethernet(ALICE.mac, BOB.mac, 0x0800, ipv4("172.16.10.11", "8.8.8.8")),
        Code.NO_SUCH_ADDRESS,
    ),
    "too short for ARP": (ethernet(ALICE.mac, BROADCAST, 0x0806, b"\0\x01"), Code.NOT_CARRIED),
    "the router itself": (
        ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.11", "172.16.10.1")),
        Code.ROUTER_SILENT,
    ),
}


@pytest.fixture(scope="module")
def others(region: Region) -> Iterator[Listening]:
    """Whoever could receive what Alice sends: her neighbour, and the internet."""
    neighbour = machine_namespace(REGION, BOB.instance or "")
    listening = Listening((neighbour, "eth0"), (internet_namespace(REGION), UPLINK.internet_device))
    yield listening
    listening.close()


@pytest.mark.parametrize("case", DENIED)
def test_a_denied_frame_raises_exactly_its_counter_and_arrives_nowhere(
    region: Region, others: Listening, case: str
) -> None:
    frame, code = DENIED[case]
    before = region.counted()
    others.arrived(frame)
    region.send(ALICE, frame, count=3)
    assert region.rose(before) == {(ALICE.id, code): 3}
    assert others.arrived(frame) == []


def test_what_is_not_denied_arrives_there(region: Region, others: Listening) -> None:
    """So that the silence of the others means something."""
    state = region.state
    opened = replace(BOB, groups=("sg-web",))
    web = replace(STATE.groups["sg-web"], ingress=(ALL,))
    groups = {**state.groups, "sg-web": web}
    region.become(replace(state, enis={**state.enis, BOB.id: opened}, groups=groups))
    before = region.counted()
    for address in ("172.16.10.12", "8.8.8.8"):
        frame = ethernet(ALICE.mac, ROUTER, 0x0800, ipv4("172.16.10.11", address))
        others.arrived(frame)
        region.send(ALICE, frame, count=3)
        assert [one[30:34] for one in others.arrived(frame)] == [IPv4Address(address).packed] * 3
    assert region.rose(before) == {}
    region.become(state)


def test_forged_arp_leaves_a_neighbours_table_as_it_was(region: Region) -> None:
    region.run(BOB, "ip", "neigh", "flush", "dev", "eth0")
    for known in ("172.16.10.1", "172.16.10.11"):
        region.run(BOB, "ping", "-c", "1", "-W", "1", known)
    before = region.counters(ALICE)
    for claimed, code in (("172.16.10.1", Code.ARP_SENDER), ("172.16.10.11", Code.SOURCE_MAC)):
        source = ALICE.mac if code == Code.ARP_SENDER else FOREIGN_MAC
        told = arp(2, (source, claimed), "172.16.10.12")
        region.send(ALICE, ethernet(source, BOB.mac, 0x0806, told), count=2)
    assert region.rise(ALICE, before) == {Code.ARP_SENDER: 2, Code.SOURCE_MAC: 2}
    table = region.run(BOB, "ip", "neigh").stdout
    assert f"172.16.10.1 dev eth0 lladdr {ROUTER}" in table
    assert f"172.16.10.11 dev eth0 lladdr {ALICE.mac}" in table


def test_the_vpc_answers_arp_with_the_neighbours_own_mac_and_its_routers(region: Region) -> None:
    region.run(ALICE, "ip", "neigh", "flush", "dev", "eth0")
    region.run(ALICE, "ping", "-c", "1", "-W", "1", "172.16.10.12")
    region.run(ALICE, "ping", "-c", "1", "-W", "1", str(RESOLVER))
    table = region.run(ALICE, "ip", "neigh").stdout
    assert f"172.16.10.12 dev eth0 lladdr {BOB.mac}" in table
    assert f"172.16.10.1 dev eth0 lladdr {ROUTER}" in table


@pytest.mark.parametrize(
    ("sent", "seen"), [(1, 1), (2, 2), (64, 64), (65, 65), (128, 128), (254, 254), (255, 254)]
)
def test_the_vpc_takes_nothing_off_a_packets_ttl(region: Region, sent: int, seen: int) -> None:
    state = region.state
    nic = replace(BOB, groups=("sg-web",))
    opened = replace(STATE.groups["sg-web"], ingress=(ALL,))
    groups = {**state.groups, "sg-web": opened}
    region.become(replace(state, enis={**state.enis, BOB.id: nic}, groups=groups))
    with tap(BOB) as arriving:
        packet = ipv4("172.16.10.11", "172.16.10.12", UDP, udp(9), ttl=sent)
        region.send(ALICE, ethernet(ALICE.mac, ROUTER, 0x0800, packet))
        while (frame := arriving.recv(2000))[14 + 9] != UDP:
            pass  # something that the machine itself had to say
    assert frame[14 + 8] == seen
    region.become(state)


def test_security_groups_are_stateful_and_name_the_side_that_dropped(region: Region) -> None:
    before_alice, before_bob = region.counters(ALICE), region.counters(BOB)
    assert region.run(ALICE, "ping", "-c", "1", "-W", "1", "172.16.10.12").code != 0
    assert region.rise(BOB, before_bob) == {Code.GROUP_INGRESS: 1}
    assert region.run(BOB, "ping", "-c", "1", "-W", "1", "172.16.10.11").code != 0
    assert region.rise(BOB, before_bob) == {Code.GROUP_INGRESS: 1, Code.GROUP_EGRESS: 1}
    assert region.rise(ALICE, before_alice) == {}


def test_without_an_elastic_ip_the_internet_gateway_drops(region: Region) -> None:
    opened = replace(STATE.groups["sg-closed"], egress=(ALL,))
    state = region.state
    region.become(replace(state, groups={**state.groups, "sg-closed": opened}))
    before = region.counters(BOB)
    assert region.run(BOB, "ping", "-c", "1", "-W", "1", str(RESOLVER)).code != 0
    assert region.rise(BOB, before) == {Code.NO_PUBLIC_ADDRESS: 1}
    region.become(state)


def test_without_a_route_the_packet_is_counted_as_such(region: Region) -> None:
    state = region.state
    table = replace(state.route_tables["rtb"], routes=())
    region.become(replace(state, route_tables={"rtb": table}))
    before = region.counters(ALICE)
    assert region.run(ALICE, "ping", "-c", "1", "-W", "1", str(RESOLVER)).code != 0
    assert region.rise(ALICE, before) == {Code.NO_ROUTE: 1}
    region.become(state)


def test_the_users_shell_and_the_internet_reach_an_open_port_and_no_other(region: Region) -> None:
    public = str(public_of(region))
    client = ["curl", "-s", "-o", "/dev/null", "-w", "%{local_ip}", "--max-time", "1"]
    with serve(region, ALICE, 80) as opened, serve(region, ALICE, 81):
        with socket.create_connection((public, 80), timeout=2):
            peer = opened.accept()[1]
            assert peer[0] == str(region.link.host_end)
        inside = f"pileus-{REGION}-internet"
        region.run(inside, *client, f"http://{public}:80/")
        assert opened.accept()[1][0] == str(CLIENT)
        before = region.counters(ALICE)
        with pytest.raises(TimeoutError):
            socket.create_connection((public, 81), timeout=1)
        assert set(region.rise(ALICE, before)) == {Code.GROUP_INGRESS}


def test_applying_the_same_state_again_changes_nothing(region: Region) -> None:
    region.send(ALICE, DENIED["wrong MAC"][0])
    before = region.counters(ALICE)
    region.become(region.state)
    assert region.counters(ALICE) == before


def test_changing_the_state_keeps_counters(region: Region) -> None:
    state = region.state
    region.send(ALICE, DENIED["wrong IP"][0])
    before = region.counters(ALICE)
    second = replace(ALICE, addresses=(*ALICE.addresses, IPv4Address("172.16.10.99")))
    region.become(replace(state, enis={**state.enis, ALICE.id: second}))
    assert region.counters(ALICE) == before
    region.send(ALICE, DENIED["wrong IP"][0])
    assert Code.SOURCE_IP not in region.rise(ALICE, before)
    region.become(state)


def test_an_unplugged_machine_is_forgotten_by_the_wire(region: Region) -> None:
    state = region.state
    region.become(replace(state, enis={ALICE.id: ALICE}))
    assert [nic.eni for nic in plugged(region.state)] == [ALICE.id]
    region.become(state)


def test_nothing_simulated_reaches_the_hosts_network(region: Region) -> None:
    """Neither by a route out of the internet, nor through the host."""
    inside = f"pileus-{REGION}-internet"
    assert region.run(inside, "ip", "route", "show", "default").stdout == ""
    assert "via" not in region.run(inside, "ip", "route", "get", "1.1.1.1").stdout
    host = str(region.link.host_end)
    with socket.create_server((host, 0)) as here:
        here.settimeout(1)
        url = f"http://{host}:{here.getsockname()[1]}/"
        region.run(inside, "curl", "-s", "--max-time", "1", url)
        with pytest.raises(TimeoutError):
            here.accept()


def test_owners_hold_only_plugged_nics() -> None:
    unplugged = replace(BOB, instance=None)
    state = replace(STATE, enis={ALICE.id: ALICE, BOB.id: unplugged})
    assert set(owners(state, state.subnets["subnet-a"])) == {
        IPv4Address("172.16.10.1"),
        IPv4Address("172.16.10.11"),
    }
