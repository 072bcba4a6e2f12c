"""The command line on a stand-in for `pileus.api`: what it calls, prints, and exits with."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pileus.api import access, changes, down, plan, sim, status, up
from pileus.cli import main
from pileus.model.addresses import Mac, Socket
from pileus.model.errors import Busy, Fault, Refused
from pileus.model.status import (
    Check,
    DroppedFrame,
    NicStatus,
    NicTraffic,
    NodeStatus,
    OpenStackStatus,
    PlanResult,
    PublishedStatus,
    RouterStatus,
    ServerStatus,
    Status,
    UnderlayStatus,
    UpResult,
    WireReport,
)
from pileus.model.underlay import Registered
from pileus.model.verdict import Code
from pileus.system import terminal

Run = Callable[..., int]
MAC = Mac("02:00:00:00:00:02")
REGISTERED = IPv4Address("172.16.20.101")
PUBLIC = IPv4Address("198.51.100.11")
STATUS = Status(
    cloud="demo",
    state="up",
    underlay=UnderlayStatus("aws", "us-east-1", "http://127.0.0.1:5000", "vpc-1"),
    nodes=(
        NodeStatus(
            "controller",
            "i-1",
            IPv4Address("198.51.100.10"),
            (NicStatus("provider", "eth1", MAC, (Registered(REGISTERED, PUBLIC),)),),
        ),
    ),
    openstack=OpenStackStatus("2025.1", "http://198.51.100.10:5000/v3", "http://198.51.100.10/"),
    routers=(RouterStatus("router", REGISTERED, MAC),),
    servers=(
        ServerStatus(
            "web",
            IPv4Address("192.168.20.5"),
            None,
            (
                PublishedStatus(
                    Socket(PUBLIC, 522),
                    Socket(REGISTERED, 522),
                    Socket(IPv4Address("192.168.20.5"), 22),
                ),
            ),
        ),
    ),
)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in an empty directory; its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("PILEUS_CALLED", raising=False)

    def run(*words: str) -> int:
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert isinstance(exit_.value.code, int)
        return exit_.value.code

    return run


PARTS = (access, changes, down, plan, sim, status, up)
"""Of the api, those that these commands call."""


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], list[tuple[Any, ...]]]:
    """Let a function of the api return a value, or raise it; the arguments it is called with."""

    def answer(name: str, value: Any) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []

        def stand_in(*arguments: Any) -> Any:
            calls.append(arguments)
            if isinstance(value, BaseException):
                raise value
            return value

        (home,) = (module for module in PARTS if hasattr(module, name))
        monkeypatch.setattr(home, name, stand_in)
        return calls

    return answer


Answers = Callable[[str, Any], list[tuple[Any, ...]]]


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs that the command handed over to."""
    programs: list[list[str]] = []

    def stand_in(argv: list[str]) -> NoReturn:
        programs.append(argv)
        raise SystemExit(0)

    monkeypatch.setattr(terminal, "become", stand_in)
    return programs


