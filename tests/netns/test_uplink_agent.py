"""The agent on a node: what it puts in place, and puts back whatever happens, with traffic."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import uplink_node
from uplink_node import ADDRESS, FAR, NIC, ROUTER, SECOND, SECONDS, THIRD, Node, eventually

from pileus.model.addresses import Mac, Socket
from pileus.model.publishing import Published
from pileus.system import process
from pileus.uplink import on_node
from pileus.uplink.config import published_document
from pileus.uplink.wiring import bridge_mac

pytestmark = pytest.mark.netns

INNER = Mac("fa:16:3e:00:00:01")
SSH = Published("tcp", Socket(ADDRESS, 522), Socket(ADDRESS, 22))
WEB = Published("tcp", Socket(ADDRESS, 8080), Socket(ADDRESS, 80))


ONE_DATAPATH = pytest.mark.parametrize("bare", ["netdev"], indirect=True)
"""For what does not depend on where Open vSwitch runs."""


@pytest.fixture(params=["netdev", "system"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A node on which the agent has never run."""
    with uplink_node.node(f"agent{os.getpid()}", tmp_path, request.param) as made:
        yield made


@pytest.fixture
def node(bare: Node) -> Node:
    """A node that is prepared, with a router that has said nothing yet; no daemon."""
    bare.agent("prepare")
    uplink_node.connect(bare)
    bare.router(ADDRESS, mac=str(INNER))
    return bare


# Before anything can send


def test_nothing_leaves_before_the_rules_are_there_and_then_the_registered_do(bare: Node) -> None:
    bare.do("ip link set eth1 up", "ip address add 172.16.20.101/24 dev eth1")
    bare.agent("prepare")
    shown = bare(["ip", "-details", "address", "show", "eth1"]).stdout
    assert "172.16.20.101" not in shown, "the node itself has no address there"
    assert ",UP" in shown
    uplink_node.connect(bare)
    bare.router(ADDRESS, SECOND)
    assert bare.ping(ADDRESS) == 1
    assert bare.ping(SECOND, wait=0.3) == 0, "not known to be registered"
    assert bare.counter("UPLINK_DESTINATION_UNREGISTERED") == 1
    assert bare.foreign() == 0


def test_preparing_again_changes_nothing(node: Node) -> None:
    assert node.agent("prepare").stderr == ""


@ONE_DATAPATH
def test_what_is_half_there_is_completed(node: Node) -> None:
    for damage in (
        ["ip", "link", "delete", "uplink0-in"],
        ["ip", "link", "delete", "uplink0-rs"],
        ["ip", "netns", "delete", "uplink0-resolver"],
        ["ip", "link", "delete", "uplink0"],
        ["ip", "-n", "uplink0-resolver", "route", "flush", "dev", "leg"],
        ["ethtool", "-K", "uplink0-in", "tx", "on"],
        ["tc", "qdisc", "delete", "dev", "eth1", "clsact"],
        ["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"],
    ):
        node(damage)
        assert node.agent("prepare").stderr, damage
        node(["nft", "flush", "map", "netdev", "pileus_eth1", "inner"])
        assert eventually(lambda: node.ping(ADDRESS, wait=0.2), f"{damage} was mended")
    assert node.agent("prepare").stderr == ""


BROKEN = """#!/bin/sh
input=$(mktemp) && cat > "$input"
case "$*" in *-f*) grep -q "{hook}" "$input" && echo "Error: {why}" >&2 && exit 1;; esac
exec /run/nft "$@" < "$input"
"""


def break_nft(node: Node, hook: str, why: str) -> None:
    """From now on nft refuses what contains `hook`."""
    node.put("/run/broken", BROKEN.format(hook=hook, why=why))
    node(["sh", "-c", "cp $(command -v nft) /run/nft && chmod +x /run/broken"])
    node(["sh", "-c", "mount --bind /run/broken $(command -v nft)"])


