"""From what was seen, and what was counted, to the hop where a packet died: each sign has a code.

Each case is a packet that got as far as a named place, with one thing wrong on the machine; the
same packet without that thing is told without a code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from test_rules_python39 import too_new
from trace_ends import APP, BELOW, CONTROLLER, DB, GOOGLE, INTERNET, OPENSTACK, ROUTER, WEB, ends

from pileus.model.addresses import Mac
from pileus.model.ends import Ends
from pileus.model.path import Fate, Half, Headers, Hop, Stage, Way
from pileus.model.uplink import resolver_mac
from pileus.model.verdict import Code
from pileus.trace.observe import packets, watcher
from pileus.trace.observe.facts import AGENTS, Facts, tracked
from pileus.trace.observe.judge import Judge
from pileus.trace.observe.packets import Mark
from pileus.trace.observe.reasons import Reasons
from pileus.trace.observe.sights import FULL, Seen, Sight, Told
from pileus.trace.observe.stations import OUTSIDE, At, Point, points, stations
from pileus.trace.route import route

OUT = ends(WEB, GOOGLE, "8.8.8.8")
IN = ends(INTERNET, WEB, "198.51.100.2", at="172.16.20.101", through=ROUTER, port=522, target=22)
ACROSS = ends(WEB, DB, "192.168.21.5", port=22)
OWN = ends(WEB, OPENSTACK, "169.254.169.254", port=80)
SPACE = ROUTER.namespace
TAP, QR, QG = WEB.tap, "qr-qr-1", "qg-gw-1"
NIC = BELOW.nics["provider"]
UP = Told("up", 1500)


def line(given: Ends, way: Way) -> list[Point]:
    return list(points(stations(given, [place for place in route(given) if place.way is way])))


def sights(given: Ends, there: int, back: int = 0, number: int = 0) -> tuple[Sight, ...]:
    """A probe seen at the first so many points of its way, and its answer at those of its own."""
    found = []
    for way, kind, upto in ((Way.THERE, "probe", there), (Way.BACK, "answer", back)):
        for point in line(given, way)[:upto]:
            headers = Headers(IPv4Address(1), IPv4Address(2))
            found.append(Sight(point.eye.key, point.out, kind, number, headers, 60))
    return tuple(found)


def upto(given: Ends, key: str, way: Way = Way.THERE) -> int:
    """How many points of a way come up to a device, itself included."""
    keys = [point.eye.key for point in line(given, way)]
    return len(keys) - keys[::-1].index(key) if key else 0


def eyes(given: Ends, **changes: Told) -> dict[str, Told]:
    found = {point.eye.key: UP for way in Way for point in line(given, way)}
    return {**found, **{key.replace("_", ":").replace("0", "-"): t for key, t in changes.items()}}


def judge(
    given: Ends,
    there: int,
    back: int = 0,
    facts: Facts | None = None,
    *,
    changed: Mapping[str, Told] | None = None,
    seen: Seen | None = None,
    full: Sequence[Sight] | None = None,
) -> Half:
    opened = {**eyes(given), **(changed or {})}
    small = seen or Seen(sights(given, there, back), opened)
    large = replace(small, sights=tuple(full), numbers=FULL) if full is not None else None
    reasons = Reasons(given, facts or Facts())
    return Judge(given, route(given), small, large, reasons).half()


def death(half: Half) -> Hop:
    assert half.death, [str(hop) for hop in half.hops]
    assert half.death is half.hops[-1]
    return half.death


def done(out: Any, code: int | None = 0) -> dict[str, Any]:
    return {"code": code, "out": out if isinstance(out, str) else json.dumps(out), "error": ""}


def table(headings: Sequence[str], *rows: Sequence[Any]) -> dict[str, Any]:
    return done({"headings": headings, "data": rows})


def tags(port: str, tag: int) -> dict[str, Any]:
    """The agent gave it the tag 5."""
    row = (port, tag, ["map", [["tag", "5"]]])
    return table(("name", "tag", "other_config"), row)


PORTS = table(("name", "ofport"), (TAP, 6), (DB.tap, 7))


def flow(number: int, match: str, packets: int) -> str:
    return f" cookie=0x1, duration=1s, table={number}, n_packets={packets}, n_bytes=9, {match}\n"


WIRED = flow(60, "priority=100,in_port=6 actions=x", 1) + flow(
    60, "priority=100,in_port=7 actions=x", 1
)


def flows(number: int, match: str) -> Facts:
    """One flow was used once in between."""
    before, after = (done(WIRED + flow(number, match + " actions=x", n)) for n in (3, 4))
    return Facts({"flows": before, "interfaces": PORTS}, {"flows": after})


def pipeline(counter: str, packets: int) -> dict[str, Any]:
    return done({"nftables": [{"counter": {"name": counter, "packets": packets}}]})


def counted(counter: str) -> Facts:
    return Facts({"pipeline eth1": pipeline(counter, 3)}, {"pipeline eth1": pipeline(counter, 4)})


def belt(drops: int) -> dict[str, Any]:
    return {
        "belt eth1": done([{"kind": "noqueue", "drops": 9}, {"kind": "clsact", "drops": drops}])
    }


def dropped(code: Code) -> Facts:
    """The cloud below dropped one of the provider NIC's."""
    return Facts(wire_before={NIC.mac: {code: 1}}, wire_after={NIC.mac: {code: 2}})


