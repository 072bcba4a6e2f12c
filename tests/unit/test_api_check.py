"""`check` on stand-ins: which layers it looks at, and what it says where one does not answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from healthy_underlay import CALLER, HEALTHY, XLARGE

from pileus.api import check as api
from pileus.api import environment, images, preflight
from pileus.model.errors import CommandFailed, UserError
from pileus.model.finding import CheckReport
from pileus.model.limits import Limits
from pileus.model.underlay import InstanceType, ObservedUnderlay
from pileus.model.verdict import Code
from pileus.spec import loads
from pileus.system.process import Done
from pileus.system.workspace import Workspace
from pileus.trace.on_host import Host
from pileus.trace.on_machine import GIB, MEMORY_GIB

PROBED = Path(__file__).parents[1] / "data" / "probe" / "debian13.json"
FIT = Host(True, (), 20 * GIB, MEMORY_GIB * GIB, 40 * GIB)


@dataclass
class Below:
    """A cloud below that answers what it was given."""

    observed: ObservedUnderlay
    type: InstanceType = XLARGE

    def observe(self, cloud: str) -> ObservedUnderlay:
        return self.observed

    def limits(self, name: str) -> Limits:
        return Limits(self.type, (self.type,), 5, len(self.observed.elastic_ips))

    def caller_address(self) -> IPv4Address:
        return IPv4Address("203.0.113.7")


@dataclass
class Ssh:
    """The way to the machine: answers what the probe printed, or fails."""

    answer: Any = field(default_factory=lambda: json.loads(PROBED.read_text()))
    calls: list[list[str]] = field(default_factory=list)

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        self.calls.append(list(argv))
        if isinstance(self.answer, Exception):
            raise self.answer
        return Done(tuple(argv), 0, json.dumps(self.answer), "")


@pytest.fixture
def ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ssh:
    """Nothing is really looked at: neither this host, nor its images, nor a machine."""
    way = Ssh()
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PILEUS_DATA", str(tmp_path / "data"))
    (tmp_path / "state" / "demo").mkdir(parents=True)
    public_key().write_text(f"{CALLER.public_key}\n")
    monkeypatch.setattr(api, "root_on", lambda login: way)
    monkeypatch.setattr(api, "here", lambda: way)
    monkeypatch.setattr(preflight, "look", lambda data: FIT)
    return way


def public_key() -> Path:
    return Workspace("demo").private_key.with_suffix(".pub")


def check(monkeypatch: pytest.MonkeyPatch, below: Below | None) -> CheckReport:
    monkeypatch.setattr(environment, "find_aws", lambda cloud: below)
    spec = loads(b"floating_ips: 1", name="pileus.yaml")
    workspace = Workspace(spec.cloud)
    before = sorted(workspace.directory.iterdir())
    report = api.check(spec, workspace)
    assert sorted(workspace.directory.iterdir()) == before, "nothing is written"
    return report


def failed(report: CheckReport) -> set[Code]:
    return {one.code for one in report.failed}


def families(report: CheckReport) -> set[str]:
    return {one.code.family for one in report.findings}


def test_before_there_is_a_region_the_host_is_looked_at_with_its_kernel(
    monkeypatch: pytest.MonkeyPatch, ssh: Ssh
) -> None:
    report = check(monkeypatch, None)
    assert families(report) == {"HOST", "NODE"}
    assert Code.NODE_EGRESS_HOOK in {one.code for one in report.findings}
    assert report.ok
    # The host is not asked what the cloud's metadata says: it is no machine of that cloud.
    assert ssh.calls == [["python3", "-", ""]]


@pytest.mark.parametrize(
    ("host", "code"),
    [
        (replace(FIT, is_root=False), Code.HOST_NOT_ROOT),
        (replace(FIT, missing=("nft",)), Code.HOST_PROGRAM),
        (replace(FIT, free_disk=9 * GIB), Code.HOST_DISK),
        (replace(FIT, free_memory=5 * GIB), Code.HOST_MEMORY),
    ],
)
def test_what_the_host_lacks_is_a_finding_with_the_others_beside_it(
    monkeypatch: pytest.MonkeyPatch, ssh: Ssh, host: Host, code: Code
) -> None:
    monkeypatch.setattr(preflight, "look", lambda data: host)
    report = check(monkeypatch, None)
    assert failed(report) == {code}
    assert {one.code for one in report.findings} > {
        Code.HOST_NOT_ROOT,
        Code.HOST_PROGRAM,
        Code.HOST_DISK,
        Code.HOST_MEMORY,
    }


def test_a_baked_image_needs_less_disk(monkeypatch: pytest.MonkeyPatch, ssh: Ssh) -> None:
    monkeypatch.setattr(preflight, "look", lambda data: replace(FIT, free_disk=9 * GIB))
    images.controller_image().root.mkdir(parents=True)
    assert check(monkeypatch, None).ok


def test_an_account_without_the_cloud_is_asked_what_it_allows(
    monkeypatch: pytest.MonkeyPatch, ssh: Ssh
) -> None:
    small = InstanceType("t3.small", 2048, 3, 2, False)
    report = check(monkeypatch, Below(ObservedUnderlay(), small))
    assert families(report) == {"UNDERLAY"}
    assert failed(report) == {Code.INSTANCE_TYPE}
    assert not ssh.calls
    assert check(monkeypatch, Below(ObservedUnderlay())).ok


def test_a_cloud_is_looked_at_from_below_and_inside_by_one_call(
    monkeypatch: pytest.MonkeyPatch, ssh: Ssh
) -> None:
    report = check(monkeypatch, Below(HEALTHY))
    assert families(report) == {"UNDERLAY", "NODE"}
    assert ssh.calls == [["python3", "-", "http://169.254.169.254/"]]
    # What was recorded has other MACs than this cloud's NICs, and leftovers of Docker.
    assert {Code.NODE_MAC_CHANGED, Code.NODE_PORT_TAKEN, Code.NODE_FOREIGN_RULES} <= failed(report)
    assert not [one for one in report.failed if one.code.family == "UNDERLAY"]


def test_a_machine_that_does_not_answer_is_a_finding_without_the_long_command(
    monkeypatch: pytest.MonkeyPatch, ssh: Ssh
) -> None:
    ssh.answer = CommandFailed(["ssh", "…"], 255, "Warning: …\nssh: connect: timed out\n")
    report = check(monkeypatch, Below(HEALTHY))
    assert failed(report) == {Code.NODE_UNREACHABLE}
    assert report.failed[0].detail == "ssh: connect: timed out"


def test_a_stopped_machine_is_told_once_and_not_called(
    monkeypatch: pytest.MonkeyPatch, ssh: Ssh
) -> None:
    assert HEALTHY.node is not None
    stopped = replace(HEALTHY, node=replace(HEALTHY.node, state="stopped"))
    report = check(monkeypatch, Below(stopped))
    assert failed(report) == {Code.MACHINE_OFF}
    assert not ssh.calls


def test_what_up_would_refuse_is_told(monkeypatch: pytest.MonkeyPatch, ssh: Ssh) -> None:
    other = replace(HEALTHY, instance_type="m5.2xlarge")
    told = [one for one in check(monkeypatch, Below(other)).failed if one.code is Code.DIFFERS]
    assert told[0].detail == "the machine is a m5.2xlarge, and m5.xlarge is wanted"


def test_a_key_that_is_missing_is_told_and_not_made(
    monkeypatch: pytest.MonkeyPatch, ssh: Ssh
) -> None:
    public_key().unlink()
    told = [one for one in check(monkeypatch, Below(HEALTHY)).failed if one.code is Code.DIFFERS]
    assert told[0].detail == "the machine was made with another SSH key"


def test_a_cloud_below_that_cannot_be_asked_is_an_error(
    monkeypatch: pytest.MonkeyPatch, ssh: Ssh
) -> None:
    class Mute(Below):
        def limits(self, name: str) -> Limits:
            raise UserError("no credentials", hint="log in")

    with pytest.raises(UserError, match="no credentials"):
        check(monkeypatch, Mute(HEALTHY))
