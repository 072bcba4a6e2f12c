"""From one way of being known to the cloud below to the other, and back; after the restarts."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address

from cloud_under_test import (
    FOREIGN,
    CloudUnderTest,
    openstack_command,
    until,
)
from tenants import Town, leave


def test_mac_clone_is_refused_while_floating_ips_are_in_use(
    cloud: CloudUnderTest, town: Town
) -> None:
    cloud.write(uplink="mac-clone")
    before = cloud.nic("provider")
    refused = cloud.pileus("up", check=False, timeout=300)
    assert refused.code == 1
    for server in town.servers:
        assert str(server.registered) in refused.stderr
    assert cloud.nic("provider") == before


def test_mac_clone_takes_over_and_keeps_the_published_port(
    cloud: CloudUnderTest, town: Town
) -> None:
    leave(town.projects)
    town.users.admin.network.delete_ip(
        town.users.admin.network.find_ip(str(town.spare), ignore_missing=False)
    )
    before = cloud.dropped("eth1")
    cloud.pileus("up", timeout=300)
    provider = cloud.provider
    assert [one["private"] for one in provider["addresses"]] == ["172.16.20.101"]
    (router,) = cloud.status["routers"]
    assert router["gateway_mac"] == provider["mac"]
    assert until("SSH at the published port", cloud.landing) == "web\n"
    assert not set(cloud.rise("eth1", before)) & set(FOREIGN)
    assert cloud.json("plan")["changes"] == []


def test_floating_ips_are_refused_with_the_reason(cloud: CloudUnderTest) -> None:
    done = subprocess.run(
        openstack_command(cloud, "floating", "ip", "create", "provider"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    refused = cloud.pileus("floating-ip", "add", "web", check=False)
    assert refused.code == 1
    assert "mac-clone" in refused.stderr
    cloud.write(uplink="mac-clone", floating_ips=1)
    refused = cloud.pileus("up", check=False)
    assert refused.code == 1
    assert "mac-clone" in refused.stderr


def test_a_tenant_does_not_reach_the_metadata_below_by_a_cloned_mac_either(
    cloud: CloudUnderTest,
) -> None:
    cloud.write(uplink="mac-clone")
    cloud.expose_metadata()
    asked, stopped = cloud.metadata_requests(), cloud.pipeline()["UPLINK_LINK_LOCAL"]
    cloud.try_metadata(cloud.provider_public, 522)
    assert cloud.metadata_requests() == asked
    assert cloud.pipeline()["UPLINK_LINK_LOCAL"] > stopped


def test_and_back_to_mac_nat(cloud: CloudUnderTest) -> None:
    cloud.write()
    cloud.pileus("up", timeout=300)
    (router,) = cloud.status["routers"]
    assert router["gateway_mac"] != cloud.provider["mac"]
    assert until("SSH at the published port", cloud.landing) == "web\n"
    cloud.pileus("floating-ip", "add", "web", timeout=180)
    address = IPv4Address(cloud.status["servers"][0]["floating_ip"])
    assert str(address) in {one["private"] for one in cloud.provider["addresses"]}
    assert cloud.json("up")["changed"] == []
