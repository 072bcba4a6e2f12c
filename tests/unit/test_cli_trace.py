"""`pileus trace` on the command line: its table, JSON, exit codes, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from trace_scene import SCENE, asked, nic, predicted

from pileus.api import trace as api
from pileus.cli import main, render
from pileus.model.path import Asked, Fate, Half, Trace
from pileus.model.scene import Scene
from pileus.model.verdict import Code
from pileus.trace import compare
from pileus.trace.resolve import resolve
from pileus.trace.route import route

Run = Callable[..., tuple[int, list[Any]]]
GOLDEN = Path(__file__).parents[1] / "golden"
OUT = asked("web", "8.8.8.8")
NOTE = "nothing was sent: this is what the APIs of both clouds say"


def answer(question: Asked, scene: Scene, observed: Half | None = None) -> Trace:
    places = route(resolve(question, scene))
    table = compare.rows(places, predicted(question, scene), observed)
    notes = () if observed else (NOTE,)
    return Trace("demo", question, table, compare.failing(table), notes, 1.25)


def seen(half: Half, last: Code | None) -> Half:
    """The same hops as observed; with a code, the packet dies at the last of them."""
    hops = [replace(hop, detail="seen") for hop in half.hops]
    fate = Fate.DIES if last else Fate.PASSES
    return Half((*hops[:-1], replace(hops[-1], fate=fate, code=last, detail="the counter rose")))


PUBLISHED = asked("internet", "web", 22)
UNROUTED = nic(routes=())(SCENE)
BLACK_HOLE = Half(predicted(OUT).hops[:7])
ANSWERS = {
    "trace-arrives": answer(PUBLISHED, SCENE),
    "trace-dies": answer(OUT, UNROUTED, seen(predicted(OUT, UNROUTED), Code.NO_ROUTE)),
    "trace-differs": answer(OUT, SCENE, seen(BLACK_HOLE, Code.UPLINK_SOURCE_IP)),
    "trace-passes": answer(OUT, UNROUTED, seen(predicted(OUT), None)),
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `pileus trace` on what the api answers: the exit code, and what the api was asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "state"))

    def run(given: Trace, *words: str) -> tuple[int, list[Any]]:
        calls: list[Any] = []

        def stand_in(_spec: object, _workspace: object, *rest: Any, **named: Any) -> Trace:
            calls.extend([*rest, named])
            return given

        monkeypatch.setattr(api, "trace", stand_in)
        with pytest.raises(SystemExit) as exit_:
            main(["trace", *words])
        assert isinstance(exit_.value.code, int)
        return exit_.value.code, calls

    return run


@pytest.mark.parametrize("name", ANSWERS)
def test_both_halves_side_by_side_and_the_failing_hop_marked(
    name: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = run(ANSWERS[name], "web", "8.8.8.8")
    assert code == (0 if name == "trace-arrives" else 1)
    said = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    assert said == (GOLDEN / f"{name}.txt").read_text()


def test_a_narrow_terminal_breaks_no_address_and_tells_what_stops_the_packet(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "_console", lambda: Console(highlight=False, width=80))
    run(ANSWERS["trace-dies"], "web", "8.8.8.8")
    said = capsys.readouterr().out
    assert max(map(len, said.partition("\n\nit dies")[0].splitlines())) <= 80
    assert "default by 172.16.20.1" not in said
    assert "the counter rose\nit dies at route provider" in said
    assert {"192.168.20.5", "172.16.20.101", "8.8.8.8"} <= {*said.split()}


def test_as_json_each_hop_has_both_halves(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = run(ANSWERS["trace-dies"], "web", "8.8.8.8", "--json")
    document = json.loads(capsys.readouterr().out)
    assert (code, document["ok"], document["code"]) == (1, False, "UNDERLAY_NO_ROUTE")
    assert document["asked"] == {
        "source": "web",
        "destination": "8.8.8.8",
        "protocol": "icmp",
        "port": None,
    }
    failing = document["failing"]
    assert (failing["way"], failing["stage"], failing["subject"]) == ("there", "route", "provider")
    assert failing["observed"]["hint"].startswith("add a route")
    first = document["hops"][0]
    assert first["predicted"]["headers"]["source"] == "192.168.20.5"
    assert document["hops"][-1]["predicted"] is None


@pytest.mark.parametrize(
    ("words", "question", "probe"),
    [
        (("web", "8.8.8.8"), Asked("web", "8.8.8.8", "icmp", None), True),
        (("web", "db", "--port", "22"), Asked("web", "db", "tcp", 22), True),
        (
            ("web", "db", "--protocol", "udp", "--port", "53", "--no-probe"),
            Asked("web", "db", "udp", 53),
            False,
        ),
    ],
)
def test_what_is_asked(run: Run, words: tuple[str, ...], question: Asked, probe: bool) -> None:
    assert run(ANSWERS["trace-arrives"], *words)[1] == [question, {"probe": probe}]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--port", "70000"), "is not a port"),
        (("--protocol", "icmp", "--port", "1"), "ICMP has no ports"),
        (("--protocol", "udp"), "udp needs a port"),
        (("--protocol", "sctp"), "'sctp' cannot be traced"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    run: Run, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    code, calls = run(ANSWERS["trace-arrives"], "web", "8.8.8.8", *words)
    assert (code, calls) == (1, [])
    assert why in capsys.readouterr().err


if __name__ == "__main__":
    from contextlib import redirect_stdout

    from pileus.cli import render

    for name, given in ANSWERS.items():
        with (GOLDEN / f"{name}.txt").open("w") as file, redirect_stdout(file):
            render.trace(given)
    for path in GOLDEN.glob("trace-*.txt"):
        path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))
    sys.exit()