@ONE_DATAPATH
@pytest.mark.parametrize(
    ("hook", "why", "told"),
    [
        ("hook egress", "Operation not supported", "CONFIG_NETFILTER_EGRESS"),
        ("guard_out", "Out of memory", "Out of memory"),
    ],
)
def test_without_its_rules_a_nic_is_down_and_the_reason_told(
    bare: Node, hook: str, why: str, told: str
) -> None:
    bare.do("ip link set eth1 up")
    break_nft(bare, hook, why)
    done = bare.agent("prepare", check=False)
    assert done.code == 2
    assert told in done.stderr
    assert ",UP" not in bare(["ip", "link", "show", "eth1"]).stdout
    bare(["sh", "-c", "umount $(command -v nft)"])
    bare.agent("prepare")
    assert ",UP" in bare(["ip", "link", "show", "eth1"]).stdout


@ONE_DATAPATH
def test_a_nic_that_is_missing_keeps_no_other_from_being_kept_and_may_come_later(
    node: Node,
) -> None:
    other = {**node.nic(), "mac": "02:00:00:00:30:01", "bridge": "br-other", "fallback": []}
    node.configure(other)
    done = node.agent("prepare", check=False)
    assert done.code == 2
    assert "there is no NIC with the MAC 02:00:00:00:30:01" in done.stderr
    assert node.ping(ADDRESS) == 1
    node.start()
    assert node.status().health == "degraded"
    node.do("ip link add eth2 address 02:00:00:00:30:01 type veth peer name far2")
    eventually(lambda: node.status().health == "ok", "the new NIC is kept")
    assert [nic.device for nic in node.status().nics] == ["eth1", "eth2"]
    node.do("ip link set far2 up")
    assert "policy drop" in node(["nft", "list", "table", "netdev", "pileus_eth2"]).stdout
    node.configure()
    eventually(lambda: len(node.status().nics) == 1, "it is not ours any more")
    tables = eventually(lambda: tables_without(node, "pileus_eth2"), "its rules went")
    assert "pileus_uplink1" not in tables
    assert ",UP" not in node(["ip", "link", "show", "eth2"]).stdout, "it is not left open"
    assert "uplink1" not in node(["ip", "link", "show"]).stdout


def tables_without(node: Node, name: str) -> str | None:
    tables = node(["nft", "list", "tables"]).stdout
    return None if name in tables else tables


# The resolver


def test_the_first_packet_to_a_silent_address_is_answered(node: Node) -> None:
    assert node.counter("UPLINK_RESOLVED") == 0
    assert node.ping(ADDRESS) == 1
    assert node.ping(ADDRESS, count=5) == 5
    assert node.counter("UPLINK_RESOLVED") == 1, "its first answer taught who has it"
    node(["nft", "flush", "map", "netdev", "pileus_eth1", "inner"])
    assert node.ping(ADDRESS) == 1, "again, after what was learned is lost"
    assert node.counter("UPLINK_RESOLVED") == 2


def be_silent(node: Node) -> None:
    """What was learned ends, as it does a while after an address was heard last."""
    for kind, name in (("map", "inner"), ("set", "claims"), ("set", "speaking")):
        node(["nft", "flush", kind, "netdev", "pileus_eth1", name])


def moved(node: Node) -> None:
    """The address to another router's device, and nobody hears of it."""
    gateway = f"qg-{ROUTER[:8]}"
    node.do(f"ip -n qrouter-{ROUTER} address flush dev {gateway}")
    node.router(ADDRESS, identity="22222222-2222-3333-4444-555555555555")
    be_silent(node)


def test_a_silent_address_that_moved_unheard_is_found_by_the_next_packet(node: Node) -> None:
    """Though the resolver knew it, and somewhere else."""
    assert node.ping(ADDRESS) == 1
    neighbours = ["ip", "-n", "uplink0-resolver", "neigh", "show", str(ADDRESS)]
    assert str(INNER) in node(neighbours).stdout
    eventually(lambda: "lladdr" not in node(neighbours).stdout, "what it knew has ended", 2)
    moved(node)
    assert node.ping(ADDRESS) == 1


