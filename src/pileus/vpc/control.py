"""Starting, finding and removing simulated regions from another process."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from pileus.model.addresses import Mac
from pileus.model.errors import Fault, UserError
from pileus.system import clock, files, netns, process
from pileus.system.process import ProcessId
from pileus.vpc import faults
from pileus.vpc.faults import Faults
from pileus.vpc.internet import choose_pool, host_networks, remove_internet
from pileus.vpc.machines import Disk, remove_machines
from pileus.vpc.settings import RegionPlaces
from pileus.vpc.wire.names import belongs, internet_namespace
from pileus.vpc.wire.report import NicReport, PluggedNic, wire_report

START_SECONDS = 30.0


@dataclass(frozen=True)
class RunningRegion:
    """Where a region's API is, and where a caller learns its own address in it."""

    name: str
    url: str
    check_ip_url: str


def places(name: str) -> RegionPlaces:
    """Where the files of a region are; $PILEUS_RUN and $PILEUS_DATA move them."""
    runtime = Path(os.environ.get("PILEUS_RUN", "/run/pileus"))
    data = Path(os.environ.get("PILEUS_DATA", "/var/lib/pileus"))
    return RegionPlaces(runtime / name, data / "machines" / name)


def find(name: str) -> RunningRegion | None:
    """The region if it runs, else None."""
    ready = files.read_json(places(name).ready)
    owner = _owner(name)
    if ready is None or owner is None or not process.alive(owner):
        return None
    return RunningRegion(name, ready["url"], ready["check_ip_url"])


def start(
    name: str, images: Mapping[str, Path], *, api_region: str, wrong: Faults | None = None
) -> RunningRegion:
    """Start a region and wait until its API answers; what a dead one left is removed first.

    `images` maps machine images to their root directories; `wrong` are faults to begin with.
    Raises Fault when it does not start.
    """
    # The choice of the pool holds once the host has a route to it.
    with files.lock(places(name).runtime.parent / "start.lock", what="a region's start", wait=True):
        remove(name)
        where = places(name)
        if wrong is not None:
            faults.write(where.faults, wrong)
        files.write_json(
            where.settings,
            {
                "name": name,
                "api_region": api_region,
                "port": 0,
                "pool": str(choose_pool(host_networks())),
                "device": host_device(name),
                "images": {image: str(root) for image, root in images.items()},
                "elastic_quota": 5,
            },
        )
        daemon = process.spawn(
            [sys.executable, "-m", "pileus.vpc.daemon", str(where.settings), str(where.disks)],
            log=where.log,
        )
        files.write_json(where.runtime / "process.json", vars(daemon))
        return clock.poll(
            lambda: _started(name, daemon),
            what=f"the simulated region {name} did not start",
            hint=f"see {where.log}",
            timeout=START_SECONDS,
            interval=0.05,
        )


def _started(name: str, daemon: ProcessId) -> RunningRegion | None:
    if not process.alive(daemon):
        tail = places(name).log.read_text(errors="replace").strip().splitlines()[-1:]
        raise Fault(
            f"the simulated region {name} ended at once: {' '.join(tail)}",
            hint=f"see {places(name).log}",
        )
    return find(name)


def remove(name: str) -> None:
    """Remove a region whole: processes, machines, namespaces, links, rules, files.

    Safe to repeat, and after a crash of any part of it.
    """
    where = places(name)
    owner = _owner(name)
    if owner is not None:
        process.end(owner, grace=10)
    remove_machines(where.disks)
    for child in _children(where.runtime):
        process.end(child, grace=2)
    namespaces = [one for one in netns.existing(f"pileus-{name}-") if belongs(one, name)]
    for namespace in namespaces:
        # What was started just before a crash is recorded nowhere else.
        for stray in netns.processes(namespace):
            process.end(stray, first=signal.SIGKILL)
    remove_internet(name, host_device(name))
    for namespace in namespaces:
        netns.remove(namespace)
    shutil.rmtree(where.disks, ignore_errors=True)
    shutil.rmtree(where.runtime, ignore_errors=True)


def host_device(name: str) -> str:
    """The host's end of the link to a region's internet; devices have 15 characters at most."""
    return "pileus-" + hashlib.sha256(name.encode()).hexdigest()[:8]


def console(name: str, instance: str) -> Path:
    """What a machine printed while it booted."""
    return Disk(places(name).disks / instance).console


def internet_command(name: str, argv: list[str]) -> list[str]:
    """The argument list that runs a command on the internet's client host."""
    return ["ip", "netns", "exec", internet_namespace(name), *argv]


def counters(name: str) -> tuple[NicReport, ...]:
    """What a region's wire let through and dropped, per NIC. Raises UserError without one."""
    where = _running(name)
    requests = files.read_json(where.metadata_requests) or {}
    reports = wire_report(name, [_nic(item) for item in files.read_json(where.nics) or []])
    return tuple(replace(one, metadata_requests=requests.get(one.nic.eni, {})) for one in reports)


def set_fault(name: str, fault: str, value: str) -> None:
    """Switch one of a region's faults, from now on. Raises Refused for what there is not, and
    UserError without a region."""
    where = _running(name)
    faults.write(where.faults, faults.changed(faults.read(where.faults), fault, value))


def _running(name: str) -> RegionPlaces:
    if find(name) is None:
        raise UserError(f"the simulated region {name} is not running", hint="run `pileus up`")
    return places(name)


def _nic(document: Mapping[str, object]) -> PluggedNic:
    registered = document["registered"]
    assert isinstance(registered, list)  # noqa: S101 - our own file; for the type checker
    return PluggedNic(
        vpc=str(document["vpc"]),
        eni=str(document["eni"]),
        instance=str(document["instance"]),
        device=str(document["device"]),
        mac=Mac(str(document["mac"])),
        registered=tuple(IPv4Address(address) for address in registered),
    )


def _owner(name: str) -> ProcessId | None:
    document = files.read_json(places(name).runtime / "process.json")
    return ProcessId(document["pid"], document["started"]) if document else None


def _children(runtime: Path) -> list[ProcessId]:
    """Servers that the region started and recorded, which outlive its own crash."""
    records = [files.read_json(path) for path in sorted(runtime.rglob("*.process.json"))]
    return [ProcessId(record["pid"], record["started"]) for record in records if record]
