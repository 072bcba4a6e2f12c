"""Looking at a node's wiring, and doing what is missing."""

from __future__ import annotations

from collections.abc import Iterable

from pileus.model.addresses import Mac
from pileus.system import iproute, kernel, process
from pileus.uplink import belt
from pileus.uplink.wiring import LEG, OFFLOADS, Links, Seen, Set, Step, Wire, settings


def links() -> Links:
    """The node's devices by name, with their addresses."""
    return {entry["ifname"]: entry for entry in iproute.ip("address", "show")}


def look(wire: Wire, here: Links) -> Seen:
    """What there is of a NIC's wiring; `here` are the node's devices."""
    names = wire.names
    there = iproute.identity(names.resolver) is not None
    inner = iproute.ip("address", "show", namespace=names.resolver) if there else []
    leg = any(entry["ifname"] == LEG for entry in inner)
    routes = iproute.ip("route", "show", "dev", LEG, namespace=names.resolver) if leg else []
    kept = iproute.forwarding(names.bridge) if names.bridge in here else []
    return Seen(
        links=here,
        inner={entry["ifname"]: entry for entry in inner} if there else None,
        routes=frozenset(entry["dst"] for entry in routes),
        kept=frozenset(
            (entry["mac"], entry["ifname"]) for entry in kept if entry.get("master") == names.bridge
        ),
        offloading=frozenset(
            device
            for device in (names.inside, names.outside)
            if wire.datapath == "netdev" and device in here and _offloads(device)
        ),
        settings=_settings(wire, there),
    )


def _offloads(device: str) -> bool:
    features = iproute.features(device)
    return any(features.get(name) for name in OFFLOADS)


def _settings(wire: Wire, there: bool) -> dict[tuple[str | None, str], str | None]:
    found: dict[tuple[str | None, str], str | None] = {}

    def read(namespace: str | None) -> None:
        for where, path in settings(wire):
            if where == namespace:
                found[where, path] = kernel.settings(path)

    read(None)
    if there:
        kernel.inside(wire.names.resolver, lambda: read(wire.names.resolver))
    return found


def fasten(device: str, mac: Mac) -> bool:
    """Put the belt on a NIC; whether it was missing. Raises CommandFailed where it cannot be."""
    queues = iproute.traffic_control("qdisc", "show", "dev", device)
    has_place = any(queue.get("kind") == "clsact" for queue in queues)
    shown = ("filter", "show", "dev", device, "egress")
    filters = iproute.traffic_control(*shown) if has_place else []
    commands = list(belt.missing(device, mac, queues, filters))
    for words in commands:
        process.run(["tc", *words])
    return bool(commands)


def do(steps: Iterable[Step]) -> None:
    """Take the steps, one after another. Raises CommandFailed or OSError at the first that fails.

    Each step is whole in itself: cut off in between, the next look finds the rest.
    """
    for step in steps:
        if isinstance(step, Set):
            _write(step)
        else:
            process.run(step.argv, timeout=20)


def _write(step: Set) -> None:
    def write() -> None:
        kernel.settings(step.path, step.value)

    if step.namespace is None:
        write()
    else:
        kernel.inside(step.namespace, write)
