"""The pipeline on the NIC, frame by frame: what passes, as what, and its denied twins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rules_outcomes import dropped
from uplink_frames import (
    ALL,
    ARP_UNSENT,
    CLONE,
    INNER,
    MAIL,
    NEVER,
    NIC,
    NIC_MAC,
    NONE,
    OTHER,
    OUTSIDE,
    REGISTERED,
    ROUTER,
    ROUTER_MAC,
    SPARE,
    STRANGE,
    UNDELIVERED,
    UNSENT,
    WEB,
    arp,
    arriving,
    ask,
    ether,
    ipv4,
    leaving,
    sender,
    udp,
)

from pileus.model.addresses import Mac
from pileus.model.uplink import UplinkNic, resolver_mac
from pileus.model.verdict import EXPLANATIONS, Code, Drop
from pileus.rules import frames
from pileus.rules.evaluator import Learned, Outcome
from pileus.rules.nft import InKernel
from pileus.rules.ruleset import Count, NamedMap, NamedSet
from pileus.rules.ruleset import Drop as Dropping
from pileus.uplink.pipeline import (
    CLAIM,
    SILENT,
    claimed_twice,
    counts,
    learned,
    table,
    table_name,
)


class Uplink:
    """A NIC's pipeline with what it has learned so far."""

    def __init__(self, nic: UplinkNic = NIC) -> None:
        self.table = table(nic, REGISTERED)
        self.learned = Learned()

    def out(self, frame: bytes) -> tuple[Outcome, bytes]:
        return self._send("guard_out", frame)

    def into(self, frame: bytes) -> tuple[Outcome, bytes]:
        return self._send("guard_in", frame)

    def _send(self, base: str, frame: bytes) -> tuple[Outcome, bytes]:
        outcome, after = frames.send(self.table, base, frame, self.learned)
        self.learned = outcome.learned
        return outcome, after

    def carried_out(self, frame: bytes) -> bytes:
        """The frame as the cloud gets it."""
        outcome, after = self.out(frame)
        assert (outcome.verdict, outcome.counted[-1]) == ("accept", "passed_out"), outcome
        return after

    def carried_in(self, frame: bytes) -> bytes:
        """The frame as the inner side gets it."""
        outcome, after = self.into(frame)
        assert (outcome.verdict, outcome.counted[-1]) == ("accept", "passed_in"), outcome
        return after

    def be_silent(self) -> None:
        """Let all that has a time-out reach it."""
        self.learned = Learned()

    def behind(self) -> dict[str, str]:
        return dict(self.learned.maps.get("inner", {}))


def named(value: object) -> str:
    """A test's name: the code it is about, or the NIC's mode."""
    return str(value.mode) if isinstance(value, UplinkNic) else value if type(value) is str else "a"


BOTH = pytest.mark.parametrize("nic", [NIC, CLONE], ids=named)


@pytest.fixture
def uplink() -> Uplink:
    return Uplink()


# To the cloud.


def test_a_packet_leaves_with_the_nics_mac_and_teaches_who_sent_it(uplink: Uplink) -> None:
    assert uplink.carried_out(leaving()) == leaving(mac=NIC_MAC)
    assert uplink.behind() == {str(WEB): str(INNER)}


def test_an_arp_question_leaves_in_the_nics_name(uplink: Uplink) -> None:
    assert uplink.carried_out(ask(INNER, WEB, ROUTER)) == ask(NIC_MAC, WEB, ROUTER)
    assert uplink.behind() == {str(WEB): str(INNER)}


def test_an_arp_answer_leaves_in_the_nics_name(uplink: Uplink) -> None:
    answer = arp(2, (INNER, WEB), (ROUTER_MAC, ROUTER), to=ROUTER_MAC)
    named = arp(2, (NIC_MAC, WEB), (ROUTER_MAC, ROUTER), to=ROUTER_MAC)
    assert uplink.carried_out(answer) == named


@pytest.mark.parametrize(("frame", "code"), NEVER, ids=named)
@BOTH
def test_what_is_neither_ipv4_nor_arp_passes_no_way(
    frame: bytes, code: str, nic: UplinkNic
) -> None:
    uplink = Uplink(nic)
    assert dropped(uplink.out(sender(frame, nic))[0], f"out.{code}")
    assert dropped(uplink.into(frame)[0], f"in.{code}")
    assert uplink.behind() == {}


