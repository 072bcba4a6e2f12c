"""What must be open on a running cloud, and what must be closed: cases, tried from their places.

A `Scene` says what there is, `cases` what must be true of it, and `run` tries them, all at the same
time. A case that fails is tried once more: a machine that was busy for a moment is no fault.
Nothing here changes a cloud, but that two forged frames are dropped and counted.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Address
from typing import Literal

from pileus.model.addresses import METADATA_SERVICE, Socket
from pileus.model.connectivity import Tried
from pileus.model.errors import CommandFailed, PileusError, Refused
from pileus.model.path import Asked
from pileus.model.verdict import Code
from pileus.node.units import CONTROLLER
from pileus.system.process import Done
from pileus.trace.checks import (
    PINGED,
    Judged,
    Nic,
    judge_landing,
    judge_page,
    judge_ping,
)
from pileus.trace.forge import FOREIGN_MAC, sending, udp_frame
from pileus.trace.resolve import HERE
from pileus.uplink import places

NODE, INTERNET, WIRE = "the machine", "internet", "the wire"
"""Places; the others are servers, by name. At the wire, a forged frame is sent and looked for."""
PAGE, NAME = "http://www.example.com/", "www.example.com"
HEADERS = 28
"""Bytes of an IPv4 header and of ICMP's, without options. [RFC 791, RFC 792]"""
LARGE = 4000
_SSH = 22


@dataclass(frozen=True)
class Server:
    """A server that we have a key of."""

    name: str
    address: IPv4Address


@dataclass(frozen=True)
class Way:
    """From the internet to a server: a published port, or a floating IP."""

    public: IPv4Address | None
    """None where the registered address has no Elastic IP."""
    registered: Socket
    protocol: Literal["tcp", "udp"]
    server: str
    """Its name, or its project's where it is not one of ours."""
    address: IPv4Address
    """The server's own."""
    login: tuple[str, ...] | None
    """The command that tells host name and addresses of where one lands by SSH; None without."""
    floating: bool = False
    shut: int | None = None
    """Of a floating IP, a TCP port that no security group of the server opens to anybody; None
    where there is none, or port security is off."""


@dataclass(frozen=True)
class Scene:
    """A running cloud, as far as cases need to know."""

    router: str
    namespace: str
    instance_id: str
    provider: Nic
    unregistered: IPv4Address
    """An address of the provider subnet that is not registered."""
    closed: Socket | None
    """A port of the router's Elastic IP that is not published; None where it has none."""
    servers: tuple[Server, ...] = ()
    ways: tuple[Way, ...] = ()


def judge_entry(done: Done) -> Judged:
    """We are there."""
    return Judged(done.code == 0, "yes" if done.code == 0 else _said(done))


def _said(done: Done) -> str:
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return lines[-1] if lines else f"{done.argv[0]} ended with code {done.code}"


@dataclass(frozen=True)
class Case:
    """One thing that must be true: a command, where it runs, and what its answer means."""

    name: str
    sentence: str
    place: str
    argv: tuple[str, ...] = ()
    """Empty at the wire, which has but one thing to do."""
    judge: Callable[[Done], Judged] = judge_entry
    asked: Asked | None = None
    entry: bool = False
    """Whether this is getting to the place, without which the others cannot be tried."""
    twins: tuple[str, ...] = ()
    """Of a port that must be closed, the cases of what is open at the same address: where none of
    them comes out well, silence tells nothing."""


Place = Callable[[Sequence[Case]], list[Judged]]
"""Tries cases side by side. Raises PileusError when there is no getting there."""


def by_commands(run_all: Callable[[Sequence[Sequence[str]]], list[Done]]) -> Place:
    """The place where `run_all` runs commands side by side."""

    def look(there: Sequence[Case]) -> list[Judged]:
        done = run_all([case.argv for case in there])
        return [case.judge(one) for case, one in zip(there, done, strict=True)]

    return look


def cases(scene: Scene) -> Iterator[Case]:
    """Everything that must be true of the cloud, its places in between."""
    yield from _of_the_node()
    yield from _of_the_router(scene)
    for server in scene.servers:
        yield from _of_a_server(server, scene)
    for way in scene.ways:
        yield _from_the_internet(way)
        if way.public and way.shut:
            yield _shut(way, Socket(way.public, way.shut))
    if scene.closed:
        yield _closed_port(scene.closed, scene.ways)
    yield _unregistered(scene)
    yield Case(
        "forged-frame",
        "a frame with a forged source MAC is dropped by the cloud below, and counted once",
        WIRE,
    )


