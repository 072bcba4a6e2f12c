"""A machine that is fit, and everything that makes it unfit: each with its own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from pileus.model.addresses import Mac
from pileus.model.errors import Refused
from pileus.model.finding import Finding, require
from pileus.model.node import Hypervisor
from pileus.model.underlay import Nic, Node, Registered
from pileus.model.verdict import Code
from pileus.trace import on_machine
from pileus.trace.machine import Chain, Device, Machine, Owner
from pileus.trace.on_machine import GIB, PORTS, Expected, judge
from pileus.trace.probe import MODULES

MANAGEMENT = IPv4Address("172.16.10.101")
PROVIDER = IPv4Address("172.16.20.101")
ETH0, ETH1 = Mac("02:00:00:e3:9d:57"), Mac("02:00:00:de:0e:f4")
FOREIGN = Mac("02:66:6f:72:67:65")
NAME = "ip-172-16-10-101"
NODE = Node(
    "demo-controller",
    "i-1",
    "running",
    (
        Nic("management", "eni-1", ETH0, (Registered(MANAGEMENT, None),), 0),
        Nic("provider", "eni-2", ETH1, (Registered(PROVIDER, None),), 1),
    ),
)
OURS = {port: (Owner("some", f"{unit}.service"),) for port, unit in PORTS.items()}
ALL = {**dict.fromkeys(MODULES, True), "openvswitch": False}
CONTROLLER = Machine(
    memory=6 * GIB,
    disk=20 * GIB,
    free_disk=15 * GIB,
    kernel="6.12.57+deb13-cloud-amd64",
    egress_hook=True,
    host_name=NAME,
    stored_name=NAME,
    names={NAME: str(MANAGEMENT)},
    devices=(
        Device("eth0", ETH0, 9001, True, (MANAGEMENT,), "ena", strict=True),
        Device("eth1", ETH1, 9001, True, driver="ena", strict=True),
        Device("uplink0", ETH1, 9001, True, driver="bridge", nic=False),
        Device("qbr-1", FOREIGN, 1400, False, nic=False),
    ),
    default_route="eth0",
    routed=frozenset({"eth0"}),
    modules=ALL,
    clock_offset=0.4,
    synchronized=True,
    listening={22: (Owner("sshd", "ssh.service"),), **OURS},
    tables=(("netdev", "pileus_eth1"), ("ip", "nat"), ("inet", "filter")),
    chains=(Chain("ip", "nat", "POSTROUTING"),),
    bridges=("br-ex", "br-int", "br-tun"),
    datapath="netdev",
    virt_type="qemu",
)
"""Strict filtering on both NICs is how it may well be, and does no harm there."""
FRESH = replace(
    CONTROLLER,
    host_name="ip-10-0-0-7.ec2.internal",
    stored_name="ip-10-0-0-7.ec2.internal",
    names={},
    listening={22: (Owner("sshd", "ssh.service"),)},
    tables=(),
    bridges=(),
    bridge_filter=True,
    datapath=None,
    virt_type=None,
)
Change = Callable[[Machine], Machine]


def findings(machine: Machine, hypervisor: Hypervisor = "auto", node: Node = NODE) -> list[Finding]:
    return list(judge(machine, Expected(node, NAME, hypervisor)))


def wrong(machine: Machine, hypervisor: Hypervisor = "auto") -> dict[Code, Finding]:
    return {one.code: one for one in findings(machine, hypervisor) if one.ok is False}


def of(code: Code, machine: Machine, hypervisor: Hypervisor = "auto") -> Finding:
    return next(one for one in findings(machine, hypervisor) if one.code is code)


def but(**changed: Any) -> Change:
    return lambda machine: replace(machine, **changed)


def on(device: str, /, **changed: Any) -> Change:
    """Another state of one device."""
    return lambda machine: replace(
        machine,
        devices=tuple(
            replace(one, **changed) if one.name == device else one for one in machine.devices
        ),
    )


def listens(port: int, program: str, unit: str | None = None) -> Change:
    return lambda machine: replace(
        machine, listening={**machine.listening, port: (Owner(program, unit),)}
    )


UNFIT: list[tuple[Code, str, Change]] = [
    (Code.NODE_MEMORY, "has 5.0 GiB of memory, 6 GiB are needed", but(memory=5 * GIB)),
    (Code.NODE_DISK, "has 17 GiB, 20 GiB are needed", but(disk=17 * GIB)),
    (Code.NODE_DISK, "0.5 GiB of the machine's disk are free", but(free_disk=GIB // 2)),
    (Code.NODE_NIC_MISSING, f"no device with the MAC {ETH1}", on("eth1", name="x", mac=FOREIGN)),
    (Code.NODE_NIC_DOWN, "the provider NIC is down", on("eth1", up=False)),
    (Code.NODE_MAC_CHANGED, f"has the MAC {FOREIGN}, and {ETH1} is", on("eth1", mac=FOREIGN)),
    (
        Code.NODE_MAC_CHANGED,
        f"ens6 has the MAC {FOREIGN}, and {ETH1} is registered",
        on("eth1", name="ens6", mac=FOREIGN, permanent=ETH1),
    ),
    (
        Code.NODE_PROVIDER_ADDRESS,
        "the machine itself has 172.16.20.101 on eth1",
        on("eth1", addresses=(PROVIDER,), strict=False),
    ),
    (
        Code.NODE_PROVIDER_ROUTE,
        "sends 172.16.20.0/24, 10.0.0.0/8 by eth1",
        but(routes={"eth1": ("172.16.20.0/24", "10.0.0.0/8"), "eth0": ("172.16.10.1",)}),
    ),
    (Code.NODE_DEFAULT_ROUTE, "by eth1, and eth0 is", but(default_route="eth1")),
    (Code.NODE_DEFAULT_ROUTE, "there is none", but(default_route=None)),
    (
        Code.NODE_REVERSE_PATH_FILTER,
        "strict, and its answers leave by another NIC",
        but(routed=frozenset({"eth1"})),
    ),
    (Code.NODE_MTU, "eth1 1300", on("eth1", mtu=1300)),
    (Code.NODE_MTU, "uplink0 1499", on("uplink0", mtu=1499)),
    (Code.NODE_MTU, "eth0 576", on("eth0", mtu=576)),
    (Code.NODE_EGRESS_HOOK, "has none", but(egress_hook=False)),
    (Code.NODE_KVM, "servers would be emulated", but(virt_type="kvm")),
    (Code.NODE_MODULE, "not there, and needed", but(datapath="system")),
    *(
        (Code.NODE_MODULE, "not there, and needed", but(modules={**ALL, name: False}))
        for name in ("nf_conntrack", "veth", "bridge", "sch_ingress", "cls_bpf")
    ),
    (Code.NODE_MODULE, "not there, and needed", but(tun=False, modules={**ALL, "tun": False})),
    (Code.NODE_BRIDGE_FILTER, "on", but(bridge_filter=True)),
    (Code.NODE_CLOCK, "11 s ahead of the cloud's, kept by NTP", but(clock_offset=11.0)),
    (Code.NODE_CLOCK, "3600 s behind the cloud's", but(clock_offset=-3600.0)),
    (Code.NODE_HOST_NAME, f"other, and {NAME} is expected", but(host_name="other")),
    (Code.NODE_HOST_NAME, f"{NAME} is not in /etc/hosts", but(names={})),
    (Code.NODE_PORT_TAKEN, "9292 (glance-api) by docker-proxy", listens(9292, "docker-proxy")),
    (
        Code.NODE_PORT_TAKEN,
        "5000 (keystone) by python3",
        listens(5000, "python3", "devstack@keystone.service"),
    ),
    (
        Code.NODE_OTHER_DEPLOYMENT,
        "/opt/stack, /etc/kolla",
        but(others=("/opt/stack", "/etc/kolla")),
    ),
    (
        Code.NODE_FOREIGN_RULES,
        "table inet firewalld",
        but(tables=(("netdev", "pileus_eth1"), ("inet", "firewalld"))),
    ),
    (
        Code.NODE_FOREIGN_RULES,
        "chain DOCKER-USER of ip filter",
        but(chains=(Chain("ip", "filter", "DOCKER-USER"),)),
    ),
    (Code.NODE_FOREIGN_BRIDGE, "br-mgmt", but(bridges=("br-ex", "br-int", "br-mgmt"))),
]


def test_a_controller_and_a_fresh_machine_are_fit() -> None:
    for machine in (CONTROLLER, FRESH):
        assert [one for one in findings(machine) if one.ok is not True] == []


@pytest.mark.parametrize(
    ("code", "detail", "change"), UNFIT, ids=[f"{code}: {detail}" for code, detail, _ in UNFIT]
)
def test_what_is_wrong_has_its_own_code_and_nothing_else_is_blamed(
    code: Code, detail: str, change: Change
) -> None:
    told = wrong(change(CONTROLLER))
    assert list(told) == [code]
    assert detail in told[code].detail


def test_every_code_of_a_machine_is_in_the_table_above() -> None:
    by_judges = {code for code in Code if code.family == "NODE"} - {
        Code.NODE_UNREACHABLE,
        Code.NODE_SERVICE_DEAD,
    }
    assert {code for code, _, _ in UNFIT} == by_judges
    assert {one.code for one in findings(CONTROLLER)} == by_judges


def test_the_guides_macchanger_step_is_told_and_told_to_be_needless() -> None:
    for driver, can in (("ena", "cannot"), ("veth", "could")):
        seen = on("eth1", driver=driver)(CONTROLLER)
        (told,) = [one for one in findings(seen) if one.subject == "MAC of eth1"]
        assert told.ok
        assert f"driver {driver} {can} change it, which nothing here needs" in told.detail


def test_strict_filtering_harms_only_a_nic_with_addresses_whose_answers_leave_elsewhere() -> None:
    addressed = on("eth1", addresses=(PROVIDER,))(CONTROLLER)
    assert Code.NODE_REVERSE_PATH_FILTER in wrong(addressed)
    assert Code.NODE_REVERSE_PATH_FILTER not in wrong(on("eth1", strict=False)(addressed))
    by_policy = replace(addressed, routed=frozenset({"eth0", "eth1"}))
    assert Code.NODE_REVERSE_PATH_FILTER not in wrong(by_policy)


@pytest.mark.parametrize(
    ("hypervisor", "kvm", "virt_type", "ok", "detail"),
    [
        ("auto", False, None, True, "servers are emulated"),
        ("auto", True, None, True, "/dev/kvm, nested; tried at `up`"),
        ("auto", True, "kvm", True, "/dev/kvm, nested"),
        ("auto", False, "kvm", False, "servers would be emulated"),
        ("auto", True, "qemu", True, "/dev/kvm, nested; servers are emulated"),
        ("kvm", True, None, True, "/dev/kvm, nested"),
        ("kvm", False, None, False, "no /dev/kvm"),
        ("kvm", True, "qemu", False, "servers would be emulated"),
        ("qemu", False, None, True, "servers are emulated"),
        ("qemu", True, "qemu", True, "servers are emulated"),
    ],
)
def test_kvm_is_asked_for_where_the_file_or_nova_asks_for_it(
    hypervisor: Hypervisor, kvm: bool, virt_type: str | None, ok: bool, detail: str
) -> None:
    seen = replace(CONTROLLER, kvm=kvm, nested=True, virt_type=virt_type)
    told = of(Code.NODE_KVM, seen, hypervisor)
    assert told.ok is ok
    assert detail in told.detail


def test_why_there_is_no_kvm_is_told() -> None:
    for nested, virtualizes, why in (
        (True, False, "nested virtualization is not offered"),
        (True, True, "the module kvm is not loaded"),
        (False, False, "the processor cannot"),
    ):
        seen = replace(CONTROLLER, nested=nested, virtualizes=virtualizes)
        assert why in of(Code.NODE_KVM, seen).detail


@pytest.mark.parametrize(
    ("offset", "synchronized", "ok", "detail"),
    [
        (-0.6, None, True, "right to the second"),
        (9.0, False, True, "9 s ahead of the cloud's, not kept by NTP"),
        (-10.5, True, False, "behind the cloud's, kept by NTP"),
        (None, True, True, "kept by NTP"),
        (None, False, None, "not kept by NTP"),
        (None, None, None, "nobody tells the time here"),
    ],
)
def test_a_clock_is_judged_by_who_knows_the_time(
    offset: float | None, synchronized: bool | None, ok: bool | None, detail: str
) -> None:
    told = of(Code.NODE_CLOCK, replace(CONTROLLER, clock_offset=offset, synchronized=synchronized))
    assert told.ok is ok
    assert detail in told.detail


def test_a_port_is_ours_by_its_unit_and_systemd_may_wait_for_us() -> None:
    waiting = listens(4369, "systemd", "init.scope")(CONTROLLER)
    assert not wrong(waiting)
    unknown = replace(CONTROLLER, listening={5672: ()})
    assert wrong(unknown)[Code.NODE_PORT_TAKEN].detail == "5672 (rabbitmq-server) by ?"
    assert not wrong(listens(8080, "anybody")(CONTROLLER))


def test_the_smallest_mtu_that_neutron_needs_is_enough() -> None:
    assert not wrong(on("eth1", mtu=1500)(on("uplink0", mtu=1500)(CONTROLLER)))


def test_modules_that_are_needed_only_elsewhere_may_be_missing_and_are_told() -> None:
    seen = replace(CONTROLLER, modules={**ALL, "vxlan": False, "tun": False})
    told = {one.subject: one for one in findings(seen) if one.code is Code.NODE_MODULE}
    assert all(one.ok for one in told.values())
    assert told["module vxlan"].detail == "not there: used between machines only"
    assert told["module openvswitch"].detail == "not there: Open vSwitch runs in userspace"
    assert told["module tun"].detail == "there"


def test_modules_that_nobody_tells_of_are_unknown_and_no_alarm() -> None:
    """A container has its host's kernel, and neither its modules nor its configuration."""
    seen = replace(CONTROLLER, modules=dict.fromkeys(MODULES))
    told = {one.subject: one for one in findings(seen) if one.code is Code.NODE_MODULE}
    assert not wrong(seen)
    veth = told["module veth"]
    assert (veth.ok, veth.detail) == (None, "cannot be told, and needed")
    assert told["module tun"].ok


