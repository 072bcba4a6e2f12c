"""What was read on the machine before the probes and after them: counters, flows, devices. Pure.

Nothing is worth more than what is printed: a program that is missing or hangs tells nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.ends import MANAGEMENT, Ends, Interface, Metadata, Router, Server
from pileus.model.errors import Fault
from pileus.model.path import Headers
from pileus.model.verdict import Code
from pileus.rules.nft import InKernel
from pileus.rules.readback import parse as parse_table
from pileus.trace.checks import Counters
from pileus.trace.observe.sights import reverse
from pileus.trace.route import PROVIDER_BRIDGE
from pileus.uplink import pipeline

Commands = dict[str, dict[str, Any]]
INTEGRATION = "br-int"
AGENTS = (
    "neutron-openvswitch-agent",
    "neutron-l3-agent",
    "neutron-dhcp-agent",
    "neutron-metadata-agent",
    "pileus-agent",
)
_DEAD_VLAN = 4095
"""The tag of a port that the Open vSwitch agent has not wired yet. [neutron, ovs constants]"""
_TRANSLATED = re.compile(r"-d (\S+)/32 .*-j DNAT")
# The proxy takes what its redirection has marked; it is asked without a server behind it, so 404
# is the right answer. [neutron/agent/metadata/driver.py]
_ASK = """
import socket
s = socket.socket()
s.settimeout(2)
s.setsockopt(socket.SOL_SOCKET, 36, 1)
try:
    s.connect(("127.0.0.1", 9697))
    s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print(s.recv(99).split()[1].decode())
except ConnectionRefusedError:
    print("refused")
"""


def routers(ends: Ends) -> dict[str, Router]:
    """The routers on the way, by namespace."""
    found: dict[str, Router] = {}
    for end in (ends.source, ends.destination, ends.through):
        router = end.router if isinstance(end, Server) else end
        if isinstance(router, Router):
            found[router.namespace] = router
    return found


def servers(ends: Ends) -> tuple[Server, ...]:
    return tuple(end for end in (ends.source, ends.destination) if isinstance(end, Server))


def counted(ends: Ends) -> Commands:
    """Programs that show counters, run before the probes and after them."""
    commands: Commands = {
        "agents": {"argv": ["systemctl", "is-active", *AGENTS]},
        "config": {"argv": ["cat", "/etc/pileus/uplink.json"]},
    }
    for nic in providers(ends):
        argv = ["nft", "--json", "list", "table", pipeline.FAMILY, pipeline.table_name(nic.device)]
        commands[f"pipeline {nic.device}"] = {"argv": argv}
        belt = ["tc", "-statistics", "-json", "qdisc", "show", "dev", nic.device]
        commands[f"belt {nic.device}"] = {"argv": belt}
    if servers(ends):
        commands["flows"] = {"argv": ["ovs-ofctl", "--timeout=1", "dump-flows", INTEGRATION]}
        commands["interfaces"] = {"argv": _listed("Interface", "name,ofport")}
    for space in routers(ends):
        commands[f"filter {space}"] = {"namespace": space, "argv": ["iptables-save", "-c"]}
        commands[f"netstat {space}"] = {"namespace": space, "argv": ["cat", "/proc/net/netstat"]}
    return commands


def tracked(ends: Ends) -> Commands:
    """Programs that show the connections that routers remember, run once the probes were sent."""
    asked, called = ends.asked, {ends.first.destination, ends.at} - {None}
    port = ends.first.destination_port
    ports = [] if port is None else ["--orig-port-dst", str(port)]
    dump = ["conntrack", "--dump", "--family", "ipv4", "--proto", asked.protocol, *ports]
    return {
        f"tracked {space} {number}": {"namespace": space, "argv": [*dump, "--orig-dst", str(to)]}
        for space in routers(ends)
        for number, to in enumerate(sorted(called, key=str))
    }


def looked(ends: Ends, before: Facts) -> Commands:
    """Programs that show what may be wrong, run once something did not arrive."""
    commands: Commands = {
        "ports": {"argv": _listed("Port", "name,tag,other_config")},
        "nic rules": {"argv": ["nft", "list", "ruleset", pipeline.FAMILY]},
    }
    for bridge in {before.bridge(nic) for nic in providers(ends)}:
        commands[f"ports {bridge}"] = {"argv": ["ovs-vsctl", "--timeout=1", "list-ports", bridge]}
        flows = ["ovs-ofctl", "--timeout=1", "dump-flows", bridge]
        commands[f"flows {bridge}"] = {"argv": flows}
    for space in routers(ends):
        show = ["ip", "-n", space, "-json", "-4"]
        commands[f"neighbours {space}"] = {"argv": [*show, "neigh", "show"]}
        commands[f"routes {space}"] = {"argv": [*show, "route", "show"]}
        commands[f"published {space}"] = {"namespace": space, "argv": ["nft", "list", "ruleset"]}
        forwards = ["cat", "/proc/sys/net/ipv4/ip_forward"]
        commands[f"forwards {space}"] = {"namespace": space, "argv": forwards}
        if isinstance(ends.destination, Metadata):
            commands["metadata"] = {"namespace": space, "argv": ["python3", "-c", _ASK]}
    for server in servers(ends):
        commands[f"guest {server.id}"] = {"argv": ["virsh", "domstate", server.id]}
    return commands


def _listed(table: str, columns: str) -> list[str]:
    return ["ovs-vsctl", "--timeout=1", "--format=json", f"--columns={columns}", "list", table]


def providers(ends: Ends) -> tuple[Interface, ...]:
    return tuple(nic for role, nic in ends.below.nics.items() if role != MANAGEMENT)


SETTLE: Commands = {"flows": {"argv": ["ovs-appctl", "--timeout=1", "revalidator/wait"]}}
"""Has Open vSwitch bring its flows' counters up to date."""


