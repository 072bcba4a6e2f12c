"""A provider network more, with a NIC of its own: added to the running cloud, and given up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import pytest
from cloud_under_test import FOREIGN, RECOVERY_SECONDS, CloudUnderTest, reboot, until
from tenants import FLOATING, NO_ADDRESS, Town, Users, UsersServer, leave

SECOND = "{more_providers: [{name: beyond, cidr: 172.16.30.0/24, floating_ips: 1}]}"
ADDRESSES = ["172.16.30.101", "172.16.30.102"]


@dataclass(frozen=True)
class Suburb:
    """What users made behind the second NIC."""

    users: Users
    project: Any
    server: UsersServer
    dropped_before: dict[str, int]


@pytest.fixture(scope="module")
def suburb(cloud: CloudUnderTest, town: Town) -> Suburb:
    """A project with a router and a server, on the network that came last."""
    seen = cloud.nic("provider"), cloud.booted()
    cloud.write(floating_ips=FLOATING, underlay=SECOND)
    cloud.pileus("up", timeout=300)
    assert (cloud.nic("provider"), cloud.booted()) == seen, "what was there stays as it is"
    dropped = cloud.dropped("eth2")
    users = Users(cloud, "beyond")
    project = users.project("third")
    network = users.router(project, "third", "192.168.33.0/24")
    server = users.server(project, "four", network)
    return Suburb(users, project, users.float(project, server), dropped)


def test_it_has_registered_addresses_of_its_own(cloud: CloudUnderTest, suburb: Suburb) -> None:
    nic = cloud.nic("beyond")
    assert nic["device"] == "eth2"
    assert [one["private"] for one in nic["addresses"]] == ADDRESSES
    assert all(one["public"] for one in nic["addresses"])
    assert cloud.json("plan")["changes"] == []


def test_neutron_hands_out_these_and_no_others_there(cloud: CloudUnderTest, suburb: Suburb) -> None:
    assert str(suburb.server.registered) in ADDRESSES
    with pytest.raises(NO_ADDRESS):
        suburb.project.network.create_ip(floating_network_id=suburb.users.external.id)


def test_a_server_behind_it_is_reached_and_known_by_its_elastic_ip(
    cloud: CloudUnderTest, suburb: Suburb
) -> None:
    public = str(suburb.server.public)
    name = until("SSH", lambda: cloud.landing(public, 22), 120)
    assert name == "four\n"
    seen = cloud.ssh_from_internet(public, 22, "wget", "-qO-", "http://www.example.com/ip").stdout
    assert IPv4Address(seen.strip()) == suburb.server.public


def test_servers_behind_either_nic_reach_each_other_by_the_cloud_below(
    cloud: CloudUnderTest, town: Town, suburb: Suburb
) -> None:
    one, four = town.servers[0], suburb.server
    for source, target in ((one, four), (four, one)):
        ping = ["ping", "-c", "3", "-W", "2", str(target.public)]
        assert cloud.ssh_from_internet(str(source.public), 22, *ping).code == 0


def test_both_nics_carry_their_addresses_after_a_reboot(
    cloud: CloudUnderTest, town: Town, suburb: Suburb
) -> None:
    reboot(cloud)
    for server in (town.servers[0], suburb.server):
        landed = until("SSH", partial(cloud.landing, str(server.public), 22), RECOVERY_SECONDS)
        assert landed == f"{server.name}\n"
    assert until("SSH at the published port", cloud.landing, RECOVERY_SECONDS) == "web\n"
    assert cloud.json("plan")["changes"] == []


def test_neither_nic_sent_a_frame_under_a_false_name(
    cloud: CloudUnderTest, town: Town, suburb: Suburb
) -> None:
    assert not set(cloud.rise("eth2", suburb.dropped_before)) & set(FOREIGN)


def test_it_is_not_given_up_while_it_is_used_and_leaves_nothing_after(
    cloud: CloudUnderTest, town: Town, suburb: Suburb
) -> None:
    cloud.write(floating_ips=FLOATING)
    refused = cloud.pileus("up", check=False, timeout=300)
    assert refused.code == 1
    assert str(suburb.server.registered) in refused.stderr
    leave([suburb.project])
    cloud.pileus("up", timeout=300)
    (node,) = cloud.status["nodes"]
    assert [nic["role"] for nic in node["nics"]] == ["management", "provider"]
    assert "br-ex2" not in cloud.controller("sudo", "ovs-vsctl", "list-br").stdout
    assert cloud.controller("test", "-e", "/sys/class/net/eth2", check=False).code != 0
    assert cloud.landing(str(town.servers[0].public), 22) == "one\n"
    assert cloud.json("up")["changed"] == []
