"""Starting, finding and removing simulated regions from another process."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.errors import Fault, Refused, UserError
from pileus.model.status import DroppedFrame
from pileus.system import clock, files, netns, process, sniff
from pileus.system.process import ProcessId
from pileus.vpc import faults
from pileus.vpc.disks import Disk
from pileus.vpc.faults import Faults
from pileus.vpc.internet import choose_pool, host_networks, remove_internet
from pileus.vpc.machines import command_on, kill_processes, remove_machines
from pileus.vpc.settings import RegionPlaces
from pileus.vpc.wire.names import belongs, device, internet_namespace, vpc_namespace
from pileus.vpc.wire.pcap import pcap
from pileus.vpc.wire.report import NicReport, PluggedNic, wire_report

START_SECONDS = 30.0
START_LOCK = Path("/run/lock/pileus-region-start")
"""One for the whole host, as its routes are, wherever $PILEUS_RUN keeps a region's files."""


@dataclass(frozen=True)
class RunningRegion:
    """Where a region's API is, and where a caller learns its own address in it."""

    name: str
    url: str
    check_ip_url: str
    api_region: str
    """The AWS region that it is."""


@dataclass(frozen=True)
class Offer:
    """What a new region offers. `images` maps machine images to their root directories."""

    images: Mapping[str, Path]
    api_region: str = "us-east-1"
    port: int = 0
    """Of the API; 0 lets the kernel choose, once for the life of the region."""
    cloud: bool = False
    """Whether it is made to carry a cloud, which comes and goes with it."""


def places(name: str) -> RegionPlaces:
    """Where the files of a region are; $PILEUS_RUN and $PILEUS_DATA move them."""
    data = Path(os.environ.get("PILEUS_DATA", "/var/lib/pileus"))
    return RegionPlaces(_runtime() / name, data / "machines" / name)


def _runtime() -> Path:
    return Path(os.environ.get("PILEUS_RUN", "/run/pileus"))


def existing() -> list[str]:
    """Names of the regions that are on this host, running or not."""
    return sorted(path.parent.name for path in _runtime().glob("*/settings.json"))


def find(name: str) -> RunningRegion | None:
    """The region if it runs, else None."""
    ready = files.read_json(places(name).ready)
    owner = _owner(name)
    if ready is None or owner is None or not process.alive(owner):
        return None
    settings = files.read_json(places(name).settings) or {}
    return RunningRegion(name, ready["url"], ready["check_ip_url"], settings["api_region"])


def start(name: str, offer: Offer, *, wrong: Faults | None = None) -> RunningRegion:
    """Start a region and wait until its API answers; what a dead one left is removed first.

    `wrong` are faults to begin with. Raises Fault when it does not start.
    """
    # The choice of the pool holds once the host has a route to it.
    with _starting():
        remove(name)
        where = places(name)
        if wrong is not None:
            faults.write(where.faults, wrong)
        settings = {
            "name": name,
            "api_region": offer.api_region,
            "port": offer.port,
            "pool": str(choose_pool(host_networks())),
            "device": host_device(name),
            "images": {image: str(root) for image, root in offer.images.items()},
            "elastic_quota": 5,
            "cloud": offer.cloud,
        }
        return _launch(name, settings)


def reach(name: str) -> RunningRegion | None:
    """The region; one whose process has died comes back as it was, its machines still running.

    None where there is none. Raises Fault when it does not come back.
    """
    running = find(name)
    if running is not None or not places(name).state.exists():
        return running
    with _starting():
        running = find(name)  # another command may have been quicker
        settings = _settings_to_go_on(name)
        if running is not None or settings is None:
            return running
        return _launch(name, settings)


def carries_cloud(name: str) -> bool:
    """Whether a region was made for a cloud, which comes and goes with it."""
    settings = files.read_json(places(name).settings)
    return settings is not None and bool(settings.get("cloud", True))


def reset(name: str) -> RunningRegion:
    """Empty a region: everything in it is removed, and its API goes on where it was.

    Raises UserError where there is none.
    """
    with _starting():
        settings = _settings_to_go_on(name)
        if settings is None:
            raise _not_running(name)
        remove(name)
        return _launch(name, settings)


def _starting() -> AbstractContextManager[None]:
    return files.lock(START_LOCK, what="a region's start", wait=True)


