"""What the agent tells of itself: health in sentences, counters, and the same as metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.agent import AgentStatus, NicState
from pileus.model.errors import PileusError
from pileus.model.publishing import Published
from pileus.rules import apply as rules
from pileus.rules.nft import InKernel
from pileus.system import iproute
from pileus.system.runner import here, inside
from pileus.uplink import keeper, nodewiring, pipeline, publish, wiring
from pileus.uplink.config import NicConfig

AWAY_SECONDS = 10.0
"""Metadata may miss some questions before it is called away."""
LASTING = pipeline.CLAIM + 15.0
"""Seconds after which two MACs that claim one address are not just a move from one to the other:
the old one's claim has ended by then."""


@dataclass(frozen=True)
class View:
    """What the daemon knows that the kernel does not."""

    problems: tuple[str, ...] = ()
    restored: int = 0
    metadata_away: float | None = None
    """For how many seconds."""
    metadata_why: str = ""
    disputed: Mapping[IPv4Address, float] | None = None
    """For how many seconds several MACs have claimed an address."""

    def to_json(self) -> dict[str, Any]:
        disputed = {str(at): seconds for at, seconds in (self.disputed or {}).items()}
        return {**vars(self), "problems": list(self.problems), "disputed": disputed}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> View:
        disputed = {IPv4Address(at): float(s) for at, s in document["disputed"].items()}
        problems = tuple(document["problems"])
        return cls(**{**document, "problems": problems, "disputed": disputed})


def disputes(
    before: Mapping[IPv4Address, float], claimed: frozenset[IPv4Address], now: float
) -> dict[IPv4Address, float]:
    """Since when each address has been claimed by several MACs at every look."""
    return {address: before.get(address, now) for address in claimed}


def gather(view: View | None) -> AgentStatus:
    """The whole status: from the kernel, and from the daemon's `view`, None where none runs.

    Raises UserError when the node has no configuration.
    """
    config, state = keeper.configuration(), keeper.memory()
    links = nodewiring.links()
    nics = tuple(_nic(nic, keeper.registered(nic, state), links) for nic in config.nics)
    return AgentStatus(
        running=view is not None,
        problems=problems(nics, view),
        notes=notes(view) if view else (),
        nics=nics,
        published=_published(),
        restored=view.restored if view else 0,
        metadata_away=view.metadata_away if view else None,
    )


def problems(nics: tuple[NicState, ...], view: View | None) -> tuple[str, ...]:
    """Why the uplink is not as it should be; `view` is None where no daemon runs. Pure."""
    if view is None:
        return (
            "the agent is not running; `systemctl start pileus-agent` starts it",
            *_missing(nics),
            *_without_rules(nics),
        )
    return (*view.problems, *_without_rules(nics), *_away(view), *_disputed(nics, view))


def notes(view: View) -> tuple[str, ...]:
    """What happened and was mended. Pure."""
    if not view.restored:
        return ()
    times = "once" if view.restored == 1 else f"{view.restored} times"
    return (f"rules of the uplink were changed by others, and put back {times}",)


def _nic(nic: NicConfig, registered: tuple[IPv4Address, ...], links: wiring.Links) -> NicState:
    found = NicState(nic.mac, nic.mode, registered=registered)
    try:
        device = wiring.find(links, nic.mac)
    except ValueError:
        return found
    kernel = rules.read(pipeline.FAMILY, pipeline.table_name(device)) if device else None
    return told(replace(found, device=device), kernel)


def told(nic: NicState, kernel: InKernel | None) -> NicState:
    """A NIC with what its rules know; without rules there are no counters. Pure.

    Addresses are those that the rules let through, which lag behind what is known of them while a
    pass is under way, or cannot be made.
    """
    if kernel is None:
        return nic
    counts, in_force = pipeline.counts(kernel), pipeline.registered(kernel)
    return replace(
        nic,
        registered=tuple(sorted(in_force, key=lambda at: (at not in nic.registered[:1], at))),
        learned=pipeline.learned(kernel),
        conflicts={
            address: tuple(sorted(macs))
            for address, macs in sorted(pipeline.claimed_twice(kernel).items())
        },
        out={"passed": counts.passed_out, **{str(code): n for code, n in counts.out.items()}},
        into={"passed": counts.passed_in, **{str(code): n for code, n in counts.into.items()}},
    )