def test_the_resolver_does_not_believe_what_it_happens_to_hear(node: Node) -> None:
    """It would send at once to who asked others for something long ago."""
    assert node.ping(ADDRESS) == 1
    neighbours = ["ip", "-n", "uplink0-resolver", "neigh", "show", str(ADDRESS)]
    eventually(lambda: "lladdr" not in node(neighbours).stdout, "what it knew has ended", 2)
    asks = ["ping", "-c", "1", "-W", "0.1", "172.16.20.77"]
    node.inside(f"qrouter-{ROUTER}", *asks, check=False)
    listed = ["nft", "list", "counter", "netdev", "pileus_uplink0", "to_resolver"]
    assert "packets 0 " not in node(listed).stdout
    moved(node)
    assert node.ping(ADDRESS) == 1


def test_an_address_that_nobody_has_is_not_answered_and_disturbs_nobody(node: Node) -> None:
    node.metadata.answer = f"{ADDRESS}\n{SECOND}"
    node.agent("sync")
    assert node.ping(SECOND, wait=0.3) == 0
    assert node.counter("UPLINK_RESOLVED") >= 1
    assert node.ping(ADDRESS) == 1
    assert node.foreign() == 0


# The way between the NIC and Open vSwitch in userspace

SERVE = """
import socket
listener = socket.create_server(("172.16.20.1", 9000))
while True:
    connection, _ = listener.accept()
    data = connection.makefile("rb").read(3_000_000)
    connection.sendall(data)
    connection.close()
"""
SEND = """
import socket
connection = socket.create_connection(("172.16.20.1", 9000), timeout=5)
connection.sendall(bytes(3_000_000))
print(len(connection.makefile("rb").read()))
"""


def test_streams_pass_whole_both_ways(node: Node) -> None:
    """Frames with an unfinished checksum, as offloads leave them, would be dropped."""
    node.running.append(
        process.spawn(
            ["ip", "netns", "exec", node.cloud, sys.executable, "-c", SERVE],
            log=node.directory / "serve.log",
        )
    )
    send = [sys.executable, "-c", SEND]
    router = f"qrouter-{ROUTER}"
    done = eventually(lambda: node.inside(router, *send, check=False).stdout, "it is served")
    assert done == "3000000\n"


@ONE_DATAPATH
def test_nothing_behind_the_nic_reaches_the_nodes_own_stack(node: Node) -> None:
    """A router that sends to the kernel bridge's own MAC what is for the node itself."""
    gateway, router = f"qg-{ROUTER[:8]}", f"qrouter-{ROUTER}"
    node.do(
        f"ip -n {router} neigh add 172.16.20.77 lladdr {bridge_mac(NIC)} dev {gateway}",
        f"ip -n {router} route add 172.16.10.101 via 172.16.20.77",
    )
    ping = ["ping", "-c", "3", "-i", "0.05", "-W", "0.2", "172.16.10.101"]
    before = echoes(node)
    node.inside(router, *ping, check=False)
    assert echoes(node) == before
    counter = ["nft", "list", "counter", "netdev", "pileus_uplink0", "bridge_to_host"]
    assert int(node(counter).stdout.partition("packets ")[2].split()[0]) >= 3
    node(["nft", "delete", "table", "netdev", "pileus_uplink0"])
    node.inside(router, *ping, check=False)
    assert echoes(node) == before + 3, "it is that table that kept them off"


def echoes(node: Node) -> int:
    """ICMP echo requests that the node's own stack has received."""
    lines = node(["cat", "/proc/net/snmp"]).stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(values[names.index("InEchos")])


# What stays


def test_rules_that_others_delete_are_back_at_once_and_nothing_foreign_leaves(node: Node) -> None:
    node.start()
    address = str(ADDRESS)
    pings = process.spawn(
        ["ip", "netns", "exec", node.cloud, "ping", "-n", "-i", "0.005", "-c", "400", address],
        log=node.directory / "pings",
    )
    slowest = 0.0
    for deed in ["flush ruleset", "delete table netdev pileus_eth1"] * 5:
        start = time.monotonic()
        node(["nft", *deed.split()])
        eventually(node.table, "the rules are back", seconds=2)
        slowest = max(slowest, time.monotonic() - start)
    assert slowest < 0.5
    assert process.wait_for_exit(pings, timeout=SECONDS)
    assert node.foreign() == 0
    status = node.status()
    assert (status.health, status.restored >= 5) == ("ok", True)
    assert f"put back {status.restored} times" in status.notes[0]
    assert node.ping(ADDRESS, count=3) == 3


