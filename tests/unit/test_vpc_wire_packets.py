"""What may pass between NICs and the internet: a packet's way through the forward chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from rules_outcomes import dropped
from vpc_states import (
    ALL,
    ANYWHERE,
    GUIDE,
    MANAGEMENT,
    MANAGEMENT_NIC,
    PROVIDER,
    PROVIDER_NIC,
    VPC,
    acl,
    elastic,
    eni,
    entry,
    group,
)

from pileus.model.verdict import Code
from pileus.rules.evaluator import Outcome, follow
from pileus.rules.nft import render
from pileus.rules.ruleset import CountEach, Drop, Field, Log, Table
from pileus.vpc.state import AclEntry, Permission, RegionState, SecurityGroup
from pileus.vpc.wire.frames import frames_table
from pileus.vpc.wire.names import device
from pileus.vpc.wire.packets import elastic_pairs, packets_table

ETH0, ETH1 = device(MANAGEMENT_NIC), device(PROVIDER_NIC)
ANY_PORTS = {"tcp": Field.TCP_DESTINATION, "udp": Field.UDP_DESTINATION}
OUTSIDE = "203.0.113.9"


def forward(state: RegionState, way: str, packet: str, **extra: Any) -> Outcome:
    """`way` is "FROM > TO" in devices; `packet` is "SOURCE > DESTINATION PROTOCOL[/PORT]"."""
    came, _, goes = way.partition(" > ")
    source, _, rest = packet.partition(" > ")
    destination, protocol = rest.split()
    name, _, port = protocol.partition("/")
    fields: dict[Field, Any] = {
        Field.IN_INTERFACE: came,
        Field.OUT_INTERFACE: goes,
        Field.IP_SOURCE: source,
        Field.IP_DESTINATION: destination,
        Field.IP_PROTOCOL: name,
        Field.CT_STATE: "new",
        Field.CT_STATUS: "dnat" if came == "igw" else "confirmed",
        Field.CT_DIRECTION: "original",
    }
    if port:
        fields[ANY_PORTS[name]] = int(port)
    for key, value in extra.items():
        fields[Field[key]] = value
    return follow(packets_table(state, VPC), "forward", fields)


def between(inbound: Permission, *, groups: tuple[SecurityGroup, ...] = ()) -> RegionState:
    """The guide's NICs; the provider NIC lets in just this."""
    known = {**GUIDE.groups, **{one.id: one for one in groups}}
    return replace(GUIDE, groups={**known, "sg-provider": group("sg-provider", inbound)})


INSIDE = f"{ETH0} > {ETH1}"
FROM_HERE = frozenset({IPv4Network("172.16.10.0/24")})


@pytest.mark.parametrize(
    ("permission", "allowed", "denied"),
    [
        (Permission("tcp", (22, 22), FROM_HERE), "tcp/22", "tcp/23"),
        (Permission("tcp", (1000, 2000), FROM_HERE), "tcp/2000", "tcp/2001"),
        (Permission("tcp", None, FROM_HERE), "tcp/1", "udp/1"),
        (Permission("udp", (53, 53), FROM_HERE), "udp/53", "tcp/53"),
        (Permission("udp", None, FROM_HERE), "udp/1", "icmp"),
        (Permission("icmp", None, FROM_HERE), "icmp", "tcp/22"),
        (Permission("-1", None, FROM_HERE), "47", None),
        (Permission("50", None, FROM_HERE), "50", "51"),
        (ALL, "tcp/22", None),
    ],
)
def test_a_permission_lets_in_its_protocol_and_ports(
    permission: Permission, allowed: str, denied: str | None
) -> None:
    state = between(permission)
    assert forward(state, INSIDE, f"172.16.10.101 > 172.16.20.101 {allowed}").verdict == "accept"
    if denied:
        outcome = forward(state, INSIDE, f"172.16.10.101 > 172.16.20.101 {denied}")
        assert dropped(outcome, f"{ETH1}.{Code.GROUP_INGRESS}")


def test_a_permission_holds_for_its_networks_and_for_no_other() -> None:
    two = frozenset({IPv4Network("10.0.0.0/8"), IPv4Network("172.16.10.101/32")})
    assert (
        forward(
            between(Permission("icmp", None, two)), INSIDE, "172.16.10.101 > 172.16.20.101 icmp"
        ).verdict
        == "accept"
    )
    other = frozenset({IPv4Network("10.0.0.0/8"), IPv4Network("172.16.10.102/31")})
    outcome = forward(
        between(Permission("icmp", None, other)), INSIDE, "172.16.10.101 > 172.16.20.101 icmp"
    )
    assert outcome.code == Code.GROUP_INGRESS


