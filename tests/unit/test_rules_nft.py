"""Rules as nft text, and the commands that turn one table into another."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from rules_kernel import Kernel
from rules_tables import tables

from pileus.model.addresses import Mac
from pileus.rules.nft import (
    InKernel,
    atom_text,
    comment,
    difference,
    map_text,
    render,
    rule_text,
)
from pileus.rules.ruleset import (
    Accept,
    AnswerArp,
    Chain,
    Count,
    Dispatch,
    Drop,
    Field,
    Goto,
    Hook,
    Jump,
    Lookup,
    Match,
    NamedMap,
    NamedSet,
    Range,
    Return,
    Rewrite,
    Rule,
    SetName,
    Statement,
    Table,
    TranslateDestination,
    TranslateSource,
)

MAC = Mac("02:00:00:00:00:01")
HOST = IPv4Address("10.0.0.1")


def kept(table: Table, counters: int = 0) -> InKernel:
    """What the kernel has once the table is loaded."""
    return InKernel(
        {chain.name: chain.hook for chain in table.chains},
        {chain.name: tuple(comment(rule) for rule in chain.rules) for chain in table.chains},
        {s.name: frozenset(atom_text(element) for element in s.elements) for s in table.sets},
        {m.name: map_text(m) for m in table.maps},
        dict.fromkeys(table.counters, counters),
    )


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (Match(Field.ETHER_SOURCE, MAC, negate=True), f"ether saddr != {MAC}"),
        (Match(Field.IP_SOURCE, SetName("own")), "ip saddr @own"),
        (Match(Field.IN_INTERFACE, "eni1"), 'iifname "eni1"'),
        (Match(Field.TCP_DESTINATION, Range(80, 80)), "tcp dport 80"),
        (Match(Field.TCP_DESTINATION, Range(80, 90)), "tcp dport 80-90"),
        (Match(Field.IP_SOURCE, frozenset({HOST})), "ip saddr 10.0.0.1"),
        (
            Match(Field.IP_SOURCE, frozenset({IPv4Network("10.0.0.0/8"), HOST})),
            "ip saddr { 10.0.0.0/8, 10.0.0.1 }",
        ),
        (Match(Field.OUT_INTERFACE, frozenset({"a", "b"})), 'oifname { "a", "b" }'),
        (Count("eni1.CODE"), 'counter name "eni1.CODE"'),
        (Accept(), "accept"),
        (Drop(), "drop"),
        (Return(), "return"),
        (Jump("leave"), "jump leave"),
        (Goto("leave"), "goto leave"),
        (Dispatch(Field.IN_INTERFACE, "leaving"), "iifname vmap @leaving"),
        (Rewrite(Field.PACKET_TYPE, "host"), "meta pkttype set host"),
        (
            Rewrite(Field.ETHER_SOURCE, Lookup(Field.IP_SOURCE, "owners")),
            "ether saddr set ip saddr map @owners",
        ),
        (
            TranslateDestination(Lookup(Field.IP_DESTINATION, "to_private")),
            "dnat ip to ip daddr map @to_private",
        ),
        (
            TranslateSource(Lookup(Field.IP_SOURCE, "to_public")),
            "snat ip to ip saddr map @to_public",
        ),
    ],
)
def test_a_statement_in_nfts_words(statement: Statement, text: str) -> None:
    assert rule_text(Rule("any", (statement,))) == text


def test_an_arp_answer_ends_with_the_frame_going_back() -> None:
    text = rule_text(Rule("any", (AnswerArp("owners"),)))
    assert "arp saddr ether set arp saddr ip map @owners" in text
    assert text.endswith("arp operation set reply fwd to iif")


WEB = Rule("web", (Match(Field.TCP_DESTINATION, 80), Count("web"), Accept()))
SSH = Rule("ssh", (Match(Field.TCP_DESTINATION, 22), Count("ssh"), Accept()))
INPUT = Hook("filter", "input", "0", "drop")
FIRST = Table(
    "inet",
    "t",
    (Chain("in", (WEB, SSH), INPUT), Chain("side", (WEB,))),
    (NamedSet("hosts", "ipv4_addr", frozenset({HOST})),),
    (NamedMap("by", "ifname", "verdict", {"eni1": Jump("side"), "eni2": Goto("side")}),),
)


def test_a_table_from_nothing_declares_before_it_refers() -> None:
    assert (
        render(FIRST)
        == f"""\
