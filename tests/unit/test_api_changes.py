"""What `floating-ip` makes of what its user typed. Nothing here is asked of a cloud."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pileus.api import changes
from pileus.api.environment import Cloud
from pileus.api.record import Record
from pileus.model.addresses import Mac
from pileus.model.errors import Refused
from pileus.model.underlay import Nic, Node, Registered
from pileus.spec import loads
from pileus.system.workspace import Workspace

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


def test_with_mac_clone_there_are_none() -> None:
    with pytest.raises(Refused, match="mac-clone"):
        changes._require_mac_nat(loads(b"uplink: mac-clone\n", name="pileus.yaml"))