def test_overlapping_networks_of_a_permission_are_one() -> None:
    """nft refuses an anonymous set with overlapping intervals."""
    nested = frozenset({IPv4Network("10.0.0.0/8"), IPv4Network("10.1.0.0/16")})
    text = render(packets_table(between(Permission("-1", None, nested)), VPC))
    assert "ip saddr 10.0.0.0/8 " in text
    assert "10.1.0.0/16" not in text


def test_a_reference_to_a_group_means_the_addresses_of_its_members() -> None:
    state = between(Permission("tcp", (22, 22), groups=frozenset({"sg-management"})))
    assert forward(state, INSIDE, "172.16.10.101 > 172.16.20.101 tcp/22").verdict == "accept"
    unplugged = replace(GUIDE.enis[MANAGEMENT_NIC], instance=None)
    gone = replace(state, enis={**state.enis, MANAGEMENT_NIC: unplugged})
    outcome = forward(gone, f"igw > {ETH1}", "172.16.10.101 > 172.16.20.101 tcp/22")
    assert outcome.code == Code.GROUP_INGRESS


def test_permissions_of_all_groups_of_a_nic_add_up() -> None:
    web = group("sg-web", Permission("tcp", (80, 80), ANYWHERE))
    state = between(Permission("tcp", (22, 22), ANYWHERE), groups=(web,))
    both = replace(state.enis[PROVIDER_NIC], groups=("sg-provider", "sg-web", "sg-forgotten"))
    state = replace(state, enis={**state.enis, PROVIDER_NIC: both})
    for port, verdict in ((22, "accept"), (80, "accept"), (443, "drop")):
        packet = f"172.16.10.101 > 172.16.20.101 tcp/{port}"
        assert forward(state, INSIDE, packet).verdict == verdict


def test_the_senders_groups_are_asked_first() -> None:
    closed = replace(GUIDE.groups["sg-management"], egress=())
    state = replace(GUIDE, groups={**GUIDE.groups, "sg-management": closed})
    outcome = forward(state, INSIDE, "172.16.10.101 > 172.16.20.101 icmp")
    assert dropped(outcome, f"{ETH0}.{Code.GROUP_EGRESS}")


def test_egress_looks_at_the_destination() -> None:
    only = Permission("icmp", None, frozenset({IPv4Network("172.16.20.101/32")}))
    narrow = replace(GUIDE.groups["sg-management"], egress=(only,))
    state = replace(GUIDE, groups={**GUIDE.groups, "sg-management": narrow})
    assert forward(state, INSIDE, "172.16.10.101 > 172.16.20.101 icmp").verdict == "accept"
    outcome = forward(state, f"{ETH0} > igw", f"172.16.10.101 > {OUTSIDE} icmp")
    assert outcome.code == Code.GROUP_EGRESS


def test_replies_pass_whatever_the_groups_say() -> None:
    closed = {id: replace(one, ingress=(), egress=()) for id, one in GUIDE.groups.items()}
    state = replace(GUIDE, groups=closed)
    packet = "172.16.20.101 > 172.16.10.101 tcp/40000"
    back = f"{ETH1} > {ETH0}"
    assert forward(state, back, packet, CT_STATE="established").verdict == "accept"
    assert forward(state, back, packet).code == Code.GROUP_EGRESS


def test_a_packet_of_no_known_connection_does_not_leave() -> None:
    packet = "172.16.10.101 > 172.16.20.101 tcp/522"
    assert forward(GUIDE, INSIDE, packet, CT_STATE="invalid").code == Code.INVALID


def test_only_addresses_with_an_elastic_ip_leave_by_the_gateway() -> None:
    out = f"{ETH1} > igw"
    assert forward(GUIDE, out, f"172.16.20.101 > {OUTSIDE} icmp").verdict == "accept"
    second = eni(
        PROVIDER_NIC,
        PROVIDER,
        "172.16.20.101",
        "172.16.20.102",
        groups=("sg-provider",),
        device_index=1,
    )
    state = replace(GUIDE, enis={**GUIDE.enis, PROVIDER_NIC: second})
    outcome = forward(state, out, f"172.16.20.102 > {OUTSIDE} icmp")
    assert dropped(outcome, f"{ETH1}.{Code.NO_PUBLIC_ADDRESS}")


@pytest.mark.parametrize(
    ("destination", "code"),
    [("172.16.20.77", Code.NO_SUCH_ADDRESS), (OUTSIDE, Code.NO_ROUTE)],
)
def test_what_leads_nowhere_is_counted_by_why(destination: str, code: Code) -> None:
    outcome = forward(GUIDE, f"{ETH0} > nowhere", f"172.16.10.101 > {destination} icmp")
    assert dropped(outcome, f"{ETH0}.{code}")