def test_up_without_a_file_builds_the_default_cloud(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Check("the router pings 8.8.8.8", True, "3 of 3 answered")
    calls = answers("up", UpResult(STATUS, ("made a VPC",), (check,)))
    assert run("up") == 0
    ((spec, workspace, _),) = calls
    assert (spec.cloud, workspace.cloud) == ("demo", "demo")
    said = capsys.readouterr().out
    assert "the router pings 8.8.8.8   ok" in said
    assert "198.51.100.11:522 → 172.16.20.101:522 → 192.168.20.5:22" in said
    assert "source " in said
    assert "dashboard:  http://198.51.100.10/\n" in said
    assert "nothing had to change" not in said


def test_up_of_what_is_up_says_that_nothing_had_to_change(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("up", UpResult(STATUS, (), ()))
    assert run("up") == 0
    assert "nothing had to change" in capsys.readouterr().out


def test_a_file_in_the_directory_is_read_unless_another_is_named(
    run: Run, answers: Answers, tmp_path: Path
) -> None:
    calls = answers("plan", PlanResult(()))
    (tmp_path / "pileus.yaml").write_text("cloud: here")
    (tmp_path / "other.yaml").write_text("cloud: there")
    assert run("plan") == 0
    assert run("plan", "-f", "other.yaml") == 0
    assert [spec.cloud for spec, _ in calls] == ["here", "there"]


def test_a_wrong_file_is_told_whole_and_nothing_is_called_or_written(
    run: Run, answers: Answers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answers("up", None)
    (tmp_path / "pileus.yaml").write_text("cloud: X\nfloating_ips: 999\n")
    assert run("up") == 1
    said = capsys.readouterr().err
    assert "pileus.yaml:1: `X` cannot be a name\n  hint: " in said
    assert "pileus.yaml:2: 999 floating IPs do not fit" in said
    assert "error: 2 problems in the configuration\nhint: " in said
    assert not calls
    assert not (tmp_path / "state").exists()


def test_a_warning_does_not_stop_the_command(
    run: Run, answers: Answers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("plan", PlanResult(("make a VPC",)))
    (tmp_path / "pileus.yaml").write_text("underlay: {allow_from: [0.0.0.0/0]}")
    assert run("plan") == 0
    told = capsys.readouterr()
    assert told.err.startswith("warning: allow_from contains 0.0.0.0/0")
    assert told.out == "make a VPC\n"


def test_status_as_json_has_the_documented_shape(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("status", STATUS)
    assert run("status", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "cloud": "demo",
        "state": "up",
        "underlay": {
            "kind": "aws",
            "region": "us-east-1",
            "endpoint": "http://127.0.0.1:5000",
            "vpc_id": "vpc-1",
        },
        "nodes": [
            {
                "name": "controller",
                "instance_id": "i-1",
                "management_public_ip": "198.51.100.10",
                "nics": [
                    {
                        "role": "provider",
                        "device": "eth1",
                        "mac": "02:00:00:00:00:02",
                        "addresses": [{"private": "172.16.20.101", "public": "198.51.100.11"}],
                    }
                ],
            }
        ],
        "openstack": {
            "release": "2025.1",
            "auth_url": "http://198.51.100.10:5000/v3",
            "dashboard_url": "http://198.51.100.10/",
        },
        "routers": [
            {
                "name": "router",
                "gateway_ip": "172.16.20.101",
                "gateway_mac": "02:00:00:00:00:02",
            }
        ],
        "servers": [
            {
                "name": "web",
                "fixed_ip": "192.168.20.5",
                "floating_ip": None,
                "published": [
                    {
                        "public": "198.51.100.11:522",
                        "registered": "172.16.20.101:522",
                        "private": "192.168.20.5:22",
                    }
                ],
            }
        ],
    }


def test_status_is_readable_too(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("status", STATUS)
    assert run("status") == 0
    said = capsys.readouterr().out
    assert "demo: up" in said
    assert "dashboard:  http://198.51.100.10/\n" in said
    assert "172.16.20.101   02:00:00:00:00:02" in said
    assert "\x1b" not in said


def wire(**dropped: int) -> WireReport:
    counts = dict.fromkeys(Code, 0) | {Code[name]: count for name, count in dropped.items()}
    return WireReport((NicTraffic("eni-1", "i-1", "eth1", MAC, (REGISTERED,), 7, 5, counts),))


def test_the_wire_as_json_has_every_code(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("sim_wire", wire(SOURCE_MAC=1))
    assert run("sim", "wire", "--json") == 0
    (nic,) = json.loads(capsys.readouterr().out)["nics"]
    assert nic["passed"] == {"out": 7, "in": 5}
    assert nic["registered"] == ["172.16.20.101"]
    assert (nic["eni"], nic["instance"], nic["device"]) == ("eni-1", "i-1", "eth1")
    assert nic["dropped"] == {code.value: int(code is Code.SOURCE_MAC) for code in Code}


def test_the_wire_shows_the_reasons_of_what_it_dropped(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("sim_wire", wire(SOURCE_MAC=3))
    assert run("sim", "wire") == 0
    said = capsys.readouterr().out
    assert "UNDERLAY_SOURCE_MAC_UNREGISTERED 3" in said
    assert "UNDERLAY_SOURCE_IP_UNREGISTERED" not in said


DROPPED = DroppedFrame(
    "2026-01-01T00:00:00.000Z",
    "eni-1",
    "i-1",
    "eth1",
    "from",
    Code.SOURCE_IP,
    {"source": "172.16.20.99", "destination": "8.8.8.8"},
    ("source",),
)


def test_the_wire_tells_the_last_dropped_frames(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("sim_wire", replace(wire(SOURCE_IP=1), drops=(DROPPED,)))
    assert run("sim", "wire") == 0
    said = capsys.readouterr().out
    assert "from eni-1" in said
    assert "source 172.16.20.99" in said
    assert "8.8.8.8" not in said, "only what it was dropped for"
    assert run("sim", "wire", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["drops"]
    assert told["fields"]["destination"] == "8.8.8.8"
    assert told["sentence"] == DROPPED.sentence


def test_a_capture_goes_to_stdout_as_it_is_and_to_no_terminal(
    run: Run,
    answers: Answers,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = answers("sim_capture", iter([b"\xd4\xc3", b"\x00"]))
    assert run("sim", "capture", "eni-1", "--count", "3", "--seconds", "0.5") == 0
    assert capsysbinary.readouterr().out == b"\xd4\xc3\x00"
    assert calls == [("demo", "eni-1", 3, 0.5)]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert run("sim", "capture", "eni-1") == 1
    assert b"tcpdump" in capsysbinary.readouterr().err


@pytest.mark.parametrize("command", ["publish", "unpublish"])
def test_publishing_hands_on_server_and_ports(
    run: Run, answers: Answers, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answers(command, ["opened port 80"])
    assert run(command, "web", "80:8080") == 0
    assert calls[0][3:] == ("web", "80:8080")
    assert capsys.readouterr().out == "opened port 80\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["ssh", "web"], []),
        (["ssh", "web", "--", "ls", "-l"], ["ls", "-l"]),
        (["ssh", "web", "ls", "-l"], ["ls", "-l"]),
        (["ssh", "web", "--", "sh", "-c", "a; b"], ["sh", "-c", "a; b"]),
    ],
)
def test_ssh_becomes_the_program_with_its_words_untouched(
    run: Run, answers: Answers, became: list[list[str]], line: list[str], words: list[str]
) -> None:
    calls = answers("ssh_command", ["ssh", "somewhere"])
    assert run(*line) == 0
    assert calls[0][2:] == ("web", words)
    assert became == [["ssh", "somewhere"]]


def test_sim_exec_needs_a_command(
    run: Run, answers: Answers, became: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answers("sim_exec", ["ip", "netns"])
    assert run("sim", "exec", "internet", "--", "ping", "-c", "1", "8.8.8.8") == 0
    assert calls[0] == ("demo", "internet", ["ping", "-c", "1", "8.8.8.8"])
    assert became == [["ip", "netns"]]
    assert run("sim", "exec", "internet") == 1
    assert "hint: for example: pileus sim exec internet -- ping" in capsys.readouterr().err


def test_quotas_and_faults_of_the_region_are_set(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answers("sim_quota", ["raised the quota elastic-ips from 5 to 8"])
    assert run("sim", "quota", "elastic-ips", "8") == 0
    assert calls[0] == ("demo", "elastic-ips", 8)
    assert capsys.readouterr().out == "raised the quota elastic-ips from 5 to 8\n"
    calls = answers("sim_fault", None)
    assert run("sim", "fault", "metadata-delay", "3") == 0
    assert calls[0] == ("demo", "metadata-delay", "3")


def test_down_asks_for_yes_where_nobody_can_be_asked(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = answers("down", ["terminated i-1"])
    assert run("down") == 1
    assert "hint: add --yes" in capsys.readouterr().err
    assert not calls
    assert run("down", "--yes") == 0
    assert capsys.readouterr().out == "terminated i-1\n"


def test_the_image_is_asked_for_by_exit_code(run: Run, answers: Answers) -> None:
    answers("image_exists", True)
    assert run("image", "exists") == 0
    answers("image_exists", False)
    assert run("image", "exists") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("no such server", hint="servers are: web"), 1),
        (Busy("cloud `demo` is held by pid 7 (up)", hint="wait"), 1),
        (Fault("the machine does not boot", hint="see its console"), 2),
    ],
)
def test_errors_are_a_sentence_a_hint_and_the_log(
    run: Run,
    answers: Answers,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    error: Fault,
    code: int,
) -> None:
    answers("up", error)
    assert run("up") == code
    told = capsys.readouterr()
    (log,) = (tmp_path / "state" / "demo" / "logs").iterdir()
    assert told.err == f"error: {error.message}\nhint: {error.hint}\nlog: {log}\n"
    assert told.out == ""
    assert log.stat().st_mode & 0o777 == 0o600


def test_an_unforeseen_error_is_a_sentence_and_its_traceback_is_in_the_log_only(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answers("up", ZeroDivisionError("the secret reason"))
    assert run("up") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: an unexpected ZeroDivisionError stopped Pileus\nhint: ")
    assert "Traceback" not in told
    (log,) = (tmp_path / "state" / "demo" / "logs").iterdir()
    assert "Traceback" in log.read_text()


def test_a_command_without_a_log_gets_one_when_it_crashes(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answers("status", ZeroDivisionError("x"))
    assert run("status") == 2
    log = tmp_path / "state" / "crash.log"
    assert f"log: {log}\n" in capsys.readouterr().err
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_an_interrupted_command_says_how_to_go_on(
    run: Run, answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers("up", KeyboardInterrupt())
    assert run("up") == 130
    told = capsys.readouterr().err
    assert "error: interrupted\nhint: `pileus up` goes on where it was" in told
    answers("status", KeyboardInterrupt())
    assert run("status") == 130
    assert capsys.readouterr().err == "error: interrupted\nhint: run it again\n"


@pytest.mark.parametrize(
    ("called", "named"),
    [
        (None, "pileus"),
        ("./pileus", "./pileus"),
        ("/opt/the cloud/pileus", "'/opt/the cloud/pileus'"),
        ("{path}/pileus", "pileus"),
    ],
    ids=["installed", "in a checkout", "from afar", "on the path"],
)
def test_what_is_told_can_be_pasted(
    run: Run,
    answers: Answers,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    called: str | None,
    named: str,
) -> None:
    (tmp_path / "pileus").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    if called:
        monkeypatch.setenv("PILEUS_CALLED", called.format(path=tmp_path))
    answers("up", UpResult(STATUS, (), ()))
    assert run("up") == 0
    assert f"log in:     {named} ssh controller, {named} ssh web\n" in capsys.readouterr().out
    answers("status", Fault("no", hint="see `pileus sim wire`, then run `pileus up`"))
    assert run("status") == 2
    assert capsys.readouterr().err == (
        f"error: no\nhint: see `{named} sim wire`, then run `{named} up`\n"
    )
    assert run("sim", "exec", "internet") == 1
    assert f"hint: for example: {named} sim exec internet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (["fly"], "pileus"),
        (["up", "--fast"], "pileus up"),
        (["publish", "web"], "pileus publish"),
        (["trace", "web"], "pileus trace"),
        (["trace", "web", "db", "--port", "ssh"], "pileus trace"),
        (["sim"], "pileus sim"),
    ],
)
def test_a_wrong_command_line_is_the_users_to_mend(
    run: Run, capsys: pytest.CaptureFixture[str], line: list[str], command: str
) -> None:
    assert run(*line) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.endswith(f"hint: see `{command} --help`\n")


def test_without_words_the_help_is_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    assert "Usage: pileus" in capsys.readouterr().out
