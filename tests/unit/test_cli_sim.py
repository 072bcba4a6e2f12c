"""`pileus sim …` on a stand-in for `pileus.api`: which region it is about, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.api import sim as api
from pileus.cli import main
from pileus.model.status import RegionStatus, SimEndpoint

Run = Callable[..., int]
HERE = SimEndpoint(
    "other", "http://127.0.0.1:5000", "eu-west-1", "http://198.51.100.253/ip", ("key", "word")
)
CONTENTS: dict[str, Any] = {
    "vpcs": [{"id": "vpc-1", "cidr": "10.0.0.0/16", "internet_gateway": True}],
    "instances": [{"id": "i-1", "type": "t3.micro", "kind": "thin", "state": "running"}],
    "nics": [
        {
            "id": "eni-1",
            "vpc": "vpc-1",
            "subnet": "subnet-1",
            "instance": "i-1",
            "device": "eth0",
            "mac": "02:00:00:00:00:01",
            "addresses": [{"private": "10.0.1.5", "public": None}],
        }
    ],
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in an empty directory; its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "state"))

    def run(*words: str) -> int:
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert isinstance(exit_.value.code, int)
        return exit_.value.code

    return run


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], list[tuple[Any, ...]]]:
    """Let a function of the api return a value; the arguments it is called with."""

    def answer(name: str, value: Any) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []

        def stand_in(*arguments: Any) -> Any:
            calls.append(arguments)
            return value

        monkeypatch.setattr(api, name, stand_in)
        return calls

    return answer


Answers = Callable[[str, Any], list[tuple[Any, ...]]]


def test_up_prints_what_a_shell_evaluates(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answers("sim_up", HERE)
    assert run("sim", "up", "--name", "other", "--region", "eu-west-1", "--port", "5000") == 0
    assert calls[0][:2] == ("other", api.SimOptions("eu-west-1", 5000, ()))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "export AWS_ENDPOINT_URL=http://127.0.0.1:5000"
    assert "export AWS_REGION=eu-west-1" in lines
    assert "export AWS_SECRET_ACCESS_KEY=word" in lines
    assert all(line.startswith(("export ", "unset ")) for line in lines)


def test_as_json_it_has_the_same_variables(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("sim_endpoint", HERE)
    assert run("sim", "endpoint", "--name", "other", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["name"], said["url"]) == ("other", HERE.url)
    assert said["environment"]["AWS_ENDPOINT_URL"] == HERE.url
    assert "keys" not in said


def test_the_endpoint_alone_is_a_line(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answers("sim_endpoint", HERE)
    assert run("sim", "endpoint") == 0
    assert calls == [("demo",)], "the default cloud's"
    assert capsys.readouterr().out == f"{HERE.url}\n"


def test_status_shows_what_is_there(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("sim_status", RegionStatus("other", "up", HERE, CONTENTS))
    assert run("sim", "status", "-n", "other") == 0
    said = capsys.readouterr().out
    for word in ("other: up, eu-west-1", "vpc-1", "thin", "02:00:00:00:00:01", "10.0.1.5"):
        assert word in said
    assert run("sim", "status", "-n", "other", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["state"] == "up"
    assert said["nics"] == CONTENTS["nics"]


def test_faults_are_shown_while_they_are_on(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"api-throttle": "0.25", "metadata-away": "on"}
    answers("sim_status", RegionStatus("other", "up", HERE, CONTENTS, wrong))
    answers("sim_list", [RegionStatus("other", "up", HERE, faults=wrong)])
    for command in ("status", "list"):
        assert run("sim", command) == 0
        said = capsys.readouterr().out
        assert all(f"{name} " in said and value in said for name, value in wrong.items())
    assert run("sim", "status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["faults"] == wrong
    assert run("sim", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["regions"][0]["faults"] == wrong


def test_a_name_that_can_be_none_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("../etc", "Other", "a" * 40, ""):
        assert run("sim", "status", "--name", name) == 1
        assert "cannot be a region's name" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["down", "reset"])
def test_what_removes_asks_first(
    run: Run, answers: Answers, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answers(f"sim_{command}", ["removed"])
    assert run("sim", command, "-n", "other") == 1
    assert "add --yes" in capsys.readouterr().err
    assert not calls
    assert run("sim", command, "-n", "other", "--yes") == 0
    assert calls[0][0] == "other"


def test_an_image_without_a_directory_is_refused(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pileus.vpc.control.reach", lambda _: None)
    monkeypatch.setattr("pileus.api.preflight.require_region", lambda: None)
    assert run("sim", "up", "-n", "other", "--image", "debian=/nowhere") == 1
    assert "is no machine image" in capsys.readouterr().err