def test_from_the_internet_only_what_the_gateway_translated_comes_in() -> None:
    way = f"igw > {ETH1}"
    packet = f"{OUTSIDE} > 172.16.20.101 tcp/522"
    assert forward(GUIDE, way, packet).verdict == "accept"
    outcome = forward(GUIDE, way, packet, CT_STATUS="confirmed")
    assert dropped(outcome, f"igw.{Code.NO_SUCH_ADDRESS}")
    closed = forward(GUIDE, way, f"{OUTSIDE} > 172.16.20.101 tcp/22")
    assert dropped(closed, f"{ETH1}.{Code.GROUP_INGRESS}")


def test_a_nic_takes_only_what_is_for_its_own_addresses_unless_its_check_is_off() -> None:
    state = between(ALL)
    packet = "172.16.10.101 > 192.168.20.5 icmp"
    assert dropped(forward(state, INSIDE, packet), f"{ETH1}.{Code.NO_SUCH_ADDRESS}")
    router = replace(state.enis[PROVIDER_NIC], source_dest_check=False)
    state = replace(state, enis={**state.enis, PROVIDER_NIC: router})
    assert forward(state, INSIDE, packet).verdict == "accept"


EVERYTHING = (entry(100, "-1"),)


def guarded(
    *ingress: AclEntry, egress: tuple[AclEntry, ...] = EVERYTHING, subnet: str = PROVIDER
) -> RegionState:
    """The guide's NICs with open groups, and a network ACL of one subnet."""
    one = acl("acl-1", subnet, ingress, egress)
    return replace(between(ALL), network_acls={one.id: one})


@pytest.mark.parametrize(
    ("entries", "packet", "passes"),
    [
        ((entry(100, "tcp/22"),), "tcp/22", True),
        ((entry(100, "tcp/22"),), "tcp/23", False),
        ((entry(100, "tcp/1000-2000"),), "tcp/2000", True),
        ((entry(100, "tcp"),), "udp/22", False),
        ((entry(100, "icmp"),), "icmp", True),
        ((entry(100, "-1", "172.16.10.0/24"),), "tcp/22", True),
        ((entry(100, "-1", "172.16.11.0/24"),), "tcp/22", False),
        ((), "tcp/22", False),
        ((entry(90, "tcp/22", allow=False), entry(100, "-1")), "tcp/22", False),
        ((entry(90, "tcp/22", allow=False), entry(100, "-1")), "tcp/23", True),
        ((entry(90, "-1"), entry(100, "tcp/22", allow=False)), "tcp/22", True),
    ],
)
def test_entries_of_a_network_acl_are_asked_in_their_order(
    entries: tuple[AclEntry, ...], packet: str, passes: bool
) -> None:
    way = f"172.16.10.101 > 172.16.20.101 {packet}"
    outcome = forward(guarded(*entries), INSIDE, way)
    assert outcome.verdict == "accept" if passes else _refused_on_entry(outcome)
    leaving = forward(guarded(*EVERYTHING, egress=entries, subnet=MANAGEMENT), INSIDE, way)
    source_is_asked = entries and entries[0].network.prefixlen
    if not source_is_asked:  # on the way out it is the destination
        expected = f"{ETH0}.{Code.ACL_EGRESS}"
        assert leaving.verdict == "accept" if passes else dropped(leaving, expected)


def _refused_on_entry(outcome: Outcome) -> bool:
    return dropped(outcome, f"{ETH1}.{Code.ACL_INGRESS}")


def test_a_network_acl_knows_no_connections() -> None:
    """Replies need an entry of their own."""
    state = guarded(entry(100, "tcp/522"), egress=())
    packet = "172.16.20.101 > 172.16.10.101 tcp/40000"
    outcome = forward(state, f"{ETH1} > {ETH0}", packet, CT_STATE="established")
    assert dropped(outcome, f"{ETH1}.{Code.ACL_EGRESS}")
    back = forward(state, INSIDE, "172.16.10.101 > 172.16.20.101 tcp/40000", CT_STATE="established")
    assert dropped(back, f"{ETH1}.{Code.ACL_INGRESS}")


def test_between_two_nics_of_a_subnet_its_network_acl_is_not_asked() -> None:
    third = eni("eni-301", PROVIDER, "172.16.20.103", groups=("sg-provider",), instance="i-3")
    state = guarded(egress=())
    state = replace(state, enis={**state.enis, third.id: third})
    way, packet = f"{device(third.id)} > {ETH1}", "172.16.20.103 > 172.16.20.101 tcp/22"
    assert forward(state, way, packet).verdict == "accept"


def test_the_internet_is_beyond_the_boundary_of_every_subnet() -> None:
    state = guarded(entry(100, "tcp/522"), egress=(entry(100, "tcp", OUTSIDE + "/32"),))
    packet = f"{OUTSIDE} > 172.16.20.101"
    assert forward(state, f"igw > {ETH1}", f"{packet} tcp/522").verdict == "accept"
    assert _refused_on_entry(forward(state, f"igw > {ETH1}", f"{packet} tcp/22"))
    out = f"{ETH1} > igw"
    assert forward(state, out, f"172.16.20.101 > {OUTSIDE} tcp/9").verdict == "accept"
    refused = forward(state, out, "172.16.20.101 > 203.0.113.10 tcp/9")
    assert dropped(refused, f"{ETH1}.{Code.ACL_EGRESS}")