def chosen(all_of_them: Sequence[Case], names: Collection[str]) -> list[Case]:
    """The cases with these names, what gets to their places, and the open twins of closed ports;
    all where no name is given.

    Raises Refused for a name that is none.
    """
    known = {case.name: case for case in all_of_them}
    for name in names:
        if name not in known:
            raise Refused(f"there is no case `{name}`", hint=f"cases are: {', '.join(known)}")
    at = {known[name].place for name in names}
    named = {*names, *(twin for name in names for twin in known[name].twins)}
    return [
        case
        for case in all_of_them
        if not names or case.name in named or (case.entry and case.place in at)
    ]


def run(
    wanted: Sequence[Case], where: Mapping[str, Place], *, again: bool = True
) -> tuple[Tried, ...]:
    """Try the cases, all places at the same time; with `again`, what fails is tried once more."""
    first = _try(wanted, where)
    tried = _again(wanted, first, where) if again else first
    named = {one.name: one for one in tried}
    return tuple(_vouched(case, named) for case in wanted)


def _again(
    wanted: Sequence[Case], first: Sequence[Tried], where: Mapping[str, Place]
) -> list[Tried]:
    failed = {tried.name for tried in first if tried.ok is False}
    shut = {case.place for case in wanted if case.entry and case.name in failed}
    failing = [case for case in wanted if case.name in failed or case.place in shut]
    second = {tried.name: tried for tried in _try(failing, where)}
    return [second.get(tried.name, tried) for tried in first]


def _vouched(case: Case, named: Mapping[str, Tried]) -> Tried:
    """As it was tried. Silence at a port that must be closed counts where something else at the
    same address answered: an address that is dead is silent, too."""
    tried = named[case.name]
    if case.judge is not judge_closed or tried.ok is not True or "refused" in tried.detail:
        return tried
    if any(named[twin].ok for twin in case.twins if twin in named):
        return tried
    told = f"{tried.detail}, but nothing else was seen to answer at this address"
    return replace(tried, ok=None, detail=told)


def _try(wanted: Sequence[Case], where: Mapping[str, Place]) -> list[Tried]:
    names = dict.fromkeys(case.place for case in wanted)
    there = [[case for case in wanted if case.place == name] for name in names]
    with ThreadPoolExecutor(max_workers=max(1, len(there))) as pool:
        made = pool.map(_try_at, [where[name] for name in names], there)
        tried = {one.name: one for some in made for one in some}
    return [tried[case.name] for case in wanted]


def _try_at(place: Place, there: Sequence[Case]) -> list[Tried]:
    try:
        judged = place(there)
    except PileusError as error:
        judged = [not_there(case, error) for case in there]
    return [
        Tried(case.name, case.sentence, seen.ok, seen.detail, case.asked, code=seen.code)
        for case, seen in zip(there, judged, strict=True)
    ]


def not_there(case: Case, error: PileusError) -> Judged:
    """What is known of a case where there was no getting to its place."""
    if not case.entry:
        return Judged(None, reason(error))
    return Judged(False, reason(error), Code.NODE_UNREACHABLE if case.place == NODE else None)


def reason(error: PileusError) -> str:
    """What was said in the end, without a long command."""
    said = error.output.strip() if isinstance(error, CommandFailed) else ""
    return said.splitlines()[-1] if said else error.message.splitlines()[0]


def entry_of_the_machine() -> Case:
    """Without it nothing else can be tried."""
    asked = Asked(HERE, "controller", "tcp", _SSH)
    sentence = "the machine lets us in, and OpenStack answers"
    return Case("machine-lets-in", sentence, NODE, ("true",), asked=asked, entry=True)


def _of_the_node() -> Iterator[Case]:
    yield entry_of_the_machine()
    units = tuple(f"{unit}.service" for unit in CONTROLLER)
    yield Case(
        "openstack-runs",
        "OpenStack's services run on the machine",
        NODE,
        ("systemctl", "is-active", *units),
        partial(judge_units, units),
    )
    yield Case(
        "uplink-is-well",
        "the uplink's agent runs and has nothing to complain of",
        NODE,
        (places.PROGRAM, "status"),
        judge_uplink,
    )


