"""Which cases a running cloud has, and what counts as one that came out well."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from pileus.model.addresses import Mac, Socket
from pileus.model.connectivity import Tried
from pileus.model.errors import CommandFailed, Refused
from pileus.model.verdict import Code
from pileus.system.process import Done
from pileus.trace import batch, connectivity
from pileus.trace.checks import Judged, Nic, judge_forged
from pileus.trace.connectivity import INTERNET, NODE, WIRE, Case, Scene, Server, Way, by_commands

WEB, DB = (Server(name, IPv4Address(f"192.168.20.{n}")) for name, n in (("web", 5), ("db", 6)))
PUBLIC, REGISTERED = IPv4Address("198.51.100.2"), IPv4Address("172.16.20.101")
PUBLISHED = Way(PUBLIC, Socket(REGISTERED, 522), "tcp", "web", WEB.address, ("ssh", "web"))
SCENE = Scene(
    router="router",
    namespace="qrouter-1",
    instance_id="i-0123456789abcdef0",
    provider=Nic("eth1", Mac("02:00:00:00:20:01"), REGISTERED),
    unregistered=IPv4Address("172.16.20.254"),
    closed=Socket(PUBLIC, 523),
    servers=(WEB, DB),
    ways=(PUBLISHED,),
)


def printed(stdout: str, code: int = 0) -> Done:
    return Done(("program",), code, stdout, "")


def names(scene: Scene) -> list[str]:
    return [case.name for case in connectivity.cases(scene)]


def test_each_server_and_each_way_in_has_its_cases_and_denied_twins() -> None:
    found = names(SCENE)
    assert len(set(found)) == len(found)
    assert {"web-reaches-internet", "db-own-metadata", "web-reaches-db", "db-reaches-web"} <= set(
        found
    )
    assert {"published-172.16.20.101:522", "router-reaches-internet"} <= set(found)
    assert {"closed-port", "unregistered-address", "forged-frame"} <= set(found)
    assert {"web-no-underlay-metadata", "router-no-underlay-metadata"} <= set(found)


def test_an_empty_cloud_has_the_routers_cases_and_no_servers() -> None:
    found = names(replace(SCENE, servers=(), ways=(), closed=None))
    assert "router-full-size" in found
    assert not [name for name in found if name.startswith(("web", "published", "closed"))]


def test_a_registered_address_without_an_elastic_ip_fails_and_nobody_is_asked() -> None:
    bare = replace(PUBLISHED, public=None, login=None)
    (case,) = [
        case
        for case in connectivity.cases(replace(SCENE, ways=(bare,)))
        if case.name == "published-172.16.20.101:522"
    ]
    assert case.argv == ("true",)
    assert case.judge(printed("")) == Judged(False, "it has no Elastic IP")
    assert str(case.asked) == "internet → 172.16.20.101, tcp port 522"


def test_others_floating_ips_are_pinged_and_udp_is_not_judged() -> None:
    other = replace(PUBLISHED, registered=Socket(REGISTERED + 1, 22), login=None, floating=True)
    udp = replace(PUBLISHED, protocol="udp", login=None)
    found = {case.name: case for case in connectivity.cases(replace(SCENE, ways=(other, udp)))}
    assert found["floating-172.16.20.102"].argv[0] == "ping"
    assert found["published-172.16.20.101:522/udp"].judge(printed("silent")).ok is None


def test_chosen_cases_bring_the_way_to_their_place() -> None:
    every = list(connectivity.cases(SCENE))
    chosen = connectivity.chosen(every, ["web-fetches-page"])
    assert [case.name for case in chosen] == ["web-lets-in", "web-fetches-page"]
    assert connectivity.chosen(every, []) == every
    with pytest.raises(Refused, match="no case `other`"):
        connectivity.chosen(every, ["other"])


def case(name: str, place: str = NODE, *, entry: bool = False) -> Case:
    return Case(name, name, place, (name,), entry=entry)


class Answers:
    """A place where commands answer with the codes that are in store, then with 0."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.asked: list[list[str]] = []

    def __call__(self, commands: Sequence[Sequence[str]]) -> list[Done]:
        self.asked.append([argv[0] for argv in commands])
        return [printed("", self.codes.pop(0) if self.codes else 0) for _ in commands]


