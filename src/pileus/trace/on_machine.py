"""What a machine must be like to carry OpenStack behind registered addresses. Pure.

Facts in, findings out. The same judges serve before OpenStack is installed and after.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pileus.model.finding import Finding
from pileus.model.node import Hypervisor
from pileus.model.underlay import Nic, Node
from pileus.model.verdict import Code
from pileus.spec.schema import MIN_ROOT_GIB
from pileus.trace.machine import Device, Machine, Owner
from pileus.uplink.wiring import Names

GIB = 1 << 30
MEMORY_GIB = 6
"""What the guide asks of the machine, and what OpenStack on one node needs."""
_ALMOST = 0.9
"""A machine's kernel and file system keep some of what the type promises."""
ROOT_GIB = MIN_ROOT_GIB * _ALMOST
"""What the file system of its disk must hold in all."""
FREE_DISK_GIB = 1
MTU = 1500
"""Of Neutron's networks here, and of the way through an internet gateway."""
CLOCK_SECONDS = 10.0
"""Well below the 300 s by which AWS lets a signed request be off. [AWS IAM user guide, SigV4]"""

PORTS = {
    80: "horizon",
    4369: "epmd",
    5000: "keystone",
    5672: "rabbitmq-server",
    6633: "neutron-openvswitch-agent",
    6640: "ovsdb-server",
    8774: "nova-api",
    8775: "nova-api-metadata",
    8778: "placement-api",
    9292: "glance-api",
    9479: "pileus-agent",
    9696: "neutron-api",
    11211: "memcached",
    25672: "rabbitmq-server",
}
"""What a controller listens on, and the unit that does."""
FIXED_MACS = frozenset({"ena"})
"""Drivers that cannot change a NIC's MAC. [amzn-drivers, ena_netdev.c: no ndo_set_mac_address]"""
OVS_BRIDGES = frozenset({"br-int", "br-ex", "br-tun"})
"""Of a node with one provider NIC; others have br-ex2, br-ex3."""
_STANDARD = frozenset({"filter", "nat", "mangle", "raw", "security"})
"""Tables that iptables makes, and an unused /etc/nftables.conf."""
_SIGNS = ("DOCKER", "KUBE-", "CNI-", "CILIUM", "cali-", "ufw-")
"""Chains that others put into them."""


@dataclass(frozen=True)
class Expected:
    """What the machine should be: as the cloud below knows it, and as pileus.yaml asks."""

    node: Node
    host_name: str
    """Of the controller that it becomes."""
    hypervisor: Hypervisor


def judge(machine: Machine, expected: Expected) -> Iterator[Finding]:
    """Everything that can be told of the machine by looking."""
    yield memory(machine.memory)
    yield disk(machine.disk, machine.free_disk)
    yield from _nics(machine, expected.node)
    yield from kernel(machine, expected.hypervisor)
    yield _bridge_filter(machine)
    yield clock(machine)
    yield _host_name(machine, expected)
    yield _ports(machine)
    yield _others(machine)
    yield _rules(machine)
    yield _bridges(machine, expected.node)


def kernel(machine: Machine, hypervisor: Hypervisor) -> Iterator[Finding]:
    """What the kernel must bring; simulated machines have it from their host."""
    has = "has one" if machine.egress_hook else "has none"
    yield Finding(
        Code.NODE_EGRESS_HOOK,
        "netdev egress hook",
        machine.egress_hook,
        f"Linux {machine.kernel} {has}",
    )
    yield _kvm(machine, hypervisor)
    yield from _modules(machine)


def memory(size: int) -> Finding:
    """Whether the machine has memory enough; in bytes."""
    gib = size / GIB
    if gib < MEMORY_GIB * _ALMOST:
        told = f"the machine has {gib:.1f} GiB of memory, {MEMORY_GIB} GiB are needed"
        return Finding(Code.NODE_MEMORY, "memory", False, told)
    return Finding(Code.NODE_MEMORY, "memory", True, f"{gib:.1f} GiB")


def disk(size: int, free: int) -> Finding:
    """Whether the machine's disk is large enough and has room; in bytes."""
    if size / GIB < ROOT_GIB:
        told = f"the machine's disk has {size / GIB:.0f} GiB, {MIN_ROOT_GIB} GiB are needed"
    elif free / GIB < FREE_DISK_GIB:
        told = f"{free / GIB:.1f} GiB of the machine's disk are free, {FREE_DISK_GIB} is needed"
    else:
        told = f"{size / GIB:.0f} GiB, {free / GIB:.0f} free"
        return Finding(Code.NODE_DISK, "disk", True, told)
    return Finding(Code.NODE_DISK, "disk", False, told)


