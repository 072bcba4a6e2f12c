"""Two routers in two projects, three servers and four floating IPs behind one registered NIC."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Address

import pytest
from cloud_under_test import CANARY, CREDENTIALS, FOREIGN, CloudUnderTest, until
from tenants import NO_ADDRESS, POOL, Town, public_of

NO_MORE = r"(?i)no more ip addresses"


def test_each_registered_address_has_an_elastic_ip(cloud: CloudUnderTest, town: Town) -> None:
    private = [IPv4Address(one["private"]) for one in cloud.provider["addresses"]]
    public = {one["public"] for one in cloud.provider["addresses"]}
    assert sorted(private) == POOL
    assert len(public) == len(POOL)


def test_neutron_hands_out_what_is_registered_and_nothing_else(
    cloud: CloudUnderTest, town: Town
) -> None:
    gateways = {
        IPv4Address(port.fixed_ips[0]["ip_address"])
        for port in town.users.admin.network.ports(device_owner="network:router_gateway")
    }
    assert len(gateways) == 3
    taken = gateways | {server.registered for server in town.servers} | {town.spare}
    assert taken == set(POOL)
    first, _ = town.projects
    with pytest.raises(NO_ADDRESS, match=NO_MORE):
        first.network.create_ip(floating_network_id=town.users.external.id)
    with pytest.raises(NO_ADDRESS, match=NO_MORE):
        first.network.create_router(
            name="third", external_gateway_info={"network_id": town.users.external.id}
        )


def test_ssh_from_the_internet_reaches_each_server(cloud: CloudUnderTest, town: Town) -> None:
    for server in town.servers:
        address = str(server.public)
        landed = until("SSH", partial(cloud.landing, address, 22), seconds=90)
        assert landed == f"{server.name}\n"


def test_the_internet_sees_each_servers_own_public_address(
    cloud: CloudUnderTest, town: Town
) -> None:
    look = ("wget", "-qO-", "http://www.example.com/ip")
    for server in town.servers:
        seen = cloud.ssh_from_internet(str(server.public), 22, *look).stdout.strip()
        assert IPv4Address(seen) == server.public


def test_projects_behind_one_nic_reach_each_other_without_the_cloud_below(
    cloud: CloudUnderTest, town: Town
) -> None:
    """By floating IP, on the inner side: the VPC answers ARP for both, and must not be believed."""
    one, *_, three = town.servers
    before = cloud.traffic("eth1")
    ping = f"ping -c 50 -i 0.1 -W 2 {three.registered}"
    assert "50 packets received" in cloud.ssh_from_internet(str(one.public), 22, ping).stdout
    assert cloud.traffic("eth1") - before < 150, "the SSH session crossed the wire, not the 200"


def test_what_comes_in_for_a_silent_address_is_not_lost(cloud: CloudUnderTest, town: Town) -> None:
    """Learned MACs are forgotten; the first packet alone must still arrive."""
    server = town.servers[0]
    cloud.controller("sudo", "nft", "flush", "map", "netdev", "pileus_eth1", "inner")
    done = cloud.internet("ping", "-c", "1", "-W", "2", str(server.public), check=False)
    assert done.code == 0, done.stdout


def test_large_packets_come_through_whole(cloud: CloudUnderTest, town: Town) -> None:
    """Fragments have no ports after the first; and a page of a megabyte goes through offloads."""
    server = str(town.servers[0].public)
    done = cloud.internet("ping", "-c", "2", "-W", "2", "-s", "4000", server, check=False)
    assert "2 received" in done.stdout
    size = cloud.ssh_from_internet(server, 22, "head -c 1000000 /dev/zero").stdout
    assert len(size) == 1_000_000


def test_a_floating_ip_for_a_server_of_the_file(cloud: CloudUnderTest, town: Town) -> None:
    """`floating-ip add` registers one address more, and `remove` gives it back; also where instance
    metadata tells of it late."""
    cloud.pileus("sim", "fault", "metadata-delay", "5")
    cloud.pileus("floating-ip", "add", "web", timeout=180)
    cloud.pileus("sim", "fault", "metadata-delay", "0")
    (server,) = cloud.status["servers"]
    added = IPv4Address(server["floating_ip"])
    assert added == POOL[-1] + 1
    public = str(public_of(cloud, added))
    assert cloud.landing(public, 22) == "web\n"
    assert cloud.json("plan")["changes"] == []
    cloud.pileus("floating-ip", "remove", public, timeout=180)
    assert cloud.status["servers"][0]["floating_ip"] is None
    assert len(cloud.provider["addresses"]) == len(POOL)
    assert cloud.ssh_from_internet(public, 22, "true").code != 0


def test_an_address_in_use_is_not_taken_away(cloud: CloudUnderTest, town: Town) -> None:
    refused = cloud.pileus("floating-ip", "remove", str(town.servers[0].registered), check=False)
    assert refused.code == 1
    assert str(town.servers[0].registered) in refused.stderr
    assert len(cloud.provider["addresses"]) == len(POOL)


def test_a_port_is_published_on_a_floating_ip(cloud: CloudUnderTest, town: Town) -> None:
    """By Neutron's own port forwarding."""
    port, public = f"{town.spare}:8022:22", str(public_of(cloud, town.spare))
    cloud.pileus("publish", "web", port, timeout=120)
    assert until("the port", lambda: cloud.landing(public, 8022)) == "web\n"
    assert cloud.landing(public, 8023) == ""
    cloud.pileus("unpublish", "web", port, timeout=120)
    assert cloud.landing(public, 8022) == ""


def test_a_tenant_never_reaches_the_metadata_of_the_cloud_below(
    cloud: CloudUnderTest, town: Town
) -> None:
    """By floating IPs and by a router's own address; with a role attached and tokens optional, so
    that only the pipeline stands between."""
    cloud.expose_metadata()
    asked, stopped = cloud.metadata_requests(), cloud.pipeline()["UPLINK_LINK_LOCAL"]
    cloud.try_metadata(town.servers[0].public, 22)
    cloud.try_metadata(town.servers[2].public, 22)
    cloud.try_metadata(cloud.provider_public, 522)
    assert cloud.metadata_requests() == asked
    assert cloud.pipeline()["UPLINK_LINK_LOCAL"] > stopped


def test_nor_does_a_router_itself(cloud: CloudUnderTest, town: Town) -> None:
    """Which sends by its gateway, past Neutron's own metadata service."""
    cloud.expose_metadata()
    asked, stopped = cloud.metadata_requests(), cloud.pipeline()["UPLINK_LINK_LOCAL"]
    router = town.users.admin.network.find_router("router", ignore_missing=False)
    inside = ["sudo", "ip", "netns", "exec", f"qrouter-{router.id}"]
    seen = cloud.controller(*inside, "curl", "-s", "-m", "2", CREDENTIALS, check=False)
    assert seen.code != 0
    assert CANARY not in seen.stdout
    assert cloud.metadata_requests() == asked
    assert cloud.pipeline()["UPLINK_LINK_LOCAL"] > stopped


def test_all_of_this_dropped_no_frame_as_foreign(cloud: CloudUnderTest, town: Town) -> None:
    """The last of this story."""
    now = cloud.dropped("eth1")
    assert {code: now[code] - town.dropped_before[code] for code in FOREIGN} == dict.fromkeys(
        FOREIGN, 0
    )
