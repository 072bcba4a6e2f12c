"""Tables in a real kernel: whatever was there before, what is applied last is what is there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
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
    Dynamic,
    Field,
    Hook,
    Jump,
    Match,
    NamedSet,
    Remember,
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


# What rules learn: elements that belong to the kernel.

ADDRESSES = [IPv4Address(f"127.0.0.{n}") for n in range(1, 6)]
LEARN = Rule("learn", (Remember("seen", (Field.IP_SOURCE, Field.IP_DESTINATION)),))


def learning(*allowed: IPv4Address, timeout: int = 60, more: tuple[Rule, ...] = ()) -> Table:
    """Every source in `allowed` is remembered with where it sent to."""
    known = Rule("known", (Match(Field.IP_SOURCE, SetName("allowed"), negate=True), Accept()))
    return Table(
        FAMILY,
        NAME,
        (Chain("out", (known, PINGS_COUNTED, *more, LEARN), OUT),),
        (
            NamedSet("allowed", "ipv4_addr", frozenset(allowed)),
            NamedSet("seen", "ipv4_addr . ipv4_addr", dynamic=Dynamic(64, timeout, "allowed")),
        ),
    )


PINGS_COUNTED = Rule("ping", (Match(Field.IP_PROTOCOL, "icmp"), Count("pings")))


def speak(source: IPv4Address) -> None:
    inside = ["ip", "netns", "exec", HERE]
    process.run([*inside, "ping", "-c", "1", "-I", str(source), "127.0.0.1"])


def seen() -> set[str]:
    """Sources that have been learned to have sent to 127.0.0.1, or answered."""
    found = rules.read(FAMILY, NAME, namespace=HERE)
    assert found
    return {element.partition(" . ")[0] for element in found.sets["seen"]}


def test_what_was_learned_stays_for_what_stays_and_goes_with_what_goes() -> None:
    first, second, third = ADDRESSES[1:4]
    rules.apply(learning(first, second), namespace=HERE)
    for address in (first, second, third):
        speak(address)
    assert seen() == {str(first), str(second)}, "what is not allowed is not learned"
    counted = pings()
    rules.apply(learning(second, third), namespace=HERE)
    assert seen() == {str(second)}
    assert pings() == counted
    speak(third)
    assert seen() == {str(second), str(third)}


def test_a_changed_rule_forgets_nothing() -> None:
    rules.apply(learning(ADDRESSES[1]), namespace=HERE)
    speak(ADDRESSES[1])
    assert rules.apply(learning(ADDRESSES[1], more=(PINGS_COUNTED,)), namespace=HERE)
    assert seen() == {str(ADDRESSES[1])}


def test_a_set_declared_otherwise_is_made_anew_with_all_that_uses_it() -> None:
    for timeout in (60, 30):
        assert rules.apply(learning(ADDRESSES[1], timeout=timeout), namespace=HERE)
        assert not rules.apply(learning(ADDRESSES[1], timeout=timeout), namespace=HERE)
    speak(ADDRESSES[1])
    assert seen() == {str(ADDRESSES[1])}


def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What nft is asked from here on."""
    made: list[tuple[str, ...]] = []
    run = process.run

    def watched(argv: Sequence[str], **options: Any) -> process.Done:
        made.append(tuple(argv[argv.index("nft") + 1 :]))
        return run(argv, **options)

    monkeypatch.setattr(process, "run", watched)
    return made


def test_a_known_table_that_only_grows_is_not_read_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = rules.apply(learning(*ADDRESSES[:2]), namespace=HERE).kernel
    asked = calls(monkeypatch)
    grown = rules.apply(learning(*ADDRESSES[:3]), namespace=HERE, known=known)
    assert grown
    assert asked == [("-f", "-"), ("--json", "list", "set", FAMILY, NAME, "allowed")]
    asked.clear()
    assert not rules.apply(learning(*ADDRESSES[:3]), namespace=HERE, known=grown.kernel)
    assert asked == []
    assert grown.kernel == rules.read(FAMILY, NAME, namespace=HERE)


@pytest.mark.parametrize(
    "meanwhile",
    ["flush ruleset", f"flush set {FAMILY} {NAME} allowed", f"flush chain {FAMILY} {NAME} out"],
)
def test_what_was_known_and_is_no_longer_true_is_mended(meanwhile: str) -> None:
    """But for rules that nothing reads again: a whole apply does."""
    known = rules.apply(learning(*ADDRESSES[:2]), namespace=HERE).kernel
    nft(HERE, meanwhile)
    rules.apply(learning(*ADDRESSES[:3]), namespace=HERE, known=known)
    rules.apply(learning(*ADDRESSES[:3]), namespace=HERE)
    speak(ADDRESSES[2])
    assert str(ADDRESSES[2]) in seen()


def test_what_expires_between_reading_and_changing_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An element that is gone already cannot be deleted: the change is worked out again."""
    rules.apply(learning(*ADDRESSES[:2]), namespace=HERE)
    speak(ADDRESSES[1])
    read = rules.read
    reading: list[int] = []

    def expiring(*arguments: Any, **options: Any) -> Any:
        found = read(*arguments, **options)
        if not reading:
            nft(HERE, f"flush set {FAMILY} {NAME} seen")
        reading.append(1)
        return found

    monkeypatch.setattr(rules, "read", expiring)
    assert rules.apply(learning(ADDRESSES[0]), namespace=HERE)
    assert len(reading) == 3
    assert seen() == set()
