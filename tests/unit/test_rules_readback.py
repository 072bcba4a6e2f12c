"""What nft lists, read back. The listings in tests/data/nft are what nft 1.0.6 (Debian 12) and
1.1.3 (Debian 13) print of the table that is written out here; sample.nft loads it."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from uplink_frames import INNER, MAIL, NIC, OTHER, REGISTERED

from pileus.model.addresses import Mac
from pileus.model.errors import Fault
from pileus.rules.nft import difference, render
from pileus.rules.readback import parse
from pileus.rules.ruleset import (
    Accept,
    Chain,
    Count,
    Dispatch,
    Drop,
    Dynamic,
    Field,
    Goto,
    Hook,
    Jump,
    Lookup,
    Match,
    NamedMap,
    NamedSet,
    Range,
    Rule,
    SetName,
    Table,
    TranslateDestination,
)
from pileus.uplink import pipeline

DATA = Path(__file__).parent.parent / "data" / "nft"
VERSIONS = ("1.0.6", "1.1.3")
HOST, MAC = IPv4Address("10.0.0.1"), Mac("02:00:00:00:00:01")

INET = Table(
    "inet",
    "sample",
    chains=(
        Chain(
            "input",
            (
                Rule("dns", (Match(Field.UDP_DESTINATION, 53), Count("dns"), Accept())),
                Rule("far", (Match(Field.IP_SOURCE, SetName("nets")), Drop())),
            ),
            Hook("filter", "input", "0", "drop"),
        ),
        Chain(
            "nat_in",
            (Rule("elastic", (TranslateDestination(Lookup(Field.IP_DESTINATION, "to_private")),)),),
            Hook("nat", "prerouting", "dstnat", "accept"),
        ),
        Chain("nat_out", (), Hook("nat", "postrouting", "srcnat", "accept")),
        Chain(
            "forward",
            (Rule("by device", (Dispatch(Field.IN_INTERFACE, "leaving"),)),),
            Hook("filter", "forward", "-10", "accept"),
        ),
        Chain("leave", (Rule("UNDERLAY_NO_ROUTE", (Count("eni1.UNDERLAY_NO_ROUTE"), Drop())),)),
    ),
    sets=(
        NamedSet(
            "nets",
            "ipv4_addr",
            frozenset({IPv4Network("10.0.0.0/8"), IPv4Network("192.0.2.7/32")}),
            interval=True,
        ),
        NamedSet("ports", "inet_service", frozenset({22, Range(8000, 8010)}), interval=True),
        NamedSet("hosts", "ipv4_addr", frozenset({HOST, IPv4Address("10.0.0.2")})),
        NamedSet("empty", "ether_addr"),
    ),
    maps=(
        NamedMap("leaving", "ifname", "verdict", {"eni1": Jump("leave"), "eni2": Goto("leave")}),
        NamedMap("to_private", "ipv4_addr", "ipv4_addr", {IPv4Address("198.51.100.1"): HOST}),
        NamedMap("owners", "ipv4_addr", "ether_addr", {HOST: MAC}),
    ),
)
NETDEV = Table(
    "netdev",
    "sample",
    chains=(
        Chain(
            "from_eni1",
            (
                Rule(
                    "UNDERLAY_SOURCE_MAC_UNREGISTERED",
                    (
                        Match(Field.ETHER_SOURCE, MAC, negate=True),
                        Count("eni1.mac"),
                        Drop(),
                    ),
                ),
            ),
            Hook("filter", "ingress", "0", "drop", device="eni1"),
        ),
        Chain("to_eni1", (), Hook("filter", "egress", "0", "accept", device="eni1")),
    ),
)


def test_the_sample_is_the_table() -> None:
    assert (DATA / "sample.nft").read_text() == render(INET) + render(NETDEV)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("table", [INET, NETDEV], ids=lambda table: table.family)
def test_a_loaded_table_reads_back_as_what_was_wanted(table: Table, version: str) -> None:
    assert difference(table, parse((DATA / f"{table.family}-{version}.json").read_text())) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_part_is_read(version: str) -> None:
    found = parse((DATA / f"inet-{version}.json").read_text())
    assert found.hooks["input"] == Hook("filter", "input", "0", "drop")
    assert found.hooks["nat_in"] == Hook("nat", "prerouting", "dstnat", "accept")
    assert found.hooks["leave"] is None
    assert [comment.split()[0] for comment in found.chains["input"]] == ["dns", "far"]
    assert found.chains["nat_out"] == ()
    assert found.sets == {
        "nets": {"10.0.0.0/8", "192.0.2.7"},
        "ports": {"22", "8000-8010"},
        "hosts": {"10.0.0.1", "10.0.0.2"},
        "empty": frozenset(),
    }
    assert found.maps == {
        "leaving": {"eni1": "jump leave", "eni2": "goto leave"},
        "to_private": {"198.51.100.1": "10.0.0.1"},
        "owners": {"10.0.0.1": str(MAC)},
    }
    assert found.counters == {"dns": 0, "eni1.UNDERLAY_NO_ROUTE": 0}


def test_only_the_newer_nft_tells_the_device() -> None:
    devices = [
        hook.device
        for version in VERSIONS
        if (hook := parse((DATA / f"netdev-{version}.json").read_text()).hooks["from_eni1"])
    ]
    assert devices == [None, "eni1"]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_rules_have_learned_is_read_and_forgotten_with_its_address(version: str) -> None:
    """The listings are of the uplink's pipeline, after two inner hosts have spoken."""
    found = parse((DATA / f"learned-{version}.json").read_text())
    assert found.maps["inner"] == {"172.16.20.101": str(INNER), "172.16.20.102": str(OTHER)}
    assert found.sets["speaking"] == {"172.16.20.101", "172.16.20.102"}
    assert f"172.16.20.102 . {OTHER}" in found.sets["claims"]
    everything = replace(pipeline.table(NIC, REGISTERED), chains=())
    assert difference(everything, found) == []
    fewer = replace(pipeline.table(NIC, REGISTERED - {MAIL}), chains=())
    assert difference(fewer, found) == [
        "delete element netdev pileus_eth1 registered { 172.16.20.102 }",
        f"delete element netdev pileus_eth1 claims {{ 172.16.20.102 . {OTHER} }}",
        "delete element netdev pileus_eth1 speaking { 172.16.20.102 }",
        "delete element netdev pileus_eth1 inner { 172.16.20.102 }",
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_set_that_is_declared_otherwise_makes_the_table_anew(version: str) -> None:
    found = parse((DATA / f"learned-{version}.json").read_text())
    wanted = replace(pipeline.table(NIC, REGISTERED), chains=())
    for index, named in enumerate(wanted.sets):
        other = replace(named, dynamic=Dynamic(7, 7)) if named.dynamic else None
        other = other or replace(named, interval=True)
        sets = (*wanted.sets[:index], other, *wanted.sets[index + 1 :])
        commands = difference(replace(wanted, sets=sets), found)
        assert commands[0] == "delete table netdev pileus_eth1"
        assert commands[1:] == difference(replace(wanted, sets=sets), None)


def listing(*objects: dict[str, object]) -> str:
    return json.dumps({"nftables": [{"metainfo": {"json_schema_version": 1}}, *objects]})


def test_a_rule_that_somebody_added_makes_a_difference() -> None:
    document = json.loads((DATA / "inet-1.1.3.json").read_text())
    strange = {"family": "inet", "table": "sample", "chain": "leave", "expr": [{"accept": None}]}
    document["nftables"].append({"rule": strange})
    commands = difference(INET, parse(json.dumps(document)))
    assert [command.split(" comment")[0] for command in commands] == [
        "flush chain inet sample leave",
        'add rule inet sample leave counter name "eni1.UNDERLAY_NO_ROUTE" drop',
    ]


def test_packets_of_a_counter_are_read() -> None:
    counter = {"family": "inet", "name": "n", "table": "t", "packets": 7, "bytes": 420}
    assert parse(listing({"counter": counter})).counters == {"n": 7}


def test_an_element_with_a_timeout_or_several_devices_is_read() -> None:
    """Forms that other versions print: an element in full, a list of devices."""
    element = {"elem": {"val": "10.0.0.1", "timeout": 60}}
    named = {"family": "inet", "name": "s", "table": "t", "type": "ipv4_addr", "elem": [element]}
    chain = {
        "family": "netdev",
        "name": "c",
        "table": "t",
        "dev": ["eni1"],
        "type": "filter",
        "hook": "ingress",
        "prio": 0,
        "policy": "drop",
    }
    found = parse(listing({"set": named}, {"chain": chain}))
    assert found.sets == {"s": {"10.0.0.1"}}
    assert found.hooks["c"] == Hook("filter", "ingress", "0", "drop", device="eni1")


@pytest.mark.parametrize("text", ["", "not JSON", "{}"])
def test_what_is_no_listing_is_a_fault_of_the_environment(text: str) -> None:
    with pytest.raises(Fault, match="cannot be read"):
        parse(text)
