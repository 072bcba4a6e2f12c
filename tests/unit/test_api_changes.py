"""What `floating-ip` makes of what its user typed. Nothing here is asked of a cloud."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from api_below import Below, Silent, workspace_in
from healthy_underlay import built, wanted

from pileus.api import changes, converge, environment, tenant
from pileus.api.environment import Cloud
from pileus.api.record import Record
from pileus.model.addresses import Mac
from pileus.model.agent import AgentStatus, NicState
from pileus.model.errors import Refused
from pileus.model.underlay import Nic, Node, Registered
from pileus.model.uplink import Mode
from pileus.spec import loads
from pileus.system.workspace import Workspace
from pileus.uplink import on_node

SPEC = loads(b"floating_ips: 1\n", name="pileus.yaml")
OWN, A102, A103 = (IPv4Address("172.16.20.101") + offset for offset in range(3))
PUBLIC = IPv4Address("198.51.100.11")
NIC = Nic(
    "provider",
    "eni-1",
    Mac("02:00:00:00:00:01"),
    (Registered(OWN, PUBLIC), Registered(A102, PUBLIC + 1)),
)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))
    monkeypatch.setattr(changes, "_machine", lambda _: Node("demo", "i-1", "running", (NIC,)))
    return Cloud(SPEC, Workspace("demo"))


def test_the_next_address_is_one_that_nothing_has(cloud: Cloud) -> None:
    assert changes._free(cloud, Record()) == A103
    assert changes._free(cloud, Record().float("web", A103)) == A103 + 1


@pytest.mark.parametrize("text", ["172.16.20.102", "198.51.100.12"])
def test_an_address_is_known_as_registered_and_by_its_elastic_ip(cloud: Cloud, text: str) -> None:
    assert changes._known(cloud, Record(), text) == A102


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("172.16.20.101", "not one of the cloud's floating addresses"),
        ("172.16.20.109", "not one of the cloud's floating addresses"),
        ("198.51.100.11", "not one of the cloud's floating addresses"),
        ("web", "not an address"),
    ],
)
def test_no_other_address_is_given_back(cloud: Cloud, text: str, message: str) -> None:
    with pytest.raises(Refused, match=message) as refused:
        changes._known(cloud, Record(), text)
    assert refused.value.hint


def test_a_server_has_one_floating_ip() -> None:
    assert changes._without_floating_ip(SPEC, Record(), "web") == "web"
    with pytest.raises(Refused, match="has the floating IP"):
        changes._without_floating_ip(SPEC, Record().float("web", A103), "web")


class Reached(Exception):
    """The command got as far as what is inside OpenStack."""


def reached(*_: object) -> None:
    raise Reached


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Below:
    """A cloud of `floating_ips: 3`, as many as there is room for; OpenStack has no objections."""
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))
    workspace_in(tmp_path)
    below = Below(built(wanted(3)))
    monkeypatch.setattr(environment, "reach_aws", lambda _: below)
    monkeypatch.setattr(tenant, "require_possible", lambda *_: None)
    monkeypatch.setattr(converge, "inside", reached)
    set_mode(below, "mac-nat", monkeypatch)
    return below


def set_mode(below: Below, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    node = environment.require_node(below.observed)
    status = AgentStatus(running=True, nics=(NicState(node.nic("provider").mac, mode),))
    monkeypatch.setattr(on_node, "status", lambda _: status)


def test_what_is_refused_is_not_recorded(three: Below) -> None:
    """Two are wanted and a third one is added; what is to be given back is still there."""
    two, workspace = loads(b"floating_ips: 2\n", name="pileus.yaml"), Workspace("demo")
    with pytest.raises(Refused, match=r"1 of them is still to be given back: 172\.16\.20\.104"):
        changes.add_floating_ip(two, workspace, Silent(), "web")
    assert workspace.wanted() == {}
    three.elastic_ips = 6
    with pytest.raises(Reached):
        changes.add_floating_ip(two, workspace, Silent(), "web")
    assert workspace.wanted()["floating"] == ["web 172.16.20.105"]


def test_nothing_is_changed_behind_an_uplink_that_is_to_become_another(
    three: Below, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mode(three, "mac-clone", monkeypatch)
    spec, workspace = loads(b"floating_ips: 3\n", name="pileus.yaml"), Workspace("demo")
    with pytest.raises(Refused, match="another `uplink`") as refused:
        changes.publish(spec, workspace, Silent(), "web", "80:80")
    assert "pileus up" in refused.value.hint
    assert workspace.wanted() == {}
    assert not three.asked_to


def test_with_mac_clone_there_are_none() -> None:
    with pytest.raises(Refused, match="mac-clone"):
        changes._require_mac_nat(loads(b"uplink: mac-clone\n", name="pileus.yaml"))
