"""Makes the kernel equal to the API's state: namespaces, veths, rules and routes of every VPC."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from pileus.model.errors import CommandFailed
from pileus.rules import apply as rules
from pileus.rules.nft import InKernel
from pileus.rules.ruleset import Table
from pileus.system import conntrack, devices, netns
from pileus.system.netns import NamespaceConfig
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

RECHECKED = 50
"""After so many changes that rested on what was known, everything is read back."""


@dataclass(frozen=True)
class _InForce:
    """What a VPC's namespace holds, as far as we made it."""

    state: RegionState
    nics: frozenset[str]
    """The VPC's ends of plugged NICs."""
    tables: Mapping[str, InKernel]
    """By name; none where they are to be read anew."""
    config: NamespaceConfig
    changes: int


class Wire:
    """The VPCs of one region in the kernel.

    What was made is remembered, so that a change costs what it changes. After a failure, and now
    and then, nothing is taken as known.
    """

    def __init__(self, region: str) -> None:
        self._region = region
        self._in_force: dict[str, _InForce] = {}

    def follow(self, state: RegionState, vpc: str, uplink: Uplink) -> None:
        """Make one VPC's namespace what the state says, and end flows that lost their address.

        Safe to repeat. A new NIC's veth stays down until its rules are in place, so that no frame
        passes unchecked; a NIC that is gone loses its veth before its rules.
        """
        known = self._in_force.pop(vpc, None)  # nothing is, should this fail
        if known and known.changes > RECHECKED:
            known = replace(known, tables={}, changes=0)
        if known is None or not _same(known.state, state):
            known = self._change(known, state, vpc, uplink)
        self._in_force[vpc] = known

    def _change(
        self, known: _InForce | None, state: RegionState, vpc: str, uplink: Uplink
    ) -> _InForce:
        namespace = vpc_namespace(self._region, vpc)
        if known is None:
            _ensure_vpc(self._region, namespace, uplink)
        wanted = {link.device: link for link in nic_links(state, vpc)}
        # A veth goes with its machine's namespace, too.
        present = {name for name in netns.devices(namespace) if name.startswith("eni")}
        surplus, new = sorted(present - set(wanted)), sorted(set(wanted) - present)
        gone = {*surplus, *(known.nics - present if known else ())}
        netns.delete_links(namespace, surplus)
        _plug(self._region, namespace, [wanted[name] for name in new])
        # What was counted for a NIC that is gone is known to the kernel alone.
        tables = known.tables if known and not gone else {}
        kernel = _load(_wanted(known, state, vpc, all_of_them=not tables), tables, namespace)
        netns.batch(namespace, [f"link set {name} up" for name in (new if known else wanted)])
        if known and _same(known.state, state, _FOR_ROUTES):
            config = known.config
        else:
            config = vpc_config(state, vpc, uplink)
            netns.configure(namespace, config, _without(known.config, gone) if known else None)
        if known:
            conntrack.forget(namespace, taken_away(known.state, state, vpc))
        changes = known.changes + 1 if known else 0
        return _InForce(state, frozenset(wanted), {**tables, **kernel}, config, changes)

    def unplug_machine(self, state: RegionState, instance: str) -> None:
        """Take a machine's namespace away with all that is in it; `follow` plugs its NICs anew.

        The machine must be off. Does nothing where it never ran.
        """
        namespace = machine_namespace(self._region, instance)
        if not netns.existing(namespace):
            return
        for eni in state.enis_of(instance):
            self._in_force.pop(eni.vpc, None)
            # By hand: the kernel takes a namespace down in its own time.
            inside = vpc_namespace(self._region, eni.vpc)
            if device(eni.id) in netns.links(inside):
                netns.batch(inside, [f"link del {device(eni.id)}"])
        netns.remove(namespace)

    def remove(self, vpc: str, uplink: Uplink) -> None:
        """Remove a VPC's namespace, and with it its rules and the VPC's end of every veth.

        The kernel takes a namespace down in its own time, so the link to the internet goes first.
        """
        self._in_force.pop(vpc, None)
        internet = internet_namespace(self._region)
        if uplink.internet_device in netns.links(internet):
            netns.batch(internet, [f"link del {uplink.internet_device}"])
        netns.remove(vpc_namespace(self._region, vpc))


