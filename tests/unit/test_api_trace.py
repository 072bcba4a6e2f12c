"""What `trace` makes of what both clouds and the machine answer, and of who does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trace_scene import NEUTRON, PUBLISHED, REGISTERED, SCENE, asked

from pileus.api import environment, tenant, trace
from pileus.model.agent import AgentStatus, NicState
from pileus.model.errors import CloudFault, CommandFailed, Refused, UserError
from pileus.model.path import Asked, Stage, Trace
from pileus.model.scene import Neutron
from pileus.model.underlay import Nic, Node, ObservedUnderlay, Registered
from pileus.model.verdict import Code
from pileus.openstack import scene as openstack
from pileus.spec import Spec, loads
from pileus.system import http
from pileus.system.workspace import Workspace
from pileus.uplink import on_node

SPEC = loads(b"{}", name="pileus.yaml")
OUT = asked("web", "8.8.8.8")
INTERFACE = SCENE.vpc.nics["provider"].interface
PUBLIC = next(iter(SCENE.vpc.elastic))
MACHINE = Node(
    "demo-controller",
    "i-1",
    "running",
    (Nic("management", "eni-m", INTERFACE.mac, (Registered(REGISTERED[0], PUBLIC),)),),
)
AGENT = AgentStatus(
    running=True,
    problems=("two devices claim 172.16.20.101",),
    nics=(NicState(INTERFACE.mac, "mac-nat", "enX1", REGISTERED),),
    published={"r-1": frozenset({PUBLISHED})},
)
SILENT = CommandFailed(["ssh"], 255, "no route")
AWAY = CloudFault("look at OpenStack", "503", "away", hint="repeat", retryable=True)
Run = Callable[..., Trace]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Trace where the clouds answer this; an error is raised instead."""
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))

    def answering(answer: Any) -> Callable[..., Any]:
        def answered(*_: object, **_named: object) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return answered

    def run(
        question: Asked = OUT,
        *,
        machine: Node | None = MACHINE,
        neutron: Neutron | Exception = NEUTRON,
        agent: AgentStatus | Exception = AGENT,
        vpc: Any = SCENE.vpc,
        door: OSError | None = None,
        here: Any = SCENE.here,
        spec: Spec = SPEC,
    ) -> Trace:
        aws = SimpleNamespace(
            observe=answering(ObservedUnderlay(node=machine)),
            vpc=answering(vpc),
            caller_address=answering(here),
        )
        monkeypatch.setattr(environment, "reach_aws", answering(aws))
        monkeypatch.setattr(http, "get", answering("{}" if door is None else door))
        monkeypatch.setattr(tenant, "connection", answering(None))
        monkeypatch.setattr(openstack, "read", answering(neutron))
        monkeypatch.setattr(on_node, "status", answering(agent))
        return trace.trace(spec, Workspace("demo"), question, probe=False)

    return run


def test_everything_answers(run: Run) -> None:
    answer = run()
    assert answer.ok
    assert answer.notes == (
        "two devices claim 172.16.20.101",
        "nothing was sent: this is what the APIs of both clouds say",
    )
    assert "enX1" in {row.place.subject for row in answer.rows}, "as the machine calls it"
    assert answer.to_json()["hops"][0]["predicted"]["fate"] == "passes"


def test_the_pipeline_has_the_addresses_that_the_machine_has_learned(run: Run) -> None:
    late = replace(AGENT, nics=(replace(AGENT.nics[0], registered=REGISTERED[1:]),))
    assert run(agent=late).codes == (Code.UPLINK_SOURCE_IP,)


def test_where_the_agent_is_silent_its_rules_are_as_wanted(run: Run) -> None:
    answer = run(asked("internet", "web", 22), agent=SILENT)
    assert "the uplink's agent does not answer" in answer.notes[0]
    assert "eth1" in {row.place.subject for row in answer.rows}


def test_without_openstack_what_needs_no_names_of_it_is_traced(run: Run) -> None:
    closed = replace(SCENE.vpc, groups={})
    answer = run(asked("internet", "controller", 22), neutron=AWAY, vpc=closed)
    assert answer.codes == (Code.GROUP_INGRESS,)
    assert answer.notes[0] == "OpenStack could not be asked: look at OpenStack: 503: away"
    with pytest.raises(CloudFault):
        run(neutron=AWAY)


def test_where_nobody_opens_the_sdk_is_not_waited_for(run: Run) -> None:
    answer = run(
        asked("internet", "198.51.100.1", 22),
        neutron=AssertionError("asked"),
        door=TimeoutError("timed out"),
    )
    assert "5000/v3 does not answer: timed out" in answer.notes[0]


def test_a_machine_that_does_not_run_is_asked_nothing(run: Run) -> None:
    stopped = replace(MACHINE, state="stopped")
    answer = run(
        asked("internet", "198.51.100.2", 522),
        machine=stopped,
        vpc=replace(SCENE.vpc, machine="stopped"),
    )
    assert answer.codes == (Code.MACHINE_OFF,)
    with pytest.raises(UserError, match="the machine is stopped"):
        run(machine=stopped)


def test_a_cloud_that_is_down_cannot_be_traced(run: Run) -> None:
    with pytest.raises(UserError, match="has no machine"):
        run(machine=None)
    with pytest.raises(UserError, match="is down"):
        run(vpc=None)


def test_here_is_where_the_cloud_below_sees_the_user(run: Run) -> None:
    answer = run(asked("here", "controller", 22))
    assert answer.ok
    first = answer.rows[0].predicted
    assert first
    assert first.headers
    assert first.headers.source == SCENE.here
    nobody = UserError("it does not answer", hint="repeat")
    assert run(here=nobody).ok
    with pytest.raises(Refused, match="your own address"):
        run(asked("here", "web", 22), here=nobody)


def test_of_a_real_cloud_it_says_that_what_is_inside_is_predicted_only(run: Run) -> None:
    """Its hops are told all the same, and the user is where packets of the internet come from."""
    said = "the cloud below is a real one: what happens inside of its network is predicted only"
    real = SPEC.model_copy(
        update={"underlay": SPEC.underlay.model_copy(update={"endpoint": "aws"})}
    )
    answer = run(asked("internet", "web", 22), spec=real)
    assert answer.notes[-1] == said
    below = {Stage.ELASTIC_IP, Stage.ACL, Stage.GROUPS, Stage.NIC, Stage.ROUTE}
    rows = [row for row in answer.rows if row.place.stage in below]
    assert {row.place.stage for row in rows} == below
    assert all(row.predicted and row.observed is None for row in rows)
    first = answer.rows[0].predicted
    assert first
    assert first.headers
    assert first.headers.source == SCENE.here
    assert said not in run(asked("internet", "web", 22)).notes