@pytest.mark.parametrize(("frame", "code"), UNSENT, ids=named)
@BOTH
def test_a_packet_that_the_cloud_must_not_see_stays(
    frame: bytes, code: str, nic: UplinkNic
) -> None:
    uplink = Uplink(nic)
    assert dropped(uplink.out(sender(frame, nic))[0], f"out.{code}")
    assert uplink.behind() == {}, "and teaches nothing"


@pytest.mark.parametrize(("frame", "code"), ARP_UNSENT, ids=named)
@BOTH
def test_arp_that_the_cloud_must_not_see_stays(frame: bytes, code: str, nic: UplinkNic) -> None:
    uplink = Uplink(nic)
    assert dropped(uplink.out(sender(frame, nic))[0], f"out.{code}")
    assert uplink.behind() == {}


def test_two_inner_hosts_are_not_misled_by_the_clouds_answers(uplink: Uplink) -> None:
    """Each learns the other's own MAC on the inner side; the cloud would say the NIC's."""
    outcome, _ = uplink.out(ask(INNER, WEB, MAIL))
    assert dropped(outcome, "out.UPLINK_STAYS_INSIDE")
    assert uplink.behind() == {str(WEB): str(INNER)}, "who asks is known from then on"
    misleading = arp(2, (NIC_MAC, MAIL), (NIC_MAC, WEB), to=NIC_MAC)
    assert dropped(uplink.into(misleading)[0], "in.UPLINK_ARP_NOT_OURS")
    assert dropped(uplink.into(ask(NIC_MAC, MAIL, MAIL))[0], "in.UPLINK_ARP_NOT_OURS")


def test_a_frame_for_an_inner_mac_does_not_leave(uplink: Uplink) -> None:
    uplink.carried_out(leaving(MAIL, mac=OTHER))
    flooded = leaving(WEB, OUTSIDE, to=OTHER)
    assert dropped(uplink.out(flooded)[0], "out.UPLINK_STAYS_INSIDE")


def test_later_fragments_pass_as_the_first_does(uplink: Uplink) -> None:
    """Without ports to look at; so what would be DHCP's port in a later one is only data."""
    for fragment, data in ((0x2000, udp(9, data=bytes(16))), (0x0003, udp(67))):
        body = ipv4(WEB, OUTSIDE, data, fragment=fragment)
        assert uplink.carried_out(ether(INNER, ROUTER_MAC, 0x0800, body))[14:] == body


# Learning.


def test_a_gratuitous_arp_moves_an_address_at_once_and_stays_inside(uplink: Uplink) -> None:
    uplink.carried_out(leaving())
    for announced in (ask(OTHER, WEB, WEB), arp(2, (OTHER, WEB), (ALL, WEB))):
        outcome, _ = uplink.out(announced)
        assert outcome.code is Code.UPLINK_STAYS_INSIDE
        assert uplink.behind() == {str(WEB): str(OTHER)}
        uplink.carried_out(ask(INNER, WEB, ROUTER))


def test_an_address_moves_with_its_packets_too(uplink: Uplink) -> None:
    uplink.carried_out(leaving(mac=INNER))
    uplink.carried_out(leaving(mac=OTHER))
    assert uplink.behind() == {str(WEB): str(OTHER)}


def test_an_address_claimed_by_two_macs_is_counted_and_both_pass(uplink: Uplink) -> None:
    first, _ = uplink.out(leaving(mac=INNER))
    second, _ = uplink.out(leaving(mac=OTHER))
    again, _ = uplink.out(leaving(mac=INNER))
    assert first.counted == ("passed_out",)
    assert second.counted == ("out.UPLINK_ADDRESS_CLAIMED_TWICE", "passed_out")
    assert again.counted == ("passed_out",), "one claim is counted once while it lasts"
    claims = InKernel(sets=uplink.learned.sets)
    assert claimed_twice(claims) == {WEB: frozenset({INNER, OTHER})}
    assert claimed_twice(InKernel()) == {}


def test_a_claim_by_arp_is_counted_as_well(uplink: Uplink) -> None:
    uplink.carried_out(ask(INNER, WEB, ROUTER))
    assert uplink.out(ask(INNER, WEB, ROUTER))[0].counted == ("passed_out",)
    counted = uplink.out(ask(OTHER, WEB, ROUTER))[0].counted
    assert counted == ("out.UPLINK_ADDRESS_CLAIMED_TWICE", "passed_out")


def test_a_mac_that_takes_over_after_a_minute_of_silence_is_no_conflict(uplink: Uplink) -> None:
    uplink.carried_out(leaving(mac=INNER))
    uplink.be_silent()
    assert uplink.out(leaving(mac=OTHER))[0].counted == ("passed_out",)
    assert uplink.behind() == {str(WEB): str(OTHER)}