def _settings_to_go_on(name: str) -> dict[str, Any] | None:
    """The settings of a region that was there before, with the port that it had."""
    where = places(name)
    settings: dict[str, Any] | None = files.read_json(where.settings)
    ready = files.read_json(where.ready)
    if settings is not None and ready is not None:
        settings["port"] = int(ready["url"].rpartition(":")[2])
    return settings


def _launch(name: str, settings: Mapping[str, Any]) -> RunningRegion:
    where = places(name)
    where.ready.unlink(missing_ok=True)
    files.write_json(where.settings, settings)
    daemon = process.spawn(
        [sys.executable, "-m", "pileus.vpc.daemon", str(where.settings), str(where.disks)],
        log=where.log,
    )
    process.record(where.process, daemon)
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
    kill_processes(namespaces)  # some may have been started just before a crash
    remove_internet(name, host_device(name))
    netns.remove(*namespaces)
    shutil.rmtree(where.disks, ignore_errors=True)
    shutil.rmtree(where.runtime, ignore_errors=True)


def host_device(name: str) -> str:
    """The host's end of the link to a region's internet; devices have 15 characters at most."""
    return "pileus-" + hashlib.sha256(name.encode()).hexdigest()[:8]


def console(name: str, instance: str) -> Path:
    """What a machine printed while it booted."""
    return Disk(places(name).disks / instance).console


def overview(name: str) -> dict[str, Any]:
    """What is in a region, as `overview.document` writes it. Raises UserError without one."""
    return files.read_json(_running(name).overview) or {}


def instance_command(name: str, instance: str, argv: list[str]) -> list[str]:
    """The argument list that runs a command on an instance that runs.

    Raises Refused where it does not run.
    """
    command = command_on(Disk(places(name).disks / instance), argv)
    if command is None:
        raise Refused(f"no instance `{instance}` runs here", hint="see `pileus sim status`")
    return command


def internet_command(name: str, argv: list[str]) -> list[str]:
    """The argument list that runs a command on the internet's client host."""
    return ["ip", "netns", "exec", internet_namespace(name), *argv]


def counters(name: str) -> tuple[NicReport, ...]:
    """What a region's wire let through and dropped, per NIC. Raises UserError without one."""
    where = _running(name)
    requests = files.read_json(where.metadata_requests) or {}
    reports = wire_report(name, [_nic(item) for item in files.read_json(where.nics) or []])
    return tuple(replace(one, metadata_requests=requests.get(one.nic.eni, {})) for one in reports)


def drops(name: str) -> tuple[DroppedFrame, ...]:
    """The last frames that a region's wire dropped, newest last. Raises UserError without one."""
    found = files.read_json(_running(name).drops) or []
    return tuple(DroppedFrame.from_json(document) for document in found)


def capture(
    name: str, eni: str, *, count: int | None = None, seconds: float | None = None
) -> Iterator[bytes]:
    """A pcap stream of all frames from and to a NIC, also those that the wire drops.

    The frames are those of the wire's end of it. Ends after `count` of them or when time is up.
    Raises UserError without the region, and Refused for a NIC that is not plugged in.
    """
    nics = {nic.eni: nic for nic in map(_nic, files.read_json(_running(name).nics) or [])}
    if eni not in nics:
        plugged_in = ", ".join(sorted(nics)) or "none"
        raise Refused(
            f"no NIC `{eni}` is plugged into a machine", hint=f"NICs that are: {plugged_in}"
        )
    inside = vpc_namespace(name, nics[eni].vpc)
    return pcap(sniff.frames(inside, device(eni), count=count, seconds=seconds))


def faults_of(name: str) -> Faults:
    """What is wrong with a region on purpose."""
    return faults.read(places(name).faults)


def set_fault(name: str, fault: str, value: str) -> None:
    """Switch one of a region's faults, from now on. Raises Refused for what there is not, and
    UserError without a region."""
    where = _running(name)
    faults.write(where.faults, faults.changed(faults.read(where.faults), fault, value))


def _running(name: str) -> RegionPlaces:
    if find(name) is None:
        raise _not_running(name)
    return places(name)


def _not_running(name: str) -> UserError:
    return UserError(
        f"the simulated region {name} is not running",
        hint="bring it up with `pileus up`, or with `pileus sim up` on its own",
    )


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
    return process.recorded(places(name).process)


def _children(runtime: Path) -> list[ProcessId]:
    """Servers that the region started and recorded, which outlive its own crash."""
    records = (process.recorded(path) for path in sorted(runtime.rglob("*.process.json")))
    return [record for record in records if record is not None]