def test_what_fails_is_tried_once_more_and_the_second_time_counts() -> None:
    there = Answers(0, 1, 1, 0, 1)
    cases = [case("a"), case("b"), case("c")]
    tried = connectivity.run(cases, {NODE: by_commands(there)})
    assert [one.ok for one in tried] == [True, True, False]
    assert there.asked == [["a", "b", "c"], ["b", "c"]]


def test_where_nobody_gets_in_only_that_fails_and_the_rest_is_unknown() -> None:
    def shut(_: Sequence[Sequence[str]]) -> list[Done]:
        raise CommandFailed(["ssh"], 255, "banner\nConnection refused")

    cases = [case("in", entry=True), case("a"), case("b", INTERNET)]
    tried = connectivity.run(cases, {NODE: by_commands(shut), INTERNET: by_commands(Answers())})
    assert [(one.ok, one.detail) for one in tried] == [
        (False, "Connection refused"),
        (None, "Connection refused"),
        (True, "yes"),
    ]


def test_at_the_wire_a_frame_is_forged_once() -> None:
    forged: list[Sequence[Case]] = []

    def forge(cases: Sequence[Case]) -> list[Judged]:
        forged.append(cases)
        return [Judged(True, "+1")]

    (only,) = [one for one in connectivity.cases(SCENE) if one.place == WIRE]
    assert connectivity.run([only], {WIRE: forge})[0].ok is True
    assert forged == [[only]]


def test_services_that_do_not_run_are_named() -> None:
    units = ("a.service", "b.service")
    assert connectivity.judge_units(units, printed("active\nactive\n")).ok is True
    judged = connectivity.judge_units(units, printed("active\nfailed\n", 3))
    assert judged == Judged(False, "b.service is failed", Code.NODE_SERVICE_DEAD)
    assert connectivity.judge_units(units, printed("")).ok is False


@pytest.mark.parametrize(
    ("status", "judged"),
    [
        ({"running": True, "problems": []}, Judged(True, "well")),
        (
            {"running": False, "problems": ["no NIC"]},
            Judged(False, "the agent does not run; no NIC", Code.UPLINK_AGENT_DEAD),
        ),
        ({"running": True, "problems": ["no NIC"]}, Judged(False, "no NIC", Code.UPLINK_UNWELL)),
        ({}, Judged(False, "{}", Code.UPLINK_AGENT_DEAD)),
    ],
)
def test_the_uplink_is_as_its_agent_says(status: dict[str, object], judged: Judged) -> None:
    assert connectivity.judge_uplink(printed(json.dumps(status))) == judged


@pytest.mark.parametrize(
    ("said", "ok"),
    [
        ("ping: local error: message too long, mtu=1500\n", True),
        ("From 172.16.20.101 icmp_seq=1 Frag needed and DF set (mtu = 1450)\n", True),
        ("2 packets transmitted, 0 received, 100% packet loss\n", False),
        ("2 packets transmitted, 2 received, 0% packet loss\n", True),
        ("", False),
    ],
)
def test_too_big_is_said_or_it_was_not(said: str, ok: bool) -> None:
    assert connectivity.judge_too_big(printed(said)).ok is ok


def test_a_name_has_an_address_in_either_nslookups_words() -> None:
    head = "Server:\t\t8.8.8.8\nAddress:\t8.8.8.8:53\n\n"
    well = "Non-authoritative answer:\nName:\twww.example.com\nAddress: 198.18.0.80\n"
    assert connectivity.judge_name(printed(head + well)) == Judged(True, "198.18.0.80")
    assert connectivity.judge_name(printed(f"{head}** can't find it: NXDOMAIN\n", 1)).ok is False
    assert connectivity.judge_name(printed("", 143)).ok is False