add table inet t
add counter inet t web
add counter inet t ssh
add set inet t hosts {{ type ipv4_addr; }}
add map inet t by {{ type ifname : verdict; }}
add chain inet t in {{ type filter hook input priority 0; policy drop; }}
add chain inet t side
add element inet t hosts {{ 10.0.0.1 }}
add element inet t by {{ "eni1" : jump side, "eni2" : goto side }}
add rule inet t in tcp dport 80 counter name "web" accept comment "{comment(WEB)}"
add rule inet t in tcp dport 22 counter name "ssh" accept comment "{comment(SSH)}"
add rule inet t side tcp dport 80 counter name "web" accept comment "{comment(WEB)}"
"""
    )


def test_nothing_is_done_when_the_kernel_has_it_all() -> None:
    assert difference(FIRST, kept(FIRST, counters=7)) == []


def change(**parts: object) -> list[str]:
    wanted: Table = replace(FIRST, **parts)  # type: ignore[arg-type]
    return difference(wanted, kept(FIRST, counters=7))


def test_a_changed_rule_rewrites_its_chain_and_keeps_its_counter() -> None:
    wider = replace(WEB, statements=(Match(Field.TCP_DESTINATION, 8080), *WEB.statements[1:]))
    assert change(chains=(FIRST.chains[0], Chain("side", (wider,)))) == [
        "flush chain inet t side",
        f'add rule inet t side tcp dport 8080 counter name "web" accept comment "{comment(wider)}"',
    ]


def test_another_order_of_rules_is_a_change() -> None:
    lines = change(chains=(Chain("in", (SSH, WEB), INPUT), FIRST.chains[1]))
    assert [line.split(" comment")[0] for line in lines] == [
        "flush chain inet t in",
        'add rule inet t in tcp dport 22 counter name "ssh" accept',
        'add rule inet t in tcp dport 80 counter name "web" accept',
    ]


def test_a_rule_that_goes_takes_its_counter_along() -> None:
    lines = change(chains=(Chain("in", (WEB,), INPUT), FIRST.chains[1]))
    assert lines[-1] == "delete counter inet t ssh"


def test_a_chain_whose_hook_changes_is_made_anew_with_its_rules() -> None:
    """Otherwise it would stand there empty, with its policy alone."""
    lines = change(chains=(replace(FIRST.chains[0], hook=replace(INPUT, policy="accept")),))
    made = "add chain inet t in { type filter hook input priority 0; policy accept; }"
    assert lines.index("delete chain inet t in") < lines.index(made)
    assert sum(line.startswith("add rule inet t in ") for line in lines[lines.index(made) :]) == 2


def test_an_nft_that_names_no_device_is_believed_about_the_rest() -> None:
    ingress = Hook("filter", "ingress", "0", "drop", device="eni1")
    table = Table("netdev", "t", (Chain("from", (), ingress),))
    silent = replace(kept(table), hooks={"from": replace(ingress, device=None)})
    assert difference(table, silent) == []
    other = replace(kept(table), hooks={"from": replace(ingress, device="eni2")})
    assert difference(table, other)[-1].startswith("add chain netdev t from { ")


def test_elements_come_and_go_one_by_one() -> None:
    second = IPv4Address("10.0.0.2")
    assert change(sets=(NamedSet("hosts", "ipv4_addr", frozenset({second})),)) == [
        "delete element inet t hosts { 10.0.0.1 }",
        "add element inet t hosts { 10.0.0.2 }",
    ]


def test_a_verdict_that_changes_replaces_its_element() -> None:
    verdicts = {"eni1": Goto("side"), "eni2": Goto("side")}
    assert change(maps=(NamedMap("by", "ifname", "verdict", verdicts),)) == [
        'delete element inet t by { "eni1" }',
        'add element inet t by { "eni1" : goto side }',
    ]


def test_what_is_no_longer_wanted_goes_in_an_order_that_the_kernel_takes() -> None:
    assert change(chains=FIRST.chains[:1], sets=(), maps=()) == [
        "flush chain inet t side",
        "delete map inet t by",
        "delete chain inet t side",
        "delete set inet t hosts",
    ]


def test_a_network_of_one_address_is_written_as_the_kernel_reads_it_back() -> None:
    assert atom_text(IPv4Network("192.0.2.7/32")) == "192.0.2.7"
    assert atom_text(IPv4Network("0.0.0.0/0")) == "0.0.0.0/0"


@given(tables(), tables())
def test_the_difference_leads_from_any_table_to_any_other(first: Table, second: Table) -> None:
    kernel = Kernel()
    kernel.load(difference(first, None))
    kernel.counters = dict.fromkeys(kernel.counters, 7)
    kernel.load(difference(second, kernel.read({c.name: c.hook for c in first.chains})))
    direct = Kernel()
    direct.load(difference(second, None))
    assert kernel.seen() == direct.seen()
    stayed = set(first.counters) & set(second.counters)
    assert all(kernel.counters[name] == 7 for name in stayed)
    assert difference(second, kernel.read({c.name: c.hook for c in second.chains})) == []