def looked(**what: Any) -> Facts:
    return Facts(
        after={
            name.replace("_", " ").replace("br0ex", "br-ex").replace("SPACE", SPACE): w
            for name, w in what.items()
        }
    )


NEIGHBOUR = {
    "routes_SPACE": done([{"dst": "default", "gateway": "172.16.20.1"}, {"dst": "192.168.20.0/24"}])
}


def unresolved(address: str, **also: Any) -> Facts:
    asked = done([{"dst": address, "state": ["FAILED"]}])
    return looked(neighbours_SPACE=asked, **NEIGHBOUR, **also)


def test_a_packet_that_is_answered_passed_everywhere_with_its_headers() -> None:
    half = judge(OUT, 6, 6)
    assert half.death is None
    assert {hop.fate for hop in half.hops} == {Fate.PASSES}
    assert [hop.key for hop in half.hops] == [*route(OUT)]


TRACKED = """\
icmp     1 12 src=10.0.0.1 dst=8.8.8.8 type=8 code=0 id=7 src=8.8.8.8 dst=10.0.0.8 type=0 id=7 use=1
icmp     1 29 src=10.0.0.1 dst=8.8.8.8 type=8 code=0 id=9 [UNREPLIED] src=8.8.8.8 dst=10.0.0.2 id=4
tcp      6 99 SYN_SENT src=10.0.0.1 dst=8.8.8.8 sport=5 dport=80 src=10.0.0.9 dst=10.0.0.2 sport=8 \
dport=6 [ASSURED] use=1
"""


def test_what_the_router_remembers_of_the_probe_is_told_where_it_translates() -> None:
    """Of pings between the same ends it is the last one."""
    inside = Headers(IPv4Address("10.0.0.1"), GOOGLE.address)
    seen = tuple(replace(one, headers=inside) for one in sights(OUT, 6))
    facts = looked(tracked_SPACE_0=done(TRACKED))
    half = judge(OUT, 0, seen=Seen(seen + sights(OUT, 0, 6), eyes(OUT)), facts=facts)
    told = [hop for hop in half.hops if "tracked" in hop.detail]
    assert [(hop.way, hop.stage) for hop in told] == [(Way.THERE, Stage.NAT)]
    assert told[0].detail.startswith("tracked as 10.0.0.2 → 8.8.8.8, unanswered; seen ")
    started = replace(inside, source_port=5, destination_port=80)
    assert facts.tracked(SPACE, started) == "tracked as 10.0.0.2:6 → 10.0.0.9:8"
    assert facts.tracked(SPACE, replace(started, source_port=6)) is None


