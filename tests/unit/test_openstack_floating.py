"""Many addresses behind one registered MAC: pools, floating IPs, forwarded ports, other projects.

Against the OpenStack in memory, which has Neutron's guards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from fake_openstack import CutOff, FakeOpenStack, Refusal

from pileus.model.addresses import Mac, Socket
from pileus.model.errors import Fault, Refused
from pileus.model.publishing import Published
from pileus.model.tenant import (
    WantedFloatingIp,
    WantedNetwork,
    WantedOpenStack,
    WantedProvider,
    WantedRouter,
    WantedServer,
    pools_of,
)
from pileus.openstack import apply, ensure, in_use, observe, plan
from pileus.openstack import steps as do
from pileus.openstack.gateway_mac import own_mac

NIC = Mac("02:00:00:00:20:01")
NEUTRONS = "fa:16:3e:00:00:01"
OWN = IPv4Address("172.16.20.101")
FIRST, SECOND, THIRD = OWN + 1, OWN + 2, OWN + 3
WEB, DB = IPv4Address("192.168.20.5"), IPv4Address("192.168.20.6")


def provider(*addresses: IPv4Address) -> WantedProvider:
    """The provider network with exactly these addresses registered."""
    return WantedProvider(
        IPv4Network("172.16.20.0/24"),
        IPv4Address("172.16.20.1"),
        pools_of(addresses),
        floating_ips=True,
    )


NAT = WantedOpenStack(
    cloud="demo",
    provider=provider(OWN, FIRST, SECOND),
    routers=(WantedRouter("router", OWN, NIC),),
    networks=(WantedNetwork("private", IPv4Network("192.168.20.0/24"), "router"),),
    servers=(
        WantedServer("web", "private", WEB, "guest", "tiny"),
        WantedServer("db", "private", DB, "guest", "tiny"),
    ),
    public_key="ssh-ed25519 AAAA demo",
)
CLONE = replace(
    NAT,
    provider=replace(
        NAT.provider, pools=((IPv4Address("172.16.20.100"), OWN + 149),), floating_ips=False
    ),
    routers=(WantedRouter("router", OWN, NIC, clone=NIC),),
)
SSH_TO_DB = Published("tcp", Socket(SECOND, 522), Socket(DB, 22))
FLOATING = replace(
    NAT,
    floating_ips=(WantedFloatingIp(FIRST, "web"), WantedFloatingIp(SECOND, None)),
    forwards=frozenset({SSH_TO_DB}),
)


def stocked() -> FakeOpenStack:
    """An OpenStack with an image and a flavor."""
    cloud = FakeOpenStack()
    cloud.add(
        "images", name="guest", status="active", tags=[], owner="project", visibility="public"
    )
    cloud.add("flavors", name="tiny")
    return cloud


def brought_up(wanted: WantedOpenStack) -> FakeOpenStack:
    cloud = stocked()
    ensure(cloud, wanted)
    return cloud


def done(cloud: FakeOpenStack, wanted: WantedOpenStack) -> list[str]:
    """Bring it about; what was done, having seen that nothing is left to do."""
    result = ensure(cloud, wanted)
    assert plan(wanted, result.observed) == []
    return [str(took.step) for took in result.took]


def gateway(cloud: FakeOpenStack) -> Any:
    router = cloud.one("routers", name="router", project_id="project")
    return cloud.one("ports", device_id=router.id, device_owner="network:router_gateway")


def external(cloud: FakeOpenStack) -> str:
    return str(cloud.one("networks", name="provider", project_id="project").id)


def float_of(cloud: FakeOpenStack, project: str, port: Any = None, **attributes: Any) -> Any:
    """`openstack floating ip create provider`, by someone of a project."""
    return cloud.network.create_ip(
        floating_network_id=external(cloud),
        port_id=port.id if port else None,
        project_id=project,
        **attributes,
    )


def second_project(cloud: FakeOpenStack) -> Any:
    """Another project's router with a gateway, its network and a server's port in it."""
    network = cloud.network.create_network(name="private", project_id="p2")
    subnet = cloud.network.create_subnet(
        name="private",
        network_id=network.id,
        cidr="192.168.20.0/24",
        gateway_ip="192.168.20.1",
        project_id="p2",
    )
    router = cloud.network.create_router(
        name="router",
        external_gateway_info={"network_id": external(cloud)},
        project_id="p2",
    )
    cloud.network.add_interface_to_router(router, subnet_id=subnet.id)
    return cloud.network.create_port(
        name="web",
        network_id=network.id,
        fixed_ips=[{"ip_address": "192.168.20.5"}],
        project_id="p2",
    )


def ours_port(cloud: FakeOpenStack, name: str) -> Any:
    return cloud.one("ports", name=name, project_id="project")


# Pools


@pytest.mark.parametrize(
    ("last_bytes", "ranges"),
    [((), []), ((5,), [(5, 5)]), ((7, 5, 6, 5), [(5, 7)]), ((9, 5, 6), [(5, 6), (9, 9)])],
)
def test_pools_hold_exactly_the_addresses(
    last_bytes: Iterable[int], ranges: list[tuple[int, int]]
) -> None:
    base = IPv4Address("10.0.0.0")
    expected = tuple((base + first, base + last) for first, last in ranges)
    assert pools_of(base + byte for byte in last_bytes) == expected


def test_neutron_gives_out_what_is_registered_and_nothing_else() -> None:
    cloud = brought_up(NAT)
    got = [float_of(cloud, "p2").floating_ip_address for _ in range(2)]
    assert got == [str(FIRST), str(SECOND)]
    with pytest.raises(Refusal, match="no more IP addresses"):
        float_of(cloud, "p2")


def test_pools_follow_what_is_registered_while_addresses_are_in_use() -> None:
    cloud = brought_up(FLOATING)
    more = replace(FLOATING, provider=provider(OWN, FIRST, SECOND, OWN + 9))
    assert done(cloud, more) == [
        "set the pool of provider to 172.16.20.101-172.16.20.103, 172.16.20.110"
    ]
    cloud.one("subnets", name="provider").allocation_pools.reverse()
    assert done(cloud, more) == []
    assert done(cloud, FLOATING) == ["set the pool of provider to 172.16.20.101-172.16.20.103"]


# Gateways


def test_a_router_behind_mac_nat_is_up_at_once_with_neutrons_own_mac() -> None:
    cloud = stocked()
    steps = done(cloud, NAT)
    assert "create router router with gateway 172.16.20.101" in steps
    assert not [step for step in steps if "MAC" in step or "take router" in step]
    assert cloud.sent_with == {NEUTRONS}


def test_its_address_changes_without_taking_it_down() -> None:
    cloud = brought_up(NAT)
    moved = replace(NAT, routers=(WantedRouter("router", FIRST, NIC),))
    assert done(cloud, moved) == ["set the gateway of router router to 172.16.20.102"]


def test_a_gateway_that_a_user_took_away_is_set_again_without_taking_the_router_down() -> None:
    cloud = brought_up(NAT)
    cloud.drop("ports", gateway(cloud))
    assert done(cloud, NAT) == [
        "set the gateway of router router to 172.16.20.101",
        "wait until the gateway of router router is active",
    ]


def test_a_router_that_someone_took_up_halfway_is_bound_again() -> None:
    cloud = brought_up(CLONE)
    gateway(cloud).device_owner = "compute:mac"
    assert done(cloud, CLONE) == [
        "take router router down",
        "hand the gateway port back to router router",
        "take router router up",
        "wait until the gateway of router router is active",
    ]


def test_from_mac_clone_to_mac_nat_and_back() -> None:
    cloud = brought_up(CLONE)
    assert cloud.sent_with == {str(NIC)}
    assert done(cloud, NAT) == [
        "set the project's quota of floating IPs to 50",
        "set the pool of provider to 172.16.20.101-172.16.20.103",
        "take router router down",
        "unbind the gateway port of router router",
        "give the gateway of router router a MAC of its own",
        "hand the gateway port back to router router",
        "take router router up",
        "wait until the gateway of router router is active",
    ]
    own = own_mac(gateway(cloud).id)
    assert gateway(cloud).mac_address == str(own)
    done(cloud, FLOATING)
    cloud.sent_with.clear()
    steps = done(cloud, CLONE)
    assert [step for step in steps if "floating IP 1" in step or "forward" in step] == [
        "forward no more tcp 172.16.20.103:522 → 192.168.20.6:22",
        "delete floating IP 172.16.20.102",
        "delete floating IP 172.16.20.103",
    ]
    assert gateway(cloud).mac_address == str(NIC)
    assert cloud.sent_with <= {str(own), str(NIC)}


STATES = {"clone": CLONE, "nat": FLOATING}
EVER = 200
"""More writes than any way between the states takes."""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("start", "way"),
    [
        (None, ("nat", "nat")),
        ("clone", ("nat", "nat")),
        ("nat", ("clone", "clone")),
        ("clone", ("nat", "clone")),
        ("nat", ("clone", "nat")),
    ],
)
def test_cut_off_anywhere_between_the_modes_either_one_can_still_be_reached(
    start: str | None, way: tuple[str, str], moment: str
) -> None:
    for number in range(EVER):
        cloud = brought_up(STATES[start]) if start else stocked()
        cloud.sent_with.clear()
        setattr(cloud, f"cut_{moment}", len(cloud.writes) + number)
        try:
            ensure(cloud, STATES[way[0]])
        except CutOff:
            cloud.cut_before = cloud.cut_after = None
            done(cloud, STATES[way[1]])
            as_wanted(cloud, way[1])
        else:
            assert number > 8, "few writes for such a way"
            return
    raise AssertionError("it never came to an end")


def as_wanted(cloud: FakeOpenStack, state: str) -> None:
    own = {NEUTRONS, str(own_mac(gateway(cloud).id))}
    assert gateway(cloud).mac_address in ({str(NIC)} if state == "clone" else own)
    assert cloud.sent_with <= own | {str(NIC)}
    addresses = sorted(ip.floating_ip_address for ip in cloud.select("ips"))
    assert addresses == ([] if state == "clone" else [str(FIRST), str(SECOND)]), "each once"


@pytest.mark.parametrize("start", [None, CLONE, FLOATING])
@pytest.mark.parametrize("goal", [CLONE, FLOATING])
def test_every_step_may_be_done_twice(start: WantedOpenStack | None, goal: WantedOpenStack) -> None:
    cloud = brought_up(start) if start else stocked()
    for step in plan(goal, observe(cloud, goal)):
        apply(cloud, goal, step)
        apply(cloud, goal, step)
    assert done(cloud, goal) == []


# Floating IPs and forwarded ports


def test_a_server_gets_its_floating_ip_and_another_its_forwarded_port() -> None:
    cloud = brought_up(FLOATING)
    observed = observe(cloud, FLOATING)
    assert observed.servers["web"].floating_ip == FIRST
    assert observed.servers["db"].floating_ip is None
    assert observed.forwards == {SSH_TO_DB}
    assert observed.other_ports == {}
    assert in_use(observed) == {
        OWN: "gateway of router router",
        FIRST: "floating IP of server web",
        SECOND: "floating IP for ports",
    }
    assert done(cloud, FLOATING) == []


def test_floating_ips_change_places() -> None:
    both = replace(
        NAT, floating_ips=(WantedFloatingIp(FIRST, "web"), WantedFloatingIp(SECOND, "db"))
    )
    cloud = brought_up(both)
    swapped = replace(
        NAT, floating_ips=(WantedFloatingIp(FIRST, "db"), WantedFloatingIp(SECOND, "web"))
    )
    assert done(cloud, swapped) == [
        "take floating IP 172.16.20.102 from its server",
        "take floating IP 172.16.20.103 from its server",
        "give floating IP 172.16.20.102 to server db",
        "give floating IP 172.16.20.103 to server web",
    ]


def test_an_address_for_ports_becomes_a_servers_and_back() -> None:
    cloud = brought_up(FLOATING)
    to_db = replace(
        NAT, floating_ips=(WantedFloatingIp(FIRST, "web"), WantedFloatingIp(SECOND, "db"))
    )
    assert done(cloud, to_db) == [
        "forward no more tcp 172.16.20.103:522 → 192.168.20.6:22",
        "give floating IP 172.16.20.103 to server db",
    ]
    assert done(cloud, FLOATING) == [
        "take floating IP 172.16.20.103 from its server",
        "forward tcp 172.16.20.103:522 → 192.168.20.6:22",
    ]


def test_a_forwarded_port_leads_elsewhere_and_one_that_is_not_ours_goes() -> None:
    cloud = brought_up(FLOATING)
    web = replace(FLOATING, floating_ips=(WantedFloatingIp(SECOND, None),))
    floating = cloud.one("ips", floating_ip_address=str(SECOND))
    cloud.network.create_floating_ip_port_forwarding(
        floating,
        protocol="udp",
        external_port=53,
        internal_port_id=ours_port(cloud, "db").id,
        internal_ip_address=str(DB),
        internal_port=53,
        description="",
    )
    to_web = Published("tcp", SSH_TO_DB.registered, Socket(WEB, 22))
    assert done(cloud, replace(web, forwards=frozenset({to_web}))) == [
        "forward no more tcp 172.16.20.103:522 → 192.168.20.6:22",
        "forward no more udp 172.16.20.103:53 → 192.168.20.6:53",
        "delete floating IP 172.16.20.102",
        "forward tcp 172.16.20.103:522 → 192.168.20.5:22",
    ]


def test_a_server_goes_with_its_floating_ip_and_its_ports() -> None:
    cloud = brought_up(FLOATING)
    observed = ensure(cloud, replace(NAT, servers=(), networks=(), routers=())).observed
    assert (observed.floating_ips, observed.forwards, observed.gateways) == ({}, frozenset(), ())


def test_a_floating_ip_that_a_user_moved_comes_back_to_its_server() -> None:
    cloud = brought_up(FLOATING)
    cloud.drop("forwards", cloud.one("forwards"))
    for floating in cloud.select("ips"):
        floating.port_id, floating.fixed_ip_address = "elsewhere", "10.0.0.9"
    assert done(cloud, FLOATING) == [
        "take floating IP 172.16.20.102 from its server",
        "take floating IP 172.16.20.103 from its server",
        "give floating IP 172.16.20.102 to server web",
        "forward tcp 172.16.20.103:522 → 192.168.20.6:22",
    ]


def test_a_range_of_ports_that_a_user_forwards_stays_until_our_floating_ip_goes() -> None:
    cloud = brought_up(FLOATING)
    floating = cloud.one("ips", floating_ip_address=str(SECOND))
    db = ours_port(cloud, "db").id
    cloud.add(
        "forwards",
        ip=floating.id,
        protocol="tcp",
        external_port=None,
        internal_port=None,
        internal_port_id=db,
        internal_ip_address=str(DB),
    )
    assert done(cloud, FLOATING) == []
    assert done(cloud, replace(NAT, floating_ips=FLOATING.floating_ips[:1])) == [
        "forward no more tcp 172.16.20.103:522 → 192.168.20.6:22",
        "delete floating IP 172.16.20.103",
    ]


def test_a_floating_ip_that_someone_else_got_meanwhile_is_left_to_them() -> None:
    cloud = brought_up(NAT)
    port = second_project(cloud)
    theirs = float_of(cloud, "p2", port, floating_ip_address=str(SECOND))
    was = dict(vars(theirs))
    apply(cloud, NAT, do.DisassociateFloatingIp(SECOND))
    apply(cloud, NAT, do.DeleteFloatingIp(SECOND))
    with pytest.raises(Fault, match="with another server meanwhile"):
        apply(cloud, NAT, do.AssociateFloatingIp(SECOND, "web"))
    assert vars(cloud.one("ips")) == was
    with pytest.raises(Fault, match=r"no floating IP 172\.16\.20\.104"):
        apply(cloud, NAT, do.AssociateFloatingIp(THIRD, "web"))


# Other projects


def test_what_is_in_other_projects_is_never_touched() -> None:
    """Not even where it has our names and our mark, and was there first."""
    cloud = stocked()
    for kind in ("networks", "subnets", "routers", "ports", "security_groups"):
        for name in ("private", "provider", "router", "web"):
            cloud.add(
                kind,
                name=name,
                description=NAT.mark,
                project_id="p2",
                network_id=None,
                fixed_ips=[],
                is_distributed=False,
                is_ha=False,
                is_admin_state_up=True,
                device_id=None,
                device_owner="",
                security_group_rules=[],
            )
    ensure(cloud, NAT)
    port = second_project(cloud)
    float_of(cloud, "p2", port)
    for kind in ("networks", "subnets", "routers", "ips"):
        for thing in cloud.select(kind, project_id="p2"):
            thing.description = NAT.mark
    cloud.network.create_security_group(name="web", description=NAT.mark, project_id="p2")
    theirs = [
        thing for things in cloud.things.values() for thing in things if thing.project_id == "p2"
    ]
    was = [dict(vars(thing)) for thing in theirs]
    more = replace(
        NAT,
        provider=provider(OWN, FIRST, SECOND, THIRD),
        floating_ips=(WantedFloatingIp(THIRD, "web"),),
    )
    for wanted in (NAT, more, replace(more, servers=more.servers[:1]), NAT):
        done(cloud, wanted)
    ensure(cloud, replace(NAT, servers=(), networks=(), routers=()))
    assert [vars(thing) for thing in theirs] == was
    assert all(thing in [t for ts in cloud.things.values() for t in ts] for thing in theirs)
    assert in_use(observe(cloud, NAT)) == {
        FIRST: "gateway of router router of project second",
        SECOND: "floating IP of project second, at 192.168.20.5",
    }


def test_an_image_of_another_project_is_not_booted() -> None:
    cloud = stocked()
    mine = cloud.one("images", name="guest")
    cloud.things["images"].insert(
        0,
        type(mine)(**{**vars(mine), "id": "evil", "owner": "p2", "visibility": "private"}),
    )
    ensure(cloud, NAT)
    assert {server.image_id for server in cloud.select("servers")} == {mine.id}
    cloud.drop("images", mine)
    third = replace(NAT.servers[0], name="third", fixed_ip=DB + 1)
    with pytest.raises(Fault, match="no image guest"):
        ensure(cloud, replace(NAT, servers=(*NAT.servers, third)))


def test_a_users_floating_ip_that_leads_nowhere_is_used_and_stays_theirs() -> None:
    cloud = brought_up(NAT)
    theirs = float_of(cloud, "p2", floating_ip_address=str(FIRST))
    wanted = replace(NAT, floating_ips=(WantedFloatingIp(FIRST, "web"),))
    assert done(cloud, wanted) == ["give floating IP 172.16.20.102 to server web"]
    assert observe(cloud, wanted).servers["web"].floating_ip == FIRST
    assert done(cloud, NAT) == []
    assert cloud.select("ips") == [theirs]


def test_ports_forwarded_on_a_users_floating_ip_are_ours_to_take_back_and_no_others() -> None:
    cloud = brought_up(NAT)
    theirs = float_of(cloud, "p2", floating_ip_address=str(SECOND))
    wanted = replace(
        NAT, floating_ips=(WantedFloatingIp(SECOND, None),), forwards=frozenset({SSH_TO_DB})
    )
    assert done(cloud, wanted) == ["forward tcp 172.16.20.103:522 → 192.168.20.6:22"]
    cloud.network.create_floating_ip_port_forwarding(
        theirs,
        protocol="tcp",
        external_port=80,
        internal_port_id=ours_port(cloud, "web").id,
        internal_ip_address=str(WEB),
        internal_port=80,
        description="theirs",
    )
    assert done(cloud, NAT) == ["forward no more tcp 172.16.20.103:522 → 192.168.20.6:22"]
    assert [forward.description for forward in cloud.select("forwards")] == ["theirs"]


# What cannot be


def refused(cloud: FakeOpenStack, wanted: WantedOpenStack) -> Refused:
    """What it says; nothing was written."""
    writes = len(cloud.writes)
    with pytest.raises(Refused) as caught:
        ensure(cloud, wanted)
    assert len(cloud.writes) == writes
    return caught.value


def test_addresses_in_use_are_not_given_back() -> None:
    cloud = brought_up(NAT)
    float_of(cloud, "p2", second_project(cloud))
    told = refused(cloud, replace(NAT, provider=provider(OWN)))
    assert "172.16.20.102 (gateway of router router of project second)" in told.message
    assert "172.16.20.103 (floating IP of project second, at 192.168.20.5)" in told.message
    assert "openstack floating ip delete 172.16.20.103" in told.hint
    assert "openstack router unset --external-gateway router" in told.hint


def test_a_server_put_straight_on_the_provider_network_keeps_its_address_too() -> None:
    cloud = brought_up(NAT)
    port = cloud.network.create_port(
        name="", network_id=external(cloud), fixed_ips=[{"ip_address": str(FIRST)}]
    )
    told = refused(cloud, replace(NAT, provider=provider(OWN, SECOND)))
    assert f"172.16.20.102 (port {port.id})" in told.message
    assert f"openstack port delete {port.id}" in told.hint


def router_of(cloud: FakeOpenStack) -> None:
    """Another project's, which says that it is ours."""
    cloud.network.create_router(
        name="router",
        description=NAT.mark,
        project_id="p2",
        external_gateway_info={"network_id": external(cloud)},
    )