def clock(machine: Machine) -> Finding:
    """Whether the clock is right, by what the cloud below says, or by NTP's own state."""
    offset = machine.clock_offset
    kept = {True: "kept by NTP", False: "not kept by NTP", None: ""}[machine.synchronized]
    if offset is None:
        ok = True if machine.synchronized else None
        return Finding(Code.NODE_CLOCK, "clock", ok, kept or "nobody tells the time here")
    right = abs(offset) <= CLOCK_SECONDS
    way = "ahead of" if offset > 0 else "behind"
    told = "right to the second" if abs(offset) <= 1 else f"{abs(offset):.0f} s {way} the cloud's"
    return Finding(Code.NODE_CLOCK, "clock", right, ", ".join(filter(None, (told, kept))))


def _nics(machine: Machine, node: Node) -> Iterator[Finding]:
    found: dict[str, Device] = {}
    for nic in node.nics:
        if nic.index is None:
            continue  # the cloud below has said so
        device = machine.by_mac(nic.mac) or _renamed(machine, nic)
        yield _nic(device, nic)
        if device is not None:
            found[nic.role] = device
            yield _up(device, nic)
            yield _mac(device, nic)
            yield _filter(machine, device)
    if management := found.get("management"):
        yield _default_route(machine, management)
        yield _mtu("management path", [management])
    for number, nic in enumerate(node.providers):
        if provider := found.get(nic.role):
            yield _provider_address(provider)
            yield _provider_routes(machine, provider)
            names = Names(number)
            ours = {*names.devices("netdev"), *names.devices("system")}
            theirs = [one for one in machine.devices if one.name in ours]
            yield _mtu(f"{nic.role} path", [provider, *theirs])


def _renamed(machine: Machine, nic: Nic) -> Device | None:
    """The NIC under a MAC that somebody gave it: by its own MAC, or by its place."""
    others = [one for one in machine.devices if one.nic]
    by_birth = [one for one in others if one.permanent == nic.mac]
    by_place = [one for one in others if one.name == nic.device]
    return next(iter(by_birth + by_place), None)


def _nic(device: Device | None, nic: Nic) -> Finding:
    if device is None:
        told = f"the machine has no device with the MAC {nic.mac}"
        return Finding(Code.NODE_NIC_MISSING, f"{nic.role} NIC", False, told)
    return Finding(Code.NODE_NIC_MISSING, f"{nic.role} NIC", True, f"{device.name} {nic.mac}")


def _up(device: Device, nic: Nic) -> Finding:
    told = f"the {nic.role} NIC is {'up' if device.up else 'down'}"
    return Finding(Code.NODE_NIC_DOWN, device.name, device.up, told)


def _mac(device: Device, nic: Nic) -> Finding:
    """The guide lets macchanger try this step. Here nothing depends on it."""
    if device.mac != nic.mac:
        told = f"{device.name} has the MAC {device.mac}, and {nic.mac} is registered"
        return Finding(Code.NODE_MAC_CHANGED, f"MAC of {device.name}", False, told)
    could = "cannot" if device.driver in FIXED_MACS else "could"
    driver = f"driver {device.driver}" if device.driver else "its driver"
    told = f"the registered one; {driver} {could} change it, which nothing here needs"
    return Finding(Code.NODE_MAC_CHANGED, f"MAC of {device.name}", True, told)


def _filter(machine: Machine, device: Device) -> Finding:
    """Strict filtering harms only what is addressed to the machine by a NIC without a way back."""
    lost = device.strict and bool(device.addresses) and device.name not in machine.routed
    told = "strict" if device.strict else "not strict"
    if device.strict:
        told += ", and its answers leave by another NIC" if lost else ", which does no harm here"
    subject = f"reverse-path filter of {device.name}"
    return Finding(Code.NODE_REVERSE_PATH_FILTER, subject, not lost, told)


def _default_route(machine: Machine, management: Device) -> Finding:
    right = machine.default_route == management.name
    told = f"by {machine.default_route}" if machine.default_route else "there is none"
    if not right:
        told += f", and {management.name} is the management NIC"
    return Finding(Code.NODE_DEFAULT_ROUTE, "default route", right, told)


def _provider_address(device: Device) -> Finding:
    has = ", ".join(map(str, device.addresses))
    told = f"the machine itself has {has} on {device.name}" if has else "none of the machine's own"
    return Finding(Code.NODE_PROVIDER_ADDRESS, f"addresses on {device.name}", not has, told)


def _provider_routes(machine: Machine, device: Device) -> Finding:
    routes = ", ".join(machine.routes.get(device.name, ()))
    told = f"the machine itself sends {routes} by {device.name}" if routes else "none"
    return Finding(Code.NODE_PROVIDER_ROUTE, f"routes by {device.name}", not routes, told)


def _mtu(path: str, devices: Sequence[Device]) -> Finding:
    small = [one for one in devices if one.mtu < MTU]
    told = ", ".join(f"{one.name} {one.mtu}" for one in small or devices)
    return Finding(Code.NODE_MTU, f"MTU of the {path}", not small, told)