def test_only_connections_to_what_was_called_are_asked_for() -> None:
    """By a name of its own at the near router, and by another one at the far one."""
    found = {name: one["argv"][-4:] for name, one in tracked(IN).items()}
    assert found == {
        f"tracked {SPACE} {number}": ["--orig-port-dst", "522", "--orig-dst", to]
        for number, to in enumerate(("172.16.20.101", "198.51.100.2"))
    }


def test_translations_show_at_the_hop_that_makes_them() -> None:
    inside, outside = (Headers(IPv4Address(a), GOOGLE.address) for a in ("10.0.0.1", "10.0.0.2"))
    public = Headers(IPv4Address("10.0.0.3"), GOOGLE.address)
    told = (inside, inside, outside, outside, outside, public)
    seen = tuple(replace(s, headers=h) for s, h in zip(sights(OUT, 6), told, strict=True))
    half = judge(OUT, 0, seen=Seen(seen + sights(OUT, 0, 6), eyes(OUT)))
    by = {hop.stage: hop.headers for hop in half.hops if hop.way is Way.THERE}
    assert (by[Stage.ROUTER], by[Stage.NAT], by[Stage.GATEWAY]) == (inside, outside, outside)
    assert (by[Stage.ROUTE], by[Stage.ELASTIC_IP]) == (outside, public)
    watched = {key: told for key, told in eyes(OUT).items() if key != OUTSIDE.key}
    unseen = judge(OUT, 0, seen=Seen(seen[:5] + sights(OUT, 0, 6), watched))
    by = {hop.stage: hop.headers for hop in unseen.hops if hop.way is Way.THERE}
    assert (by[Stage.ROUTE], by[Stage.ELASTIC_IP]) == (outside, None)


