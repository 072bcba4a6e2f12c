"""A node with the agent on it, and a cloud below: namespaces of their own, files of their own.

    cloud ── eth1 (provider NIC) ─ … ─ br-ex ─ qg- (routers)
      └───── eth0 (management: instance metadata)

The node has its own mounts too, so that its /etc/pileus, /run and named namespaces are nobody
else's. br-ex is a kernel bridge; where Open vSwitch would be in userspace, a small program hands
frames over between it and the uplink's veth, by packet socket as Open vSwitch does.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

from pileus.model.addresses import Mac
from pileus.model.agent import AgentStatus
from pileus.model.publishing import Published
from pileus.rules import apply as rules
from pileus.rules.ruleset import Chain, Count, Drop, Field, Hook, Match, Rule, Table
from pileus.system import netns, process
from pileus.system.process import Done, ProcessId
from pileus.uplink import archive, pipeline
from pileus.uplink.config import published_document

NIC = Mac("02:00:00:00:20:01")
CLOUD_MAC = Mac("02:00:00:00:20:fe")
ROUTER = "11111111-2222-3333-4444-555555555555"
ADDRESS, SECOND, THIRD = (IPv4Address(f"172.16.20.{n}") for n in (101, 102, 103))
FAR = IPv4Address("172.16.20.1")
"""An address of the cloud's, from which the tests ask."""
SECONDS = 10.0
T = TypeVar("T")

_MOUNTS = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
for top in etc var/lib; do
  over=/run/over/$top
  mkdir -p $over/up $over/work
  mount -t overlay overlay -o lowerdir=/$top,upperdir=$over/up,workdir=$over/work /$top
done
mkdir -p /etc/pileus /run/netns
"""
SWITCH = """
import fcntl, os, select, socket, struct, sys, time
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"switch", 0x1002))  # TUNSETIFF, TAP, NO_PI
os.system("ip link set switch master br-ex up")
def opened():
    while True:
        try:
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            wire.bind(("uplink0-ex", 3))
            print("ready", flush=True)
            return wire
        except OSError:
            time.sleep(0.01)
wire = opened()
while True:
    for ready in select.select([tap, wire], [], [])[0]:
        try:
            if ready is wire:
                frame, (_, _, kind, *_) = wire.recvfrom(65536)
                if kind != 4:  # PACKET_OUTGOING
                    os.write(tap, frame)
            else:
                wire.send(os.read(tap, 65536))
        except OSError:
            wire.close()
            wire = opened()
"""


def eventually(look: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """What `look` finds, as soon as it is neither None nor False."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return found


@dataclass
class Metadata:
    """Instance metadata as the cloud serves it; tests change it as it runs."""

    answer: str = str(ADDRESS)
    away: bool = False
    """Whether connections are closed unanswered."""
    token: str = "first"
    asked: int = 0
    refused: int = 0


