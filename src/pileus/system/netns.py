"""Network namespaces by name, and what is in them, through iproute2.

A namespace's wanted content is a `NamespaceConfig`; `configure` applies the difference. Links
themselves are made and removed one by one, because each belongs to two namespaces.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import netns as kernel

from pileus.model.addresses import Mac
from pileus.model.errors import CommandFailed
from pileus.system import process
from pileus.system.process import ProcessId

DIRECTORY = Path("/run/netns")
T = TypeVar("T")


@dataclass(frozen=True, order=True)
class Route:
    """A unicast route. `device` must exist; `via` None means the destination is on the link."""

    destination: IPv4Network
    device: str
    via: IPv4Address | None = None
    source: IPv4Address | None = None
    table: int = 254

    def text(self) -> str:
        via = f" via {self.via} onlink" if self.via else ""
        source = f" src {self.source}" if self.source else ""
        return f"{self.destination}{via} dev {self.device}{source} table {self.table}"


@dataclass(frozen=True, order=True)
class Neighbour:
    """A permanent neighbour entry."""

    address: IPv4Address
    device: str
    mac: Mac


@dataclass(frozen=True, order=True)
class RoutingRule:
    """Which table is asked, in order of priority; `suppress_default` ignores its default route."""

    priority: int
    table: int
    in_interface: str | None = None
    suppress_default: bool = False

    def text(self) -> str:
        where = f" iif {self.in_interface}" if self.in_interface else ""
        suppress = " suppress_prefixlength 0" if self.suppress_default else ""
        return f"priority {self.priority}{where} table {self.table}{suppress}"


@dataclass(frozen=True)
class NamespaceConfig:
    """The wanted addresses, routes, permanent neighbours and routing rules of a namespace.

    `rules` are ours by their priorities below 32766; `sysctls` are relative to /proc/sys.
    """

    addresses: frozenset[tuple[str, IPv4Interface]] = frozenset()
    routes: frozenset[Route] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()
    rules: frozenset[RoutingRule] = frozenset()
    sysctls: Mapping[str, str] = field(default_factory=dict)


def existing(prefix: str) -> list[str]:
    """Names of the namespaces that begin with `prefix`."""
    if not DIRECTORY.is_dir():
        return []
    return sorted(path.name for path in DIRECTORY.iterdir() if path.name.startswith(prefix))


def ensure(name: str) -> None:
    """Make a namespace with its loopback up; does nothing when it is there."""
    if not (DIRECTORY / name).exists():
        process.run(["ip", "netns", "add", name])
        process.run(["ip", "-n", name, "link", "set", "lo", "up"])


def remove(name: str) -> None:
    """Remove a namespace; does nothing when it is gone."""
    if (DIRECTORY / name).exists():
        process.run(["ip", "netns", "delete", name])


def processes(name: str) -> list[ProcessId]:
    """What runs in a namespace; programs that merely have a socket there are not in it."""
    listed = process.run(["ip", "netns", "pids", name]).stdout.split()
    found = (process.identify(int(pid)) for pid in listed)
    return [one for one in found if one is not None]


def run_inside(name: str, action: Callable[[], T]) -> T:
    """Call `action` in a thread of its own that has entered the namespace, and return its result.

    Sockets made there stay in the namespace. Errors of the action are raised here.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            kernel.setns(name, flags=0)  # by default it would make a missing one
            results.append(action())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=enter, name=f"netns-{name}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def links(namespace: str | None) -> dict[str, dict[str, Any]]:
    """The devices of a namespace (None: our own) by name, as `ip -json link` describes them."""
    return {entry["ifname"]: entry for entry in _json(namespace, "link", "show")}


def batch(namespace: str | None, commands: Iterable[str]) -> None:
    """Run `ip` commands in a namespace in one go; stops at the first that fails."""
    text = "\n".join(commands)
    if text:
        process.run([*_ip(namespace), "-batch", "-"], stdin=text + "\n")