def test_without_the_agent_they_stay_away_and_then_nothing_passes(node: Node) -> None:
    assert node.ping(ADDRESS) == 1
    node(["nft", "flush", "ruleset"])
    assert node.ping(ADDRESS, count=3, wait=0.2) == 0
    assert node.foreign() == 0, "the belt holds"


@ONE_DATAPATH
def test_what_keeps_the_node_itself_off_the_bridge_is_back_too(node: Node) -> None:
    node.start()
    node(["nft", "delete", "table", "netdev", "pileus_uplink0"])
    listed = ["nft", "list", "table", "netdev", "pileus_uplink0"]
    eventually(lambda: node(listed, check=False).stdout, "it is back", seconds=2)


def test_the_belt_is_back_too(node: Node) -> None:
    """Open vSwitch in the kernel removes it from a NIC that becomes its port."""
    node.start()
    node(["tc", "qdisc", "delete", "dev", "eth1", "clsact"])
    shown = ["tc", "filter", "show", "dev", "eth1", "egress"]
    eventually(lambda: "bpf" in node(shown, check=False).stdout, "it is back", seconds=2)


def test_rules_of_others_are_left_alone(node: Node) -> None:
    node.start()
    node(["nft", "add", "table", "inet", "pileus_not"])
    node(["nft", "add", "table", "inet", "users"])
    node.agent("sync")
    tables = node(["nft", "list", "tables"]).stdout
    assert "table inet users" in tables


def test_a_device_that_goes_comes_back(node: Node) -> None:
    node.start()
    node(["ip", "link", "delete", "uplink0-rs"])
    shown = eventually(
        lambda: node(["ip", "link", "show", "uplink0-rs"], check=False).stdout, "it is back"
    )
    assert ",UP" in shown or eventually(
        lambda: ",UP" in node(["ip", "link", "show", "uplink0-rs"]).stdout, "it is up"
    )
    node.do("ip link set eth1 down")
    eventually(lambda: ",UP" in node(["ip", "link", "show", "eth1"]).stdout, "the NIC is up")


def test_ports_of_a_router_that_is_made_anew_are_back(node: Node) -> None:
    node.publish(SSH)
    node.start()
    assert node.status().published == {ROUTER: {SSH}}
    times = []
    for _ in range(5):
        node(["ip", "netns", "delete", f"qrouter-{ROUTER}"])
        eventually(lambda: ROUTER not in node.status().published, "the router is gone")
        start = time.monotonic()
        node(["ip", "netns", "add", f"qrouter-{ROUTER}"])
        eventually(lambda: published_rules(node), "the ports are back")
        times.append(time.monotonic() - start)
    assert max(times) < 0.5, times
    other = "99999999-2222-3333-4444-555555555555"
    node(["ip", "netns", "add", f"qrouter-{other}"])
    assert "pileus" not in node.inside(f"qrouter-{other}", "nft", "list", "ruleset").stdout


def published_rules(node: Node) -> str:
    listed = ["nft", "list", "table", "ip", "pileus_publish"]
    return node.inside(f"qrouter-{ROUTER}", *listed, check=False).stdout


def test_publishing_from_the_operators_side(node: Node) -> None:
    assert on_node.published(node, {ROUTER: frozenset({SSH})}) == (
        f"router {ROUTER}: {SSH} published",
    )
    node.start()
    assert on_node.published(node, {ROUTER: frozenset({SSH})}) == ()
    assert on_node.published(node, {ROUTER: frozenset({WEB})}) == (
        f"router {ROUTER}: {WEB} published",
        f"router {ROUTER}: {SSH} closed",
    )
    elsewhere = "99999999-2222-3333-4444-555555555555"
    closed = on_node.published(node, {elsewhere: frozenset({SSH})})
    assert closed == (f"router {ROUTER}: {WEB} closed",)
    assert not published_rules(node), "a router that is no longer named has no ports"
    node(["ip", "netns", "add", f"qrouter-{elsewhere}"])
    eventually(
        lambda: node.status().published.get(elsewhere) == frozenset({SSH}), "as soon as it is there"
    )


