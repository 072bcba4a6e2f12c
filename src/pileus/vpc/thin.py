"""Thin machines of the simulated region: a network namespace, and what is run in it.

To the API and on the wire such a machine is like any other. Its network is what a cloud image makes
of the NICs it finds: each gets its primary address, as DHCP hands it out (secondary ones are the
guest's business), and answers by itself, with a routing table of its own from the second NIC on, as
amazon-ec2-net-utils does. Files and processes are the host's. User data that begins with `#!` is
run at the first boot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pileus.model.addresses import name_server, subnet_router
from pileus.system import files, netns, process
from pileus.vpc.disks import Disk
from pileus.vpc.state import Eni, Instance, RegionState
from pileus.vpc.wire.names import machine_namespace

STOP_SECONDS = 5.0
"""How long what runs in a machine may take to end before it is killed."""
FIRST_TABLE = 10000
"""A NIC's routing table is this plus its device index. [amazon-ec2-net-utils]"""

_SYSCTLS = {
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/ipv4/conf/all/rp_filter": "2",
}
_INSIDE = (
    'echo "$1" >/proc/sys/kernel/hostname; '
    '[ ! -e /etc/resolv.conf ] || mount --bind "$2" /etc/resolv.conf; '
    'shift 2; exec "$@"'
)
"""In name and mount namespaces of its own, so that the host's name and resolver stay."""


@dataclass
class ThinMachine:
    """A machine that is on."""

    namespace: str
    disk: Disk
    configured: set[str] = field(default_factory=set)
    """NICs that the guest has seen."""

    def follow(self, state: RegionState, instance: Instance) -> None:
        """Configure NICs that were attached since, and forget those that are gone."""
        enis = state.enis_of(instance.id)
        new = [eni for eni in enis if eni.id not in self.configured]
        if new:
            netns.batch(self.namespace, list(guest_commands(state, new)))
        self.configured = {eni.id for eni in enis}

    def shut_down(self) -> None:
        """End what runs in it, politely at first."""
        for one in netns.processes(self.namespace):
            process.end(one, grace=STOP_SECONDS)
        files.write_json(self.disk.record, {})

    press_reset = shut_down


class ThinMachines:
    """How thin machines are made."""

    def __init__(self, region: str, directory: Path) -> None:
        self._region = region
        self._directory = directory

    def boot(self, state: RegionState, instance: Instance) -> ThinMachine:
        """Switch a machine on. Its NICs must be plugged. Raises PileusError and OSError."""
        disk = Disk(self._directory / instance.id)
        machine = ThinMachine(machine_namespace(self._region, instance.id), disk)
        first_boot = not disk.record.exists()
        netns.sysctl(machine.namespace, _SYSCTLS)
        machine.follow(state, instance)
        primary = state.enis_of(instance.id)[0]
        names = name_server(state.vpcs[primary.vpc].cidr)
        files.write_bytes(disk.resolver, f"nameserver {names}\n".encode(), mode=0o644)
        record = {"namespace": machine.namespace, "hostname": instance.hostname}
        files.write_bytes(disk.record, json.dumps(record).encode())
        if first_boot and instance.user_data:
            _run_user_data(disk, instance.user_data)
        return machine


def _run_user_data(disk: Disk, data: bytes) -> None:
    """Start a script; what it prints is the machine's console."""
    if not data.startswith(b"#!"):
        files.write(disk.console, "user data does not begin with #! and was not run\n")
        return
    disk.user_data.write_bytes(data)
    disk.user_data.chmod(0o700)
    command = command_on_thin(disk, [str(disk.user_data)])
    if command is not None:
        process.spawn(command, log=disk.console)


def guest_commands(state: RegionState, enis: list[Eni]) -> Iterator[str]:
    """The `ip` commands by which a guest takes its NICs into use. Pure."""
    for eni in enis:
        subnet = state.subnets[eni.subnet].cidr
        address, router = eni.addresses[0], subnet_router(subnet)
        index = eni.device_index or 0
        device = f"eth{index}"
        yield f"link set {device} up"
        yield f"addr add {address}/{subnet.prefixlen} dev {device}"
        if index == 0:
            yield f"route add default via {router} dev {device}"
            continue
        table = FIRST_TABLE + index
        yield f"route add {subnet} dev {device} src {address} table {table}"
        yield f"route add default via {router} dev {device} table {table}"
        yield f"rule add from {address} table {table} priority {table}"


def thin_machine(disk: Disk, seen: Iterable[Eni] = ()) -> ThinMachine | None:
    """The machine that an earlier run switched on, whose guest has `seen` these NICs; or None."""
    namespace = (files.read_json(disk.record) or {}).get("namespace")
    if namespace is None or not netns.existing(namespace):
        return None
    return ThinMachine(namespace, disk, {eni.id for eni in seen})


def command_on_thin(disk: Disk, argv: list[str]) -> list[str] | None:
    """The argument list that runs a program in a machine; None where it is not on."""
    machine = thin_machine(disk)
    record = files.read_json(disk.record)
    if machine is None or record is None:
        return None
    inside = ["ip", "netns", "exec", machine.namespace, "unshare", "--uts", "--mount"]
    return [*inside, "sh", "-c", _INSIDE, "sh", record["hostname"], str(disk.resolver), *argv]