def test_a_lease_is_of_the_servers_own_address() -> None:
    said = "udhcpc: broadcasting discover\nudhcpc: lease of 192.168.20.5 obtained from .2\n"
    assert connectivity.judge_lease(WEB.address, printed(said)).ok is True
    assert connectivity.judge_lease(DB.address, printed(said)).ok is False
    nobody = "udhcpc: broadcasting discover\nudhcpc: no lease, failing\n"
    judged = connectivity.judge_lease(WEB.address, printed(nobody, 1))
    assert judged == Judged(False, "udhcpc: no lease, failing")


def test_own_metadata_is_openstacks_document_of_this_server() -> None:
    assert connectivity.judge_own_metadata("web", printed('{"name": "web"}')).ok is True
    assert connectivity.judge_own_metadata("web", printed('{"name": "db"}')).ok is False
    assert connectivity.judge_own_metadata("web", printed("1.0\nlatest\n")).ok is False


@pytest.mark.parametrize(
    ("answers", "ok"),
    [
        (
            "== PUT /latest/api/token\nHTTP/1.1 404 Not Found\n\n== GET /x\nHTTP/1.0 200 OK\n\ni-1",
            True,
        ),
        ("== PUT /latest/api/token\n== GET /x\n", True),
        ("== PUT /latest/api/token\nHTTP/1.1 200 OK\n\nAQAE\n== GET /x\n", False),
        ("== PUT /latest/api/token\n== GET /x\nHTTP/1.1 200 OK\n\ni-0123456789abcdef0", False),
        ("sh: mktemp: not found", None),
    ],
)
def test_neither_token_nor_id_comes_from_below(answers: str, ok: bool | None) -> None:
    judged = connectivity.judge_not_underlay(SCENE.instance_id, printed(answers))
    assert judged.ok is ok


@pytest.mark.parametrize(
    ("said", "open_", "closed"),
    [
        ("connected\n", True, False),
        ("connection refused\n", None, True),
        ("silent\n", False, True),
        ("no route to host\n", False, True),
    ],
)
def test_a_port_is_open_or_closed(said: str, open_: bool | None, closed: bool) -> None:
    assert connectivity.judge_open(printed(said)).ok is open_
    assert connectivity.judge_closed(printed(said)).ok is closed


def test_each_case_without_a_way_of_its_own_tells_its_code_where_it_fails() -> None:
    """A trace would tell nothing of these, or the contrary."""
    told = {
        "openstack-runs": ("failed\n", Code.NODE_SERVICE_DEAD),
        "uplink-is-well": ("", Code.UPLINK_AGENT_DEAD),
        "router-no-underlay-metadata": ("== PUT /\nHTTP/1.1 200 OK\n", Code.UPLINK_NOT_ENFORCED),
        "web-no-underlay-metadata": ("== PUT /\nHTTP/1.1 200 OK\n", Code.UPLINK_NOT_ENFORCED),
        "closed-port": ("connected\n", Code.NEUTRON_PORT_OPEN),
        "unregistered-address": ("", Code.UPLINK_AGENT_DEAD),
    }
    found = {case.name: case for case in connectivity.cases(SCENE)}
    assert {name for name, case in found.items() if not case.asked} - {*told} == {"forged-frame"}
    for name, (said, code) in told.items():
        judged = found[name].judge(printed(said))
        assert (judged.ok, judged.code) == (False, code), name
    counted = {"nics": [{"out": {Code.UPLINK_SOURCE_IP.value: 3}}]}
    unmoved = printed(f"{json.dumps(counted)}\n{json.dumps(counted)}")
    assert connectivity.judge_unregistered(unmoved).code is Code.UPLINK_NOT_ENFORCED
    forged = judge_forged({}, {}, SCENE.provider.mac)
    assert (forged.ok, forged.code) == (False, Code.NOT_ENFORCED)


FLOATING = replace(
    PUBLISHED, registered=Socket(REGISTERED + 1, 22), public=PUBLIC + 1, floating=True, shut=523
)