def _of_the_router(scene: Scene) -> Iterator[Case]:
    inside = ("ip", "netns", "exec", scene.namespace)
    asked = Asked(scene.router, str(PINGED), "icmp", None)

    def case(name: str, sentence: str, judge: Callable[[Done], Judged], *argv: str) -> Case:
        return Case(name, sentence, NODE, (*inside, *argv), judge, asked)

    yield case("router-reaches-internet", f"the router pings {PINGED}", judge_ping, *_ping(PINGED))
    yield case(
        "router-full-size",
        f"1472 bytes at once, not to be fragmented, come through from the router to {PINGED}",
        judge_ping,
        *_ping(PINGED, "-M", "do", "-s", "1472"),
    )
    yield case(
        "router-fragments",
        f"{LARGE} bytes come through in fragments from the router to {PINGED}",
        judge_ping,
        *_ping(PINGED, "-s", str(LARGE)),
    )
    yield case(
        "router-too-big",
        f"{LARGE} bytes that are not to be fragmented are said to be too big",
        judge_too_big,
        *_ping(PINGED, "-M", "do", "-s", str(LARGE)),
    )
    yield Case(
        "router-no-underlay-metadata",
        "the router does not reach the instance metadata of the cloud below",
        NODE,
        (*inside, *_metadata_tricks(f"curl -s -m 2 telnet://{METADATA_SERVICE}:$port")),
        partial(judge_not_underlay, scene.instance_id),
    )


def _of_a_server(server: Server, scene: Scene) -> Iterator[Case]:
    def case(
        name: str,
        sentence: str,
        judge: Callable[[Done], Judged],
        argv: Sequence[str],
        asked: Asked | None = None,
    ) -> Case:
        return Case(
            f"{server.name}-{name}",
            f"{server.name} {sentence}",
            server.name,
            tuple(argv),
            judge,
            asked,
        )

    yield Case(
        f"{server.name}-lets-in",
        f"{server.name} lets its router in by SSH",
        server.name,
        ("true",),
        asked=Asked(scene.router, server.name, "tcp", _SSH),
        entry=True,
    )
    out = Asked(server.name, str(PINGED), "icmp", None)
    metadata = Asked(server.name, str(METADATA_SERVICE), "tcp", 80)
    yield case("reaches-internet", f"pings {PINGED}", judge_ping, _ping(PINGED), out)
    yield case(
        "fetches-page",
        f"fetches {PAGE}",
        judge_page,
        ("wget", "-q", "-O", "-", PAGE),
        Asked(server.name, "internet", "tcp", 80),
    )
    yield case(
        "resolves-names",
        f"finds the address of {NAME}",
        judge_name,
        ("nslookup", NAME),
        Asked(server.name, str(PINGED), "udp", 53),
    )
    full = f'exec ping -c 2 -W 2 -s "$(($(cat /sys/class/net/eth0/mtu) - {HEADERS}))" {PINGED}'
    yield case(
        "full-size",
        f"sends packets as large as its network takes to {PINGED}",
        judge_ping,
        ("sh", "-c", full),
        out,
    )
    yield case(
        "fragments",
        f"sends {LARGE} bytes in fragments to {PINGED}",
        judge_ping,
        _ping(PINGED, "-s", str(LARGE)),
        out,
    )
    yield case(
        "gets-lease",
        "is offered its address by DHCP",
        partial(judge_lease, server.address),
        ("udhcpc", "-f", "-n", "-q", "-i", "eth0", "-s", "/bin/true", "-t", "3", "-T", "1"),
        out,  # by the way that has the network's switch, which tells of a DHCP agent that is dead
    )
    yield case(
        "own-metadata",
        f"reads its own metadata at {METADATA_SERVICE}",
        partial(judge_own_metadata, server.name),
        ("wget", "-q", "-O", "-", f"http://{METADATA_SERVICE}/openstack/latest/meta_data.json"),
        metadata,
    )
    yield case(
        "no-underlay-metadata",
        "does not reach the instance metadata of the cloud below",
        partial(judge_not_underlay, scene.instance_id),
        _metadata_tricks(f"nc -w 2 {METADATA_SERVICE} $port"),
        metadata,
    )
    for other in scene.servers:
        if other != server:
            yield case(
                f"reaches-{other.name}",
                f"pings {other.name} at {other.address}",
                judge_ping,
                _ping(other.address),
                Asked(server.name, other.name, "icmp", None),
            )


