"""Open vSwitch's part of the wiring: the integration bridge, and the bridge of each NIC.

It is kept in OVS's own database over restarts, so it is made once, when a node is configured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pileus.model.addresses import Mac
from pileus.model.errors import CommandFailed
from pileus.system import process
from pileus.uplink import keeper, nodewiring
from pileus.uplink.config import Config, Datapath
from pileus.uplink.wiring import Names

INTEGRATION = "br-int"
_NUMBERED = re.compile(r"br-ex[0-9]+")
"""Bridges of NICs beyond the first."""


@dataclass(frozen=True)
class Bridge:
    """The bridge of a NIC, as it is to be."""

    name: str
    datapath: Datapath
    mac: Mac
    ports: tuple[str, ...]
    strays: tuple[str, ...]
    """Devices of the uplink that belong elsewhere, where an older wiring may have put them."""


def bridge(names: Names, nic: Mac, device: str, name: str, datapath: Datapath) -> Bridge:
    """With OVS in userspace only the veth's end is a port. Its MAC is the bridge's own: two
    senders with the NIC's lose each other's answers. Pure."""
    direct, veth = (device, names.resolver_port), (names.outside,)
    ports, strays = (direct, veth) if datapath == "system" else (veth, direct)
    return Bridge(name, datapath, Mac(f"02:50:49{nic.text[8:]}"), ports, strays)


def left_over(there: Iterable[str], config: Config) -> list[str]:
    """Bridges of NICs that are no longer ours. Pure."""
    wanted = {nic.bridge for nic in config.nics}
    return sorted(name for name in there if _NUMBERED.fullmatch(name) and name not in wanted)


def command(config: Config, bridges: list[Bridge], gone: Iterable[str] = ()) -> list[str]:
    """The arguments of one `ovs-vsctl` transaction that makes all of them, and removes those that
    are `gone` with what connected them. Safe to repeat. Pure."""
    words = ["--may-exist", "add-br", INTEGRATION, "--", "set", "bridge", INTEGRATION]
    words += [f"datapath_type={config.datapath}", "fail_mode=secure"]
    for one in bridges:
        words += ["--", "--may-exist", "add-br", one.name, "--", "set", "bridge", one.name]
        words += [f"datapath_type={one.datapath}", f'other-config:hwaddr="{one.mac}"']
        for port in one.strays:
            words += ["--", "--if-exists", "del-port", one.name, port]
        for port in one.ports:
            words += ["--", "--may-exist", "add-port", one.name, port]
    for name in gone:
        words += ["--", "--if-exists", "del-br", name]
        words += ["--", "--if-exists", "del-port", INTEGRATION, f"int-{name}"]
    return words


def is_right() -> bool:
    """Whether OVS has all of it."""
    config, bridges = _wanted()
    try:
        return (
            _get(INTEGRATION, "datapath_type") == config.datapath
            and all(map(_is, bridges))
            and not left_over(_there(), config)
        )
    except CommandFailed:
        return False


def make() -> None:
    """Make what is missing. Raises CommandFailed when OVS refuses, Fault without the NICs."""
    config, bridges = _wanted()
    _vsctl(*command(config, bridges, left_over(_there(), config)))


def _there() -> list[str]:
    return _vsctl("list-br").splitlines()


def _wanted() -> tuple[Config, list[Bridge]]:
    config = keeper.configuration()
    return config, list(_bridges(config))


def _bridges(config: Config) -> Iterator[Bridge]:
    links = nodewiring.links()
    for number, nic in enumerate(config.nics):
        wire = keeper.found(Names(number), nic, config.datapath, links)
        yield bridge(wire.names, nic.mac, wire.device, nic.bridge, config.datapath)


def _is(one: Bridge) -> bool:
    has = set(_vsctl("list-ports", one.name).splitlines())
    return (
        has.issuperset(one.ports)
        and has.isdisjoint(one.strays)
        and _get(one.name, "datapath_type") == one.datapath
        and _get(one.name, "other-config:hwaddr") == str(one.mac)
    )


def _get(name: str, column: str) -> str:
    return _vsctl("get", "bridge", name, column).strip('"')


def _vsctl(*words: str) -> str:
    return process.run(["ovs-vsctl", "--timeout=20", *words]).stdout.strip()