@dataclass(frozen=True)
class Facts:
    """Outputs by the names of programs, and the cloud's counters where it tells them."""

    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    after: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    wire_before: Counters | None = None
    wire_after: Counters | None = None

    def printed(self, name: str) -> str | None:
        """None where the program failed, or was not run."""
        done = self.after.get(name) or self.before.get(name)
        return str(done["out"]) if done and done["code"] == 0 else None

    def ran(self, name: str) -> bool:
        done = self.after.get(name) or self.before.get(name)
        return bool(done and done["code"] is not None)

    # The uplink.

    def bridge(self, nic: Interface) -> str:
        """The switch's bridge that a provider NIC belongs to."""
        for one in json.loads(self.printed("config") or "{}").get("nics", ()):
            if one.get("mac") == str(nic.mac):
                return str(one.get("bridge", PROVIDER_BRIDGE))
        return PROVIDER_BRIDGE

    def without_rules(self, device: str) -> bool:
        """Whether a NIC has no pipeline."""
        name = f"pipeline {device}"
        return self.ran(name) and self.printed(name) is None

    def pipeline_rose(self, device: str, way: str) -> dict[Code, int]:
        """By code, what a NIC's pipeline counted in between, out or in."""
        name = f"pipeline {device}"
        old, new = _table(self.before.get(name)), _table(self.after.get(name))
        if old is None or new is None:
            return {}
        before, after = pipeline.counts(old), pipeline.counts(new)
        was, now = (before.out, after.out) if way == pipeline.OUT else (before.into, after.into)
        return _rises(was, now)

    def belt_rose(self, device: str) -> int:
        """How many frames the filter behind a NIC's pipeline dropped in between."""
        name = f"belt {device}"
        return _drops(self.after.get(name)) - _drops(self.before.get(name))

    # The cloud below.

    def wire_rose(self, mac: Mac) -> dict[Code, int]:
        """By code, what the cloud dropped of a NIC's in between."""
        if self.wire_before is None or self.wire_after is None:
            return {}
        return _rises(self.wire_before.get(mac, {}), self.wire_after.get(mac, {}))

    # The switch.

    @cached_property
    def ofports(self) -> dict[str, int]:
        """Numbers of the switch's ports."""
        rows = _rows(self.printed("interfaces"))
        return {row["name"]: row["ofport"] for row in rows if isinstance(row["ofport"], int)}

    @cached_property
    def dead(self) -> dict[str, str]:
        """Ports that the agent has not wired or has cut off, or that somebody else moved: how."""
        found = {}
        for row in _rows(self.printed("ports")):
            tag, wired = row["tag"], dict(row["other_config"][1]).get("tag")
            if tag == _DEAD_VLAN:
                found[row["name"]] = "has the tag of dead ports"
            elif wired and str(tag) != wired:
                found[row["name"]] = f"has the tag {tag}, and not {wired} as the agent gave it"
        return found

    @property
    def switch_answers(self) -> bool:
        return not self.ran("flows") or self.printed("flows") is not None

    def has_flows(self, ofport: int) -> bool:
        """Whether the switch knows what to do with what comes in by a port."""
        return bool(re.search(rf"\bin_port={ofport}\b", self.printed("flows") or ""))

    def flows_rose(self, ofport: int) -> Iterator[tuple[int, str]]:
        """The flows of a port that were used in between: their tables, and what they match."""
        before = dict(_flows((self.before.get("flows") or {}).get("out", "")))
        for (table, match), packets in _flows((self.after.get("flows") or {}).get("out", "")):
            mine = re.search(rf"\b(reg5=0x{ofport:x}|in_port={ofport})\b", match)
            if mine and packets > before.get((table, match), 0):
                yield table, match

    def bridge_ports(self, bridge: str) -> frozenset[str] | None:
        """Its ports; None where there is no such bridge, or the switch is silent."""
        listed = self.printed(f"ports {bridge}")
        return None if listed is None else frozenset(listed.split())

    # Routers.

    def neighbour(self, namespace: str, address: IPv4Address) -> str | None:
        """The state of a neighbour that a router has asked for; None where it has not."""
        for row in json.loads(self.printed(f"neighbours {namespace}") or "[]"):
            if row.get("dst") == str(address):
                return str((row.get("state") or ["NONE"])[0])
        return None

    def next_hop(self, namespace: str, to: IPv4Address) -> IPv4Address | None:
        """Whom a router hands packets for an address to; None where it has no route."""
        best: tuple[int, IPv4Address] | None = None
        for row in json.loads(self.printed(f"routes {namespace}") or "[]"):
            network, _, length = str(row["dst"]).partition("/")
            bits = 0 if network == "default" else int(length or 32)
            base = 0 if network == "default" else int(IPv4Address(network))
            shift = 32 - bits
            if int(to) >> shift == base >> shift and (best is None or bits > best[0]):
                best = (bits, IPv4Address(row["gateway"]) if "gateway" in row else to)
        return best[1] if best else None

    def knows_routes(self, namespace: str) -> bool:
        return self.printed(f"routes {namespace}") is not None

    def forwards(self, namespace: str) -> bool:
        return (self.printed(f"forwards {namespace}") or "1").strip() != "0"

    def translates(self, namespace: str, at: IPv4Address, port: int | None) -> bool | None:
        """Whether anything leads from an address of a router's to a server; None if unknown."""
        saved, ours = self.printed(f"filter {namespace}"), self.printed(f"published {namespace}")
        if ours is None:
            return None
        saved = saved or ""
        floating = {found[1] for found in map(_TRANSLATED.search, saved.splitlines()) if found}
        published = re.search(rf"ip daddr {re.escape(str(at))} \w+ dport {port} dnat to", ours)
        return str(at) in floating or (port is not None and bool(published))

    def filter_rose(self, namespace: str) -> str | None:
        """A rule of a router's namespace that dropped something in between."""
        name = f"filter {namespace}"
        before = dict(_dropping((self.before.get(name) or {}).get("out", "")))
        for rule, packets in _dropping((self.after.get(name) or {}).get("out", "")):
            if packets > before.get(rule, 0):
                return rule
        return None

    def foreign_filter(self, namespace: str) -> str | None:
        """A table in a router's namespace that drops, and is neither Neutron's nor ours."""
        listing = self.printed(f"published {namespace}") or ""
        return next((one for one in _filtering(listing) if not _NEUTRONS.fullmatch(one)), None)

    def foreign_nic_filter(self, device: str) -> str | None:
        """A table on a NIC that drops, and is not ours."""
        listing = self.printed("nic rules") or ""
        return next((one for one in _filtering(listing, device) if "pileus_" not in one), None)

    def tracked(self, namespace: str, headers: Headers) -> str | None:
        """What a router remembers to have made of a packet; None where it does not know of it.

        Of pings between the same ends it is the last one: their ids are no part of headers.
        """
        dumped = (self.printed(f"tracked {namespace} {number}") or "" for number in range(2))
        found = [flow for text in dumped for flow in _tracked(text) if flow.original == headers]
        last = max(found, key=lambda flow: flow.seconds, default=None)
        if last is None:
            return None
        unanswered = "" if last.answered else ", unanswered"
        return f"tracked as {last.translated}{unanswered}"

    def reverse_path_rose(self, namespace: str) -> bool:
        name = f"netstat {namespace}"
        was, now = (
            _extended((one.get(name) or {}).get("out", "")).get("IPReversePathFilter", 0)
            for one in (self.before, self.after)
        )
        return now > was

    # Programs.

    @cached_property
    def dead_agents(self) -> tuple[str, ...]:
        """Agents that do not run; none where systemd does not tell."""
        done = self.after.get("agents") or self.before.get("agents") or {}
        states = str(done.get("out", "")).split()
        if len(states) != len(AGENTS):
            return ()
        pairs = zip(AGENTS, states, strict=True)
        return tuple(name for name, state in pairs if state in ("inactive", "failed"))

    def guest_state(self, server: Server) -> str | None:
        """As the hypervisor says it: `running`, `paused`, `shut off`."""
        said = self.printed(f"guest {server.id}")
        return said.strip() if said is not None else None

    @property
    def metadata_status(self) -> str | None:
        """What the metadata proxy answers to a stranger; None where it did not in time."""
        said = self.printed("metadata")
        return said.strip() if said else None