def _from_the_internet(way: Way) -> Case:
    def case(
        sentence: str, argv: tuple[str, ...], judge: Callable[[Done], Judged], asked: Asked
    ) -> Case:
        return Case(_name(way), sentence, INTERNET, argv, judge, asked)

    to = str(way.public or way.registered.address)
    asked = Asked(INTERNET, to, way.protocol, way.registered.port)
    if way.public is None:
        sentence = f"{_registered(way)} can be reached from the internet"
        return case(sentence, ("true",), _no_elastic_ip, asked)
    at = to if way.floating else f"{to}:{way.registered.port}"
    if way.login:
        sentence = f"SSH from the internet to {at} lands in {way.server}"
        return case(sentence, way.login, partial(judge_landing, address=way.address), asked)
    if way.floating:
        sentence = f"{way.server}'s floating IP answers pings from the internet at {at}"
        return case(sentence, _ping(way.public), judge_ping, Asked(INTERNET, to, "icmp", None))
    judge = judge_open if way.protocol == "tcp" else _untold
    sentence = f"{at} leads from the internet to {way.server}"
    return case(sentence, _connect(Socket(way.public, way.registered.port)), judge, asked)


def _registered(way: Way) -> IPv4Address | Socket:
    return way.registered.address if way.floating else way.registered


def _name(way: Way) -> str:
    udp = "/udp" if way.protocol == "udp" else ""
    return f"{'floating' if way.floating else 'published'}-{_registered(way)}{udp}"


def _closed_port(closed: Socket, ways: Sequence[Way]) -> Case:
    twins = tuple(_name(way) for way in ways if way.public == closed.address)
    return _closed("closed-port", closed, "which is not published", twins)


def _shut(way: Way, closed: Socket) -> Case:
    why = f"which no security group of {way.server} opens"
    return _closed(f"{_name(way)}-closed", closed, why, (_name(way),))


def _closed(name: str, closed: Socket, why: str, twins: tuple[str, ...]) -> Case:
    asked = Asked(INTERNET, str(closed.address), "tcp", closed.port)
    sentence = f"{closed}, {why}, is closed"
    return Case(name, sentence, INTERNET, _connect(closed), judge_closed, asked, twins=twins)


def _unregistered(scene: Scene) -> Case:
    """By an address alone: a foreign MAC with a registered address would teach the pipeline."""
    frame = udp_frame((FOREIGN_MAC, scene.unregistered), (FOREIGN_MAC, PINGED), 9)
    status = f"{places.PROGRAM} status"
    send = shlex.join(sending(scene.provider.device, frame))
    return Case(
        "unregistered-address",
        f"a packet from {scene.unregistered}, which is not registered, does not leave the machine",
        NODE,
        ("sh", "-c", f"{status} | tr -d '\\n'; echo; {send}; {status} | tr -d '\\n'"),
        judge_unregistered,
    )


def _ping(to: IPv4Address, *options: str) -> tuple[str, ...]:
    return ("ping", "-c", "2", "-W", "2", *options, str(to))


_CONNECT = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()
    print("connected")
except TimeoutError:
    print("silent")
except OSError as error:
    print(error.strerror.lower())
"""


def _connect(to: Socket) -> tuple[str, ...]:
    return (sys.executable, "-I", "-c", _CONNECT, str(to.address), str(to.port))


_TRICKS = """\
d=$(mktemp -d)
ask() {
  echo; echo "== $1"
  (printf '%s\\r\\n' "$1 HTTP/1.0" 'Host: 169.254.169.254' \\
    'X-aws-ec2-metadata-token-ttl-seconds: 60' ''; sleep 1) | CONNECT
}
for port in 80 8080 443; do
  ask 'PUT /latest/api/token' >$d/$port.put 2>&1 &
  ask 'GET /latest/meta-data/instance-id' >$d/$port.get 2>&1 &