@pytest.mark.parametrize("take", [lambda cloud: float_of(cloud, "p2"), router_of])
def test_an_address_that_someone_takes_meanwhile_stays_in_the_pool(
    take: Callable[[FakeOpenStack], object],
) -> None:
    cloud = brought_up(NAT)
    narrow = cloud.network._guard_pools

    def someone_is_faster(subnet: Any, attributes: dict[str, Any]) -> None:
        del vars(cloud.network)["_guard_pools"]
        take(cloud)
        narrow(subnet, attributes)

    vars(cloud.network)["_guard_pools"] = someone_is_faster
    with pytest.raises(Refused, match=r"meanwhile someone took 172\.16\.20\.102"):
        ensure(cloud, replace(NAT, provider=provider(OWN)))
    assert done(cloud, NAT) == []


def test_the_routers_own_address_may_be_given_back_with_what_follows_it() -> None:
    cloud = brought_up(NAT)
    moved = replace(
        NAT, provider=provider(FIRST, SECOND), routers=(WantedRouter("router", FIRST, NIC),)
    )
    assert done(cloud, moved) == [
        "set the pool of provider to 172.16.20.102-172.16.20.103",
        "set the gateway of router router to 172.16.20.102",
    ]


def test_an_address_that_was_never_ours_to_give_stands_in_no_ones_way() -> None:
    """An administrator may take any address of the subnet; the pipeline drops what it sends."""
    cloud = brought_up(NAT)
    float_of(cloud, "p2", floating_ip_address="172.16.20.200")
    assert done(cloud, replace(NAT, provider=provider(OWN, FIRST))) == [
        "set the pool of provider to 172.16.20.101-172.16.20.102"
    ]