def _rises(before: Mapping[Code, int], after: Mapping[Code, int]) -> dict[Code, int]:
    rises = {code: count - before.get(code, 0) for code, count in after.items()}
    return {code: rise for code, rise in rises.items() if rise > 0}


def _table(done: Mapping[str, Any] | None) -> InKernel | None:
    if not done or done["code"] != 0:
        return None
    try:
        return parse_table(str(done["out"]))
    except Fault:
        return None


def _drops(done: Mapping[str, Any] | None) -> int:
    """Of the queue that has the filter. [tc-qdisc(8), clsact]"""
    queues = json.loads(done["out"] or "[]") if done and done["code"] == 0 else []
    return sum(int(one["drops"]) for one in queues if one["kind"] == "clsact")


def _rows(printed: str | None) -> list[dict[str, Any]]:
    """A listing of Open vSwitch's database. [RFC 7047, section 5.1]"""
    if not printed:
        return []
    listing = json.loads(printed)
    return [dict(zip(listing["headings"], row, strict=True)) for row in listing["data"]]


def _flows(dumped: str) -> Iterator[tuple[tuple[int, str], int]]:
    for line in dumped.splitlines():
        found = re.search(r"table=(\d+), n_packets=(\d+),.*?(priority=\S+) actions=", line)
        if found:
            yield (int(found[1]), found[3]), int(found[2])


