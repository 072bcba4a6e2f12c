"""The wire's rules and routes followed without a kernel: the frame's, the routes', the packet's.

That the kernel does what the evaluator says is tested in namespaces.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any

from wire_model import INTERNET, Fate, Model, Probe

from pileus.model.addresses import Mac
from pileus.rules.evaluator import Outcome, follow
from pileus.rules.ruleset import Field, Table
from pileus.vpc.state import RegionState
from pileus.vpc.wire.frames import frames_table
from pileus.vpc.wire.names import GATEWAY, device, router_mac
from pileus.vpc.wire.packets import packets_table
from pileus.vpc.wire.topology import Uplink, vpc_config

UPLINK = Uplink(IPv4Network("169.254.0.0/30"), "igw-test")
OUTSIDE = (IPv4Address("8.8.8.8"), IPv4Address("198.51.100.9"), IPv4Address("192.168.50.5"))
FURTHER = IPv4Address("172.20.9.9")
"""Nobody's, in a range that some VPCs were given later."""
PORTS = {"tcp": (22, 80, 443), "udp": (53, 80), "icmp": (8, 13)}
"""Of ICMP the types that begin something: ping and timestamp."""


class Wire:
    """The wire's rules and routes of one state, followed by hand; `counted` is what they count."""

    def __init__(self, state: RegionState, vpc: str) -> None:
        self.counted: Counter[str] = Counter()
        self._frames, self._packets = frames_table(state, vpc), packets_table(state, vpc)
        self._config = vpc_config(state, vpc, UPLINK)
        self._private = {v: k for k, v in Model(state, vpc).public.items()}
        self._names = {device(eni.id): eni.id for eni in state.enis.values()}
        self._router = router_mac(vpc)

    def fate(self, probe: Probe) -> Fate:
        if probe.sender is None:
            return self._forwarded(probe, GATEWAY, 0)
        name = device(probe.sender.id)
        to = probe.to.mac if probe.to else self._router
        frame = {**self._packet(probe), **_ethernet(probe.sender.mac, to), Field.IN_INTERFACE: name}
        outcome = self._followed(self._frames, f"from_{name}", frame)
        if outcome.verdict != "accept":
            return self._dropped(outcome)
        return self._forwarded(probe, name, outcome.rewritten[Field.MARK])

    def _packet(self, probe: Probe) -> dict[Field, Any]:
        field = {
            "tcp": Field.TCP_DESTINATION,
            "udp": Field.UDP_DESTINATION,
            "icmp": Field.ICMP_TYPE,
        }[probe.protocol]
        return {
            Field.IP_SOURCE: probe.source,
            Field.IP_DESTINATION: probe.destination,
            Field.IP_PROTOCOL: probe.protocol,
            Field.L4_PROTOCOL: probe.protocol,
            Field.ICMP_CODE: 0,
            field: probe.port,
        }

    def _forwarded(self, probe: Probe, came: str, mark: int) -> Fate:
        packet, goes = self._packet(probe), self._routed(probe.destination, mark)
        outcome = self._followed(
            self._packets,
            "forward",
            {
                **packet,
                Field.IN_INTERFACE: came,
                Field.OUT_INTERFACE: goes,
                Field.CT_STATE: "established" if probe.answers else "new",
                Field.CT_STATUS: "dnat" if came == GATEWAY else "confirmed",
                Field.CT_DIRECTION: "reply" if probe.answers else "original",
            },
        )
        if outcome.verdict != "accept":
            return self._dropped(outcome)
        if goes == GATEWAY:
            return Fate(INTERNET)
        leaving = {Field.ETHER_TYPE: "ip", Field.MARK: mark, Field.OUT_INTERFACE: goes}
        self._followed(self._frames, f"to_{goes}", {**packet, **leaving})
        return Fate(self._names[goes])

    def _followed(self, table: Table, base: str, packet: dict[Field, Any]) -> Outcome:
        outcome = follow(table, base, packet)
        self.counted.update(outcome.counted)
        return outcome

    def _routed(self, to: IPv4Address, mark: int) -> str:
        for rule in sorted(self._config.rules):
            fitting = [
                route
                for route in self._config.routes
                if route.table == rule.table
                and to in route.destination
                and rule.mark in (None, mark)
                and not (rule.suppress_default and route.destination.prefixlen == 0)
            ]
            if fitting:
                return max(fitting, key=lambda route: route.destination.prefixlen).device
        raise AssertionError("nothing leads nowhere")

    def _dropped(self, outcome: Outcome) -> Fate:
        assert outcome.code, outcome
        (counted,) = (one for one in outcome.counted if one.endswith(outcome.code.value))
        return Fate(self._names[counted.partition(".")[0]], outcome.code)


def _ethernet(source: Mac, destination: Mac) -> dict[Field, Any]:
    return {
        Field.ETHER_SOURCE: source,
        Field.ETHER_DESTINATION: destination,
        Field.ETHER_TYPE: "ip",
    }


def probes(random: Random, model: Model, count: int) -> list[Probe]:
    """Packets between whoever is there, mostly in their own name."""
    registered = [address for nic in model.nics for address in nic.registered[:4]]
    anything = [*registered * 3, IPv4Address("172.16.20.250"), FURTHER, *OUTSIDE]
    return [_probe(random, model, anything) for _ in range(count)]


def _probe(random: Random, model: Model, anything: list[IPv4Address]) -> Probe:
    protocol = random.choice(("tcp", "udp", "icmp"))
    port = random.choice(PORTS[protocol])
    if model.public and random.random() < 0.15:
        private = random.choice([one for one in model.public if one is not None])
        return Probe(None, random.choice(OUTSIDE[:2]), private, protocol, port)
    sender = random.choice(model.nics)
    source = random.choice(sender.registered if random.random() < 0.85 else anything)
    to = random.choice(list(model.state.enis.values())) if random.random() < 0.25 else None
    return Probe(sender, source, random.choice(anything), protocol, port, to)