def test_all_that_is_learned_ends_and_where_an_address_is_after_its_claim(uplink: Uplink) -> None:
    """A claim that ends is renewed by the next packet; until then its sender is not silent."""
    named: tuple[NamedSet | NamedMap, ...] = (*uplink.table.sets, *uplink.table.maps)
    times = {one.name: one.dynamic.timeout for one in named if one.dynamic}
    assert None not in times.values()
    assert times["inner"] == SILENT > CLAIM == times["claims"]


def test_one_mac_may_have_many_addresses(uplink: Uplink) -> None:
    for address in REGISTERED:
        uplink.carried_out(leaving(address))
    assert uplink.behind() == {str(address): str(INNER) for address in REGISTERED}


def test_what_is_learned_has_limits_and_traffic_goes_on_beyond_them(uplink: Uplink) -> None:
    """One inner host with many MACs fills the sets, and still harms nobody else."""
    small = tuple(
        replace(one, dynamic=replace(one.dynamic, size=1)) if one.dynamic else one
        for one in uplink.table.sets
    )
    uplink.table = replace(uplink.table, sets=small)
    uplink.carried_out(leaving(WEB, mac=INNER))
    uplink.carried_out(leaving(MAIL, mac=OTHER))
    assert uplink.behind() == {str(WEB): str(INNER), str(MAIL): str(OTHER)}


# From the cloud.


def test_a_packet_is_delivered_to_the_mac_behind_its_address(uplink: Uplink) -> None:
    uplink.carried_out(leaving(WEB, mac=INNER))
    uplink.carried_out(leaving(MAIL, mac=OTHER))
    assert uplink.carried_in(arriving(WEB)) == arriving(WEB, to=INNER)
    assert uplink.carried_in(arriving(MAIL)) == arriving(MAIL, to=OTHER)


def test_a_packet_for_a_silent_address_goes_to_the_resolver(uplink: Uplink) -> None:
    outcome, after = uplink.into(arriving(SPARE))
    assert after == arriving(SPARE, to=NIC.resolver)
    assert (outcome.verdict, outcome.counted) == ("accept", ("in.UPLINK_RESOLVED", "passed_in"))
    uplink.out(ask(INNER, SPARE, SPARE))
    assert uplink.carried_in(arriving(SPARE)) == arriving(SPARE, to=INNER)


def test_who_has_been_silent_for_a_minute_is_asked_for_again(uplink: Uplink) -> None:
    """The address may have moved to a MAC that has said nothing yet."""
    uplink.carried_out(leaving(WEB, mac=INNER))
    uplink.be_silent()
    question = ask(ROUTER_MAC, ROUTER, WEB, to=NIC_MAC)
    assert uplink.carried_in(question) == ask(ROUTER_MAC, ROUTER, WEB, to=ALL)
    assert uplink.carried_in(arriving(WEB)) == arriving(WEB, to=NIC.resolver)
    uplink.carried_out(leaving(WEB, mac=OTHER))
    assert uplink.carried_in(arriving(WEB)) == arriving(WEB, to=OTHER)


def test_an_answer_reaches_who_asked(uplink: Uplink) -> None:
    uplink.carried_out(ask(INNER, WEB, ROUTER))
    answer = arp(2, (ROUTER_MAC, ROUTER), (NIC_MAC, WEB), to=NIC_MAC)
    assert uplink.carried_in(answer) == arp(2, (ROUTER_MAC, ROUTER), (INNER, WEB), to=INNER)
    unasked = arp(2, (ROUTER_MAC, ROUTER), (NIC_MAC, MAIL), to=NIC_MAC)
    assert dropped(uplink.into(unasked)[0], "in.UPLINK_ARP_NOT_ASKED")


def test_a_unicast_refresh_reaches_who_has_the_address(uplink: Uplink) -> None:
    question = ask(ROUTER_MAC, ROUTER, WEB, to=NIC_MAC)
    outcome, after = uplink.into(question)
    assert after == ask(ROUTER_MAC, ROUTER, WEB, to=ALL), "nobody has spoken: all are asked"
    assert outcome.counted == ("in.UPLINK_RESOLVED", "passed_in")
    uplink.carried_out(leaving(WEB))
    assert uplink.carried_in(question) == ask(ROUTER_MAC, ROUTER, WEB, to=INNER)


def test_the_clouds_own_announcements_pass_as_they_are(uplink: Uplink) -> None:
    for frame in (ask(ROUTER_MAC, ROUTER, ROUTER), ask(ROUTER_MAC, ROUTER, WEB)):
        assert uplink.carried_in(frame) == frame