@dataclass
class Node:
    """The node, and what is around it."""

    cloud: str
    directory: Path
    datapath: str
    holder: ProcessId
    metadata: Metadata
    running: list[ProcessId] = field(default_factory=list)
    python: str = sys.executable
    """What the agent runs on."""

    def command(self, *argv: str) -> list[str]:
        return ["nsenter", f"--target={self.holder.pid}", "--mount", "--net", "--", *argv]

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        """Run a program on the node as root."""
        argv = [str(self.agent_file), *argv[1:]] if argv[0].endswith("agent.pyz") else argv
        program = [self.python, "-IS"] if argv[0] == str(self.agent_file) else []
        return process.run(self.command(*program, *argv), stdin=stdin, timeout=timeout, check=check)

    def do(self, *commands: str) -> None:
        for command in commands:
            self(command.split())

    def inside(self, namespace: str, *argv: str, check: bool = True) -> Done:
        return self(["ip", "netns", "exec", namespace, *argv], check=check)

    def spawn(self, *argv: str, log: str = "log") -> ProcessId:
        started = process.spawn(self.command(*argv), log=self.directory / log)
        self.running.append(started)
        return started

    # The agent

    @property
    def agent_file(self) -> Path:
        return self.directory / "agent.pyz"

    def agent(self, *words: str, check: bool = True, stdin: str | None = None) -> Done:
        return self(["agent.pyz", *words], check=check, stdin=stdin)

    def start(self) -> ProcessId:
        """Start the daemon, and wait until its first pass is done."""
        started = self.launch()
        eventually(lambda: self.status().running, "the daemon answers")
        return started

    def launch(self) -> ProcessId:
        return self.spawn(self.python, "-IS", str(self.agent_file), "run")

    def stop(self, started: ProcessId, number: int = signal.SIGTERM) -> None:
        process.end(started, first=number)

    def status(self) -> AgentStatus:
        return AgentStatus.from_json(json.loads(self.agent("status").stdout))

    def nic(self, **changes: Any) -> dict[str, Any]:
        """What the configuration says of the provider NIC."""
        return {
            "mac": str(NIC),
            "bridge": "br-ex",
            "mode": "mac-nat",
            "subnet": "172.16.20.0/24",
            "fallback": [str(ADDRESS)],
            **changes,
        }

    def configure(self, *others: dict[str, Any], **changes: Any) -> None:
        """Write the agent's configuration, with other NICs than the one there is."""
        document = {"nics": [self.nic(**changes), *others], "datapath": self.datapath}
        self.put("/etc/pileus/uplink.json", json.dumps(document))

    def put(self, path: str, text: str) -> None:
        self(["sh", "-c", 'cat > "$0.new" && mv "$0.new" "$0"', path], stdin=text)

    def publish(self, *ports: Published, router: str = ROUTER) -> None:
        document = published_document({router: frozenset(ports)})
        self.put("/etc/pileus/published.json", json.dumps(document))

    # What is around it

    def router(self, *addresses: IPv4Address, identity: str = ROUTER, mac: str = "") -> str:
        """A router's namespace with its gateway on br-ex, as Neutron makes it."""
        name, gateway = f"qrouter-{identity}", f"qg-{identity[:8]}"
        given = f" address {mac}" if mac else ""
        self.do(
            f"ip netns add {name}",
            f"ip link add tap-{identity[:8]} type veth peer name {gateway}{given} netns {name}",
            f"ip link set tap-{identity[:8]} master br-ex up",
            f"ip -n {name} link set lo up",
            f"ip -n {name} link set {gateway} up",
        )
        first, *others = addresses
        self.do(f"ip -n {name} address add {first}/24 dev {gateway}")
        self.do(*(f"ip -n {name} address add {other}/32 dev {gateway}" for other in others))
        return name

    def ping(self, address: IPv4Address, count: int = 1, wait: float = 2.0) -> int:
        """How many of the questions from the cloud are answered."""
        words = ["ping", "-n", "-i", "0.02", "-c", str(count), "-W", str(wait), str(address)]
        done = process.run(["ip", "netns", "exec", self.cloud, *words], check=False)
        return int(done.stdout.split(" packets transmitted, ")[1].split()[0])

    def foreign(self) -> int:
        """Frames that reached the cloud under a name that is not registered."""
        table = rules.read("netdev", "wire", namespace=self.cloud)
        assert table
        return sum(table.counters.values())

    def table(self) -> str | None:
        done = self(["nft", "list", "table", "netdev", "pileus_eth1"], check=False)
        return done.stdout if done.code == 0 else None

    def counter(self, name: str) -> int:
        (nic,) = self.status().nics
        return nic.counters.get(name, 0)


def _wire() -> Table:
    """What the cloud below enforces, as far as these tests need it."""
    mac = Rule("mac", (Match(Field.ETHER_SOURCE, NIC, negate=True), Count("foreign_mac"), Drop()))
    known = frozenset({ADDRESS, SECOND, THIRD})
    ip = Rule(
        "ip",
        (
            Match(Field.ETHER_TYPE, "ip"),
            Match(Field.IP_SOURCE, known, negate=True),
            Count("foreign_ip"),
            Drop(),
        ),
    )
    hook = Hook("filter", "ingress", "0", "accept", device="eth1")
    return Table("netdev", "wire", (Chain("from_node", (mac, ip), hook),))