@pytest.mark.parametrize("datapath", ["system", None])
def test_with_open_vswitch_in_the_kernel_no_bridge_is_needed(datapath: str | None) -> None:
    modules = {**ALL, "openvswitch": True, "bridge": False}
    assert not wrong(replace(CONTROLLER, modules=modules, datapath=datapath))
    assert Code.NODE_MODULE in wrong(replace(CONTROLLER, modules={**ALL, "bridge": False}))


def test_rules_that_cannot_be_listed_are_unknown_not_well() -> None:
    assert of(Code.NODE_FOREIGN_RULES, replace(CONTROLLER, tables=None)).ok is None


def test_a_fresh_machine_may_have_any_lasting_name_but_none_of_no_ones() -> None:
    assert Code.NODE_HOST_NAME in wrong(replace(FRESH, stored_name="another"))
    nameless = replace(FRESH, host_name="localhost", stored_name="localhost")
    assert Code.NODE_HOST_NAME in wrong(nameless)


def test_a_nic_that_the_cloud_below_lacks_is_not_looked_for() -> None:
    one = replace(NODE, nics=NODE.nics[:1])
    told = [one.subject for one in findings(CONTROLLER, node=one)]
    assert "management NIC" in told
    assert "provider NIC" not in told


def test_what_a_machine_promises_may_be_kept_in_part_by_its_kernel() -> None:
    assert on_machine.memory(int(5.5 * GIB)).ok
    assert on_machine.disk(int(18.5 * GIB), 2 * GIB).ok
    with pytest.raises(Refused, match=r"5\.0 GiB of memory, 6 GiB are needed") as refused:
        require([on_machine.disk(20 * GIB, GIB), on_machine.memory(5 * GIB)])
    assert refused.value.hint == "choose a larger underlay.instance_type"
