"""The checks that end `up`: each does something for real and judges what came of it.

Judging is pure (the functions on top); doing is below. Nothing here changes the cloud, but for one
forged frame that the wire is expected to drop and count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from typing import Protocol

from pileus.model.addresses import Mac
from pileus.model.errors import PileusError
from pileus.model.node import Login
from pileus.model.verdict import Code
from pileus.system import ssh
from pileus.system.clock import seconds, sleep
from pileus.system.process import Done
from pileus.system.runner import Runner, inside, root_on
from pileus.trace.forge import send_forged

Counters = Mapping[Mac, Mapping[Code, int]]
"""Frames dropped, per NIC of the cloud and code, since the NIC was plugged in."""
FOREIGN = (Code.SOURCE_MAC, Code.SOURCE_IP, Code.ARP_SENDER)
"""The codes that a frame of the cloud's own must never raise."""
PINGED = IPv4Address("8.8.8.8")

ROUTER_SECONDS = 30.0
"""How long the agent may take to finish the namespace once its gateway is active."""
GUEST_SECONDS = 120.0
"""How long a guest may take from ACTIVE to its SSH banner; under emulation it takes some 10 s."""
COUNTER_SECONDS = 5.0


class Outside(Protocol):
    """A host of the internet: the simulated one's client, or the user's own machine."""

    def run(self, argv: Sequence[str]) -> Done:
        """Run a program there to its end, whatever its exit code."""
        ...


class Wire(Protocol):
    """What the cloud below tells of the frames it dropped."""

    def counters(self) -> Counters | None:
        """None on a cloud that does not tell."""
        ...


@dataclass(frozen=True)
class Nic:
    """A NIC of the node, as the node calls it and as the cloud below registered it."""

    device: str
    mac: Mac
    registered: IPv4Address


@dataclass(frozen=True)
class Scene:
    """Where the checks look, and from where."""

    node: Login
    namespace: str
    """The router's, on the node."""
    server: Login
    """The server by its published SSH port: Elastic IP and port."""
    server_address: IPv4Address
    """Its fixed IP, by which we know that we are in it."""
    page: str
    """URL of a page on the internet that the server fetches."""
    forger: Nic
    """The NIC that the forged frame leaves by: one without a pipeline of ours, which would stop
    it before the wire could."""
    outside: Outside
    wire: Wire
    baseline: Counters = field(default_factory=dict)
    """Counters when this run began; empty for a cloud that was made in it."""
    floating: tuple[tuple[Login, IPv4Address], ...] = ()
    """Servers by the Elastic IP of their floating IP, each with its fixed IP."""


@dataclass(frozen=True)
class Judged:
    """What came of a check. `ok` is None where the cloud does not let us see."""

    ok: bool | None
    detail: str
    code: Code | None = None
    """Why it is not ok, where that is known."""


@dataclass(frozen=True)
class Checked:
    """A check that was made."""

    name: str
    sentence: str
    ok: bool | None
    detail: str
    seconds: float


@dataclass(frozen=True)
class Check:
    """One thing that must be true; what it does may be repeated for `patience` seconds."""

    name: str
    sentence: str
    look: Callable[[Scene], Judged]
    patience: float = 0.0


def judge_ping(done: Done) -> Judged:
    """All echoes answered, by the summary of iputils' or busybox' ping."""
    found = re.search(r"(\d+) packets transmitted, (\d+) (?:packets )?received", done.stdout)
    if not found:
        return Judged(False, _last_line(done))
    sent, received = int(found[1]), int(found[2])
    return Judged(sent > 0 and sent == received, f"{received} of {sent} answered")


def judge_landing(done: Done, address: IPv4Address) -> Judged:
    """The shell we reached is on the machine that has the server's address."""
    if done.code != 0:
        return Judged(False, _last_line(done))
    name, _, addresses = done.stdout.partition("\n")
    if not re.search(rf"\binet {re.escape(str(address))}/", addresses):
        return Judged(False, f"landed in {name}, which does not have {address}")
    return Judged(True, f"landed in {name}, {address}")


def judge_page(done: Done) -> Judged:
    """Something came back."""
    if done.code != 0 or not done.stdout:
        return Judged(False, _last_line(done))
    return Judged(True, f"{len(done.stdout.encode())} bytes")


def judge_own_frames(baseline: Counters, now: Counters) -> Judged:
    """Nothing of the cloud's own was dropped as foreign since the baseline."""
    rose = _rises(baseline, now)
    return Judged(not rose, _rises_text(rose) or "none dropped as foreign")


