"""The cloud under test, reached as a user does, and what looks at the host from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

from pileus.rules.ruleset import Atom, Chain, Count, Field, Hook, Match, Rule, Table
from pileus.system import process
from pileus.system.process import Done
from pileus.vpc import control

T = TypeVar("T")
TOP = Path(__file__).parents[2]
NAME = "e2e"
STAGES = ("region", "underlay", "machine", "openstack", "networks and servers", "published ports")
"""Each is cut off once, as soon as it begins, before the cloud may come up whole."""
UP_SECONDS = 600


@dataclass
class CloudUnderTest:
    """The cloud, reached only by the command line that users have."""

    directory: Path
    environment: dict[str, str]
    up_output: str = ""
    arguments_seen: set[str] = field(default_factory=set)
    """Every process argument list of this host while `up` ran, its machines' included."""

    def pileus(self, *arguments: str, check: bool = True, timeout: float = 120) -> Done:
        return process.run(
            self.command(*arguments), check=check, timeout=timeout, env=self.environment
        )

    def command(self, *arguments: str) -> list[str]:
        count = 2 if arguments[0] in ("sim", "image") else 1
        file = ["-f", str(self.directory / "pileus.yaml")]
        return [str(TOP / "pileus"), *arguments[:count], *file, *arguments[count:]]

    def json(self, *arguments: str) -> Any:
        return json.loads(self.pileus(*arguments, "--json").stdout)

    def controller(self, *command: str, check: bool = True) -> Done:
        return self.pileus("ssh", "controller", "--", *command, check=check)

    def internet(self, *command: str, check: bool = True, timeout: float = 60) -> Done:
        return self.pileus("sim", "exec", "internet", "--", *command, check=check, timeout=timeout)

    def ssh_from_internet(self, address: str, port: int, *command: str) -> Done:
        options = ["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=4"]
        key = ["-i", str(self.state / "id_ed25519"), "-p", str(port)]
        return self.internet("ssh", *options, *key, f"root@{address}", *command, check=False)

    @property
    def state(self) -> Path:
        return Path(self.environment["PILEUS_STATE"]) / NAME

    @property
    def status(self) -> Any:
        return self.json("status")

    @property
    def provider(self) -> Any:
        (node,) = self.status["nodes"]
        (nic,) = [nic for nic in node["nics"] if nic["role"] == "provider"]
        return nic

    @property
    def provider_public(self) -> IPv4Address:
        return IPv4Address(self.provider["addresses"][0]["public"])

    @property
    def router_namespace(self) -> str:
        listing = self.controller("ip", "netns").stdout
        (found,) = re.findall(r"qrouter-[0-9a-f-]+", listing)
        return str(found)

    def dropped(self, device: str) -> dict[str, int]:
        (nic,) = [nic for nic in self.json("sim", "wire")["nics"] if nic["device"] == device]
        return dict(nic["dropped"])

    def rise(self, device: str, before: dict[str, int]) -> dict[str, int]:
        after = self.dropped(device)
        return {code: after[code] - before[code] for code in after if after[code] != before[code]}


def cut_off(cloud: CloudUnderTest, stage: str) -> None:
    """Run `up` until a stage begins, and kill it there with SIGKILL."""
    running = subprocess.Popen(
        cloud.command("up"),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **cloud.environment},
        text=True,
    )
    assert running.stderr
    began = re.compile(rf"\] {stage}\n")
    lines = []
    for line in running.stderr:
        lines.append(line)
        if began.search(line):
            running.send_signal(signal.SIGKILL)
            break
    assert running.wait(timeout=60) == -signal.SIGKILL, "".join(lines)


class WatchArguments:
    """Collect the arguments of all processes while the body runs, 20 times a second."""

    def __init__(self, seen: set[str]) -> None:
        self._seen = seen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self._seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue


def leftovers(name: str = NAME) -> list[str]:
    """Whatever of a cloud is still on this host."""
    places = control.places(name)
    found: list[str] = []
    found += [str(path) for path in (places.runtime, places.disks) if path.exists()]
    found += _matching(["ip", "netns", "list"], rf"^pileus-{name}-")
    found += _matching(["ip", "-oneline", "link"], control.host_device(name))
    found += _matching(["ip", "route"], control.host_device(name))
    found += _matching(["nft", "list", "tables"], rf"pileus_{name}$")
    found += _matching(["cat", "/proc/mounts"], rf"/{name}/")
    found += _processes(rf"pileus-{name}-|/pileus/{name}/|machines/{name}/")
    return found


def _matching(argv: Sequence[str], pattern: str) -> list[str]:
    lines = process.run(argv).stdout.splitlines()
    return [line for line in lines if re.search(pattern, line)]


def _processes(pattern: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(pattern, words):
            found.append(words)
    return found


def until(what: str, look: Callable[[], T], seconds: float = 20) -> T:
    """Ask again until the answer is true; fail with `what` when time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return answer


SIMULATED: frozenset[Atom] = frozenset(
    IPv4Network(text)
    for text in ("172.16.0.0/16", "192.168.20.0/24", "198.18.0.0/15", "198.51.100.0/24")
)


def uplink_watch(device: str) -> Table:
    """Counts what leaves the host by any link but the simulation's own, from or to its addresses.

    It must come out zero, and only counts, so that it cannot be the reason.
    """
    rules = tuple(
        Rule(
            name,
            (
                Match(Field.OUT_INTERFACE, frozenset({"lo", device}), negate=True),
                Match(end, SIMULATED),
                Count(name),
            ),
        )
        for name, end in (("from_inside", Field.IP_SOURCE), ("to_inside", Field.IP_DESTINATION))
    )
    hook = Hook("filter", "postrouting", "300", "accept")
    return Table("inet", "pileus_test_uplink", (Chain("leaving", rules, hook),))
