"""What a NIC may send: a frame's way through its ingress chain, and what reaches it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from rules_outcomes import dropped
from vpc_states import GUIDE, MANAGEMENT, MANAGEMENT_NIC, PROVIDER, PROVIDER_NIC, VPC, eni

from pileus.model.addresses import Mac
from pileus.model.verdict import Code
from pileus.rules.evaluator import Outcome, follow
from pileus.rules.ruleset import Field
from pileus.vpc.state import RegionState
from pileus.vpc.wire.frames import (
    attached,
    frames_table,
    owners,
    straight_numbers,
    subnet_numbers,
)
from pileus.vpc.wire.names import device, router_mac

ETH1 = device(PROVIDER_NIC)
UNSET = IPv4Address(0)
OWN, NEIGHBOUR, FOREIGN = (
    Mac("02:00:00:00:02:01"),
    Mac("02:00:00:00:01:01"),
    Mac("02:00:00:00:99:99"),
)
ROUTER, BROADCAST = router_mac(VPC), Mac("ff:ff:ff:ff:ff:ff")
MARKED = {Field.MARK: subnet_numbers(GUIDE, VPC)[PROVIDER]}
CARRIED = Outcome("accept", (f"{ETH1}.passed_out",), {**MARKED, Field.PACKET_TYPE: "host"})
THIRD = Mac("02:00:00:00:03:01")
WITH_NEIGHBOUR = replace(
    GUIDE,
    enis={
        **GUIDE.enis,
        "eni-301": eni("eni-301", PROVIDER, "172.16.20.103", instance="i-3"),
    },
)
"""Another machine in the provider's subnet."""


def sent(state: RegionState, **fields: Any) -> Outcome:
    """A frame that the provider NIC's machine sends: a good one, but for these fields."""
    packet: dict[Field, Any] = {
        Field.ETHER_SOURCE: OWN,
        Field.ETHER_DESTINATION: ROUTER,
        Field.ETHER_TYPE: "ip",
        Field.IP_SOURCE: "172.16.20.101",
        Field.IP_DESTINATION: "8.8.8.8",
        Field.L4_PROTOCOL: "udp",
        Field.IN_INTERFACE: ETH1,
    }
    packet.update({Field[name]: value for name, value in fields.items()})
    return follow(frames_table(state, VPC), f"from_{ETH1}", packet)


def test_a_frame_of_the_registered_pair_is_carried() -> None:
    assert sent(GUIDE) == CARRIED


def test_a_frame_to_a_neighbours_mac_is_for_that_neighbour_alone() -> None:
    to = {"ETHER_DESTINATION": THIRD}
    assert sent(WITH_NEIGHBOUR, **to, IP_DESTINATION="172.16.20.103") == CARRIED
    other = sent(WITH_NEIGHBOUR, **to, IP_DESTINATION="8.8.8.8")
    assert dropped(other, f"{ETH1}.{Code.NO_SUCH_ADDRESS}")
    router = replace(WITH_NEIGHBOUR.enis["eni-301"], source_dest_check=False)
    state = replace(WITH_NEIGHBOUR, enis={**WITH_NEIGHBOUR.enis, "eni-301": router})
    straight = sent(state, **to, IP_DESTINATION="8.8.8.8")
    assert straight.verdict == "accept"
    assert straight.rewritten[Field.MARK] == straight_numbers([router])[router.id]


def test_macs_of_another_subnet_are_not_known() -> None:
    outcome = sent(GUIDE, ETHER_DESTINATION=NEIGHBOUR, IP_DESTINATION="172.16.10.101")
    assert dropped(outcome, f"{ETH1}.{Code.NOT_CARRIED}")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ETHER_SOURCE": FOREIGN}, Code.SOURCE_MAC),
        ({"IP_SOURCE": "172.16.20.102"}, Code.SOURCE_IP),
        ({"ETHER_SOURCE": FOREIGN, "IP_SOURCE": "172.16.20.102"}, Code.SOURCE_MAC),
        ({"ETHER_SOURCE": NEIGHBOUR, "IP_SOURCE": "172.16.10.101"}, Code.SOURCE_MAC),
        ({"IP_SOURCE": "172.16.10.101"}, Code.SOURCE_IP),
        ({"ETHER_TYPE": "ip6"}, Code.NOT_CARRIED),
        ({"ETHER_TYPE": "8021q"}, Code.NOT_CARRIED),
        ({"ETHER_TYPE": "8021ad", "ETHER_SOURCE": FOREIGN}, Code.NOT_CARRIED),
        ({"IP_DESTINATION": "224.0.0.5"}, Code.NOT_CARRIED),
        ({"IP_DESTINATION": "255.255.255.255"}, Code.NOT_CARRIED),
        ({"ETHER_DESTINATION": BROADCAST}, Code.NOT_CARRIED),
        ({"ETHER_DESTINATION": FOREIGN}, Code.NOT_CARRIED),
        ({"IP_DESTINATION": "169.254.169.254"}, Code.LINK_LOCAL),
        ({"IP_DESTINATION": "169.254.169.254", "TCP_DESTINATION": 443}, Code.LINK_LOCAL),
        ({"IP_DESTINATION": "169.254.0.1", "TCP_DESTINATION": 80}, Code.LINK_LOCAL),
        ({"UDP_SOURCE": 67, "UDP_DESTINATION": 68}, Code.DHCP_SERVER),
    ],
)
def test_any_other_is_dropped_and_counted_by_why(fields: dict[str, Any], code: Code) -> None:
    assert dropped(sent(GUIDE, **fields), f"{ETH1}.{code}")


