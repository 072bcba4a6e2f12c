"""Network namespaces by name, and what is in them, through iproute2.

A namespace's wanted content is a `NamespaceConfig`; `configure` applies the difference. Links
themselves are made and removed one by one, because each belongs to two namespaces.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

from pileus.model.addresses import Mac
from pileus.model.errors import CommandFailed
from pileus.system import process
from pileus.system.devices import set_up
from pileus.system.process import ProcessId

DIRECTORY = Path("/run/netns")
_DOOMED = 4242
"""The device group of those that are about to be deleted."""
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
    mark: int | None = None
    """Of the packets that it is for; None for all."""
    suppress_default: bool = False

    def text(self) -> str:
        marked = "" if self.mark is None else f" fwmark {self.mark:#x}"
        suppress = " suppress_prefixlength 0" if self.suppress_default else ""
        return f"priority {self.priority}{marked} table {self.table}{suppress}"


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


def ensure(*names: str) -> None:
    """Make namespaces with their loopback up; does nothing for those that are there."""
    missing = [name for name in dict.fromkeys(names) if not (DIRECTORY / name).exists()]
    batch(None, [f"netns add {name}" for name in missing])
    for name in missing:
        run_inside(name, lambda: set_up("lo"))


def remove(*names: str) -> None:
    """Remove namespaces; does nothing for those that are gone."""
    there = [name for name in names if (DIRECTORY / name).exists()]
    batch(None, [f"netns delete {name}" for name in there])


def processes(*names: str) -> list[ProcessId]:
    """What runs in namespaces; programs that merely have a socket there are not in it."""
    wanted = {_identity(DIRECTORY / name) for name in names} - {None}
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    inside = [pid for pid in pids if _identity(Path(f"/proc/{pid}/ns/net")) in wanted]
    found = (process.identify(pid) for pid in inside)
    return [one for one in found if one is not None]


def _identity(path: Path) -> tuple[int, int] | None:
    """Which namespace a file stands for; None where it is gone. [namespaces(7)]"""
    try:
        status = path.stat()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return status.st_dev, status.st_ino


def run_inside(name: str, action: Callable[[], T]) -> T:
    """Call `action` in a thread of its own that has entered the namespace, and return its result.

    Sockets made there stay in the namespace. Errors of the action are raised here.
    """
    from pyroute2 import netns as kernel  # here, as it takes a third of a second

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


def devices(namespace: str) -> list[str]:
    """Names of a namespace's devices; quicker than `links`."""
    return run_inside(namespace, lambda: [name for _, name in socket.if_nameindex()])


def delete_links(namespace: str, names: Collection[str]) -> None:
    """Delete devices all at once: one by one, each waits until nobody uses it any more.

    One that goes by itself meanwhile, as a veth does with its other end's namespace, is as good as
    deleted. Raises CommandFailed where none of them can be.
    """
    grouped = [f"link set {name} group {_DOOMED}" for name in sorted(names)]
    try:
        batch(namespace, [*grouped, f"link del group {_DOOMED}"] if names else [])
    except CommandFailed:
        left = set(names).intersection(devices(namespace))
        if left == set(names):
            raise
        delete_links(namespace, left)


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


def configure(
    namespace: str, wanted: NamespaceConfig, known: NamespaceConfig | None = None
) -> bool:
    """Make a namespace's addresses, routes, neighbours and rules equal to `wanted`.

    Returns whether anything changed. All devices named must exist and be up. `known` is what an
    earlier call made: then nothing is read, unless it proves wrong.
    """
    if known is not None:
        try:
            return _change(namespace, _content(known), _content(wanted))
        except CommandFailed:
            pass
    sysctl(namespace, wanted.sysctls)
    # Addresses by themselves: with one, the kernel drops routes that depend on it.
    want = _content(wanted)
    moved = _change(namespace, {"addr": _addresses(namespace)}, {"addr": want.pop("addr")})
    have = {
        "neigh": _neighbours(namespace),
        "route": _routes(namespace),
        "rule": _rules(namespace),
    }
    return _change(namespace, have, want) or moved


def _content(config: NamespaceConfig) -> dict[str, set[str]]:
    """What `ip` is told of it, in the order in which one thing needs another."""
    return {
        "addr": {_address(*address) for address in config.addresses},
        "neigh": {_neighbour(neighbour) for neighbour in config.neighbours},
        "route": {route.text() for route in config.routes},
        "rule": {rule.text() for rule in config.rules},
    }


def _change(namespace: str, have: Mapping[str, set[str]], want: Mapping[str, set[str]]) -> bool:
    commands = []
    for kind, wanted in want.items():
        commands += [f"{kind} del {text}" for text in sorted(have[kind] - wanted)]
        commands += [f"{kind} add {text}" for text in sorted(wanted - have[kind])]
    batch(namespace, commands)
    return bool(commands)


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
        mark = int(entry["fwmark"], 16) if "fwmark" in entry else None
        found.add(RoutingRule(entry["priority"], table, mark, suppress).text())
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