def test_addresses_of_another_external_network_are_no_matter() -> None:
    cloud = brought_up(NAT)
    other = cloud.network.create_network(name="other", project_id="p2")
    cloud.add(
        "ips",
        floating_network_id=other.id,
        floating_ip_address=str(FIRST),
        fixed_ip_address="10.0.0.9",
        port_id="elsewhere",
        router_id=None,
        project_id="p2",
    )
    done(cloud, replace(NAT, floating_ips=(WantedFloatingIp(FIRST, "web"),)))
    done(cloud, replace(NAT, provider=provider(OWN)))


def test_mac_clone_has_no_room_for_others() -> None:
    cloud = brought_up(NAT)
    float_of(cloud, "p2", second_project(cloud))
    told = refused(cloud, CLONE)
    assert "one address" in told.message
    assert "172.16.20.102 (gateway of router router of project second)" in told.message
    assert "172.16.20.103 (floating IP" in told.message


@pytest.mark.parametrize(
    ("flag", "why"), [("is_distributed", "every compute node"), ("is_ha", "is elected")]
)
def test_a_router_that_speaks_from_several_nodes_is_refused(flag: str, why: str) -> None:
    cloud = brought_up(NAT)
    second_project(cloud)
    theirs = cloud.one("routers", project_id="p2")
    setattr(theirs, flag, True)
    told = refused(cloud, NAT)
    assert "router router of project second" in told.message
    assert why in told.message
    cloud.drop("ports", cloud.one("ports", device_id=theirs.id, network_id=external(cloud)))
    assert done(cloud, NAT) == [], "without a gateway on the provider network it is no matter"