# A packet that got as far as a device, what was found on the machine, the hop, and the code.
CASES = [
    (OUT, f"tap:{TAP}", flows(72, "priority=40,ct_state=-est,reg5=0x6"), Stage.PORT,
     Code.NEUTRON_GROUP_EGRESS),
    (OUT, f"tap:{TAP}", flows(71, "priority=10,reg5=0x6,in_port=6"), Stage.PORT,
     Code.NEUTRON_PORT_SECURITY),
    (IN, f"qr:{QR}", flows(82, "priority=40,ct_state=-est,reg5=0x6"), Stage.PORT,
     Code.NEUTRON_GROUP_INGRESS),
    (OUT, f"tap:{TAP}", looked(ports=tags(TAP, 4095)), Stage.PORT,
     Code.NEUTRON_PORT_DEAD),
    (OUT, f"tap:{TAP}", looked(ports=tags(TAP, 7)), Stage.PORT, Code.NEUTRON_PORT_DEAD),
    (OUT, f"tap:{TAP}", Facts({"interfaces": table(("name", "ofport"), ("x", 1))}), Stage.PORT,
     Code.NEUTRON_PORT_DOWN),
    (OUT, f"tap:{TAP}", Facts({"flows": done("", 1)}), Stage.SWITCH, Code.NEUTRON_SWITCH_SILENT),
    (OUT, f"tap:{TAP}", Facts({"flows": done(flow(0, "priority=0 actions=x", 1)),
                               "interfaces": PORTS}), Stage.SWITCH, Code.NEUTRON_FLOWS_MISSING),
    (OUT, f"tap:{TAP}", looked(ports=tags(QR, 4095)), Stage.SWITCH,
     Code.NEUTRON_PORT_DEAD),
    (OUT, f"qr:{QR}", looked(forwards_SPACE=done("0\n")), Stage.ROUTER,
     Code.NEUTRON_NOT_FORWARDING),
    (OUT, f"qr:{QR}", looked(routes_SPACE=done([{"dst": "192.168.20.0/24"}])), Stage.ROUTER,
     Code.NEUTRON_NO_ROUTE),
    (OUT, f"qr:{QR}", Facts({f"filter {SPACE}": done("[3:1] -A FORWARD -j DROP\n")},
                            {f"filter {SPACE}": done("[4:1] -A FORWARD -j DROP\n")}), Stage.ROUTER,
     Code.NEUTRON_ROUTER_FILTER),
    (OUT, f"qr:{QR}", Facts({f"netstat {SPACE}": done("TcpExt: IPReversePathFilter\nTcpExt: 1\n")},
                            {f"netstat {SPACE}": done("TcpExt: IPReversePathFilter\nTcpExt: 2\n")}),
     Stage.ROUTER, Code.NODE_REVERSE_PATH_FILTER),
    (OUT, f"qr:{QR}", looked(published_SPACE=done("table ip others {\n\tpolicy drop;\n}\n")),
     Stage.ROUTER, Code.NEUTRON_ROUTER_FILTER),
    (OUT, "veth:eth1", looked(nic_rules=done('table netdev o {\n\t"eth1" drop\n}\n')),
     Stage.UPLINK, Code.NODE_FOREIGN_RULES),
    (OUT, f"qr:{QR}", unresolved("172.16.20.1"), Stage.GATEWAY, Code.NEUTRON_NO_NEIGHBOUR),
    (OUT, f"qr:{QR}", unresolved("172.16.20.1", ports_br0ex=done("phy-br-ex\n")), Stage.GATEWAY,
     Code.NEUTRON_BRIDGE_PORT),
    (IN, f"qg:{QG}", unresolved("192.168.20.5"), Stage.SERVER, Code.GUEST_NO_NEIGHBOUR),
    (IN, f"qg:{QG}", unresolved("192.168.20.5", **{"guest_s-1": done("paused\n")}), Stage.SERVER,
     Code.GUEST_OFF),
    (IN, f"qg:{QG}", looked(filter_SPACE=done(""), published_SPACE=done("")), Stage.NAT,
     Code.NEUTRON_NOT_PUBLISHED),
    (OUT, f"qg:{QG}", looked(ports_br0ex=done("uplink0-ex\n")), Stage.GATEWAY,
     Code.NEUTRON_BRIDGE_PORT),
    (OUT, f"qg:{QG}", looked(ports_br0ex=done("", 1)), Stage.GATEWAY, Code.NEUTRON_BRIDGE_PORT),
    (OUT, f"qg:{QG}", looked(flows_br0ex=done(""), ports_br0ex=done("eth1\nphy-br-ex\n")),
     Stage.GATEWAY, Code.NEUTRON_FLOWS_MISSING),
    (OUT, "veth:eth1", Facts({"pipeline eth1": done("", 1)}), Stage.UPLINK,
     Code.UPLINK_RULES_MISSING),
    (OUT, "veth:eth1", counted("out.UPLINK_SOURCE_UNREGISTERED"), Stage.UPLINK,
     Code.UPLINK_SOURCE_IP),
    (OUT, "veth:eth1", Facts(belt(3), belt(4)), Stage.UPLINK, Code.UPLINK_SOURCE_MAC),
    (IN, "nic:eth1", counted("in.UPLINK_DESTINATION_UNREGISTERED"), Stage.UPLINK,
     Code.UPLINK_DESTINATION_IP),
    (OUT, "nic:eth1", dropped(Code.SOURCE_IP), Stage.NIC, Code.SOURCE_IP),
    (OUT, "nic:eth1", dropped(Code.NO_ROUTE), Stage.ROUTE, Code.NO_ROUTE),
    (OUT, "nic:eth1", dropped(Code.NO_PUBLIC_ADDRESS), Stage.ELASTIC_IP, Code.NO_PUBLIC_ADDRESS),
    (IN, OUTSIDE.key, dropped(Code.GROUP_INGRESS), Stage.GROUPS, Code.GROUP_INGRESS),
    (IN, OUTSIDE.key, dropped(Code.ACL_INGRESS), Stage.ACL, Code.ACL_INGRESS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "as_far_as", "facts", "stage", "code"), CASES, ids=lambda one: str(one)[:40]
)
def test_what_was_counted_where_a_packet_was_lost_tells_why(
    given: Ends, as_far_as: str, facts: Facts, stage: Stage, code: Code
) -> None:
    died = death(judge(given, upto(given, as_far_as), facts=facts))
    assert (died.stage, died.code) == (stage, code)
    without = death(judge(given, upto(given, as_far_as)))
    assert without.code is None
    assert "not" in without.detail