# What is registered


def test_an_address_that_is_registered_is_in_force_soon_and_one_that_is_not_is_denied(
    node: Node,
) -> None:
    node.router(SECOND, identity="22222222-2222-3333-4444-555555555555")
    node.start()
    assert node.ping(SECOND, wait=0.2) == 0
    node.metadata.answer = f"{ADDRESS}\n{SECOND}"
    eventually(lambda: node.ping(SECOND, wait=0.1), "it is reached", seconds=3)
    node.metadata.answer = str(ADDRESS)
    eventually(lambda: not node.ping(SECOND, wait=0.1), "it is denied again", seconds=3)
    (nic,) = node.status().nics
    assert nic.registered == (ADDRESS,)
    assert SECOND not in nic.learned
    assert node.ping(ADDRESS) == 1


@ONE_DATAPATH
def test_while_metadata_is_away_everything_stays(node: Node) -> None:
    node.metadata.answer = f"{ADDRESS}\n{SECOND}"
    started = node.start()
    eventually(lambda: node.status().nics[0].registered == (ADDRESS, SECOND), "both are known")
    node.metadata.away = True
    eventually(lambda: node.status().metadata_away is not None, "metadata is away")
    node.stop(started)
    node(["nft", "flush", "ruleset"])
    node.start()
    assert node.status().nics[0].registered == (ADDRESS, SECOND), "a restart remembers"
    node.metadata.away = False
    for answer in ("", "<html>", str(THIRD)):
        node.metadata.answer = answer
        enough = node.metadata.asked + 2
        eventually(partial(asked, node, enough), "asked again")
        assert node.status().nics[0].registered == (ADDRESS, SECOND), answer
    eventually(lambda: "not its primary" in "".join(node.status().problems), "and is told")
    node.metadata.answer = str(ADDRESS)
    eventually(lambda: node.status().nics[0].registered == (ADDRESS,), "fewer are fewer")
    eventually(lambda: node.status().health == "ok", "and all is well")


def asked(node: Node, times: int) -> bool:
    return node.metadata.asked >= times


@ONE_DATAPATH
def test_a_token_that_expired_is_renewed(node: Node) -> None:
    node.start()
    eventually(lambda: node.metadata.asked > 0, "asked")
    node.metadata.token, node.metadata.answer = "second", f"{ADDRESS}\n{SECOND}"
    eventually(lambda: SECOND in node.status().nics[0].registered, "known by the new token")
    assert node.metadata.refused == 1


# Whatever instant it is killed at


@ONE_DATAPATH
def test_killed_at_any_instant_the_next_start_makes_it_right(node: Node) -> None:
    node.publish(SSH)
    address = str(ADDRESS)
    pings = process.spawn(
        ["ip", "netns", "exec", node.cloud, "ping", "-n", "-i", "0.02", "-w", "120", address],
        log=node.directory / "pings",
    )
    node.running.append(pings)
    for number in range(30):
        started = node.launch()
        deed = number % 3
        if deed == 0:
            node(["nft", "flush", "ruleset"])
        elif deed == 1:
            node(["ip", "netns", "delete", "uplink0-resolver"], check=False)
        time.sleep(0.02 * number)  # the instant is what varies here
        process.end(started, first=signal.SIGKILL)
    node.start()
    assert node.status().health == "ok"
    assert node.agent("prepare").stderr == ""
    assert node.ping(ADDRESS, count=5) == 5
    assert published_rules(node)
    assert node.foreign() == 0


@ONE_DATAPATH
def test_one_daemon_at_a_time(node: Node) -> None:
    node.start()
    refused = node.agent("run", check=False)
    assert refused.code == 1
    assert "is held by" in refused.stderr


