"""A machine as its probe saw it: the facts that checks judge, parsed from what it printed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.errors import Fault
from pileus.system.runner import Runner

CLOCK = "http://169.254.169.254/"
"""Instance metadata says what time it is in the `Date` of any answer, a refusal too."""
SECONDS = 20.0
_PROBE = Path(__file__).with_name("probe.py")
_EGRESS = (5, 16)
"""The kernel that brought netdev's egress hook."""
_STRICT = 1


@dataclass(frozen=True)
class Device:
    """A network device of the machine's own namespace."""

    name: str
    mac: Mac | None
    mtu: int
    up: bool
    addresses: tuple[IPv4Address, ...] = ()
    driver: str = ""
    permanent: Mac | None = None
    """Its MAC by birth, where it has another one now."""
    strict: bool = False
    """Whether reverse-path filtering is strict on it."""
    nic: bool = True
    """Whether it can be a NIC, and nothing that people or switches made."""


@dataclass(frozen=True)
class Owner:
    """A program that listens, and its systemd unit."""

    program: str
    unit: str | None = None


@dataclass(frozen=True)
class Chain:
    """An nftables chain."""

    family: str
    table: str
    name: str


@dataclass(frozen=True)
class Machine:
    """What was seen of a machine. Sizes are in bytes."""

    memory: int
    """All of it."""
    disk: int
    """Size of the root file system."""
    free_disk: int
    kernel: str
    """Its release, as 6.12.57+deb13-cloud-amd64."""
    egress_hook: bool
    host_name: str
    stored_name: str = ""
    """The name in /etc/hostname."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Addresses by name, from /etc/hosts."""
    devices: tuple[Device, ...] = ()
    default_route: str | None = None
    """The device that the main table's default route leaves by."""
    routed: frozenset[str] = frozenset()
    """Devices that a default route of any table leaves by."""
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By device, where else the main table leads; what the kernel adds with an address aside."""
    modules: Mapping[str, bool | None] = field(default_factory=dict)
    """Whether the kernel has each; None where that cannot be told."""
    tun: bool = True
    kvm: bool = False
    nested: bool = False
    """Whether the machine is virtual itself."""
    virtualizes: bool = False
    """Whether its processor offers hardware virtualization."""
    bridge_filter: bool = False
    """Whether frames on kernel bridges go through iptables."""
    clock_offset: float | None = None
    """Seconds ahead of the cloud below, to half a second; None where that does not tell."""
    synchronized: bool | None = None
    """Whether NTP keeps the clock."""
    listening: Mapping[int, tuple[Owner, ...]] = field(default_factory=dict)
    """TCP ports. Without owners where they could not be told."""
    tables: tuple[tuple[str, str], ...] | None = ()
    """nftables' tables, family and name; None where they cannot be listed."""
    chains: tuple[Chain, ...] = ()
    bridges: tuple[str, ...] = ()
    """Open vSwitch's."""
    others: tuple[str, ...] = ()
    """Paths that another deployment leaves."""
    datapath: str | None = None
    """Open vSwitch's, as the uplink was configured; None on a machine without one."""
    virt_type: str | None = None
    """What Nova was told: kvm or qemu."""

    def by_mac(self, mac: Mac) -> Device | None:
        """The NIC with this MAC."""
        return next((one for one in self.devices if one.nic and one.mac == mac), None)