def test_an_address_that_leads_to_someone_else_is_not_taken_from_them() -> None:
    cloud = brought_up(NAT)
    float_of(cloud, "p2", second_project(cloud))
    for address, holder in ((FIRST, "gateway of router router"), (SECOND, "floating IP of")):
        told = refused(cloud, replace(NAT, floating_ips=(WantedFloatingIp(address, "web"),)))
        assert f"someone else has {address} ({holder}" in told.message
        assert "project second" in told.message
    told = refused(cloud, replace(NAT, routers=(WantedRouter("router", SECOND, NIC),)))
    assert "someone else has 172.16.20.103" in told.message


def test_a_users_floating_ip_whose_ports_they_forward_is_not_taken() -> None:
    cloud = brought_up(NAT)
    theirs = float_of(cloud, "p2", floating_ip_address=str(FIRST))
    cloud.network.create_floating_ip_port_forwarding(
        theirs,
        protocol="tcp",
        external_port=80,
        internal_port_id=ours_port(cloud, "web").id,
        internal_ip_address=str(WEB),
        internal_port=80,
        description="",
    )
    told = refused(cloud, replace(NAT, floating_ips=(WantedFloatingIp(FIRST, "db"),)))
    assert "someone else has 172.16.20.102 (floating IP of project second)" in told.message


