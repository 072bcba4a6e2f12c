"""The wiring as data: what is missing, in which order, and nothing where all is there."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from pileus.model.addresses import Mac
from pileus.model.uplink import resolver_mac
from pileus.rules.nft import render
from pileus.uplink import bridge
from pileus.uplink.config import Config, Datapath, NicConfig
from pileus.uplink.wiring import (
    Names,
    Run,
    Seen,
    Set,
    Step,
    Wire,
    abandoned,
    bridge_mac,
    find,
    lay,
    raise_up,
    rules,
    settings,
)

NIC = Mac("02:00:00:00:20:01")
CONFIG = NicConfig(
    NIC, "br-ex", "mac-nat", IPv4Network("172.16.20.0/24"), (IPv4Address("172.16.20.101"),)
)
BRIDGE = {
    "stp_state": 0,
    "forward_delay": 0,
    "mcast_snooping": 0,
    "nf_call_iptables": 0,
    "nf_call_ip6tables": 0,
    "nf_call_arptables": 0,
}


def wire(datapath: Datapath) -> Wire:
    return Wire(Names(0), CONFIG, datapath, "eth1", 9001)


def link(*flags: str, mac: str = "02:00:00:00:00:01", **more: Any) -> dict[str, Any]:
    return {"link_type": "ether", "address": mac, "flags": list(flags), "mtu": 9001, **more}


def fresh(datapath: Datapath) -> Seen:
    """As a machine boots: the NIC, with what its image gave it."""
    nic = link("MULTICAST", mac=str(NIC), addr_info=[{"local": "172.16.20.101"}])
    wanted = settings(wire(datapath))
    other = {key: "01"[value == "0"] for key, value in wanted.items() if key[0] is None}
    return Seen({"eth1": nic}, settings=dict(other))


def whole(datapath: Datapath) -> Seen:
    """As it is to be."""
    links = {"eth1": link("UP", mac=str(NIC)), "uplink0-rs": link("UP")}
    if datapath == "netdev":
        links["eth1"]["master"] = links["uplink0-rs"]["master"] = "uplink0"
        links["uplink0-in"] = link("UP", master="uplink0")
        links["uplink0-ex"] = link("UP")
        info = {"info_kind": "bridge", "info_data": BRIDGE}
        links["uplink0"] = link("UP", mac=str(bridge_mac(NIC)), linkinfo=info)
    return Seen(
        links,
        inner={"lo": link("UP"), "leg": link("UP", mac=str(resolver_mac(NIC)))},
        routes=frozenset({"172.16.20.0/24"}),
        settings=dict(settings(wire(datapath))),
    )


def texts(steps: list[Step]) -> list[str]:
    return [" ".join(step.argv) if isinstance(step, Run) else str(step) for step in steps]


BOTH = pytest.mark.parametrize("datapath", ["netdev", "system"])


@BOTH
def test_where_all_is_there_nothing_is_done(datapath: Datapath) -> None:
    assert lay(wire(datapath), whole(datapath)) == []
    assert raise_up(wire(datapath), whole(datapath).links) == []


def test_with_ovs_in_userspace_a_bridge_stands_between() -> None:
    steps = texts(lay(wire("netdev"), fresh("netdev")))
    assert steps[0] == "ip netns add uplink0-resolver"
    for port in ("eth1", "uplink0-in", "uplink0-rs"):
        assert f"ip link set {port} master uplink0" in steps
    assert "ethtool -K uplink0-ex tx off tso off gso off" in steps
    kept = f"bridge fdb delete {NIC} dev eth1 master"
    assert steps.index(kept) > steps.index("ip link set eth1 master uplink0")
    assert "ip address flush dev eth1" in steps
    assert "ip link set uplink0-ex mtu 9001" in steps


def test_with_ovs_in_the_kernel_nothing_stands_between() -> None:
    steps = texts(lay(wire("system"), fresh("system")))
    assert not [step for step in steps if "uplink0-in" in step or "fdb" in step or "bridge" in step]
    before = replace(whole("system"), links={**whole("netdev").links})
    steps = texts(lay(wire("system"), before))
    assert steps == [
        "ip link set eth1 nomaster",
        "ip link delete uplink0-in",
        "ip link delete uplink0",
    ]


@BOTH
def test_the_nic_comes_up_last_and_laying_brings_nothing_up(datapath: Datapath) -> None:
    steps = texts(lay(wire(datapath), fresh(datapath)))
    inner = "ip -netns uplink0-resolver link set"
    assert [step for step in steps if step.endswith(" up")] == [f"{inner} lo up", f"{inner} leg up"]
    up = texts(raise_up(wire(datapath), fresh(datapath).links))
    assert up[-1] == "ip link set eth1 up"


@BOTH
def test_settings_are_written_before_anything_is_up(datapath: Datapath) -> None:
    steps = lay(wire(datapath), fresh(datapath))
    written = [step for step in steps if isinstance(step, Set)]
    assert {(step.namespace, step.path): step.value for step in written} == settings(wire(datapath))
    leg = Run(("ip", "-netns", "uplink0-resolver", "link", "set", "leg", "up"))
    assert max(map(steps.index, written)) < steps.index(leg)


@pytest.mark.parametrize("gone", ["uplink0-in", "uplink0-ex"])
def test_a_veth_with_one_end_is_made_anew(gone: str) -> None:
    seen = whole("netdev")
    links = {name: entry for name, entry in seen.links.items() if name != gone}
    (other,) = {"uplink0-in", "uplink0-ex"} - {gone}
    steps = texts(lay(wire("netdev"), replace(seen, links=links)))
    assert steps[:2] == [
        f"ip link delete {other}",
        "ip link add uplink0-in type veth peer name uplink0-ex",
    ]
    assert "ip link set uplink0-in master uplink0" in steps


def test_a_resolver_that_lost_its_namespace_is_made_anew() -> None:
    steps = texts(lay(wire("netdev"), replace(whole("netdev"), inner=None)))
    assert steps[0] == "ip link delete uplink0-rs"
    assert steps[1] == "ip netns add uplink0-resolver"
    assert "ip link set uplink0-rs master uplink0" in steps
    assert steps[-1] == "ip -netns uplink0-resolver route replace 172.16.20.0/24 dev leg"


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"offloading": frozenset({"uplink0-in"})}, "ethtool -K uplink0-in"),
        ({"kept": frozenset({(str(NIC), "eth1")})}, f"bridge fdb delete {NIC}"),
        ({"routes": frozenset()}, "route replace 172.16.20.0/24"),
    ],
)
def test_one_thing_that_is_wrong_is_one_step(change: dict[str, Any], step: str) -> None:
    (only,) = texts(lay(wire("netdev"), replace(whole("netdev"), **change)))
    assert step in only


def test_a_setting_that_the_kernel_lacks_is_not_written() -> None:
    seen = whole("netdev")
    lacking = {
        key: None if "bridge-nf" in key[1] else value for key, value in seen.settings.items()
    }
    assert lay(wire("netdev"), replace(seen, settings=lacking)) == []


def test_the_nic_is_found_by_its_mac_among_devices_that_carry_it_too() -> None:
    nic = link(mac=str(NIC))
    copies = {
        kind: link(mac=str(NIC), linkinfo={"info_kind": kind})
        for kind in ("tun", "bridge", "macvlan", "openvswitch")
    }
    assert find({"eth1": nic, "lo": {"link_type": "loopback"}, **copies}, NIC) == "eth1"
    assert find(copies, NIC) is None
    enslaved = {**nic, "master": "ovs-system", "linkinfo": {"info_slave_kind": "openvswitch"}}
    assert find({"eth1": enslaved}, NIC) == "eth1"
    with pytest.raises(ValueError, match="eth1 and eth2 have the same MAC"):
        find({"eth1": nic, "eth2": nic}, NIC)


def test_what_belongs_to_nics_that_are_gone_is_removed() -> None:
    links = {**whole("netdev").links, "uplink1-rs": link(), "uplink1": link(), "uplinkx": link()}
    assert texts(abandoned(links, 1)) == ["ip link delete uplink1-rs", "ip link delete uplink1"]
    assert abandoned(links, 2) == []


def test_the_nodes_own_stack_is_kept_off_both_ways() -> None:
    text = render(rules(wire("netdev")))
    assert 'hook ingress device "uplink0-ex" priority 0; policy drop' in text
    assert 'hook ingress device "uplink0" priority 0; policy drop' in text
    assert 'hook egress device "uplink0" priority 0; policy drop' in text
    assert " accept " not in text


@BOTH
def test_the_resolver_hears_what_is_for_itself_alone(datapath: Datapath) -> None:
    text = render(rules(wire(datapath)))
    assert 'hook egress device "uplink0-rs" priority 0; policy accept' in text
    assert "ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00" in text


# Open vSwitch


@pytest.mark.parametrize(
    ("datapath", "ports", "strays"),
    [
        ("netdev", ("uplink0-ex",), ("eth1", "uplink0-rs")),
        ("system", ("eth1", "uplink0-rs"), ("uplink0-ex",)),
    ],
)
def test_br_ex_has_the_ports_of_its_datapath_and_no_others(
    datapath: Datapath, ports: tuple[str, ...], strays: tuple[str, ...]
) -> None:
    made = bridge.bridge(Names(0), NIC, "eth1", "br-ex", datapath)
    assert (made.ports, made.strays) == (ports, strays)
    assert made.mac == Mac("02:50:49:00:20:01") != NIC
    words = " ".join(bridge.command(Config((CONFIG,), datapath), [made]))
    for port in strays:
        assert f"--if-exists del-port br-ex {port}" in words
    for port in ports:
        assert f"--may-exist add-port br-ex {port}" in words
    assert f"set bridge br-int datapath_type={datapath} fail_mode=secure" in words


def test_a_nics_bridge_goes_with_it_and_others_bridges_stay() -> None:
    config = Config((CONFIG,), "netdev")
    gone = bridge.left_over(["br-ex", "br-ex2", "br-ex10", "br-exotic", "br-int"], config)
    assert gone == ["br-ex10", "br-ex2"]
    assert bridge.left_over(["br-ex2"], Config((replace(CONFIG, bridge="br-ex2"),), "netdev")) == []
    words = " ".join(bridge.command(config, [], gone[1:]))
    assert "-- --if-exists del-br br-ex2 -- --if-exists del-port br-int int-br-ex2" in words