def test_the_groups_of_the_sender_come_before_its_acl_and_those_of_the_receiver_after() -> None:
    """Which of two reasons is told is the one that AWS meets first."""
    state = guarded(egress=())
    closed = {id: replace(one, ingress=(), egress=()) for id, one in state.groups.items()}
    packet = "172.16.10.101 > 172.16.20.101 tcp/22"
    silent = replace(state, groups={**closed, "sg-management": state.groups["sg-management"]})
    assert forward(silent, INSIDE, packet).code == Code.ACL_INGRESS
    mute = replace(state, groups=closed)
    assert forward(mute, INSIDE, packet).code == Code.GROUP_EGRESS


def test_a_permission_for_icmp_may_name_type_and_code() -> None:
    packet = "172.16.10.101 > 172.16.20.101 icmp"
    echo = between(Permission("icmp", (8, -1), ANYWHERE))
    assert forward(echo, INSIDE, packet, ICMP_TYPE=8, ICMP_CODE=3).verdict == "accept"
    assert forward(echo, INSIDE, packet, ICMP_TYPE=13, ICMP_CODE=0).verdict == "drop"
    too_big = between(Permission("icmp", (3, 4), ANYWHERE))
    assert forward(too_big, INSIDE, packet, ICMP_TYPE=3, ICMP_CODE=4).verdict == "accept"
    assert forward(too_big, INSIDE, packet, ICMP_TYPE=3, ICMP_CODE=1).verdict == "drop"


def test_elastic_ips_are_those_of_plugged_nics_of_this_vpc() -> None:
    first, second = IPv4Address("172.16.10.101"), IPv4Address("172.16.20.101")
    assert set(elastic_pairs(GUIDE, VPC)) == {first, second}
    free = elastic("c", "198.51.100.12", "172.16.20.101", PROVIDER_NIC)
    unplugged = replace(GUIDE.enis[PROVIDER_NIC], instance=None)
    state = replace(
        GUIDE,
        enis={**GUIDE.enis, PROVIDER_NIC: unplugged},
        elastic_ips={**GUIDE.elastic_ips, "c": replace(free, eni=None, private=None)},
    )
    assert elastic_pairs(state, VPC) == {first: IPv4Address("198.51.100.10")}
    maps = {named.name: named.elements for named in packets_table(state, VPC).maps}
    assert maps["to_private"] == {IPv4Address("198.51.100.10"): first}
    assert maps["to_public"] == {first: IPv4Address("198.51.100.10")}


def router(packet: dict[Field, Any]) -> Outcome:
    fields = {Field.IN_INTERFACE: ETH0, Field.CT_STATE: "new", **packet}
    return follow(packets_table(GUIDE, VPC), "input", fields)


@pytest.mark.parametrize(
    "served",
    [
        {Field.IP_DESTINATION: "255.255.255.255", Field.UDP_DESTINATION: 67},
        {Field.IP_DESTINATION: "172.16.0.2", Field.UDP_DESTINATION: 53},
        {Field.IP_DESTINATION: "172.16.0.2", Field.TCP_DESTINATION: 53},
        {Field.IP_DESTINATION: "169.254.169.254", Field.TCP_DESTINATION: 80},
        {Field.IP_DESTINATION: "172.16.10.1", Field.CT_STATE: "established"},
    ],
)
def test_the_vpcs_own_services_answer(served: dict[Field, Any]) -> None:
    assert router(served).verdict == "accept"


@pytest.mark.parametrize(
    "refused",
    [
        {Field.IP_DESTINATION: "172.16.10.1", Field.IP_PROTOCOL: "icmp"},
        {Field.IP_DESTINATION: "172.16.10.1", Field.TCP_DESTINATION: 80},
        {Field.IP_DESTINATION: "172.16.10.1", Field.UDP_DESTINATION: 53},
        {Field.IP_DESTINATION: "169.254.169.254", Field.TCP_DESTINATION: 443},
    ],
)
def test_the_router_is_silent_to_anything_else(refused: dict[Field, Any]) -> None:
    assert dropped(router(refused), f"{ETH0}.{Code.ROUTER_SILENT}")


@pytest.mark.parametrize("table", [packets_table, frames_table])
def test_every_drop_is_counted_and_told(table: Callable[[RegionState, str], Table]) -> None:
    for chain in table(GUIDE, VPC).chains:
        statements = [type(one) for rule in chain.rules for one in rule.statements]
        if Drop in statements:
            assert statements == [CountEach, Log, Drop], chain
