"""`up` refuses before it does: limits before the image, users of the uplink before its change."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from api_below import Below, Silent, workspace_in
from healthy_underlay import HEALTHY

from pileus.api import controller, environment, tenant, up
from pileus.api.record import Record
from pileus.api.wanted import wants
from pileus.model.agent import AgentStatus, NicState
from pileus.model.errors import CloudFault, CommandFailed, Fault, Refused
from pileus.model.underlay import ObservedUnderlay
from pileus.spec import Spec, loads
from pileus.system.workspace import Workspace
from pileus.uplink import on_node

DEFAULT = loads(b"cloud: demo\n", name="pileus.yaml")
CLONE = loads(b"uplink: mac-clone\n", name="pileus.yaml")
SILENT = CloudFault("look at OpenStack", "503", "starting", hint="again", retryable=True)
IN_USE = Refused("172.16.20.102 is in use", hint="free it")
STOPPED = replace(HEALTHY, node=replace(environment.require_node(HEALTHY), state="stopped"))


class Reached(Exception):
    """The run got as far as this."""


def reached(*_: object) -> None:
    raise Reached


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))
    return workspace_in(tmp_path)


def on(below: Below, monkeypatch: pytest.MonkeyPatch) -> Below:
    """A cloud below that answers, with a machine that is let in to."""
    monkeypatch.setattr(environment, "open_simulated", lambda *_: None)
    monkeypatch.setattr(environment, "reach_aws", lambda _: below)
    monkeypatch.setattr(up, "_dropped_before", lambda *_: {})
    monkeypatch.setattr(controller, "wait_for_ssh", lambda *_: None)
    monkeypatch.setattr(controller, "require_size", lambda _: None)
    monkeypatch.setattr(controller, "configure", reached)
    return below


def run(spec: Spec, workspace: Workspace) -> None:
    up.up(spec, workspace, Silent())


def test_a_limit_is_told_before_the_image_is_baked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = on(Below(ObservedUnderlay()), monkeypatch)
    monkeypatch.setattr(environment, "bake_image", reached)
    with pytest.raises(Refused, match="it is 5, of which others use 0, and cloud `demo` needs 6"):
        run(loads(b"floating_ips: 4\n", name="pileus.yaml"), workspace)
    with pytest.raises(Reached):
        run(loads(b"floating_ips: 3\n", name="pileus.yaml"), workspace)
    assert not below.asked_to


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Fault | Refused | None]:
    """A machine in mac-nat that was stopped; what its OpenStack answers, in turn."""
    answers: list[Fault | Refused | None] = []

    def require_possible(*_: object) -> None:
        if answer := answers.pop(0):
            raise answer

    on(Below(STOPPED), monkeypatch)
    nic = environment.require_node(HEALTHY).nic("provider")
    status = AgentStatus(running=True, nics=(NicState(nic.mac, "mac-nat"),))
    monkeypatch.setattr(on_node, "status", lambda _: status)
    monkeypatch.setattr(tenant, "require_possible", require_possible)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return answers


def test_openstack_is_asked_before_a_stopped_machines_uplink_changes(
    workspace: Workspace, asked: list[Fault | Refused | None]
) -> None:
    asked += [SILENT, SILENT, IN_USE]
    with pytest.raises(Refused, match="in use"):
        run(CLONE, workspace)
    asked += [SILENT, None]
    with pytest.raises(Reached):
        run(CLONE, workspace)
    assert not asked


def test_what_keeps_its_uplink_is_not_waited_for(
    workspace: Workspace, asked: list[Fault | Refused | None]
) -> None:
    with pytest.raises(Reached):
        run(DEFAULT, workspace)
    assert not asked


def test_a_machine_without_an_agent_has_nobody_to_cut_off(
    workspace: Workspace,
    asked: list[Fault | Refused | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(_: object) -> AgentStatus:
        raise CommandFailed(["agent.pyz"], 127, "not found")

    monkeypatch.setattr(on_node, "status", none)
    with pytest.raises(Reached):
        run(CLONE, workspace)
    assert not asked


def test_an_openstack_that_stays_silent_keeps_its_uplink(
    workspace: Workspace,
    asked: list[Fault | Refused | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(up, "OPENSTACK_SECONDS", 0.0)
    asked += [SILENT]
    with pytest.raises(Fault, match="did not say who uses it") as silent:
        run(CLONE, workspace)
    assert "as they were" in silent.value.hint


def test_only_a_published_tcp_port_is_ssh() -> None:
    ports = "servers: [{name: web, publish: ['22:22/udp', '523:22']}]\n"
    found = up._ssh_port(wants(loads(ports.encode(), name="pileus.yaml"), Record()))
    assert found is not None
    assert (found.protocol, found.registered.port) == ("tcp", 523)
    alone = loads(ports.replace(", '523:22'", "").encode(), name="pileus.yaml")
    assert up._ssh_port(wants(alone, Record())) is None
