"""Sending probes and watching for them: programs on the machine and outside, talked with.

Nothing is changed: the programs open packet sockets, send at most three packets, run others that
only show something, and end with the conversation.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.ends import Ends, Metadata, Outside, Router, Server
from pileus.model.errors import Fault
from pileus.model.path import Half, Place, Way
from pileus.system.dialogue import Dialogue, talk
from pileus.trace.checks import Wire
from pileus.trace.observe import facts, packets
from pileus.trace.observe.facts import INTEGRATION, Facts
from pileus.trace.observe.judge import Judge
from pileus.trace.observe.packets import Mark
from pileus.trace.observe.reasons import Reasons
from pileus.trace.observe.sights import FULL, SMALL, Seen, Told, parse, parse_eyes
from pileus.trace.observe.stations import OUTSIDE, At, Eye, Point, points, stations

Command = Callable[[Sequence[str]], Sequence[str]]
"""From a program's arguments to those that run it somewhere, as root."""

LIFE_SECONDS = 8.0
"""After which a watcher ends by itself."""
ANSWER_SECONDS = (0.4, 0.8)
"""How long an answer to a probe is waited for, and to the one that is sent after it. Whatever comes
later still is seen as long as one is waited for. Tries come to 1.6 s at most."""
TALK_SECONDS = 6.0
MOST = 3
"""Probes that are sent: a small one, again where nothing comes back, and one of full size."""
_FULL_SIZE = 1500
_NODE, _OUTSIDE = "node", "outside"
_WATCHER = Path(__file__).with_name("watcher.py").read_text()
_BOOT = (
    "import sys; b = sys.stdin.buffer; "
    "exec(compile(b.read(int(sys.argv[1])), 'watcher', 'exec'), {'__name__': '__main__'})"
)
"""Reads the program's text, and leaves what follows it to the program."""


@dataclass(frozen=True)
class Eyes:
    """From where a trace can look."""

    node: Command
    """On the machine, as root."""
    outside: Command
    """On a host of the internet."""
    sees_outside: bool
    """Whether that is the simulated internet, which can be watched. A real one is only sent from,
    by the user's own machine and as any user may."""
    wire: Wire
    started: Mapping[str, Dialogue] = field(default_factory=dict)
    """The programs on the machine and outside, where they were started beforehand."""


@contextmanager
def starting(eyes: Eyes) -> Iterator[Eyes]:
    """The same eyes, for one watch, with the programs being started meanwhile.

    Logging in takes about as long as asking the APIs. Raises UserError without an SSH client.
    """
    commands = {_NODE: eyes.node, **({_OUTSIDE: eyes.outside} if eyes.sees_outside else {})}
    with ExitStack() as stack:
        yield replace(
            eyes,
            started={
                name: stack.enter_context(talk(command(_program())))
                for name, command in commands.items()
            },
        )


def watch(ends: Ends, places: Sequence[Place], eyes: Eyes) -> Half:
    """Send probes from one end to the other, and tell at which hops they and their answers passed.

    Raises CommandFailed where a program cannot be run, and Fault where it says nonsense.
    """
    return _Watch(ends, tuple(places), eyes).half()


