"""Pictures as text and as SVG: three of them whole, and any at all as a well-formed document.

After a wanted change, renew the golden files and look at what changed:
`PYTHONPATH=tests/unit:tests .venv/bin/python tests/unit/test_graph_drawings.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from graph_scenes import DEFAULT, TWO_PROJECTS, pictures
from hypothesis import given, settings
from test_graph_marks import OUT, traced
from trace_scene import nic

from pileus.graph import box, svg, text
from pileus.graph.contents import picture
from pileus.graph.fold import folded
from pileus.graph.layout import layout
from pileus.graph.picture import Kind, Mark, Node, Picture, printable
from pileus.model.scene import ServerState

GOLDEN = Path(__file__).parents[1] / "golden"
SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {
    "graph-default": picture("demo", DEFAULT),
    "graph-two-projects": picture("demo", TWO_PROJECTS),
    "graph-failed": traced(OUT, nic(routes=())(DEFAULT)),
}
WICKED = '</text><script>alert(1)</script>&"\x1b[2J\x00\u202e\ud800'


def named(server: str) -> Picture:
    inside = replace(DEFAULT.neutron, servers=(ServerState("s-1", server, "ACTIVE"),))
    return picture("demo", replace(DEFAULT, neutron=inside))


def texts(root: ElementTree.Element, kind: str) -> list[str]:
    return [str(one.text) for one in root.iter(f"{SVG}text") if one.get("class") == kind]


@pytest.mark.parametrize("name", DRAWN)
def test_as_it_was_when_somebody_looked_at_it(name: str) -> None:
    assert text.render(DRAWN[name]) == (GOLDEN / f"{name}.txt").read_text()
    assert svg.render(DRAWN[name]) == (GOLDEN / f"{name}.svg").read_text()


@pytest.mark.parametrize("name", DRAWN)
def test_the_svg_is_whole_and_needs_nothing_else(name: str) -> None:
    document = svg.render(DRAWN[name])
    root = ElementTree.fromstring(document)  # noqa: S314 - our own
    _, _, width, height = map(int, str(root.get("viewBox")).split())
    nodes = folded(DRAWN[name]).nodes
    assert len(texts(root, "name")) == len(nodes)
    told = {root.findtext(f"{SVG}{tag}") for tag in ("title", "desc")}
    assert None not in told
    assert str(root.get("aria-labelledby")).split() == ["title", "desc"]
    for rect in root.iter(f"{SVG}rect"):
        if rect.get("class") != "page":
            assert float(str(rect.get("x"))) + float(str(rect.get("width"))) < width
            assert float(str(rect.get("y"))) + float(str(rect.get("height"))) < height
    for word in ("href", "url(", "@import", "<script", "http:"):
        assert word not in document.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_a_program_that_knows_no_css_variables_has_every_colour() -> None:
    style = ElementTree.fromstring(svg.render(DRAWN["graph-failed"])).findtext(f"{SVG}style")  # noqa: S314
    painted = re.findall(r"(fill|stroke): (#\w+); \1: var\(--([a-z-]+)\);", style or "")
    assert len(painted) == str(style).count("var(") > 7
    for _, colour, name in painted:
        assert f"--{name}: {colour};" in str(style).partition("@media")[0]


def test_a_failed_hop_is_red_and_said_in_words_too() -> None:
    root = ElementTree.fromstring(svg.render(DRAWN["graph-failed"]))  # noqa: S314 - our own
    failed = [one for one in root.iter(f"{SVG}g") if "failed" in str(one.get("class")).split()]
    assert [texts(one, "name") for one in failed] == [["NIC eth1"]]
    assert texts(root, "why") == ["✗ route: UNDERLAY_NO_ROUTE"]
    drawn = text.render(DRAWN["graph-failed"], text.Style(colour=True))
    red = [line.partition("\x1b[31m")[2].partition("\x1b[0m")[0] for line in drawn.splitlines()]
    assert next(line for line in red if line)[0] == "╔"
    assert "UNDERLAY_NO_ROUTE" in "".join(red)
    assert "\x1b" not in text.render(DRAWN["graph-default"], text.Style(colour=True))


def test_names_are_text_and_nothing_else() -> None:
    drawn = named(WICKED)
    root = ElementTree.fromstring(svg.render(drawn))  # noqa: S314 - our own
    assert not list(root.iter(f"{SVG}script"))
    assert any("<script>alert(1)" in name for name in texts(root, "name") + texts(root, "line"))
    line = text.render(drawn)
    assert "<script>alert(1)" in line
    assert not set(line) & {"\x1b", "\x00", "\u202e", "\ud800"}


def test_a_long_name_is_cut_and_a_wide_one_takes_two_columns_a_letter() -> None:
    long = Node("s", Kind.SERVER, "x" * 255)
    assert box.height(long) == 4
    assert box.rows(long)[1].endswith("…")
    wide = text.render(named("雲" * 8)).splitlines()
    widths = {box.columns(line) for line in wide[-5:]}
    assert len(widths) == 1


def test_plain_ascii_says_the_same() -> None:
    plain = text.render(DRAWN["graph-failed"], text.Style(ascii=True))
    assert plain.isascii()
    assert "x route: UNDERLAY_NO_ROUTE #" in plain
    assert "> 172.16.20.101" in plain
    assert text.render(named("雲"), text.Style(ascii=True)).count("server ?") == 1


@settings(max_examples=60)
@given(pictures())
def test_any_picture_becomes_text_and_a_well_formed_document(drawn: Picture) -> None:
    found = layout(folded(drawn), text.WIDEST)
    for line in text.render(drawn).splitlines():
        assert box.columns(line) <= max(text.WIDEST, found.width)
    assert text.render(drawn, text.Style(ascii=True)).isascii()
    root = ElementTree.fromstring(svg.render(drawn))  # noqa: S314 - our own
    marks = sum(node.mark is Mark.FAILED for node in folded(drawn).nodes)
    assert sum("failed" in str(one.get("class")) for one in root.iter(f"{SVG}g")) == marks


def test_nothing_that_a_terminal_obeys_is_printable() -> None:
    assert printable("a\nb\x9b") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


if __name__ == "__main__":
    for name, drawn in DRAWN.items():
        (GOLDEN / f"{name}.txt").write_text(text.render(drawn))
        (GOLDEN / f"{name}.svg").write_text(svg.render(drawn))
