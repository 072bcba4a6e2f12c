"""A trace laid over a picture: the hop where a packet died is red, its way is marked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from graph_scenes import DEFAULT, TWO_PROJECTS
from trace_scene import SCENE, Change, asked, neutron, nic, predicted, uplink, vpc

from pileus.graph.contents import picture
from pileus.graph.marks import marked
from pileus.graph.picture import Kind, Mark, Picture
from pileus.model.path import Asked, Fate, Half, Hop, Place, Row, Stage, Trace, Way
from pileus.model.scene import Scene
from pileus.model.verdict import Code
from pileus.trace import compare
from pileus.trace.resolve import resolve
from pileus.trace.route import route

OUT = asked("web", "8.8.8.8")


def traced(question: Asked, scene: Scene) -> Picture:
    rows = compare.rows(route(resolve(question, scene)), predicted(question, scene), None)
    trace = Trace("demo", question, rows, compare.failing(rows), (), 0.0)
    return marked(picture("demo", scene), trace)


def names(drawn: Picture, mark: Mark | None) -> set[str]:
    return {f"{node.kind} {node.name}" for node in drawn.nodes if node.mark is mark}


def test_a_packet_that_arrives_marks_all_of_its_way_and_nothing_else() -> None:
    drawn = traced(OUT, DEFAULT)
    assert drawn.failed == ()
    assert drawn.caption == ("web → 8.8.8.8, icmp", "it should arrive, and be answered")
    assert names(drawn, None) == {
        "Elastic IP 198.51.100.1",
        "NIC eth0",
        "machine demo-controller",
    }
    unmarked = {(edge.upper, edge.lower) for edge in drawn.edges if edge.mark is None}
    assert unmarked == {
        ("internet", "elastic-ip:198.51.100.1"),
        ("elastic-ip:198.51.100.1", "nic:eni-m"),
        ("nic:eni-m", "machine"),
    }


@pytest.mark.parametrize(
    ("change", "question", "where", "why"),
    [
        (nic(routes=()), OUT, "NIC eth1", f"route: {Code.NO_ROUTE}"),
        (
            uplink(registered=frozenset()),
            OUT,
            "uplink mac-nat",
            f"uplink: {Code.UPLINK_SOURCE_IP}",
        ),
        (vpc(elastic={}), OUT, "Elastic IP 172.16.20.101", f"elastic-ip: {Code.NO_PUBLIC_ADDRESS}"),
    ],
)
def test_the_hop_where_it_dies_is_told_with_its_code(
    change: Change, question: Asked, where: str, why: str
) -> None:
    drawn = traced(question, change(DEFAULT))
    assert names(drawn, Mark.FAILED) == {where}
    assert [node.why for node in drawn.failed] == [why]
    assert drawn.caption[1].startswith("✗")


def test_what_is_not_there_is_added_where_the_packet_missed_it() -> None:
    drawn = traced(OUT, vpc(elastic={})(DEFAULT))
    missing = drawn.failed[0]
    assert (missing.kind, missing.lines) == (Kind.ELASTIC_IP, ("not there",))
    assert [edge.lower for edge in drawn.edges if edge.upper == missing.id] == ["nic:eni-p"]


def test_each_of_several_floating_ips_is_found_by_its_own_name() -> None:
    drawn = traced(asked("internet", "server-2-1", 22), TWO_PROJECTS)
    assert drawn.failed == ()
    passed = names(drawn, Mark.PASSED)
    assert {"Elastic IP 198.51.100.6", "router router2", "network net2"} <= passed
    assert not {"Elastic IP 198.51.100.3", "router router1", "server server-2-2"} & passed


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_has_a_box_though_nothing_is_known_of_it(stage: Stage) -> None:
    place = Place(Way.THERE, stage, "who?\x1b[2J")
    row = Row(place, Hop(Way.THERE, stage, place.subject, Fate.DIES))
    trace = Trace("demo", OUT, (row,), row, (), 0.0)
    drawn = marked(picture("demo", DEFAULT), trace)
    assert len(drawn.failed) == 1
    assert all(text.isprintable() for text in (*drawn.caption, *(n.name for n in drawn.nodes)))


def test_a_hop_that_cannot_be_seen_is_neither_passed_nor_failed() -> None:
    hop = Hop(Way.THERE, Stage.NIC, "eni-p", Fate.UNKNOWN)
    half = Half((hop,))
    rows = compare.rows((hop.key,), half, None)
    drawn = marked(picture("demo", DEFAULT), Trace("demo", OUT, rows, None, (), 0.0))
    assert names(drawn, Mark.UNKNOWN) == {"NIC eth1"}


def test_of_those_with_one_name_the_ones_on_the_way_are_marked() -> None:
    """The user's are listed first."""
    state = SCENE.neutron
    taken = neutron(
        servers=tuple(replace(one, name="web") for one in reversed(state.servers)),
        routers=tuple(replace(one, name="router") for one in reversed(state.routers)),
        networks=tuple(replace(one, name="private") for one in reversed(state.networks)),
        own=frozenset({"s-1", "r-1", "n-private"}),
    )(SCENE)

    def passed(source: str) -> set[str]:
        drawn = traced(asked(source, "8.8.8.8"), taken)
        kinds = (Kind.SERVER, Kind.ROUTER, Kind.NETWORK)
        return {one.id for one in drawn.nodes if one.mark is Mark.PASSED and one.kind in kinds}

    assert passed("web") == {"server:s-1", "router:r-1", "network:n-private"}
    assert passed("s-3") == {"server:s-3", "router:r-2", "network:n-third"}
