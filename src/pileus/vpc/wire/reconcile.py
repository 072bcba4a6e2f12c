"""Makes the kernel equal to the API's state: namespaces, veths, rules and routes of every VPC."""

from __future__ import annotations

from pileus.rules import apply as rules
from pileus.system import conntrack, netns, process
from pileus.vpc.state import RegionState
from pileus.vpc.wire.flows import taken_away
from pileus.vpc.wire.frames import frames_table
from pileus.vpc.wire.hops import hops_table
from pileus.vpc.wire.names import (
    GATEWAY,
    NOWHERE,
    device,
    internet_namespace,
    machine_namespace,
    vpc_namespace,
)
from pileus.vpc.wire.packets import packets_table
from pileus.vpc.wire.topology import (
    INTERNET_MTU,
    JUMBO,
    VPC_SYSCTLS,
    NicLink,
    Uplink,
    nic_links,
    vpc_config,
)


def reconcile_vpc(region: str, state: RegionState, vpc: str, uplink: Uplink) -> None:
    """Make one VPC's namespace what the state says. Safe to repeat.

    A new NIC's veth stays down until its rules are in place, so that no frame passes unchecked; a
    NIC that is gone loses its veth before its rules.
    """
    namespace = vpc_namespace(region, vpc)
    _ensure_vpc(region, namespace, uplink)
    wanted = {link.device: link for link in nic_links(state, vpc)}
    present = {name for name in netns.links(namespace) if name.startswith("eni")}
    netns.batch(namespace, [f"link del {name}" for name in sorted(present - set(wanted))])
    for name in sorted(set(wanted) - present):
        _plug(region, namespace, wanted[name])
    rules.apply(packets_table(state, vpc), namespace=namespace)
    rules.apply(frames_table(state, vpc), namespace=namespace)
    netns.batch(namespace, [f"link set {name} up" for name in sorted(wanted)])
    netns.configure(namespace, vpc_config(state, vpc, uplink))


def unplug_machine(region: str, state: RegionState, instance: str) -> None:
    """Take a machine's namespace away with all that is in it; `reconcile_vpc` plugs its NICs anew.

    The machine must be off. Does nothing where it never ran.
    """
    namespace = machine_namespace(region, instance)
    if not netns.existing(namespace):
        return
    for eni in state.enis_of(instance):
        # By hand: the kernel takes a namespace down in its own time.
        inside = vpc_namespace(region, eni.vpc)
        if device(eni.id) in netns.links(inside):
            netns.batch(inside, [f"link del {device(eni.id)}"])
    netns.remove(namespace)


def cut_flows(region: str, former: RegionState, state: RegionState, vpc: str) -> None:
    """End the flows of addresses that were taken away since `former`. Rules come first."""
    conntrack.forget(vpc_namespace(region, vpc), taken_away(former, state, vpc))


def remove_vpc(region: str, vpc: str, uplink: Uplink) -> None:
    """Remove a VPC's namespace, and with it its rules and the VPC's end of every veth.

    The kernel takes a namespace down in its own time, so the link to the internet goes first.
    """
    internet = internet_namespace(region)
    if uplink.internet_device in netns.links(internet):
        netns.batch(internet, [f"link del {uplink.internet_device}"])
    netns.remove(vpc_namespace(region, vpc))


def _ensure_vpc(region: str, namespace: str, uplink: Uplink) -> None:
    netns.ensure(namespace)
    netns.sysctl(namespace, VPC_SYSCTLS)
    present = netns.links(namespace)
    if NOWHERE not in present:
        netns.batch(namespace, [f"link add {NOWHERE} type bridge", f"link set {NOWHERE} up"])
    if GATEWAY not in present:
        rules.apply(hops_table(), namespace=namespace)
        internet = internet_namespace(region)
        end = uplink.internet_device
        netns.batch(
            namespace,
            [
                f"link add {GATEWAY} mtu {INTERNET_MTU} type veth "
                f"peer name {end} netns {internet} mtu {INTERNET_MTU}",
                f"link set {GATEWAY} up",
            ],
        )
        complete_checksums(internet, end)
        netns.batch(internet, [f"link set {end} up"])


def _plug(region: str, namespace: str, link: NicLink) -> None:
    machine = machine_namespace(region, link.instance)
    netns.ensure(machine)
    netns.batch(
        namespace,
        [
            f"link add {link.device} address {link.vpc_mac} mtu {JUMBO} type veth "
            f"peer name {link.guest_device} netns {machine} "
            f"address {link.guest_mac} mtu {JUMBO}"
        ],
    )
    complete_checksums(machine, link.guest_device)


def complete_checksums(namespace: str, device: str) -> None:
    """Let a veth's end send whole checksums, as a real NIC puts them on its wire.

    Otherwise a receiver that reads raw frames (Open vSwitch in userspace) sees unfinished ones.
    """
    process.run(["ip", "netns", "exec", namespace, "ethtool", "-K", device, "tx", "off"])