_NEUTRONS = re.compile(r"ip6? (filter|mangle|nat|raw|security|pileus_publish)")
"""What `iptables` keeps its rules in, and our own."""


def _filtering(listing: str, device: str = "") -> Iterator[str]:
    """Family and name of each table of a ruleset's listing that drops something (of a device)."""
    for table in re.findall(r"^table .*?^}", listing, re.MULTILINE | re.DOTALL):
        named = not device or re.search(rf"(?<![\w.-]){re.escape(device)}(?![\w.-])", table)
        if re.search(r"\b(?:drop|reject)\b", table) and named:
            yield " ".join(table.split()[1:3])


@dataclass(frozen=True)
class _Flow:
    """A connection that the kernel remembers."""

    original: Headers
    translated: Headers
    """What its answers are answers to."""
    answered: bool
    seconds: int
    """For which it is remembered still."""


_TUPLE = re.compile(r"src=(\S+) dst=(\S+)(?: sport=(\d+) dport=(\d+))?")


def _tracked(dumped: str) -> Iterator[_Flow]:
    """By the lines of `conntrack`: name and number of the protocol, seconds, and two tuples."""
    for line in dumped.splitlines():
        tuples = [_headers(*found) for found in _TUPLE.findall(line)]
        if len(tuples) == 2:
            original, answer = tuples
            seconds = int(line.split()[2])
            yield _Flow(original, reverse(answer), "[UNREPLIED]" not in line, seconds)


def _headers(source: str, destination: str, *ports: str) -> Headers:
    numbers = [int(port) if port else None for port in ports]
    return Headers(IPv4Address(source), IPv4Address(destination), *numbers)


def _dropping(saved: str) -> Iterator[tuple[str, int]]:
    for line in saved.splitlines():
        found = re.match(r"\[(\d+):\d+\] (-A .*-j (?:DROP|REJECT).*)", line)
        if found:
            yield found[2], int(found[1])


def _extended(text: str) -> dict[str, int]:
    """Counters of the IP extensions. [proc_pid_net(5)]"""
    found: dict[str, int] = {}
    rows = [line.split() for line in text.splitlines()]
    for names, values in zip(rows[::2], rows[1::2], strict=False):
        found.update(zip(names[1:], map(int, values[1:]), strict=True))
    return found
