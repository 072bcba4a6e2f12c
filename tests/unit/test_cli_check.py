"""`pileus check` on the command line: its table, JSON, JUnit XML and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pileus.api import check as api
from pileus.api import connectivity
from pileus.cli import junit, main
from pileus.model.connectivity import ConnectivityReport, Tried
from pileus.model.errors import CloudFault
from pileus.model.finding import CheckReport, Finding
from pileus.model.path import Asked
from pileus.model.verdict import EXPLANATIONS, Code

Run = Callable[..., int]
WELL = Finding(Code.NODE_MEMORY, "memory", True, "16.0 GiB")
UNKNOWN = Finding(Code.NODE_CLOCK, "clock", None, "nobody tells the time here")
WRONG = Finding(Code.NO_PUBLIC_ADDRESS, "Elastic IPs", False, "none for 172.16.20.102")


def report(*findings: Finding) -> CheckReport:
    return CheckReport("demo", findings, 0.25)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `pileus check` on what the api answers; its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "state"))

    def run(answer: Any, *words: str) -> int:
        def stand_in(*_: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(api, "check", stand_in)
        monkeypatch.setattr(connectivity, "check_connectivity", stand_in)
        with pytest.raises(SystemExit) as exit_:
            main(["check", *words])
        assert isinstance(exit_.value.code, int)
        return exit_.value.code

    return run


def test_what_is_wrong_is_told_with_code_sentence_and_hint(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(report(WELL, UNKNOWN, WRONG)) == 1
    said = capsys.readouterr().out
    assert "memory    ok          16.0 GiB" in said
    assert "clock     not known   nobody tells the time here" in said
    assert "Elastic IPs   FAILED   none for 172.16.20.102" in said
    assert said.index("the cloud below") < said.index("the machine that carries OpenStack")
    assert "UNDERLAY_NO_PUBLIC_ADDRESS (Elastic IPs: none for 172.16.20.102)\n  The source" in said
    assert "  hint: associate an Elastic IP with the address\n" in said
    assert said.endswith("3 things looked at in 0.2 s, 1 of them wrong\n")


def test_what_is_unknown_is_no_failure(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(report(WELL, UNKNOWN)) == 0
    assert capsys.readouterr().out.endswith("2 things looked at in 0.2 s, nothing wrong\n")


def test_as_json_each_finding_has_its_code_and_what_is_wrong_its_hint(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(report(WELL, WRONG), "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["cloud"], document["ok"], document["seconds"]) == ("demo", False, 0.25)
    well, wrong = document["findings"]
    assert well == {
        "code": "NODE_MEMORY",
        "family": "NODE",
        "component": "the machine",
        "subject": "memory",
        "ok": True,
        "detail": "16.0 GiB",
        "sentence": None,
        "hint": None,
    }
    assert wrong["sentence"].startswith("The source address has no Elastic IP")
    assert wrong["hint"] == "associate an Elastic IP with the address"
    assert run(report(UNKNOWN), "--json") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_as_junit_xml_each_finding_is_a_test(run: Run, tmp_path: Path) -> None:
    assert run(report(WELL, UNKNOWN, WRONG), "--junit-xml", "out/check.xml") == 1
    suite = ElementTree.fromstring((tmp_path / "out" / "check.xml").read_bytes())  # noqa: S314
    assert (suite.tag, suite.get("name")) == ("testsuite", "pileus check demo")
    counts = [suite.get(name) for name in ("tests", "failures", "skipped", "errors", "time")]
    assert counts == ["3", "1", "1", "0", "0.250"]
    well, unknown, wrong = suite
    assert (well.get("classname"), well.get("name")) == ("pileus.NODE", "NODE_MEMORY: memory")
    assert [child.tag for child in well] == ["system-out"]
    assert [child.tag for child in unknown] == ["skipped"]
    (failure,) = wrong
    assert failure.get("message") == "none for 172.16.20.102"
    assert "hint: associate an Elastic IP" in (failure.text or "")


def test_whatever_a_machine_says_the_xml_can_be_read() -> None:
    said = Finding(Code.NODE_UNREACHABLE, "SSH", False, 'no \x1b[31m<route>\x00 & "way"\r')
    suite = ElementTree.fromstring(junit.document(junit.findings(report(said))).encode())  # noqa: S314
    assert suite[0][0].get("message") == 'no  [31m<route>  & "way" '


def test_xml_that_cannot_be_written_is_the_users_to_mend(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(report(WELL), "--junit-xml", "file/check.xml") == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_cloud_that_cannot_be_asked_is_a_fault(run: Run) -> None:
    fault = CloudFault("look", "InternalError", "no", hint="repeat", retryable=True)
    assert run(fault) == 2


SHUT = Asked("internet", "198.51.100.2", "tcp", 523)
CODE = Code.NEUTRON_PORT_OPEN
TRIED = (
    Tried("in", "it lets us in", True, "yes"),
    Tried("quiet", "it is closed", None, "silent"),
    Tried("closed-port", "it is closed", False, "somebody answers", SHUT, code=CODE,
          untraced="there are 2 named `web` (name one by its id)"),
)  # fmt: skip


def test_a_case_that_fails_is_told_with_code_and_hint_and_why_it_has_no_hops(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ConnectivityReport("demo", TRIED, 0.25), "connectivity") == 1
    said = capsys.readouterr().out
    meaning = EXPLANATIONS[CODE]
    assert f"  NEUTRON_PORT_OPEN: {meaning.sentence}\n  hint: {meaning.hint}\n" in said
    assert "  no trace of internet → 198.51.100.2, tcp port 523: there are 2 named `web`" in said
    assert said.endswith("3 cases tried in 0.2 s, 1 of them failed\n")


def test_of_cases_too_json_and_junit_xml_have_code_and_hint(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("connectivity", "--json", "--junit-xml", "tried.xml")
    assert run(ConnectivityReport("demo", TRIED, 0.25), *words) == 1
    *_, failed = json.loads(capsys.readouterr().out)["cases"]
    assert (failed["code"], failed["hint"]) == (CODE.value, EXPLANATIONS[CODE].hint)
    assert failed["untraced"].startswith("there are 2 named")
    suite = ElementTree.fromstring((tmp_path / "tried.xml").read_bytes())  # noqa: S314
    well, unknown, wrong = suite
    assert [child.tag for case in (well, unknown) for child in case] == ["system-out", "skipped"]
    (failure,) = wrong
    assert failure.get("type") == CODE.value
    assert f"hint: {EXPLANATIONS[CODE].hint}" in (failure.text or "")
    assert "no trace of internet → 198.51.100.2" in (failure.text or "")