def _published() -> dict[str, frozenset[Published]]:
    """What is in force of each router that has a namespace."""
    found: dict[str, frozenset[Published]] = {}
    try:
        routers = keeper.published()
    except PileusError:
        return found
    for router in routers:
        namespace = keeper.ROUTERS + router
        if iproute.identity(namespace) is None:
            continue
        try:
            found[router] = publish.read(inside(here(), namespace)) or frozenset()
        except PileusError:
            continue
    return found


def _missing(nics: tuple[NicState, ...]) -> Iterator[str]:
    for nic in nics:
        if nic.device is None:
            yield f"there is no NIC with the MAC {nic.mac} on this machine"


def _without_rules(nics: tuple[NicState, ...]) -> Iterator[str]:
    for nic in nics:
        if nic.device is not None and not nic.out:
            yield f"{nic.device} has no rules; `systemctl restart pileus-agent` puts them back"


def _away(view: View) -> Iterator[str]:
    if view.metadata_away is not None and view.metadata_away >= AWAY_SECONDS:
        yield (
            f"{view.metadata_why}; no answer for {view.metadata_away:.0f} s, what was registered "
            "before stays in force"
        )


def _disputed(nics: tuple[NicState, ...], view: View) -> Iterator[str]:
    for nic in nics:
        for address, macs in nic.conflicts.items():
            if (view.disputed or {}).get(address, 0.0) >= LASTING:
                yield f"{address} is claimed by {_and(macs)}; only one device may have it"


def _and(macs: tuple[Mac, ...]) -> str:
    return " and ".join(map(str, macs))


def metrics(status: AgentStatus) -> str:
    """The status as Prometheus text. [prometheus.io, Exposition formats, 0.0.4]"""
    return "".join(_metrics(status))


def _metrics(status: AgentStatus) -> Iterator[str]:
    there = [nic for nic in status.nics if nic.device]
    ways = [(nic, way, by) for nic in there for way, by in (("out", nic.out), ("in", nic.into))]
    passed = {
        _labels(device=nic.device, direction=way): by["passed"] for nic, way, by in ways if by
    }
    coded = {
        _labels(device=nic.device, direction=way, code=code): count
        for nic, way, by in ways
        for code, count in by.items()
        if code != "passed"
    }
    yield from _family("healthy", "gauge", {"": int(status.health == "ok")})
    yield from _family("agent_running", "gauge", {"": int(status.running)})
    yield from _family("frames_passed_total", "counter", passed)
    yield from _family("frames_coded_total", "counter", coded)
    known = {_labels(device=nic.device): len(nic.registered) for nic in there}
    learned = {_labels(device=nic.device): len(nic.learned) for nic in there}
    conflicts = {_labels(device=nic.device): len(nic.conflicts) for nic in there}
    yield from _family("registered_addresses", "gauge", known)
    yield from _family("learned_addresses", "gauge", learned)
    yield from _family("conflicting_addresses", "gauge", conflicts)
    yield from _family("rules_restored_total", "counter", {"": status.restored})
    yield from _family("metadata_away_seconds", "gauge", {"": status.metadata_away or 0})
    ports = {_labels(router=router): len(ports) for router, ports in status.published.items()}
    yield from _family("published_ports", "gauge", ports)


def _family(name: str, kind: str, samples: Mapping[str, float]) -> Iterator[str]:
    yield f"# TYPE pileus_uplink_{name} {kind}\n"
    for labels, value in sorted(samples.items()):
        yield f"pileus_uplink_{name}{labels} {value}\n"


def _labels(**labels: str | None) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