# A device that is missing or down, and its hop and code.
DEVICES = [
    (OUT, f"tap:{TAP}", f"qr:{QR}", Told("absent"), Stage.ROUTER, Code.NEUTRON_DEVICE_MISSING),
    (OUT, f"tap:{TAP}", f"qr:{QR}", Told("no namespace"), Stage.ROUTER,
     Code.NEUTRON_DEVICE_MISSING),
    (OUT, f"qr:{QR}", f"qg:{QG}", Told("down"), Stage.GATEWAY, Code.NEUTRON_DEVICE_DOWN),
    (OUT, "", f"tap:{TAP}", Told("absent"), Stage.PORT, Code.NEUTRON_PORT_DOWN),
    (OUT, f"qg:{QG}", "veth:eth1", Told("up", running=False), Stage.UPLINK, Code.UPLINK_WIRING),
    (OUT, "veth:eth1", "nic:eth1", Told("down"), Stage.UPLINK, Code.NODE_NIC_DOWN),
    (OUT, "veth:eth1", "nic:eth1", Told("absent"), Stage.UPLINK, Code.NODE_NIC_MISSING),
]  # fmt: skip


@pytest.mark.parametrize(("given", "as_far_as", "broken", "told", "stage", "code"), DEVICES)
def test_a_device_that_is_not_there_or_down_is_told(
    given: Ends, as_far_as: str, broken: str, told: Told, stage: Stage, code: Code
) -> None:
    died = death(judge(given, upto(given, as_far_as), changed={broken: told}))
    assert (died.stage, died.code) == (stage, code)


def test_a_server_that_is_shut_off_has_no_device() -> None:
    facts = looked(**{"guest_s-1": done("shut off\n")})
    died = death(judge(OUT, 0, facts=facts, changed={f"tap:{TAP}": Told("absent")}))
    assert (died.stage, died.code) == (Stage.PORT, Code.GUEST_OFF)


def test_kernel_open_vswitch_has_no_veth_behind_the_nic() -> None:
    none = {"veth:eth1": Told("none")}
    there = tuple(s for s in sights(OUT, 6, 6) if s.at != "veth:eth1")
    assert judge(OUT, 0, seen=Seen(there, {**eyes(OUT), **none})).death is None


def test_what_only_devices_raise_by_themselves_is_no_reason() -> None:
    for noise in ("out.UPLINK_IPV6", "out.UPLINK_MULTICAST", "out.UPLINK_ARP_NOT_PROBE"):
        assert death(judge(OUT, upto(OUT, "veth:eth1"), facts=counted(noise))).code is None
    assert death(judge(OUT, upto(OUT, "nic:eth1"), facts=dropped(Code.ARP_SILENT))).code is None


def test_a_neighbour_that_the_cloud_refuses_to_answer_for_is_told_where_it_is_refused() -> None:
    asked = unresolved("172.16.20.1")
    refused = dropped(Code.ARP_SENDER)
    facts = replace(asked, wire_before=refused.wire_before, wire_after=refused.wire_after)
    died = death(judge(OUT, upto(OUT, f"qr:{QR}"), facts=facts))
    assert (died.stage, died.code) == (Stage.NIC, Code.ARP_SENDER)


def test_a_server_that_gets_the_packet_and_keeps_silent() -> None:
    died = death(judge(IN, 6))
    assert (died.way, died.stage, died.code) == (Way.THERE, Stage.SERVER, Code.GUEST_NO_ANSWER)
    udp = replace(IN, asked=replace(IN.asked, protocol="udp"))
    assert judge(udp, 6).death is None, "no answer to a datagram is owed"