def test_a_server_has_one_floating_ip() -> None:
    cloud = brought_up(NAT)
    two = replace(
        NAT, floating_ips=(WantedFloatingIp(FIRST, "web"), WantedFloatingIp(SECOND, "web"))
    )
    assert "one floating IP, not 172.16.20.102 and 172.16.20.103" in refused(cloud, two).message
    float_of(cloud, "p2", ours_port(cloud, "web"), floating_ip_address=str(SECOND))
    one = replace(NAT, floating_ips=(WantedFloatingIp(FIRST, "web"),))
    assert "server web can have one floating IP" in refused(cloud, one).message
    at_theirs = replace(NAT, floating_ips=(WantedFloatingIp(SECOND, "web"),))
    assert done(cloud, at_theirs) == []


@pytest.mark.parametrize(
    ("forwards", "why"),
    [
        ({Published("tcp", Socket(SECOND, 80), Socket(WEB, 80))}, "web has the floating IP"),
        ({SSH_TO_DB, Published("tcp", Socket(SECOND, 523), Socket(DB, 22))}, "is published at"),
        ({Published("tcp", Socket(SECOND, 80), Socket(DB + 1, 80))}, "no server at"),
    ],
)
def test_what_neutron_cannot_forward_is_refused_before_anything_is_done(
    forwards: set[Published], why: str
) -> None:
    cloud = brought_up(NAT)
    assert why in refused(cloud, replace(FLOATING, forwards=frozenset(forwards))).message


def test_one_port_of_a_server_by_two_protocols_is_two() -> None:
    cloud = brought_up(NAT)
    udp = Published("udp", Socket(SECOND, 523), SSH_TO_DB.private)
    both = frozenset({SSH_TO_DB, udp})
    done(cloud, replace(FLOATING, forwards=both))
    assert observe(cloud, NAT).forwards == both


# After the machine was stopped and started


def test_servers_that_went_down_with_the_machine_are_started_with_their_addresses() -> None:
    cloud = brought_up(FLOATING)
    for server in cloud.select("servers"):
        server.status = "SHUTOFF"
    assert done(cloud, FLOATING) == [
        "start server web",
        "start server db",
        "wait until server web is active",
        "wait until server db is active",
    ]


def test_a_server_that_nova_is_starting_itself_is_left_to_it() -> None:
    cloud = brought_up(NAT)
    web = cloud.one("servers", name="web")
    web.status, web.task_state = "SHUTOFF", "powering-on"
    writes = len(cloud.writes)
    apply(cloud, NAT, do.StartServer("web"))
    assert len(cloud.writes) == writes