_FOR_FRAMES = ("vpcs", "subnets", "enis")
_FOR_ROUTES = (*_FOR_FRAMES, "route_tables")
_FOR_ALL = (*_FOR_ROUTES, "groups", "network_acls", "elastic_ips")


def _same(one: RegionState, other: RegionState, parts: Collection[str] = _FOR_ALL) -> bool:
    """Whether two states are the same in what something rests on: by default, in all."""
    return all(getattr(one, part) == getattr(other, part) for part in parts)


def _wanted(
    known: _InForce | None, state: RegionState, vpc: str, *, all_of_them: bool
) -> Iterator[Table]:
    """The tables that may have changed."""
    yield packets_table(state, vpc)
    if all_of_them or known is None or not _same(known.state, state, _FOR_FRAMES):
        yield frames_table(state, vpc)


def _load(
    wanted: Iterable[Table], known: Mapping[str, InKernel], namespace: str
) -> dict[str, InKernel]:
    tables = tuple(wanted)
    if known:
        try:
            pairs = [(table, known[table.name]) for table in tables]
            changed = rules.change(pairs, namespace=namespace)
            return {table.name: kernel for table, kernel in zip(tables, changed, strict=True)}
        except CommandFailed:
            pass
    return {table.name: rules.apply(table, namespace=namespace).kernel for table in tables}


def _without(config: NamespaceConfig, gone: Collection[str]) -> NamespaceConfig:
    """What is left when devices are gone: the kernel forgets what went by them."""
    if not gone:
        return config
    return replace(
        config,
        addresses=frozenset(one for one in config.addresses if one[0] not in gone),
        routes=frozenset(one for one in config.routes if one.device not in gone),
        neighbours=frozenset(one for one in config.neighbours if one.device not in gone),
    )


def _ensure_vpc(region: str, namespace: str, uplink: Uplink) -> None:
    netns.ensure(namespace)
    netns.sysctl(namespace, VPC_SYSCTLS)
    present = netns.links(namespace)
    if NOWHERE not in present:
        made = f"link add {NOWHERE} mtu {JUMBO} type bridge"
        netns.batch(namespace, [made, f"link set {NOWHERE} up"])
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
        netns.batch(internet, [f"link set {end} up"])


def _plug(region: str, namespace: str, links: list[NicLink]) -> None:
    machines: dict[str, list[str]] = {}
    for link in links:
        machine = machine_namespace(region, link.instance)
        machines.setdefault(machine, []).append(link.guest_device)
    netns.ensure(*machines)
    netns.batch(
        namespace,
        [
            f"link add {link.device} address {link.vpc_mac} mtu {JUMBO} type veth "
            f"peer name {link.guest_device} netns {machine_namespace(region, link.instance)} "
            f"address {link.guest_mac} mtu {JUMBO}"
            for link in links
        ],
    )
    offload(namespace, [link.device for link in links], machines)


def offload(namespace: str, ends: Iterable[str], machines: Mapping[str, Iterable[str]]) -> None:
    """Let veths do what NICs do: the VPC's `ends` cut segments, and `machines` merge them again.

    What a machine sends stays as it is until it is delivered, so that the rules judge up to 64 KiB
    of a stream at once. Then it is cut, and checksums are filled in: otherwise a receiver that
    reads raw frames (Open vSwitch in userspace) would see unfinished ones. `machines` are the names
    of namespaces with those of the devices in them.
    """
    _in(namespace, ends, devices.complete_frames)
    for machine, names in machines.items():
        _in(machine, names, devices.merge_received)


def _in(namespace: str, names: Iterable[str], act: Callable[[str], None]) -> None:
    def each() -> None:
        for name in names:
            act(name)

    netns.run_inside(namespace, each)