def test_a_frame_too_short_for_its_header_is_dropped() -> None:
    short = {Field.ETHER_SOURCE: OWN, Field.ETHER_DESTINATION: ROUTER, Field.ETHER_TYPE: "ip"}
    short[Field.IN_INTERFACE] = ETH1
    assert dropped(
        follow(frames_table(GUIDE, VPC), f"from_{ETH1}", short), f"{ETH1}.{Code.NOT_CARRIED}"
    )
    arp = {**short, Field.ETHER_TYPE: "arp"}
    assert dropped(
        follow(frames_table(GUIDE, VPC), f"from_{ETH1}", arp), f"{ETH1}.{Code.NOT_CARRIED}"
    )


def test_a_machine_without_an_address_yet_may_ask_for_one_and_nothing_else() -> None:
    asking = {"IP_SOURCE": UNSET, "IP_DESTINATION": "255.255.255.255"}
    assert sent(GUIDE, **asking, UDP_DESTINATION=67).verdict == "accept"
    assert dropped(sent(GUIDE, **asking, UDP_DESTINATION=68), f"{ETH1}.{Code.NOT_CARRIED}")
    forged = {**asking, "ETHER_SOURCE": FOREIGN}
    assert dropped(sent(GUIDE, **forged, UDP_DESTINATION=67), f"{ETH1}.{Code.SOURCE_MAC}")


def test_the_instances_own_metadata_traffic_is_carried() -> None:
    assert sent(GUIDE, IP_DESTINATION="169.254.169.254", TCP_DESTINATION=80) == CARRIED


def test_every_registered_address_may_send_and_an_unregistered_one_no_more() -> None:
    more = eni(PROVIDER_NIC, PROVIDER, "172.16.20.101", "172.16.20.102", device_index=1)
    state = replace(GUIDE, enis={**GUIDE.enis, PROVIDER_NIC: more})
    assert sent(state, IP_SOURCE="172.16.20.102") == CARRIED
    assert dropped(sent(GUIDE, IP_SOURCE="172.16.20.102"), f"{ETH1}.{Code.SOURCE_IP}")


def test_without_the_source_check_any_address_may_send_but_no_other_mac() -> None:
    router = replace(GUIDE.enis[PROVIDER_NIC], source_dest_check=False)
    state = replace(GUIDE, enis={**GUIDE.enis, PROVIDER_NIC: router})
    assert sent(state, IP_SOURCE="192.168.20.5") == CARRIED
    assert dropped(sent(state, IP_SOURCE="169.254.1.1"), f"{ETH1}.{Code.LINK_LOCAL}")
    assert dropped(sent(state, ETHER_SOURCE=FOREIGN), f"{ETH1}.{Code.SOURCE_MAC}")


def arp(state: RegionState, **fields: Any) -> Outcome:
    """A question of the provider NIC's machine for its router, but for these fields."""
    packet: dict[Field, Any] = {
        Field.ETHER_SOURCE: OWN,
        Field.ETHER_DESTINATION: BROADCAST,
        Field.ETHER_TYPE: "arp",
        Field.IN_INTERFACE: ETH1,
        Field.ARP_HARDWARE: 1,
        Field.ARP_OPERATION: "request",
        Field.ARP_SENDER_MAC: OWN,
        Field.ARP_SENDER_IP: "172.16.20.101",
        Field.ARP_TARGET_IP: "172.16.20.1",
    }
    packet.update({Field[name]: value for name, value in fields.items()})
    return follow(frames_table(state, VPC), f"from_{ETH1}", packet)


