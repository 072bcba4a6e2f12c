"""The simulated internet: one namespace with a resolver, a web server and a client host.

It is reached by the VPCs' internet gateways and by the user's own shell, and it has no other way
out: no default route, and the host accepts nothing from it but replies.
"""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from pileus.model.errors import Refused
from pileus.rules import apply as rules
from pileus.rules.ruleset import Accept, Chain, Count, Drop, Field, Hook, Match, Rule, Table
from pileus.system import netns, process
from pileus.system.netns import NamespaceConfig, Route
from pileus.vpc.wire.names import internet_namespace
from pileus.vpc.wire.topology import VPC_SYSCTLS, Uplink

RESOLVER = IPv4Address("8.8.8.8")
WEB = IPv4Address("198.18.0.80")
"""From the range for benchmarks (RFC 2544), which no real host has."""
CLIENT = IPv4Address("198.18.0.7")
CHECK_IP_PATH = "/ip"
NAMES: Mapping[str, IPv4Address] = {
    "dns.google": RESOLVER,
    "www.example.com": WEB,
    "example.com": WEB,
}

POOLS = (
    *map(IPv4Network, ("198.51.100.0/24", "198.19.255.0/24")),
    *IPv4Network("198.19.0.0/17").subnets(new_prefix=24),
)
"""Candidates for Elastic IPs: ranges for documentation and benchmarks (RFC 5737, RFC 2544).

Not 192.0.2.0/24 and 203.0.113.0/24: some private networks use them for real hosts behind a
default route, which a region's own route would cut off.
"""


@dataclass(frozen=True)
class HostLink:
    """The link by which the user's own shell reaches Elastic IPs.

    Elastic IPs come from the lower half of the pool, the link's ends from the upper.
    """

    device: str
    pool: IPv4Network

    @property
    def host_end(self) -> IPv4Address:
        return self.pool.broadcast_address - 1

    @property
    def internet_end(self) -> IPv4Address:
        return self.pool.broadcast_address - 2

    @property
    def elastic_ips(self) -> IPv4Network:
        return next(self.pool.subnets())


def choose_pool(in_use: Iterable[IPv4Network]) -> IPv4Network:
    """The first candidate range that overlaps nothing of the host's. Raises Refused if none."""
    taken = list(in_use)
    for pool in POOLS:
        if not any(pool.overlaps(network) for network in taken):
            return pool
    raise Refused(
        "every range for simulated Elastic IPs is in use on this host",
        hint="free one of " + ", ".join(map(str, POOLS[:4])) + " (see `ip route`)",
    )


def host_networks() -> list[IPv4Network]:
    """The networks that this host has addresses in or routes to, its default routes aside."""
    done = process.run(["ip", "-json", "-4", "route", "show", "table", "all"])
    return networks_in(json.loads(done.stdout or "[]"))


def networks_in(routes: Iterable[Mapping[str, Any]]) -> list[IPv4Network]:
    """Destinations of routes as `ip -json` lists them, without default routes.

    VPNs write their default route as two halves, 0.0.0.0/1 and 128.0.0.0/1.
    """
    texts = [route.get("dst", "default") for route in routes]
    networks = [IPv4Network(text, strict=False) for text in texts if text != "default"]
    return [network for network in networks if network.prefixlen > 1]