@contextlib.contextmanager
def node(name: str, directory: Path, datapath: str = "netdev") -> Iterator[Node]:
    """A configured node, its agent not started yet."""
    cloud = f"{name}-cloud"
    netns.remove(cloud)
    netns.ensure(cloud)
    held = ["unshare", "--mount", "--net", "sleep", "900"]
    holder = process.spawn(held, log=directory / "holder.log")
    made = Node(cloud, directory, datapath, holder, Metadata())
    try:
        eventually(lambda: _unshared(holder.pid), "the node has namespaces of its own")
        _set_up(made)
        with serving(made):
            yield made
    finally:
        for started in [*reversed(made.running), holder]:
            process.end(started, first=signal.SIGKILL)
        netns.remove(cloud)


def _unshared(pid: int) -> bool:
    places = [f"/proc/{pid}/ns/{kind}" for kind in ("net", "mnt")]
    ours = [f"/proc/self/ns/{kind}" for kind in ("net", "mnt")]
    return all(os.readlink(a) != os.readlink(b) for a, b in zip(places, ours, strict=True))


def _set_up(made: Node) -> None:
    pid, cloud = made.holder.pid, made.cloud
    made.agent_file.write_bytes(archive.build())
    made(["sh", "-c", _MOUNTS])
    netns.batch(
        None,
        [
            f"link add eth{n} netns {cloud} address 02:00:00:00:{n + 1}0:fe type veth "
            f"peer name eth{n} netns {pid} address 02:00:00:00:{n + 1}0:01"
            for n in (0, 1)
        ],
    )
    netns.batch(
        cloud,
        [
            "link set eth0 up",
            "link set eth1 up",
            "address add 172.16.10.1/24 dev eth0",
            "address add 169.254.169.254/32 dev eth0",
            f"address add {FAR}/24 dev eth1",
            *(
                f"neigh add 172.16.20.{n} lladdr {NIC} dev eth1 nud permanent"
                for n in range(101, 111)
            ),
        ],
    )
    rules.apply(_wire(), namespace=cloud)
    made.do(
        "ip link set lo up",
        "ip link set eth0 up",
        "ip address add 172.16.10.101/24 dev eth0",
        "ip route add default via 172.16.10.1",
        "ip link add br-ex address 02:50:49:00:20:01 type bridge forward_delay 0 mcast_snooping 0",
        "ip link set br-ex up",
        "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.bridge.bridge-nf-call-iptables=0",
    )
    if made.datapath == "netdev":
        made.spawn(sys.executable, "-c", SWITCH, log="switch.log")
    made.configure()


def connect(made: Node) -> None:
    """What `agent.pyz bridge` does where there is Open vSwitch."""
    if made.datapath == "netdev":
        eventually(lambda: "ready" in (made.directory / "switch.log").read_text(), "the switch")
    else:
        made.do("ip link set eth1 master br-ex", "ip link set uplink0-rs master br-ex")
        made(["bridge", "fdb", "delete", str(NIC), "dev", "eth1", "master"], check=False)
    # The kernel tells a veth's carrier to bridges up to a second late where both ends happen to
    # have the same index.
    shown = ["ip", "link", "show", "eth1"]
    eventually(lambda: "NO-CARRIER" not in made(shown).stdout, "the NIC has a carrier")


@contextlib.contextmanager
def serving(made: Node) -> Iterator[None]:
    """Instance metadata in the cloud."""
    listener = netns.run_inside(
        made.cloud, lambda: socket.create_server(("169.254.169.254", 80), backlog=64)
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def reply(self) -> None:
            said, metadata = self.headers.get("X-aws-ec2-metadata-token"), made.metadata
            if metadata.away:
                return
            metadata.asked += self.command == "GET"
            wanted = f"/latest/meta-data/network/interfaces/macs/{NIC}/local-ipv4s"
            if self.command == "PUT" and self.path == "/latest/api/token":
                ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
                self.send(200 if ttl else 400, metadata.token)
            elif said != metadata.token:
                metadata.refused += 1
                self.send(401, "")
            elif self.path != wanted:
                self.send(404, "")
            else:
                self.send(200, metadata.answer)

        def send(self, status: int, body: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_PUT = reply

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.daemon_threads = True
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


__all__ = ["Node", "connect", "eventually", "node", "pipeline"]
