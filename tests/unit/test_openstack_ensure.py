"""The whole way through OpenStack, against one in memory that guards MACs as Neutron does."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from fake_openstack import CutOff, FakeOpenStack

from pileus.model.addresses import Identity, Mac
from pileus.model.errors import Fault, Refused
from pileus.model.tenant import (
    ANYWHERE,
    SSH_AND_PING,
    ObservedOpenStack,
    WantedFlavor,
    WantedImage,
    WantedNetwork,
    WantedOpenStack,
    WantedProvider,
    WantedRouter,
    WantedServer,
)
from pileus.model.underlay import Permission
from pileus.openstack import ensure, observe, plan

NIC = Mac("02:00:00:00:20:01")
REGISTERED = Identity(NIC, IPv4Address("172.16.20.101"))
WEB = WantedServer("web", "private", IPv4Address("192.168.20.5"), "guest", "tiny")
WANTED = WantedOpenStack(
    cloud="demo",
    provider=WantedProvider(
        subnet=IPv4Network("172.16.20.0/24"),
        gateway=IPv4Address("172.16.20.1"),
        pools=((IPv4Address("172.16.20.100"), IPv4Address("172.16.20.250")),),
    ),
    routers=(WantedRouter("router", REGISTERED.address, NIC, clone=NIC),),
    networks=(WantedNetwork("private", IPv4Network("192.168.20.0/24"), "router"),),
    servers=(WEB,),
    public_key="ssh-ed25519 AAAA demo",
    flavors=(WantedFlavor("tiny", 1, 256, 1),),
    images=(WantedImage("guest", Path("guest.qcow2")),),
)


def brought_up(wanted: WantedOpenStack = WANTED) -> FakeOpenStack:
    cloud = FakeOpenStack()
    ensure(cloud, wanted)
    return cloud


def test_from_nothing_to_a_server_behind_the_registered_mac() -> None:
    cloud = FakeOpenStack()
    told: list[str] = []
    result = ensure(cloud, WANTED, told.append)
    gateway = result.observed.routers["router"].gateway
    assert gateway is not None
    assert (gateway.mac, gateway.address) == (REGISTERED.mac, REGISTERED.address)
    assert (gateway.owner, gateway.status) == ("network:router_gateway", "ACTIVE")
    assert result.observed.servers["web"].status == "ACTIVE"
    assert cloud.sent_with == {str(REGISTERED.mac)}
    assert told == [str(took.step) for took in result.took]


def test_twice_changes_nothing() -> None:
    cloud = brought_up()
    before = len(cloud.writes)
    assert ensure(cloud, WANTED).took == ()
    assert len(cloud.writes) == before


WRITES = len(brought_up().writes)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(WRITES))
def test_cut_off_at_any_call_it_comes_out_right_when_repeated(number: int, moment: str) -> None:
    cloud = FakeOpenStack()
    setattr(cloud, f"cut_{moment}", number)
    with pytest.raises(CutOff):
        ensure(cloud, WANTED)
    cloud.cut_before = cloud.cut_after = None
    result = ensure(cloud, WANTED)
    assert plan(WANTED, result.observed) == []
    assert cloud.sent_with == {str(REGISTERED.mac)}
    for kind in ("networks", "subnets", "routers", "servers", "images", "keypairs", "flavors"):
        names = [thing.name for thing in cloud.select(kind)]
        assert len(names) == len(set(names)), f"two {kind} of one name"


def test_another_registered_mac_is_taken_over_while_the_router_is_down() -> None:
    cloud = brought_up()
    other = Mac("02:00:00:00:20:02")
    moved = replace(
        WANTED, routers=(WantedRouter("router", REGISTERED.address, other, clone=other),)
    )
    cloud.sent_with.clear()
    result = ensure(cloud, moved)
    assert [str(took.step) for took in result.took] == [
        "take router router down",
        "unbind the gateway port of router router",
        "give the gateway of router router the registered MAC 02:00:00:00:20:02",
        "hand the gateway port back to router router",
        "take router router up",
        "wait until the gateway of router router is active",
    ]
    assert cloud.sent_with == {str(other)}


def test_another_registered_address_is_set_while_the_router_is_down() -> None:
    cloud = brought_up()
    other = IPv4Address("172.16.20.102")
    moved = replace(WANTED, routers=(WantedRouter("router", other, NIC, clone=NIC),))
    assert [str(took.step) for took in ensure(cloud, moved).took] == [
        "take router router down",
        "set the gateway of router router to 172.16.20.102",
        "take router router up",
        "wait until the gateway of router router is active",
    ]
    assert plan(moved, observe(cloud, moved)) == []


def test_a_gateway_that_a_user_took_away_is_set_again_with_the_registered_mac() -> None:
    cloud = brought_up()
    cloud.drop("ports", cloud.one("ports", device_owner="network:router_gateway"))
    ensure(cloud, WANTED)
    assert plan(WANTED, observe(cloud, WANTED)) == []
    assert cloud.sent_with == {str(REGISTERED.mac)}


def test_a_server_starts_only_behind_a_connected_router() -> None:
    steps = [type(step).__name__ for step in plan(WANTED, ObservedOpenStack())]
    assert steps.index("AddInterface") < steps.index("CreateServer")
    assert steps.index("ReturnGateway") < steps.index("RouterUp") < steps.index("AwaitGateway")


def test_what_users_made_is_never_touched() -> None:
    cloud = FakeOpenStack()
    network = cloud.add("networks", name="private")
    cloud.add("subnets", name="private", network_id=network.id, cidr="10.0.0.0/24")
    cloud.add("routers", name="router", is_admin_state_up=True)
    cloud.add("servers", name="web", status="ERROR", metadata={}, launched_at=None, fault=None)
    cloud.add("servers", name="web", status="ACTIVE", metadata={"pileus": "other"})
    theirs = {kind: list(things) for kind, things in cloud.things.items()}
    was = {thing.id: dict(vars(thing)) for things in theirs.values() for thing in things}
    ensure(cloud, WANTED)
    ensure(cloud, replace(WANTED, servers=(), networks=(), routers=()))
    for kind, things in theirs.items():
        for thing in things:
            assert thing in cloud.things[kind]
            assert vars(thing) == was[thing.id]


def test_a_rule_that_a_user_added_to_our_group_stays_and_one_of_ours_goes() -> None:
    https = Permission("tcp", (443, 443), ANYWHERE)
    cloud = brought_up(replace(WANTED, servers=(replace(WEB, ingress=SSH_AND_PING | {https}),)))
    group = cloud.one("security_groups", name="web")
    users = dict(group.security_group_rules[0], id="users", description="", port_range_max=4000)
    group.security_group_rules.append(users)
    observed = ensure(cloud, WANTED).observed
    assert users in group.security_group_rules
    assert https not in observed.groups["web"].ingress
    assert plan(WANTED, observed) == []


def test_a_server_that_is_no_longer_wanted_goes_with_its_port_and_group() -> None:
    cloud = brought_up()
    observed = ensure(cloud, replace(WANTED, servers=())).observed
    assert (observed.servers, observed.ports, observed.groups) == ({}, {}, {})


def test_networks_and_routers_that_are_no_longer_wanted_go() -> None:
    cloud = brought_up()
    observed = ensure(cloud, replace(WANTED, servers=(), networks=(), routers=())).observed
    assert (observed.networks, observed.routers) == ({}, {})
    assert observed.provider is not None


def test_a_server_in_use_is_not_moved_to_another_address() -> None:
    cloud = brought_up()
    moved = replace(WANTED, servers=(replace(WEB, fixed_ip=IPv4Address("192.168.20.6")),))
    writes = len(cloud.writes)
    with pytest.raises(Refused, match=r"server web is 192\.168\.20\.5 and cannot become"):
        ensure(cloud, moved)
    assert len(cloud.writes) == writes


def test_novas_reason_is_told_and_the_server_is_made_anew() -> None:
    cloud = FakeOpenStack()
    cloud.compute.breaks = "No valid host was found."
    with pytest.raises(Fault, match="No valid host") as failed:
        ensure(cloud, WANTED)
    assert "instance_type" in failed.value.hint
    cloud.compute.breaks = None
    assert ensure(cloud, WANTED).observed.servers["web"].status == "ACTIVE"
    assert len(cloud.select("servers")) == 1


def test_a_server_that_ran_and_broke_is_left_for_the_user() -> None:
    cloud = brought_up()
    cloud.one("servers", name="web").status = "ERROR"
    with pytest.raises(Fault, match="server web is in ERROR"):
        ensure(cloud, WANTED)
    assert cloud.select("servers", name="web")


def test_a_server_that_was_shut_off_is_started() -> None:
    cloud = brought_up()
    cloud.one("servers", name="web").status = "SHUTOFF"
    assert [str(t.step) for t in ensure(cloud, WANTED).took] == [
        "start server web",
        "wait until server web is active",
    ]


def test_in_mac_clone_openstack_itself_refuses_floating_ips() -> None:
    cloud = brought_up()
    assert cloud.quota == 0
    provider = cloud.one("subnets", name="provider")
    assert provider.service_types == ["network:router_gateway"]


def test_with_floating_ips_neither_quota_nor_subnet_stand_in_the_way() -> None:
    cloud = brought_up()
    open_ = replace(WANTED, provider=replace(WANTED.provider, floating_ips=True))
    result = ensure(cloud, open_)
    assert cloud.quota == 50
    assert cloud.one("subnets", name="provider").service_types == []
    assert plan(open_, result.observed) == []


def test_a_gateway_that_could_not_be_bound_is_bound_again() -> None:
    cloud = brought_up()
    port = cloud.one("ports", device_owner="network:router_gateway")
    port.binding_vif_type, port.status = "binding_failed", "DOWN"
    result = ensure(cloud, WANTED)
    assert [str(took.step) for took in result.took] == [
        "take router router down",
        "take router router up",
        "wait until the gateway of router router is active",
    ]
    assert plan(WANTED, observe(cloud, WANTED)) == []