def judge_forged(before: Counters, after: Counters, nic: Mac) -> Judged:
    """One foreign source MAC at this NIC was counted, exactly once, and nothing else."""
    rose = _rises(before, after)
    if not rose:
        return Judged(False, "the forged frame was not counted", Code.NOT_ENFORCED)
    once = rose == {(nic, Code.SOURCE_MAC): 1}
    return Judged(once, _rises_text(rose), None if once else Code.NOT_ENFORCED)


def _rises(before: Counters, after: Counters) -> dict[tuple[Mac, Code], int]:
    """By how much each counter of foreign frames changed, where it did."""
    changes = {
        (mac, code): dropped.get(code, 0) - before.get(mac, {}).get(code, 0)
        for mac, dropped in after.items()
        for code in FOREIGN
    }
    return {key: change for key, change in changes.items() if change}


def _rises_text(rose: Mapping[tuple[Mac, Code], int]) -> str:
    return ", ".join(f"{code} of {mac} {by:+d}" for (mac, code), by in sorted(rose.items()))


def _last_line(done: Done) -> str:
    text = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return text[-1] if text else f"{done.argv[0]} ended with code {done.code}"


_UNSEEN = Judged(None, "not observable here: this cloud does not tell what it drops")


def _ping(scene: Scene) -> Judged:
    router = inside(root_on(scene.node), scene.namespace)
    return judge_ping(router(["ping", "-c", "3", "-W", "2", str(PINGED)], check=False))


def _land(scene: Scene) -> Judged:
    done = _in_server(scene, ["sh", "-c", "hostname; ip -4 addr"])
    return judge_landing(done, scene.server_address)


def _land_floating(scene: Scene) -> Judged:
    judged = Judged(True, "none")
    for server, address in scene.floating:
        shell = ssh.command(server, ["sh", "-c", "hostname; ip -4 addr"])
        judged = judge_landing(scene.outside.run(shell), address)
        if not judged.ok:
            return Judged(False, f"{server.address}: {judged.detail}")
    return judged


def _fetch(scene: Scene) -> Judged:
    return judge_page(_in_server(scene, ["wget", "-qO-", scene.page]))


def _in_server(scene: Scene, argv: Sequence[str]) -> Done:
    return scene.outside.run(ssh.command(scene.server, argv))


def _own_frames(scene: Scene) -> Judged:
    now = scene.wire.counters()
    return _UNSEEN if now is None else judge_own_frames(scene.baseline, now)


def _forge(scene: Scene) -> Judged:
    return forge_once(root_on(scene.node), scene.forger, scene.wire)


def forge_once(node: Runner, forger: Nic, wire: Wire) -> Judged:
    """Send one frame with a foreign MAC, and see that the cloud below dropped and counted it."""
    before = wire.counters()
    if before is None:
        return _UNSEEN
    send_forged(node, forger.device, forger.mac, forger.registered)
    return _patiently(lambda: _counted(wire, before, forger.mac), COUNTER_SECONDS)


def _counted(wire: Wire, before: Counters, mac: Mac) -> Judged:
    after = wire.counters()
    return _UNSEEN if after is None else judge_forged(before, after, mac)


def _patiently(look: Callable[[], Judged], patience: float, interval: float = 0.5) -> Judged:
    """Look until it is well or `patience` seconds are over; the last look counts."""
    deadline = seconds() + patience
    while (judged := look()).ok is False and seconds() < deadline:
        sleep(interval)
    return judged


CHECKS = (
    Check(
        "router-reaches-internet",
        f"the router's namespace pings {PINGED}",
        _ping,
        ROUTER_SECONDS,
    ),
    Check(
        "internet-reaches-server",
        "SSH to the Elastic IP's published port lands in the server",
        _land,
        GUEST_SECONDS,
    ),
    Check(
        "server-reaches-internet",
        "the server fetches a page from the internet",
        _fetch,
    ),
    Check(
        "internet-reaches-floating-ips",
        "SSH to the Elastic IP of each server's floating IP lands in the server",
        _land_floating,
        GUEST_SECONDS,
    ),
    Check(
        "own-frames-pass",
        "the wire dropped no frame of the cloud's own for a foreign MAC or IP",
        _own_frames,
    ),
    Check(
        "forged-frame-counted",
        "a forged frame is dropped and counted exactly once",
        _forge,
    ),
)


def run(scene: Scene, checks: Sequence[Check] = CHECKS) -> Iterator[Checked]:
    """Make the checks one after another, each whatever became of the others."""
    for check in checks:
        start = seconds()
        judged = _patiently(partial(_look, check, scene), check.patience)
        yield Checked(check.name, check.sentence, judged.ok, judged.detail, seconds() - start)


def _look(check: Check, scene: Scene) -> Judged:
    try:
        return check.look(scene)
    except PileusError as error:
        return Judged(False, error.message)