def _kvm(machine: Machine, hypervisor: Hypervisor) -> Finding:
    has = _has_kvm(machine)
    uses = machine.virt_type or (hypervisor if hypervisor != "auto" else None)
    if hypervisor == "kvm" or uses == "kvm":
        right = machine.kvm and uses == "kvm"
        told = has if right else f"{has}; servers would be emulated"
    elif uses == "qemu":
        right, told = True, f"{has}; servers are emulated, which is slow"
    else:
        right = True
        told = f"{has}; {'tried at `up`' if machine.kvm else 'servers are emulated, which is slow'}"
    return Finding(Code.NODE_KVM, "virtualization", right, told)


def _has_kvm(machine: Machine) -> str:
    if machine.kvm:
        return f"/dev/kvm, {'nested' if machine.nested else 'on bare metal'}"
    if machine.virtualizes:
        why = "the processor could; the module kvm is not loaded, or kept from this machine"
    elif machine.nested:
        why = "this machine is virtual, and nested virtualization is not offered to it"
    else:
        why = "the processor cannot, or its firmware has it off"
    return f"no /dev/kvm ({why})"


def _modules(machine: Machine) -> Iterator[Finding]:
    switch = machine.datapath == "system"
    in_kernel = switch or (machine.datapath is None and machine.modules.get("openvswitch"))
    needs = (
        ("openvswitch", switch, "Open vSwitch runs in userspace"),
        ("vxlan", False, "used between machines only"),
        ("nf_conntrack", True, ""),
        ("tun", True, ""),
        ("veth", True, ""),
        ("bridge", not in_kernel, "Open vSwitch runs in the kernel"),
        ("sch_ingress", True, ""),
        ("cls_bpf", True, ""),
    )
    for name, needed, otherwise in needs:
        there = True if name == "tun" and machine.tun else machine.modules.get(name)
        told = {True: "there", False: "not there", None: "cannot be told"}[there]
        if there is not True:
            told += ", and needed" if needed else f": {otherwise}"
        yield Finding(Code.NODE_MODULE, f"module {name}", there if needed else True, told)


def _bridge_filter(machine: Machine) -> Finding:
    """Only the userspace datapath has a kernel bridge, and the agent's start switches it off."""
    wrong = machine.bridge_filter and machine.datapath == "netdev"
    told = "on" if machine.bridge_filter else "off"
    if machine.bridge_filter and not wrong:
        told += ", on no bridge of ours"
    return Finding(Code.NODE_BRIDGE_FILTER, "packet filter on bridges", not wrong, told)


def _host_name(machine: Machine, expected: Expected) -> Finding:
    """Once it is a controller, its services know it by one name; before, any stable one will do."""
    name, configured = machine.host_name, machine.datapath is not None
    wanted = expected.host_name if configured else machine.stored_name
    address = machine.names.get(name)
    if name != wanted or name in ("", "localhost"):
        return Finding(Code.NODE_HOST_NAME, "host name", False, f"{name}, and {wanted} is expected")
    if configured and address is None:
        return Finding(Code.NODE_HOST_NAME, "host name", False, f"{name} is not in /etc/hosts")
    return Finding(Code.NODE_HOST_NAME, "host name", True, name)


def _ports(machine: Machine) -> Finding:
    taken = {
        port: owners
        for port, owners in machine.listening.items()
        if port in PORTS and not any(_is(PORTS[port], owner) for owner in owners)
    }
    told = "; ".join(
        f"{port} ({PORTS[port]}) by {', '.join(sorted({one.program for one in owners})) or '?'}"
        for port, owners in sorted(taken.items())
    )
    return Finding(Code.NODE_PORT_TAKEN, "ports", not taken, told or "none taken by others")


def _is(unit: str, owner: Owner) -> bool:
    """systemd itself listens for units that it starts on demand."""
    return owner.program == "systemd" or owner.unit in (f"{unit}.service", f"{unit}.socket")


def _others(machine: Machine) -> Finding:
    told = ", ".join(machine.others) or "no sign of another"
    return Finding(Code.NODE_OTHER_DEPLOYMENT, "other deployments", not machine.others, told)


def _rules(machine: Machine) -> Finding:
    subject = "nftables"
    if machine.tables is None:
        return Finding(Code.NODE_FOREIGN_RULES, subject, None, "cannot be listed")
    foreign = {f"table {family} {name}" for family, name in machine.tables if not _ours(name)}
    foreign |= {
        f"chain {chain.name} of {chain.family} {chain.table}"
        for chain in machine.chains
        if chain.table in _STANDARD and chain.name.startswith(_SIGNS)
    }
    told = ", ".join(sorted(foreign)) or "nothing foreign"
    return Finding(Code.NODE_FOREIGN_RULES, subject, not foreign, told)


def _ours(table: str) -> bool:
    return table in _STANDARD or table.startswith(("pileus_", "libvirt_"))


def _bridges(machine: Machine, node: Node) -> Finding:
    ours = OVS_BRIDGES | {f"br-ex{number}" for number in range(2, len(node.providers) + 1)}
    foreign = sorted(set(machine.bridges) - ours)
    told = ", ".join(foreign) or "nothing foreign"
    return Finding(Code.NODE_FOREIGN_BRIDGE, "Open vSwitch", not foreign, told)