def test_a_server_where_nothing_listens() -> None:
    seen = tuple(replace(s, refused=s.kind == "answer") for s in sights(IN, 6, 6))
    died = death(judge(IN, 0, seen=Seen(seen, eyes(IN))))
    assert (died.stage, died.code) == (Stage.SERVER, Code.GUEST_REFUSED)


def test_a_router_that_answers_itself_has_not_translated() -> None:
    """The server never saw the packet, though there is an answer."""
    at = upto(IN, f"qg:{QG}")
    back = [s for s in sights(IN, 0, 6) if s.at in (f"qg:{QG}", "nic:eth1", OUTSIDE.key)]
    seen = Seen((*sights(IN, at), *(replace(s, refused=True) for s in back)), eyes(IN))
    facts = looked(filter_SPACE=done(""), published_SPACE=done(""))
    died = death(judge(IN, 0, facts=facts, seen=seen))
    assert (died.stage, died.code) == (Stage.NAT, Code.NEUTRON_NOT_PUBLISHED)


def test_rules_of_neutrons_our_own_and_of_other_devices_are_no_foreign_filter() -> None:
    neutrons = "table ip filter {\n\tdrop\n}\ntable ip pileus_publish {\n}\n"
    passing = "table inet others {\n\tpolicy accept;\n}\n"
    assert looked(published_SPACE=done(neutrons + passing)).foreign_filter(SPACE) is None
    ours = 'table netdev pileus_eth1 {\n\t"eth1" drop\n}\ntable netdev o {\n\t"eth0" drop\n}\n'
    assert looked(nic_rules=done(ours)).foreign_nic_filter("eth1") is None
    longer = 'table netdev o {\n\t"eth10" drop\n}\ntable netdev eth1.7 {\n\t"eth1.7" drop\n}\n'
    assert looked(nic_rules=done(longer)).foreign_nic_filter("eth1") is None
    assert looked(nic_rules=done(longer)).foreign_nic_filter("eth10") == "netdev o"


def test_what_is_wrong_at_another_network_is_told_there() -> None:
    """Both servers are behind one router, each on a network of its own."""
    gone = looked(flows=done(WIRED.replace("in_port=7", "in_port=8")), interfaces=PORTS)
    assert death(judge(ACROSS, upto(ACROSS, f"tap:{TAP}"), facts=gone)).code is None
    died = death(judge(ACROSS, upto(ACROSS, "qr:qr-qr-2"), facts=gone))
    assert (died.subject, died.code) == ("second", Code.NEUTRON_FLOWS_MISSING)
    dead = looked(ports=tags("qr-qr-2", 4095))
    assert death(judge(ACROSS, upto(ACROSS, f"tap:{TAP}"), facts=dead)).code is None
    died = death(judge(ACROSS, upto(ACROSS, "qr:qr-qr-2"), facts=dead))
    assert (died.subject, died.code) == ("second", Code.NEUTRON_PORT_DEAD)


def test_an_answer_that_is_lost_is_told_on_the_way_back() -> None:
    died = death(judge(OUT, 6, 1, facts=dropped(Code.INVALID)))
    assert (died.way, died.stage, died.code) == (Way.BACK, Stage.NIC, Code.INVALID)


def test_on_a_real_cloud_what_lies_below_is_unknown_until_there_is_an_answer() -> None:
    blind = {OUTSIDE.key: Told("none")}
    lost = judge(OUT, 5, changed=blind)
    assert lost.death is None
    fates = {hop.stage: hop.fate for hop in lost.hops}
    assert (fates[Stage.UPLINK], fates[Stage.NIC]) == (Fate.PASSES, Fate.UNKNOWN)
    there = tuple(s for s in sights(OUT, 5, 6) if s.at != OUTSIDE.key)
    answered = judge(OUT, 0, seen=Seen(there, {**eyes(OUT), **blind}))
    assert {hop.fate for hop in answered.hops} == {Fate.PASSES}