@dataclass(frozen=True)
class _Watch:
    ends: Ends
    places: tuple[Place, ...]
    eyes: Eyes

    def half(self) -> Half:
        try:
            return self._half()
        except (ValueError, KeyError, TypeError) as error:
            raise Fault(
                f"a watcher said what cannot be read: {error!r}",
                hint="see whether python3 works on the machine",
            ) from error

    def _half(self) -> Half:
        mark = Mark(secrets.token_bytes(8), secrets.randbits(32), 33000 + secrets.randbelow(27000))
        with ExitStack() as stack:
            node = self._talk(_NODE, self.eyes.node, stack)
            node.say(_WATCHER + self._plan(mark, self._inside_eyes(), facts.counted(self.ends)))
            talks = [node]
            if self._outside_eyes() or isinstance(self.ends.source, Outside):
                outside = self._talk(_OUTSIDE, self.eyes.outside, stack)
                outside.say(_WATCHER + self._plan(mark, self._outside_eyes(), {}))
                talks.append(outside)
            wire = self.eyes.wire.counters()
            ready = [_hear(one) for one in talks]
            opened = parse_eyes({key: eye for one in ready for key, eye in one["eyes"].items()})
            before = Facts(ready[0]["before"])
            sent = self._send(mark, talks, opened, before)
            seen = [_ask(node, "seen", facts.tracked(self.ends))]
            seen += [_ask(one, "seen") for one in talks[1:]]
            records = [record for one in seen for record in one["seen"]]
            look, after = facts.looked(self.ends, before), seen[0]["after"]
            if self._looks(sent, records):
                after = {**after, **_ask(node, "look", look)["after"]}
        told = Facts(before.before, after, wire, self.eyes.wire.counters())
        return self._judge(opened, records, sent, told)

    def _talk(self, name: str, command: Command, stack: ExitStack) -> Dialogue:
        return self.eyes.started.get(name) or stack.enter_context(talk(command(_program())))

    def _looks(self, sent: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> bool:
        """Whether something may be wrong, so that more is to be read on the machine."""
        return (
            isinstance(self.ends.destination, Metadata)
            or not {*SMALL} & {*sent["answered"]}
            or not {*FULL} & {*sent["answered"]}
            or any(record.get("refused") or record["kind"] == "error" for record in records)
        )

    def _judge(
        self,
        opened: Mapping[str, Told],
        records: Sequence[Mapping[str, Any]],
        sent: Mapping[str, Any],
        told: Facts,
    ) -> Half:
        at_user = any(record["at"] == "user" for record in records)
        sights = parse([record for record in records if record["at"] != "user"])
        seen = Seen(sights, opened, tuple(sent["errors"]), at_user)
        sized = bool(set(sent["sent"]) & set(FULL)) and not at_user
        full = replace(seen, numbers=FULL) if sized else None
        return Judge(self.ends, self.places, seen, full, Reasons(self.ends, told)).half()

    # What is watched.

    def _points(self, way: Way) -> list[Point]:
        line = stations(self.ends, [place for place in self.places if place.way is way])
        return list(points(line))

    def _all_eyes(self) -> dict[str, Eye]:
        return {point.eye.key: point.eye for way in Way for point in self._points(way)}

    def _inside_eyes(self) -> list[Eye]:
        return [eye for eye in self._all_eyes().values() if eye.kind is not At.OUTSIDE]

    def _outside_eyes(self) -> list[Eye]:
        there = OUTSIDE.key in self._all_eyes()
        return [OUTSIDE] if self.eyes.sees_outside and there else []

    def _plan(self, mark: Mark, watched: Sequence[Eye], counted: facts.Commands) -> str:
        ends = self.ends
        plan = {
            "life": LIFE_SECONDS,
            "protocol": ends.asked.protocol,
            "token": mark.token.hex(),
            "sequence": mark.sequence,
            "ports": sorted({mark.port, *_ports(ends)}),
            "loose": self._loose(),
            "watch": [_watched(eye) for eye in watched],
            "homes": self._homes(),
            "count": counted,
            "settle": facts.SETTLE if counted else {},
        }
        return json.dumps(plan) + "\n"

    def _homes(self) -> list[dict[str, Any]]:
        """Where an answer is home: at the last place that its sender's own program can watch."""
        user = {"key": "user", "out": False}
        back = self._points(Way.BACK)
        if isinstance(self.ends.source, Outside):
            back = [point for point in back if point.eye.kind is At.OUTSIDE]
        else:
            back = [point for point in back if point.eye.kind is not At.OUTSIDE]
        return [user, *({"key": point.eye.key, "out": point.out} for point in back[-1:])]

    def _loose(self) -> dict[str, Any]:
        """A user's connections have sequence numbers that nobody chose."""
        if self.eyes.sees_outside or not isinstance(self.ends.source, Outside):
            return {}
        return {"sources": [str(self.ends.source.address)]}

    # What is sent.

    def _send(
        self,
        mark: Mark,
        talks: Sequence[Dialogue],
        opened: Mapping[str, Told],
        before: Facts,
    ) -> Mapping[str, Any]:
        source = self.ends.source
        if isinstance(source, Outside):
            how = self._by_socket(mark, opened) if self.eyes.sees_outside else self._by_user(mark)
            return _say(talks[-1], how)
        if isinstance(source, Server):
            via_switch = self._by_switch(source, mark, opened, before)
            if via_switch is None:
                return {"sent": [], "answered": [], "errors": []}
            return _say(talks[0], via_switch)
        return _say(talks[0], self._by_socket(mark, opened))

    def _by_socket(self, mark: Mark, opened: Mapping[str, Told]) -> dict[str, Any]:
        source = self.ends.source
        return {
            "how": "raw",
            "namespace": source.namespace if isinstance(source, Router) else None,
            "destination": str(self.ends.first.destination),
            "packets": {number: one.hex() for number, one in self._probes(mark, opened)},
        }

    def _by_user(self, mark: Mark) -> dict[str, Any]:
        protocol = self.ends.asked.protocol
        make = packets.echo if protocol == "icmp" else packets.payload
        return {
            "how": "plain",
            "protocol": protocol,
            "destination": str(self.ends.first.destination),
            "port": self.ends.first.destination_port,
            "payloads": {number: make(mark, number, 32).hex() for number in SMALL},
            "attempts": [SMALL],
        }

    def _by_switch(
        self, server: Server, mark: Mark, opened: Mapping[str, Told], before: Facts
    ) -> dict[str, Any] | None:
        """As if the server had sent it: handed to the switch as what came in by its port.

        None where there is no such port, or nobody to send it to.
        """
        ofport, to = before.ofports.get(server.tap), self._neighbour(opened)
        if ofport is None or ofport < 0 or to is None:
            return None
        programs = {
            number: [
                *("ovs-ofctl", "--timeout=1", "packet-out", INTEGRATION),
                f"in_port={ofport},packet={packets.framed(server.mac, to, packet).hex()},"
                "actions=resubmit(,0)",
            ]
            for number, packet in self._probes(mark, opened)
        }
        return {"how": "run", "programs": programs}

    def _neighbour(self, opened: Mapping[str, Told]) -> Mac | None:
        """Whom a server hands its packets to: another one on its network, or the router."""
        source, destination = self.ends.source, self.ends.destination
        if (
            isinstance(source, Server)
            and isinstance(destination, Server)
            and self.ends.first.destination == destination.address
            and source.network == destination.network
        ):
            return destination.mac
        inner = [point for point in self._points(Way.THERE) if point.eye.kind is At.INNER]
        return opened[inner[0].eye.key].mac if inner else None

    def _probes(self, mark: Mark, opened: Mapping[str, Told]) -> Iterator[tuple[int, bytes]]:
        protocol, first = self.ends.asked.protocol, self.ends.first
        headers = replace(first, source_port=mark.port)
        sizes = {SMALL: packets.SMALL, FULL: self._full_size(opened)}
        for numbers, size in sizes.items():
            for number in numbers:
                yield number, packets.probe(mark, protocol, headers, number, size)

    def _full_size(self, opened: Mapping[str, Told]) -> int:
        """What Neutron promises to the servers at either end.

        Of a network's devices the largest MTU is taken: one that is smaller is a fault.
        """
        promised: dict[str, int] = {}
        for way in Way:
            for point in self._points(way):
                told = opened.get(point.eye.key)
                if point.network and told and told.mtu:
                    id = point.network.id
                    promised[id] = max(promised.get(id, 0), told.mtu)
        return min([_FULL_SIZE, *promised.values()])


def _watched(eye: Eye) -> dict[str, Any]:
    return {
        "key": eye.key,
        "namespace": eye.namespace,
        "device": eye.device or None,
        "behind": eye.kind is At.VETH,
    }


def _ports(ends: Ends) -> Iterator[int]:
    for port in (ends.first.destination_port, ends.target_port):
        if port is not None:
            yield port


def _program() -> list[str]:
    return ["python3", "-c", _BOOT, str(len(_WATCHER.encode()))]


def _hear(dialogue: Dialogue) -> dict[str, Any]:
    heard: dict[str, Any] = json.loads(dialogue.hear(TALK_SECONDS))
    return heard


def _ask(dialogue: Dialogue, what: str, how: facts.Commands | None = None) -> dict[str, Any]:
    dialogue.say(json.dumps({"do": what, "look": how or {}}) + "\n")
    return _hear(dialogue)


def _say(dialogue: Dialogue, how: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        "do": "send",
        "attempts": [SMALL, FULL],
        "most": MOST,
        "patience": ANSWER_SECONDS,
        **how,
    }
    dialogue.say(json.dumps(told) + "\n")
    return _hear(dialogue)
