"""`pileus graph` on the command line: what is asked, where the picture goes, what is refused."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from graph_scenes import DEFAULT

from pileus.api import graph as api
from pileus.cli import main
from pileus.graph.contents import picture
from pileus.model.path import Asked

Run = Callable[..., tuple[int, list[Any]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `pileus graph` on what the api answers: the exit code, and what the api was asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "state"))
    calls: list[Any] = []

    def stand_in(_spec: object, _workspace: object, asked: Asked | None, *, probe: bool) -> Any:
        calls.append((asked, probe))
        return picture("demo", DEFAULT)

    def run(*words: str) -> tuple[int, list[Any]]:
        monkeypatch.setattr(api, "graph", stand_in)
        with pytest.raises(SystemExit) as exit_:
            main(["graph", *words])
        return int(exit_.value.code or 0), calls

    return run


def test_text_by_default(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == (0, [(None, True)])
    said = capsys.readouterr().out
    assert "│ internet │" in said
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) <= 100


def test_ascii_where_asked_for_and_where_the_terminal_cannot_do_more(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--ascii")
    asked_for = capsys.readouterr().out
    assert "| internet |" in asked_for
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", stream)
    run()
    stream.flush()
    assert stream.buffer.getvalue().decode() == asked_for


def test_svg_into_a_file_or_to_stdout(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run("--svg", "-")
    document = capsys.readouterr().out
    assert ElementTree.fromstring(document).tag.endswith("svg")  # noqa: S314 - our own
    assert run("--svg", "cloud.svg")[0] == 0
    assert (tmp_path / "cloud.svg").read_text() == document
    assert capsys.readouterr().out == ""


def test_a_file_that_cannot_be_written_is_told(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("")
    code, _ = run("--svg", "plain/cloud.svg")
    said = capsys.readouterr().err
    assert code == 1
    assert "plain/cloud.svg cannot be written" in said
    assert "hint:" in said


def test_json_has_every_node_and_edge(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("--json")
    document = json.loads(capsys.readouterr().out)
    ids = {node["id"] for node in document["nodes"]}
    assert {"internet", "nic:eni-p", "server:s-1"} <= ids
    assert {edge[end] for edge in document["edges"] for end in ("upper", "lower")} <= ids


def test_a_packet_is_asked_for_as_on_trace(run: Run) -> None:
    assert run("--trace", "internet", "web", "--port", "22", "--no-probe")[1] == [
        (Asked("internet", "web", "tcp", 22), False)
    ]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--port", "22"), "are a packet's"),
        (("--trace", "web", "8.8.8.8", "--protocol", "udp"), "udp needs a port"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    assert run(*words) == (1, [])
    assert why in capsys.readouterr().err