@ONE_DATAPATH
def test_connections_of_a_port_are_cut_by_the_next_start_if_need_be(node: Node) -> None:
    """Killed after the port was closed, and before its connections were."""
    node.publish(WEB)
    node.agent("sync")
    serve = "import http.server as h; h.test(h.BaseHTTPRequestHandler, port=80, bind='0.0.0.0')"
    node.spawn("ip", "netns", "exec", f"qrouter-{ROUTER}", sys.executable, "-c", serve)
    call = ["ip", "netns", "exec", node.cloud, sys.executable, "-c", CALL]
    eventually(lambda: process.run(call, check=False).code == 0, "the port is open")
    assert flows(node)
    node.publish()
    node.inside(f"qrouter-{ROUTER}", "nft", "delete", "table", "ip", "pileus_publish")
    going = {ROUTER: frozenset({WEB}), "aa": frozenset({SSH})}
    closing = {"registered": {}, "closing": published_document(going)}
    node.put("/var/lib/pileus/uplink-state.json", json.dumps(closing))
    node.agent("sync")
    assert not flows(node)
    assert json.loads(node(["cat", "/var/lib/pileus/uplink-state.json"]).stdout)["closing"] == {
        "routers": {}
    }


CALL = f"import socket; socket.create_connection(('{ADDRESS}', 8080), timeout=0.5)"


def flows(node: Node) -> str:
    listed = ["conntrack", "-L", "-p", "tcp", "--orig-port-dst", "8080"]
    return node.inside(f"qrouter-{ROUTER}", *listed).stdout


# What it costs, and tells


@ONE_DATAPATH
def test_an_idle_daemon_costs_next_to_nothing(node: Node) -> None:
    started = node.start()
    before, asked_before = seconds_used(started.pid), node.metadata.asked
    time.sleep(6)  # for nothing: that is what is measured
    assert node.metadata.asked >= asked_before + 2
    assert seconds_used(started.pid) - before < 0.01 * 6


def seconds_used(pid: int) -> float:
    """CPU of a process, and of the children that it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@ONE_DATAPATH
def test_systemd_is_told_when_it_is_ready_and_that_it_lives(node: Node) -> None:
    path = str(node.directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(SECONDS)
        told = ["env", f"NOTIFY_SOCKET={path}"]
        node.spawn(*told, sys.executable, "-IS", str(node.agent_file), "run")
        assert systemd.recv(100) == b"READY=1"
        assert systemd.recv(100) == b"WATCHDOG=1"


@ONE_DATAPATH
def test_metrics_are_served_on_loopback(node: Node) -> None:
    node.start()
    assert node.ping(ADDRESS) == 1
    fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9479/metrics').read().decode())"
    text = node(["python3", "-c", fetch]).stdout
    assert "pileus_uplink_healthy 1\n" in text
    assert 'pileus_uplink_frames_passed_total{device="eth1",direction="out"}' in text
    assert 'code="UPLINK_RESOLVED"} 1\n' in text


def test_an_address_with_two_claimants_is_told_with_both(node: Node) -> None:
    other = "22222222-2222-3333-4444-555555555555"
    twin = Mac("fa:16:3e:00:00:02")
    node.router(ADDRESS, identity=other, mac=str(twin))
    node.start()
    for router in (ROUTER, other):
        asks = ["ping", "-c", "1", "-W", "0.2", str(FAR)]
        node.inside(f"qrouter-{router}", *asks, check=False)
    (nic,) = node.status().nics
    assert nic.conflicts == {ADDRESS: (INNER, twin)}
    assert nic.learned == {ADDRESS: twin}
    assert nic.counters["UPLINK_ADDRESS_CLAIMED_TWICE"] == 1
    assert node.status().health == "ok", "it may just have moved"


def test_mac_clone_leaves_macs_alone_and_demands_the_nics(bare: Node) -> None:
    bare.configure(mode="mac-clone")
    bare.agent("prepare")
    uplink_node.connect(bare)
    bare.router(ADDRESS, mac=str(NIC))
    assert bare.ping(ADDRESS, count=3) == 3
    bare.router(SECOND, identity="22222222-2222-3333-4444-555555555555")
    asks = ["ping", "-c", "1", "-W", "0.3", "172.16.20.1"]
    bare.inside("qrouter-22222222-2222-3333-4444-555555555555", *asks, check=False)
    assert bare.counter("UPLINK_ARP_SENDER_UNREGISTERED") >= 1
    assert bare.foreign() == 0