def gather(node: Runner, clock: str = "") -> Machine:
    """Look at the machine where `node` runs programs as root, and change nothing there.

    `clock` is a URL whose `Date` header tells the time. Raises CommandFailed when the machine
    cannot be reached or the probe fails, and Fault for an answer that is none.
    """
    done = node(["python3", "-", clock], stdin=_PROBE.read_text(), timeout=SECONDS)
    try:
        return parse(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Fault(
            f"the machine's probe said {done.stdout[:200]!r} ({error!r})",
            hint="see whether python3 works on the machine",
        ) from error


def parse(answer: Mapping[str, Any]) -> Machine:
    """The probe's answer as facts. Raises KeyError, TypeError or ValueError for what is none."""
    files, commands = answer["files"], answer["commands"]
    listed = _json(commands["routes"], [])
    routes = [route for route in listed if route["dst"] == "default"]
    tables = _json(commands["tables"], None)
    return Machine(
        memory=_memory(files["/proc/meminfo"]),
        disk=answer["disk"]["size"],
        free_disk=answer["disk"]["free"],
        kernel=answer["kernel"],
        egress_hook=_egress_hook(commands["hook"], answer["kernel"]),
        host_name=answer["host_name"],
        stored_name=(files["/etc/hostname"] or "").strip(),
        names=dict(_names(files["/etc/hosts"] or "")),
        devices=tuple(_devices(answer)),
        default_route=_default_route([route for route in routes if "table" not in route]),
        routed=frozenset(route["dev"] for route in routes if "dev" in route),
        routes=_made(listed),
        modules=dict(answer["modules"]),
        tun=answer["tun"],
        kvm=answer["kvm"],
        nested="hypervisor" in answer["processor"],
        virtualizes=bool({"vmx", "svm"} & {*answer["processor"]}),
        bridge_filter=_is_on(files["/proc/sys/net/bridge/bridge-nf-call-iptables"]),
        clock_offset=_offset(answer["date"]),
        synchronized=answer["synchronized"],
        listening=_listening(commands["listening"], answer["units"]),
        tables=None if tables is None else tuple(_tables(tables)),
        chains=tuple(_chains(_json(commands["chains"], {"nftables": []}))),
        bridges=tuple(_printed(commands["bridges"]).split()),
        others=tuple(answer["others"]),
        datapath=_datapath(files["/etc/pileus/uplink.json"]),
        virt_type=answer["virt_type"],
    )


def _printed(done: Mapping[str, Any] | None) -> str:
    return str(done["out"]) if done and done["code"] == 0 else ""


def _json(done: Mapping[str, Any] | None, default: Any) -> Any:
    printed = _printed(done)
    return json.loads(printed) if printed else default


def _memory(meminfo: str) -> int:
    (line,) = [line for line in meminfo.splitlines() if line.startswith("MemTotal:")]
    return int(line.split()[1]) * 1024


def _default_route(routes: Sequence[Mapping[str, Any]]) -> str | None:
    """The device of the one that is preferred."""
    first = min(routes, key=lambda route: int(route.get("metric", 0)), default={})
    return first.get("dev")


def _made(routes: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """By device, the main table's routes that somebody made, the default one aside."""
    found: dict[str, tuple[str, ...]] = {}
    for route in routes:
        by_itself = route.get("protocol") == "kernel" or route["dst"] == "default"
        if "dev" in route and "table" not in route and not by_itself:
            found[route["dev"]] = (*found.get(route["dev"], ()), route["dst"])
    return found


def _is_on(text: str | None) -> bool:
    return (text or "0").strip() != "0"


def _egress_hook(checked: Mapping[str, Any] | None, kernel: str) -> bool:
    """What the kernel answered; its version where it could not be asked."""
    if checked and checked["code"] == 0:
        return True
    if checked and "not supported" in checked["error"]:
        return False
    found = re.match(r"(\d+)\.(\d+)", kernel)
    return found is not None and (int(found[1]), int(found[2])) >= _EGRESS


def _names(hosts: str) -> Iterator[tuple[str, str]]:
    """The first address of each name wins, so later lines come first here."""
    for line in reversed(hosts.splitlines()):
        words = line.partition("#")[0].split()
        yield from ((name, words[0]) for name in words[1:])


def _devices(answer: Mapping[str, Any]) -> Iterator[Device]:
    filters, drivers = answer["reverse_path"], answer["drivers"]
    for link in _json(answer["commands"]["addresses"], []):
        name = link["ifname"]
        if link.get("link_type") != "ether":
            continue
        yield Device(
            name,
            Mac.parse(link["address"]),
            link["mtu"],
            "UP" in link["flags"],
            tuple(
                IPv4Address(one["local"]) for one in link["addr_info"] if one["family"] == "inet"
            ),
            drivers.get(name, ""),
            Mac.parse(link["permaddr"]) if "permaddr" in link else None,
            max(filters["all"], filters.get(name, 0)) == _STRICT,
            # A NIC is of no kind, and a veth in a container.
            link.get("linkinfo", {}).get("info_kind", "veth") == "veth",
        )


def _offset(date: Mapping[str, Any] | None) -> float | None:
    """The header has whole seconds: on average half of one is cut off."""
    if date is None:
        return None
    return float(date["own"]) - parsedate_to_datetime(date["told"]).timestamp() - 0.5


def _listening(
    shown: Mapping[str, Any] | None, units: Mapping[str, str]
) -> dict[int, tuple[Owner, ...]]:
    """From `ss`: the state, two queues, `ADDRESS:PORT`, the peer, and who has it open."""
    found: dict[int, tuple[Owner, ...]] = {}
    for line in _printed(shown).splitlines():
        port = int(line.split()[3].rpartition(":")[2])
        owners = re.findall(r'\("([^"]*)",pid=(\d+)', line)
        found[port] = (
            *found.get(port, ()),
            *(Owner(program, units.get(pid)) for program, pid in owners),
        )
    return found


def _tables(listing: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for item in listing["nftables"]:
        if "table" in item:
            yield item["table"]["family"], item["table"]["name"]


def _chains(listing: Mapping[str, Any]) -> Iterator[Chain]:
    for item in listing["nftables"]:
        if "chain" in item:
            one = item["chain"]
            yield Chain(one["family"], one["table"], one["name"])


def _datapath(config: str | None) -> str | None:
    return str(json.loads(config)["datapath"]) if config else None