def test_a_floating_ip_has_a_denied_twin_where_its_groups_leave_a_port_closed() -> None:
    found = {case.name: case for case in connectivity.cases(replace(SCENE, ways=(FLOATING,)))}
    shut = found["floating-172.16.20.102-closed"]
    assert str(shut.asked) == "internet → 198.51.100.3, tcp port 523"
    assert "no security group of web opens" in shut.sentence
    assert shut.twins == ("floating-172.16.20.102",)
    for without in (replace(FLOATING, shut=None), replace(FLOATING, public=None, login=None)):
        assert "floating-172.16.20.102-closed" not in names(replace(SCENE, ways=(without,)))


@pytest.mark.parametrize(
    ("open_twin", "said", "ok"),
    [
        (True, "silent", True),
        (False, "silent", None),
        (None, "silent", None),
        (False, "connection refused", True),
        (True, "connected", False),
        (False, "connected", False),
    ],
)
def test_silence_counts_where_something_else_at_the_address_answers(
    open_twin: bool | None, said: str, ok: bool | None
) -> None:
    """An Elastic IP that is gone is silent at every port."""
    scene = replace(SCENE, ways=(replace(PUBLISHED, login=None),))
    every = [case for case in connectivity.cases(scene) if case.place == INTERNET]
    answers = {True: "connected", False: "silent", None: "connection refused"}

    def there(commands: Sequence[Sequence[str]]) -> list[Done]:
        return [printed(said if argv[-1] == "523" else answers[open_twin]) for argv in commands]

    chosen = connectivity.chosen(every, ["closed-port"])
    assert [case.name for case in chosen] == ["published-172.16.20.101:522", "closed-port"]
    _, closed = connectivity.run(chosen, {INTERNET: by_commands(there)})
    assert closed.ok is ok


def test_why_a_case_failed_is_what_it_tells_itself_and_then_its_trace() -> None:
    tried = Tried("closed-port", "it is closed", False, "somebody answers", None)
    assert (tried.codes, tried.to_json()["hint"]) == ((), None)
    told = replace(tried, code=Code.NEUTRON_PORT_OPEN)
    assert told.codes == (Code.NEUTRON_PORT_OPEN,)
    assert told.to_json()["code"] == "NEUTRON_PORT_OPEN"
    assert told.to_json()["hint"].startswith("see who")


def test_a_closed_port_that_was_not_tried_is_not_called_closed() -> None:
    assert connectivity.judge_closed(printed("", 1)).ok is None


def test_an_unregistered_source_is_counted_by_the_pipeline() -> None:
    def status(count: int) -> str:
        counted = {Code.UPLINK_SOURCE_IP.value: count}
        return json.dumps({"nics": [{"out": counted}]})

    counted = connectivity.judge_unregistered(printed(f"{status(3)}\n{status(4)}"))
    assert counted == Judged(True, "UPLINK_SOURCE_UNREGISTERED +1")
    assert connectivity.judge_unregistered(printed(f"{status(3)}\n{status(3)}")).ok is False
    assert connectivity.judge_unregistered(printed(f"{status(3)}\nnot sent by eth1")).ok is False


def test_answers_of_many_commands_are_told_apart_whatever_they_printed() -> None:
    def shell(argv: Sequence[str], **_: object) -> Done:
        return printed("motd\n0 0 MSAxIEFBCg==\n1 124\n2 0 ====\n")

    first, second, third, fourth = batch.run_all(shell, [["a"], ["b"], ["c"], ["d"]])
    assert (first.argv, first.code, first.stdout) == (("a",), 0, "1 1 AA\n")
    assert (second.code, second.stdout) == (124, "")
    assert (third.code, third.stdout) == (0, "")
    assert fourth.code != 0


def test_no_answer_at_all_is_not_getting_in() -> None:
    def shell(argv: Sequence[str], **_: object) -> Done:
        return Done(tuple(argv), 255, "", "ssh: no route")

    with pytest.raises(CommandFailed, match="no route"):
        batch.run_all(shell, [["true"]])
    assert batch.run_all(shell, []) == []