def test_packets_of_full_size_that_die_where_small_ones_pass() -> None:
    large = [replace(s, size=1450) for s in sights(OUT, upto(OUT, "veth:eth1"), number=2)]
    died = death(judge(OUT, 6, 6, full=large))
    assert (died.stage, died.code) == (Stage.UPLINK, Code.NODE_MTU)
    assert "1450" in died.detail
    assert judge(OUT, 6, 6, full=sights(OUT, 6, 6, number=2)).death is None


def test_a_sender_that_is_told_that_its_packets_are_too_large_can_help_itself() -> None:
    home = line(OUT, Way.BACK)[-1]
    says = Headers(IPv4Address("192.168.20.1"), WEB.address)
    error = Sight(home.eye.key, home.out, "error", 2, says, icmp="3/4")
    half = judge(OUT, 6, 6, full=[*sights(OUT, 2, number=2), error])
    assert half.death is None
    assert "192.168.20.1" in half.notes[0]
    unheard = replace(error, at=f"qr:{QR}")
    told = judge(OUT, 6, 6, full=[*sights(OUT, 2, number=2), unheard])
    assert (death(told).code, "192.168.20.1" in death(told).detail) == (Code.NODE_MTU, True)


KEPT = {
    "neutron-openvswitch-agent": Stage.SWITCH,
    "neutron-dhcp-agent": Stage.SWITCH,
    "neutron-l3-agent": Stage.ROUTER,
    "pileus-agent": Stage.UPLINK,
}


def test_dead_agents_are_no_fault_of_a_packet_that_passes() -> None:
    states = ["active"] * len(AGENTS)
    healthy = Facts({"agents": done("\n".join(states) + "\n")})
    assert judge(OUT, 6, 6, healthy).notes == ()
    for number, name in enumerate(AGENTS):
        dead = [*states[:number], "failed", *states[number + 1 :]]
        half = judge(OUT, 6, 6, Facts({"agents": done("\n".join(dead))}))
        assert half.death is None
        code = Code.UPLINK_AGENT_DEAD if name == "pileus-agent" else Code.NEUTRON_AGENT_DEAD
        told = {(hop.stage, hop.code) for hop in half.hops if hop.code}
        if name == "neutron-metadata-agent":
            assert told == set()
            assert [note.partition(":")[0] for note in half.notes] == [f"{code} {name}"]
        else:
            assert told == {(KEPT[name], code)}
            assert half.notes == ()


def test_the_metadata_proxy_answers_for_what_stands_behind_it() -> None:
    assert judge(OWN, 2, 2, facts=looked(metadata=done("404\n"))).death is None
    died = death(judge(OWN, 2, 2, facts=looked(metadata=done("503\n"))))
    assert (died.stage, died.code) == (Stage.METADATA, Code.NEUTRON_METADATA)
    assert death(judge(OWN, 2, facts=looked(metadata=done("refused\n")))).code is (
        Code.NEUTRON_METADATA
    )
    agents = done("\n".join("failed" if "metadata" in name else "active" for name in AGENTS))
    dead = Facts(after={"metadata": done("503\n"), "agents": agents})
    assert death(judge(OWN, 2, 2, facts=dead)).code is Code.NEUTRON_AGENT_DEAD


def test_without_a_pipeline_what_dies_further_on_is_told_why() -> None:
    nowhere = Facts(
        {"pipeline eth1": done("", 1)},
        wire_before={NIC.mac: {Code.SOURCE_MAC: 1}},
        wire_after={NIC.mac: {Code.SOURCE_MAC: 2}},
    )
    half = judge(OUT, upto(OUT, "nic:eth1"), facts=nowhere)
    assert (death(half).stage, death(half).code) == (Stage.NIC, Code.SOURCE_MAC)
    assert half.notes[0].startswith(f"{Code.UPLINK_RULES_MISSING} eth1: ")


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("02:aa:00:00:00:66", Code.UPLINK_CLAIMED_TWICE),
        ("02:aa:00:00:00:01", None),
        (str(resolver_mac(NIC.mac)), None),
        (str(NIC.mac), None),
    ],
)
def test_an_answer_that_is_handed_to_another_machine(to: str, code: Code | None) -> None:
    gateway = next(p for p in line(OUT, Way.BACK) if p.eye.kind is At.OUTER).eye.key
    opened = {**eyes(OUT), gateway: replace(UP, mac=Mac.parse("02:aa:00:00:00:01"))}
    lost = [replace(one, to=to) for one in sights(OUT, 6, upto(OUT, "veth:eth1", Way.BACK))]
    died = death(judge(OUT, 0, seen=Seen(tuple(lost), opened)))
    assert died.code is code
    assert died.stage is (Stage.UPLINK if code else Stage.GATEWAY)