class Internet:
    """The internet of one region: built, kept equal to the Elastic IPs, and taken down."""

    def __init__(self, region: str, link: HostLink, runtime: Path) -> None:
        self._namespace = internet_namespace(region)
        self._table = f"pileus_{region.replace('-', '_')}"
        self._link = link
        self._runtime = runtime
        self._web: http.server.ThreadingHTTPServer | None = None
        self._dns: process.ProcessId | None = None
        self._config: NamespaceConfig | None = None

    def start(self) -> None:
        """Make the namespace and its link to the host, closed to anything but the user's own
        connections, and start the resolver and the web server."""
        netns.ensure(self._namespace)
        netns.sysctl(self._namespace, VPC_SYSCTLS)
        rules.apply(host_guard(self._table, self._link))
        end = "host"
        if self._link.device not in netns.links(None):
            netns.batch(
                None,
                [f"link add {self._link.device} type veth peer name {end} netns {self._namespace}"],
            )
        netns.batch(self._namespace, [f"link set {end} up"])
        pool, host, far = self._link.pool, self._link.host_end, self._link.internet_end
        netns.batch(
            None,
            [
                f"link set {self._link.device} up",
                f"addr replace {host}/32 dev {self._link.device}",
                f"route replace {far}/32 dev {self._link.device} src {host}",
                f"route replace {pool} via {far} dev {self._link.device} src {host}",
            ],
        )
        self.follow({}, {})
        self._serve_web()
        self._serve_names()

    def follow(
        self, uplinks: Mapping[str, Uplink], public: Mapping[str, Iterable[IPv4Address]]
    ) -> None:
        """Route each VPC's associated Elastic IPs to its internet gateway. Keys are VPC ids."""
        ends = frozenset(
            (uplink.internet_device, IPv4Interface((uplink.internet_end, 30)))
            for uplink in uplinks.values()
        )
        routes = frozenset(
            Route(IPv4Network(address), uplinks[vpc].internet_device, uplinks[vpc].vpc_end, CLIENT)
            for vpc, addresses in public.items()
            for address in addresses
        )
        wanted = NamespaceConfig(
            addresses=ends
            | {("lo", IPv4Interface(address)) for address in (RESOLVER, WEB, CLIENT)}
            | {("host", IPv4Interface(self._link.internet_end))},
            routes=routes | {Route(IPv4Network(self._link.host_end), "host")},
            sysctls=VPC_SYSCTLS,
        )
        known, self._config = self._config, None  # should this fail
        netns.configure(self._namespace, wanted, known)
        self._config = wanted

    def stop(self) -> None:
        """Stop its servers. Namespace, link and rules are removed by `remove_internet`."""
        if self._web is not None:
            self._web.shutdown()
            self._web.server_close()
        if self._dns is not None:
            process.end(self._dns)

    def _serve_web(self) -> None:
        def listen() -> http.server.ThreadingHTTPServer:
            return http.server.ThreadingHTTPServer(("", 80), Website)

        self._web = netns.run_inside(self._namespace, listen)
        threading.Thread(target=self._web.serve_forever, name="web", daemon=True).start()

    def _serve_names(self) -> None:
        record = self._runtime / "internet-dns.process.json"
        former = process.recorded(record)
        if former is not None:  # of a process of this region that was killed
            process.end(former)
        self._dns = process.spawn(
            [
                *("ip", "netns", "exec", self._namespace, "dnsmasq", "--keep-in-foreground"),
                *("--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-daemon"),
                *("--bind-interfaces", f"--listen-address={RESOLVER}", "--log-facility=-"),
                *(f"--address=/{name}/{address}" for name, address in NAMES.items()),
            ],
            log=self._runtime / "internet-dns.log",
        )
        process.record(record, self._dns)


def remove_internet(region: str, device: str) -> None:
    """Remove the namespace, the host's end of its link and the host's guard. Safe to repeat."""
    if device in netns.links(None):
        netns.batch(None, [f"link del {device}"])
    netns.remove(internet_namespace(region))
    rules.remove("inet", f"pileus_{region.replace('-', '_')}")


def host_guard(name: str, link: HostLink) -> Table:
    """The host's own rules for the link: replies may come in, nothing is forwarded either way.

    Without it a host that forwards (a container host does) would carry simulated packets to its
    real network. What is for the link's pool leaves by the link or not at all, should the route to
    it be lost: the default route would take it to a real network. And no ICMP error leaves about a
    packet that the host never saw: where a packet waits for ARP while its route goes, in any
    namespace, the kernel answers it from the host's own, as the device of its route is then
    `blackhole_netdev`, one of the first namespace's [linux net/core/dst.c, net/ipv4/icmp.c].
    """
    device = link.device

    def refuse(field: Field, counter: str) -> Rule:
        return Rule(counter, (Match(field, device), Count(counter), Drop()))

    replies = (Match(Field.IN_INTERFACE, device), Match(Field.CT_STATE, "established"), Accept())
    past_the_link = (
        Match(Field.IP_DESTINATION, frozenset({link.pool})),
        Match(Field.OUT_INTERFACE, device, negate=True),
        Match(Field.OUT_INTERFACE, "lo", negate=True),
    )
    about_nothing = (
        Match(Field.ICMP_TYPE, "destination-unreachable"),
        Match(Field.CT_STATE, "invalid"),
    )
    return Table(
        "inet",
        name,
        chains=(
            Chain(
                "input",
                (Rule("reply", replies), refuse(Field.IN_INTERFACE, "unasked")),
                Hook("filter", "input", "-10", "accept"),
            ),
            Chain(
                "forward",
                (
                    refuse(Field.IN_INTERFACE, "forwarded"),
                    refuse(Field.OUT_INTERFACE, "forwarded"),
                ),
                Hook("filter", "forward", "-10", "accept"),
            ),
            Chain(
                "output",
                (
                    Rule("past the link", (*past_the_link, Count("past_the_link"), Drop())),
                    Rule("about nothing", (*about_nothing, Count("about_nothing"), Drop())),
                ),
                Hook("filter", "output", "-10", "accept"),
            ),
        ),
    )


class Website(http.server.BaseHTTPRequestHandler):
    """A page, and at /ip the address that the request came from."""

    server_version = "internet"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the name is the standard library's
        client = self.client_address[0]
        page = (
            f"{client}\n" if self.path == CHECK_IP_PATH else f"Welcome to the internet, {client}.\n"
        )
        body = page.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged."""


def listen(namespace: str, address: IPv4Address, port: int) -> socket.socket:
    """A listening TCP socket inside a namespace."""

    def make() -> socket.socket:
        return socket.create_server((str(address), port))

    return netns.run_inside(namespace, make)
