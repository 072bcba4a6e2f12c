"""Addresses and ports stay, whatever restarts, with traffic flowing; what was lost is printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cloud_under_test import (
    FOREIGN,
    RECOVERY_SECONDS,
    CloudUnderTest,
    openstack,
    reboot,
    until,
)
from tenants import Town
from traffic import Traffic

Break = Callable[[CloudUnderTest, Town], None]


def restart(*units: str) -> Break:
    def action(cloud: CloudUnderTest, _: Town) -> None:
        cloud.controller("sudo", "systemctl", "restart", *units)

    return action


def kill(unit: str) -> Break:
    """By kill -9; systemd starts it again."""

    def action(cloud: CloudUnderTest, _: Town) -> None:
        cloud.controller("sudo", "systemctl", "kill", "--signal=KILL", unit)

    return action


def node(*command: str) -> Break:
    def action(cloud: CloudUnderTest, _: Town) -> None:
        cloud.controller("sudo", *command)

    return action


def router_off_and_on(cloud: CloudUnderTest, town: Town) -> None:
    """The user's router and the file's: both namespaces go and come back."""
    network = town.users.admin.network
    routers = [network.find_router(name, ignore_missing=False) for name in ("first", "router")]
    for router in routers:
        network.update_router(router, is_admin_state_up=False)
    until("the namespaces went", lambda: not namespaces(cloud) & {r.id for r in routers})
    for router in routers:
        network.update_router(router, is_admin_state_up=True)


def namespaces(cloud: CloudUnderTest) -> set[str]:
    words = cloud.controller("ip", "netns").stdout.split()
    return {word.removeprefix("qrouter-") for word in words if word.startswith("qrouter-")}


def another_address(cloud: CloudUnderTest, town: Town) -> None:
    """The router's gateway takes another registered address; `up` gives it its own again."""
    network = town.users.admin.network
    router = network.find_router("router", ignore_missing=False)
    network.delete_ip(network.find_ip(str(town.spare), ignore_missing=False))
    gateway: dict[str, Any] = router.external_gateway_info
    other = [{**gateway["external_fixed_ips"][0], "ip_address": str(town.spare)}]
    network.update_router(router, external_gateway_info={**gateway, "external_fixed_ips": other})
    cloud.pileus("up", timeout=300)
    network.create_ip(
        floating_network_id=town.users.external.id, floating_ip_address=str(town.spare)
    )


def gateway_away_and_back(cloud: CloudUnderTest, town: Town) -> None:
    network = town.users.admin.network
    router = network.find_router("router", ignore_missing=False)
    gateway: dict[str, Any] = router.external_gateway_info
    network.update_router(router, external_gateway_info={})
    network.update_router(router, external_gateway_info=gateway)


def router_made_anew(cloud: CloudUnderTest, town: Town) -> None:
    """Deleted by hand, and made again by `up`, with another id."""
    network = town.users.admin.network
    router = network.find_router("router", ignore_missing=False)
    for port in network.ports(device_id=router.id, device_owner="network:router_interface"):
        network.remove_interface_from_router(router, port_id=port.id)
    network.delete_router(router)
    cloud.pileus("up", timeout=300)


def stop_and_start(cloud: CloudUnderTest, _: Town) -> None:
    cloud.pileus("stop", timeout=180)
    assert cloud.status["state"] == "partial"
    cloud.pileus("start", timeout=300)


NEUTRON = tuple(f"neutron-{one}-agent" for one in ("openvswitch", "l3", "dhcp", "metadata"))
BREAKS: dict[str, Break] = {
    "Neutron's agent of the switch restarts": restart(NEUTRON[0]),
    "Neutron's agent of the routers restarts": restart(NEUTRON[1]),
    "every agent of OpenStack's restarts": restart(*NEUTRON, "nova-compute"),
    "the uplink's agent restarts": restart("pileus-agent"),
    "the uplink's agent is killed": kill("pileus-agent"),
    "the pipeline is deleted": node("nft", "delete", "table", "netdev", "pileus_eth1"),
    "all rules of the node are flushed": node("nft", "flush", "ruleset"),
    "the servers' taps are set down": node(
        *(
            "sh",
            "-c",
            "for tap in $(ip -br link | grep -o '^tap[^ ]*'); do ip link set $tap down; done",
        )
    ),
    "Open vSwitch restarts": restart("openvswitch-switch"),
    "routers go down and up": router_off_and_on,
    "a gateway is taken away and set again": gateway_away_and_back,
    "a gateway gets another address, and its own again": another_address,
    "the router is deleted and made anew": router_made_anew,
    "the machine reboots": lambda cloud, _: reboot(cloud),
    "the cloud is stopped and started": stop_and_start,
}


@pytest.mark.parametrize("what", BREAKS)
def test_addresses_and_ports_come_back(
    cloud: CloudUnderTest,
    town: Town,
    what: str,
    record_property: Callable[[str, object], None],
) -> None:
    user = str(town.servers[0].public)
    before = cloud.dropped("eth1")
    with Traffic(cloud, user) as traffic:
        BREAKS[what](cloud, town)
        recovers(cloud, town, f"{what}: ping", lambda: answers(cloud, user))
        recovers(cloud, town, f"{what}: published", lambda: published_answers(cloud))
    record_property("outage", f"{what}: {traffic.outage}")
    rose = cloud.rise("eth1", before)
    assert not set(rose) & set(FOREIGN), "nothing foreign left in between"
    until(f"{what}: health", lambda: health(cloud) == "ok", RECOVERY_SECONDS)


def recovers(cloud: CloudUnderTest, town: Town, what: str, look: Callable[[], bool]) -> None:
    """Wait until it does; where it does not, say where the user's packets die, and what the server
    said last."""
    try:
        until(what, look, RECOVERY_SECONDS)
    except AssertionError as error:
        (server, *_) = town.servers
        trace = cloud.pileus("trace", "internet", str(server.public), check=False)
        log = openstack(cloud, "console", "log", "show", server.id)
        raise AssertionError(f"{error}\n{trace.stdout}{trace.stderr}\n{log}") from error


def health(cloud: CloudUnderTest) -> str:
    return str(cloud.json("agent", "status")["health"])


def answers(cloud: CloudUnderTest, address: str) -> bool:
    return cloud.internet("ping", "-c", "3", "-i", "0.2", "-W", "1", address, check=False).code == 0


def published_answers(cloud: CloudUnderTest) -> bool:
    return cloud.landing() == "web\n"
