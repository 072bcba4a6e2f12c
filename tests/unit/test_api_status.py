"""What `status` makes of what it saw. Nothing here is asked of a cloud."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pileus.api import controller
from pileus.api.environment import Cloud
from pileus.api.record import Record
from pileus.api.status import Seen, _server, _state
from pileus.api.wanted import wants
from pileus.model.addresses import Mac, Socket
from pileus.model.errors import UserError
from pileus.model.publishing import Publication
from pileus.model.tenant import ObservedOpenStack, ObservedServer
from pileus.model.underlay import Nic, Node, Registered
from pileus.spec import loads
from pileus.system.workspace import Workspace

SPEC = loads(b"{}", name="pileus.yaml")
SERVER = SPEC.servers[0]
PUBLIC = IPv4Address("198.51.100.10")


def nic(role: str, private: str, public: IPv4Address | None) -> Nic:
    registered = Registered(IPv4Address(private), public)
    return Nic(role, f"eni-{role}", Mac("02:00:00:00:00:01"), (registered,))


MACHINE = Node(
    "demo",
    "i-1",
    "running",
    (
        nic("management", "172.16.10.101", PUBLIC),
        nic("provider", "172.16.20.101", PUBLIC + 1),
    ),
)
ACTIVE = ObservedOpenStack(servers={SERVER.name: ObservedServer("id", "ACTIVE", True)})
COMPLETE = Seen("http://127.0.0.1", "vpc-1", MACHINE, ACTIVE, wants(SPEC, Record()).published)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))
    return Cloud(SPEC, Workspace("demo"))


def state(cloud: Cloud, seen: Seen) -> str:
    return _state(cloud, seen)


def test_a_cloud_with_all_its_servers_and_ports_is_up(cloud: Cloud) -> None:
    assert state(cloud, COMPLETE) == "up"


def test_a_cloud_of_which_nothing_is_there_is_down(cloud: Cloud) -> None:
    assert state(cloud, Seen()) == "down"
    assert state(cloud, Seen(endpoint="http://127.0.0.1")) == "down"


@pytest.mark.parametrize(
    "seen",
    [
        Seen(vpc_id="vpc-1"),
        replace(COMPLETE, inside=None),
        replace(COMPLETE, inside=ObservedOpenStack()),
        replace(
            COMPLETE,
            inside=ObservedOpenStack(servers={SERVER.name: ObservedServer("id", "ERROR", False)}),
        ),
        replace(COMPLETE, published=frozenset()),
    ],
    ids=["only a VPC", "no answer", "no server", "server in error", "port not published"],
)
def test_anything_between_is_partial(cloud: Cloud, seen: Seen) -> None:
    assert state(cloud, seen) == "partial"


def test_ports_that_commands_changed_are_part_of_what_is_wanted(cloud: Cloud) -> None:
    more = Record().publish((SERVER.name, Publication(80, 80)), SPEC)
    cloud.workspace.record_wanted(more.document())
    assert state(cloud, COMPLETE) == "partial"
    assert state(cloud, replace(COMPLETE, published=wants(SPEC, more).published)) == "up"


def test_a_published_port_is_shown_with_its_public_registered_and_private_end() -> None:
    shown = _server(SERVER, COMPLETE)
    assert shown.fixed_ip == SERVER.fixed_ip
    (port,) = shown.published
    assert (str(port.public), str(port.registered)) == ("198.51.100.11:522", "172.16.20.101:522")
    assert port.private == Socket(SERVER.fixed_ip, 22)


def test_without_an_elastic_ip_there_is_no_public_end() -> None:
    private = replace(MACHINE, nics=(MACHINE.nics[0], nic("provider", "172.16.20.101", None)))
    (port,) = _server(SERVER, replace(COMPLETE, machine=private)).published
    assert port.public is None


def test_a_server_that_is_not_there_has_no_address() -> None:
    assert _server(SERVER, Seen(vpc_id="vpc-1")).fixed_ip is None


def test_the_controller_is_reached_by_its_management_nics_elastic_ip(cloud: Cloud) -> None:
    assert controller.login(cloud, MACHINE).address == PUBLIC
    assert controller.auth_url(MACHINE) == f"http://{PUBLIC}:5000/v3"
    assert controller.dashboard_url(MACHINE) == f"http://{PUBLIC}/"
    hidden = replace(MACHINE, nics=(nic("management", "172.16.10.101", None), MACHINE.nics[1]))
    with pytest.raises(UserError, match="no Elastic IP") as refused:
        controller.login(cloud, hidden)
    assert "pileus up" in refused.value.hint


def test_a_controller_is_what_its_nics_and_the_file_say(cloud: Cloud) -> None:
    settings = controller.controller_settings(cloud, MACHINE)
    assert settings.hostname == "ip-172-16-10-101"
    assert settings.management_address == IPv4Address("172.16.10.101")
    assert settings.public_address == PUBLIC
    assert settings.release == SPEC.openstack.release