def test_a_sender_that_cannot_send() -> None:
    unsent = Seen((), eyes(IN), ("Network is unreachable",))
    died = death(judge(IN, 0, seen=unsent))
    assert (died.stage, died.code) == (Stage.ELASTIC_IP, Code.NO_PUBLIC_ADDRESS)
    silent = Seen((), eyes(OUT), ("br-int is not a bridge",))
    died = death(judge(OUT, 0, seen=silent))
    assert (died.stage, died.code) == (Stage.SWITCH, Code.NEUTRON_SWITCH_SILENT)


MARK = Mark(b"\x01\x02\x03\x04\x05\x06\x07\x08", 0xFFFFF000, 40000)


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
@pytest.mark.parametrize("size", [60, 1450])
def test_a_probe_is_known_again_by_its_mark(protocol: Any, size: int) -> None:
    plan = {"protocol": protocol, "token": MARK.token.hex(), "sequence": MARK.sequence}
    marks = watcher.Marks({**plan, "ports": [40000, 22]})
    headers = Headers(WEB.address, GOOGLE.address, MARK.port, 22)
    for number in range(4):
        packet = packets.probe(MARK, protocol, headers, number, size)
        frame = packets.framed(WEB.mac, Mac("02:00:00:00:00:01"), packet)
        found = marks.read(frame)
        assert found
        assert (found["kind"], found["number"]) == ("probe", number)
        assert (found["source"], found["destination"]) == (str(WEB.address), "8.8.8.8")
        error = bytes([3, 4, 0, 0, 0, 0, 5, 0]) + packet
        told = marks.read(frame[:14] + packets._ip("icmp", headers, error))
        assert told
        own = 40000 + number if protocol == "tcp" else 40000 if protocol == "udp" else None
        assert found.get("source_port") == own, "a firewall takes it for no known connection's"
        assert (told["kind"], told["number"], told["icmp"]) == ("error", number, "3/4")
    other = watcher.Marks({**plan, "token": "ff" * 8, "sequence": 77, "ports": [22]})
    strange = other.read(frame)
    assert strange is None or strange["kind"] == "datagram"
    assert marks.read(frame[:30]) is None


def test_a_users_connection_is_known_by_where_it_comes_from() -> None:
    loose = {"protocol": "tcp", "token": "00", "sequence": 0, "ports": [22]}
    marks = watcher.Marks({**loose, "loose": {"sources": [str(WEB.address)]}})
    headers = Headers(WEB.address, GOOGLE.address, MARK.port, 22)
    frame = packets.framed(WEB.mac, WEB.mac, packets.probe(MARK, "tcp", headers, 3, 60))
    assert (marks.read(frame) or {})["number"] == 0
    assert (marks.read(frame) or {})["number"] == 0, "sent again by its kernel"
    other = packets.probe(MARK, "tcp", replace(headers, source=APP.address), 2, 60)
    assert marks.read(packets.framed(WEB.mac, WEB.mac, other)) is None


def test_the_program_runs_on_python_3_9() -> None:
    assert too_new(Path(watcher.__file__).read_text()) == []


def test_the_machine_itself_is_watched_at_its_management_nic() -> None:
    given = ends(CONTROLLER, GOOGLE, "8.8.8.8")
    assert [point.eye.key for point in line(given, Way.THERE)] == ["nic:eth0", OUTSIDE.key]