done
wait
cat $d/*
rm -rf $d
"""


def _metadata_tricks(connect: str) -> tuple[str, ...]:
    """Requests for a session token and for the instance's id, on a port with a proxy and others."""
    return ("sh", "-c", _TRICKS.replace("CONNECT", connect))


def judge_units(units: Sequence[str], done: Done) -> Judged:
    """All units active, by the lines of `systemctl is-active`."""
    states = dict(zip(units, done.stdout.split(), strict=False))
    other = [f"{unit} is {states.get(unit, 'unknown')}" for unit in units]
    wrong = [text for text in other if not text.endswith(" is active")]
    code = Code.NODE_SERVICE_DEAD if wrong else None
    return Judged(not wrong, ", ".join(wrong) or f"{len(units)} run", code)


def judge_uplink(done: Done) -> Judged:
    """The agent's own word."""
    try:
        status = json.loads(done.stdout)
        problems = [str(problem) for problem in status["problems"]]
        running = bool(status["running"])
    except (ValueError, KeyError, TypeError):
        return Judged(False, _said(done), Code.UPLINK_AGENT_DEAD)
    if not running:
        told = "; ".join(("the agent does not run", *problems))
        return Judged(False, told, Code.UPLINK_AGENT_DEAD)
    if problems:
        return Judged(False, "; ".join(problems), Code.UPLINK_UNWELL)
    return Judged(True, "well")


def judge_too_big(done: Done) -> Judged:
    """An error is told; silence is a black hole for whoever sends as much as a path may take."""
    found = re.search(r"(?:message )?too (?:long|big)[^\n]*|frag needed[^\n]*", done.stdout, re.I)
    if found:
        return Judged(True, found[0].strip())
    return judge_ping(done)


def judge_name(done: Done) -> Judged:
    """An answer with an address, by the last lines of nslookup."""
    found = re.findall(rf"Name:\s+{re.escape(NAME)}\s+Address(?: \d+)?:\s+(\S+)", done.stdout)
    return Judged(bool(found), ", ".join(found) or _said(done))


def judge_lease(address: IPv4Address, done: Done) -> Judged:
    """The server's own address, by udhcpc's lines."""
    found = re.search(r"lease of (\S+) obtained", done.stdout)
    if not found:
        return Judged(False, _said(done))
    return Judged(found[1] == str(address), f"offered {found[1]}")


def judge_own_metadata(server: str, done: Done) -> Judged:
    """OpenStack's document, and this server's."""
    try:
        name = str(json.loads(done.stdout)["name"])
    except (ValueError, KeyError, TypeError):
        return Judged(False, _said(done))
    return Judged(name == server, f"{name}'s")


def judge_not_underlay(instance_id: str, done: Done) -> Judged:
    """Neither the machine's id nor a session token: OpenStack's metadata has no tokens."""
    for asked, answer in re.findall(r"== (\S+)[^\n]*\n(.*?)(?=\n== |\Z)", done.stdout, re.DOTALL):
        if instance_id in answer or (asked == "PUT" and re.match(r"HTTP/1\.\d 200", answer)):
            told = f"{asked} was answered by the cloud below"
            return Judged(False, told, Code.UPLINK_NOT_ENFORCED)
    if "== PUT" not in done.stdout:
        return Judged(None, _said(done))
    return Judged(True, "not answered by it")


def judge_open(done: Done) -> Judged:
    """Connected; a refusal may come from a server on which nothing listens."""
    said = done.stdout.strip()
    if "refused" in said:
        return Judged(None, "refused: is there a program that listens on the server?")
    return Judged(said == "connected", said or _said(done))


def judge_closed(done: Done) -> Judged:
    """Refused, or met with silence."""
    said = done.stdout.strip()
    if said == "connected":
        return Judged(False, "somebody answers", Code.NEUTRON_PORT_OPEN)
    return Judged(True if done.code == 0 and said else None, said or _said(done))


def judge_unregistered(done: Done) -> Judged:
    """The pipeline counted it: two statuses of the agent, and what the sending said between."""
    try:
        before, after = (_dropped(json.loads(line)) for line in _documents(done.stdout))
    except (ValueError, KeyError, TypeError):
        return Judged(False, _said(done), Code.UPLINK_AGENT_DEAD)
    told = f"{Code.UPLINK_SOURCE_IP} +{after - before}"
    return Judged(after > before, told, None if after > before else Code.UPLINK_NOT_ENFORCED)


def _documents(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("{")]


def _dropped(status: Mapping[str, object]) -> int:
    nics = status["nics"]
    if not isinstance(nics, list):
        raise TypeError
    return sum(int(nic["out"].get(Code.UPLINK_SOURCE_IP.value, 0)) for nic in nics)


def _no_elastic_ip(_: Done) -> Judged:
    return Judged(False, "it has no Elastic IP")


def _untold(_: Done) -> Judged:
    return Judged(None, "UDP: only who speaks the server's protocol gets an answer")
