"""Which cases a cloud has, from what both clouds' APIs say, and what is told of one that failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trace_ends import APP, WEB, A
from trace_scene import ANYWHERE, NEUTRON, PING_IN, SCENE, SSH_IN, asked

from pileus.api import connectivity
from pileus.api.environment import Cloud
from pileus.api.trace import Seen
from pileus.model.agent import AgentStatus
from pileus.model.connectivity import Tried
from pileus.model.errors import Fault
from pileus.model.scene import ANY, FloatingIp, Neutron, Permit, RouterState, ServerState
from pileus.model.underlay import Nic, Node, Registered
from pileus.model.verdict import Code
from pileus.spec import loads
from pileus.system.workspace import Workspace

SPEC = loads(b"floating_ips: 2", name="pileus.yaml")
PUBLIC = {address: public for public, address in SCENE.vpc.elastic.items()}
MACHINE = Node(
    "demo-controller",
    "i-1",
    "running",
    tuple(
        Nic(
            role,
            nic.interface.eni,
            nic.interface.mac,
            tuple(Registered(one, PUBLIC.get(one)) for one in nic.addresses),
        )
        for role, nic in SCENE.vpc.nics.items()
    ),
)
OURS = replace(NEUTRON, own=frozenset({WEB.id, "r-1"}))


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))
    return Cloud(SPEC, Workspace("demo"))


def seen(neutron: Neutron) -> Seen:
    return Seen(replace(SCENE, neutron=neutron), None, None, MACHINE)


def stage(cloud: Cloud, neutron: Neutron) -> connectivity._Stage:
    return connectivity._stage(cloud, seen(neutron))


def test_a_users_router_and_server_of_the_clouds_names_are_not_the_clouds(cloud: Cloud) -> None:
    users = ServerState("s-9", "web", "ACTIVE")
    off = ServerState(WEB.id, "web", "SHUTOFF")
    foreign = replace(OURS, servers=(users, off), routers=(RouterState("r-9", "router"),))
    with pytest.raises(Fault, match="the router is missing"):
        stage(cloud, foreign)
    both = replace(foreign, routers=(*foreign.routers, *NEUTRON.routers))
    scene = connectivity._scene(stage(cloud, both))
    assert (scene.namespace, scene.servers) == ("qrouter-r-1", ())


@pytest.mark.parametrize(
    ("permits", "changed", "shut"),
    [
        ((SSH_IN, PING_IN), {}, 523),
        ((Permit(False, "tcp", (500, 600), ANYWHERE), PING_IN), {}, 601),
        ((Permit(False, ANY, None, None, group="sg"), PING_IN), {}, 523),
        ((Permit(False, "tcp", None, ANYWHERE), PING_IN), {}, None),
        ((Permit(False, ANY, None, ANYWHERE),), {}, None),
        ((PING_IN,), {"filtered": False}, None),
    ],
)
def test_a_port_that_no_group_opens_to_an_address_is_to_be_closed(
    cloud: Cloud, permits: tuple[Permit, ...], changed: dict[str, Any], shut: int | None
) -> None:
    ports = tuple(
        replace(port, **changed) if port.id == APP.port else port for port in NEUTRON.ports
    )
    neutron = replace(OURS, groups={"sg": permits}, ports=ports)
    (way,) = connectivity._floating(stage(cloud, neutron))
    assert (way.registered.address, way.server, way.shut) == (APP.floating, "app", shut)


def test_a_users_server_at_the_address_of_ours_is_not_logged_in_to(cloud: Cloud) -> None:
    """Projects may have the same addresses, and the same names."""
    held = FloatingIp(A("172.16.20.102"), "r-2", APP.port, WEB.address)
    users = tuple(replace(one, name="web") for one in NEUTRON.servers)
    (way,) = connectivity._floating(stage(cloud, replace(OURS, floating=(held,), servers=users)))
    assert way.login is None


def test_a_case_without_hops_says_why_and_stands(cloud: Cloud) -> None:
    """None of several with one name is the cloud's own."""
    same = tuple(ServerState(one.id, "same", "ACTIVE") for one in NEUTRON.servers)
    failed = Tried("case", "it works", False, "silent", asked("same", "8.8.8.8"))
    (told,) = connectivity._traced(cloud, seen(replace(NEUTRON, servers=same)), [failed])
    assert (told.ok, told.trace) == (False, None)
    assert told.untraced is not None
    assert told.untraced.startswith("there are 3 named `same`")
    assert "s-1 (192.168.20.5)" in told.untraced


def test_where_nobody_gets_in_it_is_told_who_is_silent() -> None:
    silent = Fault("503", hint="repeat", retryable=True)
    machine = replace(seen(NEUTRON), silent=silent)
    openstack = replace(machine, agent=AgentStatus(running=True))
    told = [connectivity._nobody_in(silent, one).code for one in (machine, openstack)]
    assert told == [Code.NODE_UNREACHABLE, Code.NODE_SERVICE_DEAD]
    gone = connectivity._nobody_in(Fault("no router", hint="run `pileus up`"), openstack)
    assert (gone.ok, gone.codes, gone.detail) == (False, (), "no router (run `pileus up`)")