def test_the_vpc_answers_for_its_router() -> None:
    answer = arp(GUIDE)
    assert answer.verdict == "answer"
    assert answer.rewritten == {
        **MARKED,
        Field.ETHER_DESTINATION: OWN,
        Field.ETHER_SOURCE: ROUTER,
        Field.ARP_OPERATION: "reply",
        Field.ARP_SENDER_MAC: ROUTER,
        Field.ARP_SENDER_IP: "172.16.20.1",
        Field.ARP_TARGET_MAC: OWN,
        Field.ARP_TARGET_IP: "172.16.20.101",
    }


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ETHER_SOURCE": FOREIGN, "ARP_SENDER_MAC": FOREIGN}, Code.SOURCE_MAC),
        ({"ARP_SENDER_MAC": FOREIGN}, Code.ARP_SENDER),
        ({"ARP_SENDER_IP": "172.16.20.102"}, Code.ARP_SENDER),
        ({"ARP_SENDER_IP": "172.16.20.1", "ARP_OPERATION": "reply"}, Code.ARP_SENDER),
        ({"ARP_HARDWARE": 6}, Code.ARP_SENDER),
        ({"ARP_SENDER_IP": UNSET}, Code.ARP_SILENT),
        ({"ARP_TARGET_IP": "172.16.20.101"}, Code.ARP_SILENT),
        ({"ARP_OPERATION": "reply"}, Code.ARP_SILENT),
        ({"ARP_TARGET_IP": "172.16.20.77"}, Code.ARP_SILENT),
        ({"ARP_TARGET_IP": "172.16.10.101"}, Code.ARP_SILENT),
    ],
)
def test_other_arp_is_dropped_and_counted_by_why(fields: dict[str, Any], code: Code) -> None:
    assert dropped(arp(GUIDE, **fields), f"{ETH1}.{code}")


def test_arp_is_answered_for_what_is_registered_in_the_askers_subnet() -> None:
    first, second = (GUIDE.subnets[id] for id in (MANAGEMENT, PROVIDER))
    assert owners(GUIDE, first) == {
        IPv4Address("172.16.10.1"): ROUTER,
        IPv4Address("172.16.10.101"): NEIGHBOUR,
    }
    assert owners(GUIDE, second) == {
        IPv4Address("172.16.20.1"): ROUTER,
        IPv4Address("172.16.20.101"): OWN,
    }


def test_arp_is_answered_for_the_resolver_where_it_is_in_the_subnet() -> None:
    first = replace(GUIDE.subnets[MANAGEMENT], cidr=IPv4Network("172.16.0.0/24"))
    state = replace(GUIDE, subnets={**GUIDE.subnets, MANAGEMENT: first})
    assert owners(state, first)[IPv4Address("172.16.0.2")] == ROUTER
    table = frames_table(state, VPC)
    (answers,) = [one.elements for one in table.maps if one.name == "owners"]
    assert answers[IPv4Address("172.16.0.2")] == ROUTER


def test_an_unplugged_nic_has_no_chains_and_no_owner() -> None:
    unplugged = replace(GUIDE.enis[PROVIDER_NIC], instance=None)
    state = replace(GUIDE, enis={**GUIDE.enis, PROVIDER_NIC: unplugged})
    assert [one.id for one in attached(state, VPC)] == [MANAGEMENT_NIC]
    assert ETH1 not in str(frames_table(state, VPC))
    assert OWN not in owners(state, state.subnets[PROVIDER]).values()


def test_what_reaches_a_nic_is_counted_and_carries_its_senders_mac() -> None:
    table = frames_table(GUIDE, VPC)
    packet = {
        **MARKED,
        Field.ETHER_TYPE: "ip",
        Field.IP_SOURCE: "172.16.20.101",
        Field.OUT_INTERFACE: ETH1,
    }
    outcome = follow(table, f"to_{ETH1}", packet)
    assert outcome == Outcome("accept", (f"{ETH1}.passed_in",), {Field.ETHER_SOURCE: OWN})
    foreign = follow(table, f"to_{ETH1}", {**packet, Field.IP_SOURCE: "8.8.8.8"})
    assert foreign.rewritten == {}, "what was routed keeps the router's MAC"
    elsewhere = follow(table, f"to_{ETH1}", {**packet, Field.MARK: 7})
    assert elsewhere.rewritten == {}, "and what comes from another subnet"
    assert follow(table, f"to_{ETH1}", {Field.ETHER_TYPE: "arp"}).counted == ()


def test_nothing_passes_by_default() -> None:
    for chain in frames_table(GUIDE, VPC).chains:
        if chain.hook and chain.hook.hook == "ingress":
            assert chain.hook.policy == "drop"
            assert chain.hook.device == chain.name.removeprefix("from_")