def sysctl(namespace: str, settings: Mapping[str, str]) -> None:
    """Write kernel settings inside a namespace; keys are paths below /proc/sys."""

    def write() -> None:
        for key, value in settings.items():
            path = Path("/proc/thread-self/root/proc/sys") / key
            if path.exists() and path.read_text().strip() != value:
                path.write_text(value)

    if settings:
        run_inside(namespace, write)


def configure(namespace: str, wanted: NamespaceConfig) -> bool:
    """Make a namespace's addresses, routes, neighbours and rules equal to `wanted`.

    Returns whether anything changed. All devices named must exist and be up.
    """
    sysctl(namespace, wanted.sysctls)
    # By themselves: with an address, the kernel drops routes that depend on it.
    addresses = _changes("addr", _addresses(namespace), {_address(*a) for a in wanted.addresses})
    batch(namespace, addresses)
    commands = [
        *_changes("neigh", _neighbours(namespace), {_neighbour(n) for n in wanted.neighbours}),
        *_changes("route", _routes(namespace), {r.text() for r in wanted.routes}),
        *_changes("rule", _rules(namespace), {r.text() for r in wanted.rules}),
    ]
    batch(namespace, commands)
    return bool(addresses or commands)


def _changes(kind: str, have: set[str], want: set[str]) -> list[str]:
    gone = [f"{kind} del {text}" for text in sorted(have - want)]
    return gone + [f"{kind} add {text}" for text in sorted(want - have)]


def _address(device: str, address: IPv4Interface) -> str:
    return f"{address} dev {device}"


def _neighbour(neighbour: Neighbour) -> str:
    return f"{neighbour.address} lladdr {neighbour.mac} dev {neighbour.device} nud permanent"


def _addresses(namespace: str) -> set[str]:
    return {
        f"{item['local']}/{item['prefixlen']} dev {entry['ifname']}"
        for entry in _json(namespace, "-4", "addr", "show")
        for item in entry.get("addr_info", [])
        if item.get("local") not in (None, "127.0.0.1")
    }


def _neighbours(namespace: str) -> set[str]:
    return {
        f"{entry['dst']} lladdr {entry['lladdr']} dev {entry['dev']} nud permanent"
        for entry in _json(namespace, "-4", "neigh", "show", "nud", "permanent")
        if "lladdr" in entry
    }


def _routes(namespace: str) -> set[str]:
    """Routes that were added on purpose; the kernel's own (proto kernel) are left out."""
    found = set()
    for entry in _json(namespace, "-4", "route", "show", "table", "all"):
        if entry.get("protocol") == "kernel" or entry.get("type", "unicast") != "unicast":
            continue
        text = entry["dst"]
        destination = IPv4Network("0.0.0.0/0" if text == "default" else text)
        via = IPv4Address(entry["gateway"]) if "gateway" in entry else None
        source = IPv4Address(entry["prefsrc"]) if "prefsrc" in entry else None
        table = entry.get("table", "main")
        number = 254 if table == "main" else int(table)
        found.add(Route(destination, entry["dev"], via, source, number).text())
    return found


def _rules(namespace: str) -> set[str]:
    """Rules with a priority of ours; the kernel's three defaults are left out."""
    found = set()
    for entry in _json(namespace, "-4", "rule", "show"):
        if entry["priority"] in (0, 32766, 32767):
            continue
        table = 254 if entry["table"] == "main" else int(entry["table"])
        suppress = "suppress_prefixlength" in entry or "suppress_prefixlen" in entry
        found.add(RoutingRule(entry["priority"], table, entry.get("iif"), suppress).text())
    return found


def _json(namespace: str | None, *arguments: str) -> list[dict[str, Any]]:
    try:
        done = process.run([*_ip(namespace), "-details", "-json", *arguments])
    except CommandFailed as error:
        # An empty table is an error to `ip route show table`, not an empty answer.
        if "FIB table does not exist" in error.output:
            return []
        raise
    documents: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return [entry for entry in documents if entry]


def _ip(namespace: str | None) -> list[str]:
    return ["ip", "-n", namespace] if namespace else ["ip"]
