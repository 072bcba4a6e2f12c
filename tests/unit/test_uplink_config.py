"""What the agent reads: files that others wrote, whole and right or not at all."""

from __future__ import annotations

import copy
import json
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from pileus.model.addresses import Mac, Socket
from pileus.model.agent import AgentStatus, NicState
from pileus.model.errors import Refused, UserError
from pileus.model.publishing import Published
from pileus.uplink.config import (
    NicConfig,
    published_document,
    read_config,
    read_published,
    validate,
)
from pileus.uplink.state import State

ROUTER = "11111111-2222-3333-4444-555555555555"
GATEWAY = IPv4Address("172.16.20.101")
NIC = Mac("02:00:00:00:20:01")
SSH = Published("tcp", Socket(GATEWAY, 522), Socket(IPv4Address("192.168.20.5"), 22))
DNS = Published("udp", Socket(GATEWAY, 53), Socket(IPv4Address("192.168.20.6"), 53))
CONFIG: dict[str, Any] = {
    "nics": [
        {
            "mac": str(NIC),
            "bridge": "br-ex",
            "mode": "mac-nat",
            "subnet": "172.16.20.0/24",
            "fallback": [str(GATEWAY)],
        }
    ],
    "datapath": "netdev",
}
PORT = {"protocol": "tcp", "registered": "172.16.20.101:522", "private": "192.168.20.5:22"}


def test_a_configuration_is_read() -> None:
    config = read_config(CONFIG)
    subnet = IPv4Network("172.16.20.0/24")
    assert config.nics == (NicConfig(NIC, "br-ex", "mac-nat", subnet, (GATEWAY,)),)
    assert config.datapath == "netdev"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"datapath": "dpdk"}, "datapath 'dpdk'"),
        ({"nics": None}, "NoneType"),
        ({"nics": CONFIG["nics"] * 2}, "two NICs have the same MAC"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read_config({**CONFIG, **change})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mac": "02:00"}, "not a MAC address"),
        ({"bridge": "br-ex; reboot"}, "not the name of a bridge"),
        ({"bridge": "-x"}, "not the name of a bridge"),
        ({"mode": "nat"}, "neither of mac-nat and mac-clone"),
        ({"subnet": "172.16.20.1/24"}, "has host bits set"),
        ({"fallback": ["one"]}, "one"),
    ],
)
def test_a_nic_that_is_wrong_is_refused(change: dict[str, Any], reason: str) -> None:
    document: Any = copy.deepcopy(CONFIG)
    document["nics"][0].update(change)
    with pytest.raises(UserError, match=reason):
        read_config(document)


def test_published_ports_are_what_was_written() -> None:
    ports = {ROUTER: frozenset({SSH, DNS}), "a1": frozenset[Published]()}
    assert read_published(json.loads(json.dumps(published_document(ports)))) == ports
    assert read_published(None) == {}, "there is no such file yet"


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"routers": {"../../etc": []}},
        {"routers": {"": []}},
        {"routers": {ROUTER: [{**PORT, "protocol": "icmp"}]}},
        {"routers": {ROUTER: [{**PORT, "registered": "172.16.20.101"}]}},
        {"routers": {ROUTER: [{**PORT, "registered": "172.16.20.101:0"}]}},
        {"routers": {ROUTER: [{**PORT, "private": "192.168.20.5:65536"}]}},
        {"routers": {ROUTER: [{**PORT, "private": "192.168.20.5:22; drop"}]}},
        {"routers": {ROUTER: [{"protocol": "tcp"}]}},
    ],
)
def test_ports_that_are_none_are_refused_before_anything_is_touched(document: Any) -> None:
    with pytest.raises(UserError):
        read_published(document)


def test_a_port_that_is_taken_twice_is_refused() -> None:
    other = Published("tcp", SSH.registered, Socket(IPv4Address("192.168.20.6"), 22))
    told = r"172\.16\.20\.101:522 is published already, to 192\.168\.20\.5:22"
    with pytest.raises(Refused, match=told):
        validate([SSH, other])


def test_one_port_number_may_be_published_for_tcp_and_for_udp() -> None:
    both = [DNS, Published("tcp", DNS.registered, DNS.private)]
    assert validate(both) == set(both)


def test_what_the_agent_remembers_is_read_back() -> None:
    state = State({NIC: (GATEWAY,)}, {ROUTER: frozenset({SSH})})
    assert State.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_status_is_read_as_it_was_told() -> None:
    nic = NicState(
        NIC,
        "mac-nat",
        "eth1",
        registered=(GATEWAY,),
        learned={GATEWAY: Mac("fa:16:3e:00:00:01")},
        conflicts={GATEWAY: (Mac("fa:16:3e:00:00:01"), Mac("fa:16:3e:00:00:02"))},
        out={"passed": 5, "UPLINK_VLAN": 1},
        into={"passed": 7, "UPLINK_VLAN": 2, "UPLINK_RESOLVED": 1},
    )
    status = AgentStatus(
        True, ("one",), ("two",), (nic,), {ROUTER: frozenset({SSH})}, 3, metadata_away=1.5
    )
    assert AgentStatus.from_json(json.loads(json.dumps(status.to_json()))) == status
    assert (status.health, AgentStatus(True).health) == ("degraded", "ok")
    assert nic.counters == {
        "passed_out": 5,
        "passed_in": 7,
        "UPLINK_RESOLVED": 1,
        "UPLINK_VLAN": 3,
    }