@pytest.mark.parametrize(("frame", "code"), UNDELIVERED, ids=named)
@BOTH
def test_what_is_not_for_the_inner_side_does_not_reach_it(
    frame: bytes, code: str, nic: UplinkNic
) -> None:
    uplink = Uplink(nic)
    for address in REGISTERED:
        uplink.carried_out(sender(leaving(address), nic))
    assert dropped(uplink.into(frame)[0], f"in.{code}")


# mac-clone.


def test_with_mac_clone_frames_pass_as_they_are() -> None:
    clone = Uplink(CLONE)
    for frame in (leaving(mac=NIC_MAC), ask(NIC_MAC, WEB, ROUTER)):
        assert clone.carried_out(frame) == frame
    answer = arp(2, (ROUTER_MAC, ROUTER), (NIC_MAC, WEB), to=NIC_MAC)
    for frame in (arriving(WEB), answer, ask(ROUTER_MAC, ROUTER, WEB, to=NIC_MAC)):
        assert clone.carried_in(frame) == frame
    assert clone.learned == Learned()


@pytest.mark.parametrize(
    "frame",
    [
        leaving(mac=INNER),
        ask(INNER, WEB, ROUTER),
        arp(1, (INNER, WEB), (NONE, ROUTER), source=NIC_MAC),
        arp(1, (NIC_MAC, WEB), (NONE, ROUTER), source=INNER),
    ],
)
def test_with_mac_clone_a_foreign_mac_does_not_leave(frame: bytes) -> None:
    assert dropped(Uplink(CLONE).out(frame)[0], "out.UPLINK_SOURCE_MAC")


# The table itself.


@BOTH
def test_nothing_passes_by_default_and_every_drop_is_counted_by_its_code(nic: UplinkNic) -> None:
    for chain in table(nic, REGISTERED).chains:
        assert chain.hook is None or chain.hook.policy == "drop"
        for rule in chain.rules:
            if Dropping() in rule.statements:
                counter = rule.statements[-2]
                assert isinstance(counter, Count)
                assert counter.counter.partition(".")[2] == rule.name
                assert Code(rule.name) in EXPLANATIONS


def test_a_drop_says_its_stage_rule_and_reason(uplink: Uplink) -> None:
    outcome, _ = uplink.out(leaving(STRANGE))
    assert outcome.dropped == Drop("guard_out_ip", Code.UPLINK_SOURCE_IP, Code.UPLINK_SOURCE_IP)


def test_without_registered_addresses_nothing_passes() -> None:
    empty = Uplink()
    empty.table = table(NIC, frozenset())
    assert dropped(empty.out(leaving())[0], "out.UPLINK_SOURCE_UNREGISTERED")
    assert dropped(empty.into(arriving())[0], "in.UPLINK_DESTINATION_UNREGISTERED")


def test_what_the_kernel_has_counted_and_learned_is_told() -> None:
    kernel = InKernel(
        counters={"passed_out": 5, "passed_in": 4, "out.UPLINK_VLAN": 3, "in.UPLINK_VLAN": 2},
        maps={"inner": {str(WEB): str(INNER)}},
    )
    told = counts(kernel)
    assert (told.passed_out, told.passed_in) == (5, 4)
    assert told.out == {Code.UPLINK_VLAN: 3}
    assert told.into == {Code.UPLINK_VLAN: 2}
    assert learned(kernel) == {WEB: INNER}


@pytest.mark.parametrize("device", ["eth1", "ens6", "enX1", "enp0s25", "eth1.7", "br-ex"])
def test_a_devices_name_becomes_its_tables(device: str) -> None:
    made = table(replace(NIC, device=device), REGISTERED)
    assert made.name == table_name(device) == f"pileus_{device}"
    assert {chain.hook.device for chain in made.chains if chain.hook} == {device}


@pytest.mark.parametrize("device", ["", 'eth1"', "eth 1", "eth1;", "-eth1", "a" * 16, "ens6@x"])
def test_a_name_that_rules_cannot_hold_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match="not a device name"):
        replace(NIC, device=device)


def test_the_resolvers_mac_is_its_nics_own() -> None:
    other = resolver_mac(Mac("02:00:00:00:02:02"))
    assert len({NIC.resolver, other, NIC_MAC}) == 3
    assert resolver_mac(NIC_MAC) == NIC.resolver
    assert NIC.resolver.packed[0] & 3 == 2, "locally administered, unicast"
