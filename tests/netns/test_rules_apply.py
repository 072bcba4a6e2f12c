"""Tables in a real kernel: whatever was there before, what is applied last is what is there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_tables import FAMILY, NAME, tables

from pileus.model.errors import CommandFailed, Fault
from pileus.rules import apply as rules
from pileus.rules.ruleset import (
    Accept,
    Chain,
    Count,
    Field,
    Hook,
    Jump,
    Match,
    NamedSet,
    Rule,
    SetName,
    Table,
)
from pileus.system import netns, process

pytestmark = pytest.mark.netns

HERE, TWIN = f"rules{os.getpid()}", f"rules{os.getpid()}-twin"
FOREIGN = "table inet users { chain c { type filter hook input priority 5; counter; }; }\n"
OUT = Hook("filter", "output", "0", "accept")
PINGS = Rule("ping", (Match(Field.IP_PROTOCOL, "icmp"), Count("pings"), Accept()))


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> Iterator[None]:
    try:
        for name in (HERE, TWIN):
            netns.ensure(name)
        yield
    finally:
        for name in (HERE, TWIN):
            netns.remove(name)


@pytest.fixture(autouse=True)
def empty() -> None:
    nft(HERE, "flush ruleset")


def nft(namespace: str, script: str) -> str:
    return process.run(["ip", "netns", "exec", namespace, "nft", "-f", "-"], stdin=script).stdout


def listed(namespace: str, family: str = FAMILY, name: str = NAME) -> list[Any]:
    """The kernel's own listing without what differs between tables that are the same."""
    command = ["ip", "netns", "exec", namespace, "nft", "--json", "list", "table", family, name]
    objects = json.loads(process.run(command).stdout)["nftables"]
    return sorted((_without_order(item) for item in objects if "metainfo" not in item), key=str)


def _without_order(item: dict[str, Any]) -> Any:
    ((kind, body),) = item.items()
    body.pop("handle")
    if "elem" in body:
        body["elem"].sort(key=str)
    return kind, body


@given(st.lists(tables(), min_size=2, max_size=3))
@settings(max_examples=20)
def test_a_sequence_of_tables_ends_as_the_last_one_alone(sequence: list[Table]) -> None:
    for table in sequence:
        rules.apply(table, namespace=HERE)
    assert not rules.apply(sequence[-1], namespace=HERE)
    rules.remove(FAMILY, NAME, namespace=TWIN)
    rules.apply(sequence[-1], namespace=TWIN)
    # The order of rules shows in the order of a chain's comments.
    read, alone = (rules.read(FAMILY, NAME, namespace=name) for name in (HERE, TWIN))
    assert read == alone
    assert listed(HERE) == listed(TWIN)


def ping(count: int) -> None:
    inside = ["ip", "netns", "exec", HERE]
    process.run([*inside, "ping", "-c", str(count), "-i", "0.01", "127.0.0.1"])


def pings() -> int:
    found = rules.read(FAMILY, NAME, namespace=HERE)
    assert found
    return found.counters["pings"]


def test_numbers_of_counters_survive_a_change_of_their_rule_and_chain() -> None:
    rules.apply(Table(FAMILY, NAME, (Chain("out", (PINGS,), OUT),)), namespace=HERE)
    ping(3)
    before = pings()
    assert before == 6  # the question and the answer, both by the output hook
    other = Rule("udp", (Match(Field.UDP_DESTINATION, 9), Accept()))
    lower = Hook("filter", "output", "-5", "accept")
    for chain in (Chain("out", (other, PINGS), OUT), Chain("out", (other, PINGS), lower)):
        assert rules.apply(Table(FAMILY, NAME, (chain,)), namespace=HERE)
        assert pings() == before
    ping(1)
    assert pings() == before + 2, "the chain that was made anew has its rules"


def test_applying_twice_changes_nothing() -> None:
    table = Table(FAMILY, NAME, (Chain("out", (PINGS,), OUT),))
    assert rules.apply(table, namespace=HERE)
    first = process.run(["ip", "netns", "exec", HERE, "nft", "-a", "list", "ruleset"]).stdout
    assert not rules.apply(table, namespace=HERE)
    again = process.run(["ip", "netns", "exec", HERE, "nft", "-a", "list", "ruleset"]).stdout
    assert again == first, "handles included: nothing was made anew"


def test_tables_of_others_are_not_touched() -> None:
    nft(HERE, FOREIGN)
    before = listed(HERE, "inet", "users")
    rules.apply(Table(FAMILY, NAME, (Chain("out", (PINGS,), OUT),)), namespace=HERE)
    rules.apply(Table(FAMILY, NAME, ()), namespace=HERE)
    rules.remove(FAMILY, NAME, namespace=HERE)
    assert listed(HERE, "inet", "users") == before


def test_removing_is_safe_to_repeat() -> None:
    rules.apply(Table(FAMILY, NAME, ()), namespace=HERE)
    for _ in range(2):
        rules.remove(FAMILY, NAME, namespace=HERE)
        assert rules.read(FAMILY, NAME, namespace=HERE) is None


def test_a_change_that_is_refused_changes_nothing() -> None:
    """One line of many is wrong: a jump to a chain that is not there."""
    good = Table(FAMILY, NAME, (Chain("out", (PINGS,), OUT),))
    rules.apply(good, namespace=HERE)
    ping(1)
    before = listed(HERE)
    hosts = NamedSet("hosts", "ipv4_addr")
    wrong = Rule("wrong", (Match(Field.IP_SOURCE, SetName("hosts")), Jump("missing")))
    with pytest.raises(CommandFailed):
        rules.apply(Table(FAMILY, NAME, (Chain("out", (wrong,), OUT),), (hosts,)), namespace=HERE)
    assert listed(HERE) == before


def test_a_rule_that_somebody_put_into_our_table_is_taken_out() -> None:
    table = Table(FAMILY, NAME, (Chain("out", (PINGS,), OUT),))
    rules.apply(table, namespace=HERE)
    before = listed(HERE)
    nft(HERE, f"insert rule {FAMILY} {NAME} out drop")
    assert rules.apply(table, namespace=HERE)
    assert listed(HERE) == before


def test_a_missing_namespace_is_an_error_and_is_not_made() -> None:
    with pytest.raises((CommandFailed, Fault)):
        rules.apply(Table(FAMILY, NAME, ()), namespace=f"{HERE}-missing")
    assert not (netns.DIRECTORY / f"{HERE}-missing").exists()


def test_entering_a_missing_namespace_does_not_make_it() -> None:
    with pytest.raises(OSError, match="No such file"):
        netns.run_inside(f"{HERE}-missing", lambda: None)
    assert not (netns.DIRECTORY / f"{HERE}-missing").exists()


def test_rules_of_a_device_can_be_loaded_again_after_it_was_replaced() -> None:
    """Some kernels drop a device's chains with it, others keep them."""
    ingress = Hook("filter", "ingress", "0", "accept", device="eni1")
    table = Table("netdev", NAME, (Chain("from_eni1", (PINGS,), ingress),))
    for _ in range(2):
        netns.batch(HERE, ["link add eni1 type veth peer name eth0"])
        rules.apply(table, namespace=HERE)
        netns.batch(HERE, ["link set eni1 up", "link set eth0 up"])
        assert not rules.apply(table, namespace=HERE)
        netns.batch(HERE, ["link del eni1"])
        rules.apply(Table("netdev", NAME, ()), namespace=HERE)
