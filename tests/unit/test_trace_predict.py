"""The predicted half: what passes on a healthy cloud, and where it dies after a change, and why."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from trace_ends import APP, ROUTER, A
from trace_scene import (
    ANYWHERE,
    DEFAULT,
    EVERYTHING_OUT,
    LOCAL,
    NEUTRON,
    OPEN,
    PING_IN,
    REGISTERED,
    SCENE,
    SSH_IN,
    Change,
    asked,
    both,
    neutron,
    nic,
    port,
    predicted,
    router,
    server,
    uplink,
    vpc,
)

from pileus.model.addresses import Mac
from pileus.model.ends import Interface
from pileus.model.path import Asked, Fate, Headers, Hop, Stage, Way
from pileus.model.scene import (
    AclEntry,
    FloatingIp,
    Permit,
    Scene,
    Subnet,
    TableRoute,
    UplinkState,
)
from pileus.model.verdict import Code

OUT = asked("web", "8.8.8.8")
PUBLISHED = asked("internet", "web", 22)
FLOATING = asked("internet", "app")
TO_FLOATING = asked("web", "app")
NEIGHBOUR = asked("web", "db", 22)
METADATA = asked("web", "169.254.169.254", 80)


@pytest.mark.parametrize(
    "question",
    [
        OUT,
        PUBLISHED,
        FLOATING,
        TO_FLOATING,
        NEIGHBOUR,
        METADATA,
        asked("web", "internet", 443),
        asked("internet", "198.51.100.2", 522),
        asked("internet", "198.51.100.3"),
        asked("app", "8.8.8.8"),
        asked("app", "198.51.100.2", 522),
        asked("web", "172.16.20.101", 522),
        asked("app", "172.16.20.102", 22),
        asked("router", "8.8.8.8"),
        asked("router", "web", 22),
        asked("web", "router"),
        asked("app", "router"),
        asked("internet", "router"),
        asked("controller", "8.8.8.8"),
        asked("demo-controller", "internet", 443),
        asked("controller", "app"),
        asked("internet", "controller", 22),
        asked("203.0.113.9", "198.51.100.1", 22),
        asked("controller", "169.254.169.254", 80),
        asked("192.168.20.5", "192.168.21.5"),
    ],
    ids=str,
)
def test_on_a_healthy_cloud_it_arrives_and_is_answered(question: Asked) -> None:
    half = predicted(question)
    assert half.death is None
    assert half.hops[-1].way is Way.BACK
    assert not any(one.code for one in half.hops)


def hop(question: Asked, way: Way, stage: Stage, change: Change = lambda scene: scene) -> Hop:
    hops = predicted(question, change(SCENE)).hops
    return next(one for one in hops if (one.way, one.stage) == (way, stage))


def test_addresses_change_where_they_are_translated_and_back_again() -> None:
    web, client = A("192.168.20.5"), A("198.18.0.7")
    there = {h.stage: h.headers for h in predicted(PUBLISHED).hops if h.way is Way.THERE}
    back = {h.stage: h.headers for h in predicted(PUBLISHED).hops if h.way is Way.BACK}
    assert there[Stage.INTERNET] == Headers(client, A("198.51.100.2"), None, 522)
    assert there[Stage.ELASTIC_IP] == Headers(client, A("172.16.20.101"), None, 522)
    assert there[Stage.NAT] == there[Stage.SERVER] == Headers(client, web, None, 22)
    assert back[Stage.ROUTER] == Headers(web, client, 22, None)
    assert back[Stage.NAT] == Headers(A("172.16.20.101"), client, 522, None)
    assert back[Stage.INTERNET] == Headers(A("198.51.100.2"), client, 522, None)


def test_a_floating_ip_is_the_servers_own_source_and_others_get_the_gateways() -> None:
    assert hop(asked("app", "8.8.8.8"), Way.THERE, Stage.NAT).headers == Headers(
        A("172.16.20.102"), A("8.8.8.8")
    )
    assert hop(OUT, Way.THERE, Stage.NAT).headers == Headers(A("172.16.20.101"), A("8.8.8.8"))


def test_a_router_gives_what_it_turns_round_a_source_of_its_own() -> None:
    turned = hop(asked("web", "172.16.20.101", 522), Way.THERE, Stage.NAT)
    assert turned.headers == Headers(A("172.16.20.101"), A("192.168.20.5"), None, 22)


def closed(*rules: Permit) -> Change:
    return neutron(groups={"sg": rules})


def below_closed(*rules: Permit) -> Change:
    return vpc(groups={**SCENE.vpc.groups, "sg-p": rules})


def deny(*, outwards: bool, ports: tuple[int, int] | None = None) -> AclEntry:
    about = Permit(outwards, "tcp" if ports else "any", ports, ANYWHERE)
    return AclEntry(50, allow=False, about=about)


def dead(program: str) -> Change:
    agents = (replace(one, alive=one.program != program) for one in NEUTRON.agents)
    return neutron(agents=tuple(agents))


NO_GATEWAY = both(
    router("r-1", external=None), neutron(ports=tuple(p for p in NEUTRON.ports if p.id != "gw-1"))
)


@pytest.mark.parametrize(
    ("change", "question", "way", "stage", "code"),
    [
        (server("web", "SHUTOFF"), OUT, Way.THERE, Stage.SERVER, Code.GUEST_OFF),
        (server("web", "ERROR"), PUBLISHED, Way.THERE, Stage.SERVER, Code.GUEST_OFF),
        (
            port("p-1", binding="binding_failed"),
            OUT,
            Way.THERE,
            Stage.PORT,
            Code.NEUTRON_PORT_UNBOUND,
        ),
        (port("p-1", up=False), PUBLISHED, Way.THERE, Stage.PORT, Code.NEUTRON_PORT_DOWN),
        (port("p-1", status="DOWN"), OUT, Way.THERE, Stage.PORT, Code.NEUTRON_PORT_DOWN),
        (port("p-2", status="DOWN"), NEIGHBOUR, Way.THERE, Stage.PORT, Code.NEUTRON_PORT_DOWN),
        (closed(SSH_IN), OUT, Way.THERE, Stage.PORT, Code.NEUTRON_GROUP_EGRESS),
        (closed(EVERYTHING_OUT), PUBLISHED, Way.THERE, Stage.PORT, Code.NEUTRON_GROUP_INGRESS),
        (
            closed(EVERYTHING_OUT, PING_IN),
            NEIGHBOUR,
            Way.THERE,
            Stage.PORT,
            Code.NEUTRON_GROUP_INGRESS,
        ),
        (
            neutron(subnets=tuple(replace(s, gateway=None) for s in NEUTRON.subnets)),
            OUT,
            Way.THERE,
            Stage.SWITCH,
            Code.NEUTRON_NO_ROUTER,
        ),
        (router("r-1", up=False), OUT, Way.THERE, Stage.ROUTER, Code.NEUTRON_ROUTER_DOWN),
        (router("r-1", up=False), PUBLISHED, Way.THERE, Stage.GATEWAY, Code.NEUTRON_ROUTER_DOWN),
        (port("qr-1", status="DOWN"), OUT, Way.THERE, Stage.ROUTER, Code.NEUTRON_PORT_DOWN),
        (port("qr-2", up=False), NEIGHBOUR, Way.THERE, Stage.ROUTER, Code.NEUTRON_PORT_DOWN),
        (NO_GATEWAY, OUT, Way.THERE, Stage.ROUTER, Code.NEUTRON_NO_GATEWAY),
        (
            NO_GATEWAY,
            asked("router", "8.8.8.8"),
            Way.THERE,
            Stage.ROUTER,
            Code.NEUTRON_NO_GATEWAY,
        ),
        (NO_GATEWAY, PUBLISHED, Way.THERE, Stage.GATEWAY, Code.NEUTRON_NO_GATEWAY),
        (
            neutron(
                subnets=(*NEUTRON.subnets[:3], replace(NEUTRON.subnets[3], gateway=None)),
            ),
            OUT,
            Way.THERE,
            Stage.ROUTER,
            Code.NEUTRON_NO_ROUTE,
        ),
        (port("gw-1", status="DOWN"), OUT, Way.THERE, Stage.GATEWAY, Code.NEUTRON_PORT_DOWN),
        (
            port("gw-2", binding="binding_failed"),
            FLOATING,
            Way.THERE,
            Stage.GATEWAY,
            Code.NEUTRON_PORT_UNBOUND,
        ),
        (
            lambda scene: replace(scene, published={}),
            asked("internet", "198.51.100.2", 522),
            Way.THERE,
            Stage.NAT,
            Code.NEUTRON_NOT_PUBLISHED,
        ),
        (
            lambda scene: scene,
            asked("internet", "db", 22),
            Way.THERE,
            Stage.NAT,
            Code.NEUTRON_NOT_PUBLISHED,
        ),
        (
            neutron(floating=()),
            asked("internet", "198.51.100.3"),
            Way.THERE,
            Stage.GATEWAY,
            Code.NEUTRON_ADDRESS_UNUSED,
        ),
        (
            port("p-1", addresses=(A("192.168.20.9"),)),
            asked("internet", "198.51.100.2", 522),
            Way.THERE,
            Stage.ROUTER,
            Code.NEUTRON_ADDRESS_UNUSED,
        ),
        (
            port("p-1", addresses=(A("192.168.20.9"),)),
            PUBLISHED,
            Way.THERE,
            Stage.NAT,
            Code.NEUTRON_NOT_PUBLISHED,
        ),
        (
            dead("neutron-metadata-agent"),
            METADATA,
            Way.THERE,
            Stage.METADATA,
            Code.NEUTRON_AGENT_DEAD,
        ),
        (
            lambda scene: scene,
            asked("web", "169.254.169.254", 443),
            Way.THERE,
            Stage.UPLINK,
            Code.UPLINK_LINK_LOCAL,
        ),
        (router("r-1", snat=False), OUT, Way.THERE, Stage.UPLINK, Code.UPLINK_SOURCE_IP),
        (
            uplink(registered=frozenset(REGISTERED[1:])),
            OUT,
            Way.THERE,
            Stage.UPLINK,
            Code.UPLINK_SOURCE_IP,
        ),
        (
            uplink(registered=frozenset(REGISTERED[1:])),
            PUBLISHED,
            Way.THERE,
            Stage.UPLINK,
            Code.UPLINK_DESTINATION_IP,
        ),
        (uplink(mode="mac-clone"), OUT, Way.THERE, Stage.UPLINK, Code.UPLINK_SOURCE_MAC),
        (nic(attached=False), OUT, Way.THERE, Stage.NIC, Code.NIC_MISSING),
        (
            vpc(nics={"management": SCENE.vpc.nics["management"]}),
            OUT,
            Way.THERE,
            Stage.NIC,
            Code.NIC_MISSING,
        ),
        (vpc(machine="stopped"), PUBLISHED, Way.THERE, Stage.NIC, Code.MACHINE_OFF),
        (nic(addresses=REGISTERED[1:]), OUT, Way.THERE, Stage.NIC, Code.SOURCE_IP),
        (
            nic(addresses=REGISTERED[:1]),
            asked("internet", "198.51.100.3"),
            Way.THERE,
            Stage.NIC,
            Code.NO_SUCH_ADDRESS,
        ),
        (below_closed(EVERYTHING_OUT), PUBLISHED, Way.THERE, Stage.GROUPS, Code.GROUP_INGRESS),
        (
            below_closed(EVERYTHING_OUT, PING_IN),
            PUBLISHED,
            Way.THERE,
            Stage.GROUPS,
            Code.GROUP_INGRESS,
        ),
        (below_closed(SSH_IN), OUT, Way.THERE, Stage.GROUPS, Code.GROUP_EGRESS),
        (nic(acl=(*OPEN, deny(outwards=True))), OUT, Way.THERE, Stage.ACL, Code.ACL_EGRESS),
        (
            nic(acl=(*OPEN, deny(outwards=False, ports=(522, 522)))),
            PUBLISHED,
            Way.THERE,
            Stage.ACL,
            Code.ACL_INGRESS,
        ),
        (nic(acl=(*OPEN, deny(outwards=False))), OUT, Way.BACK, Stage.ACL, Code.ACL_INGRESS),
        (nic(acl=OPEN[1:]), PUBLISHED, Way.BACK, Stage.ACL, Code.ACL_EGRESS),
        (nic(routes=(LOCAL,)), OUT, Way.THERE, Stage.ROUTE, Code.NO_ROUTE),
        (nic(routes=(LOCAL,)), PUBLISHED, Way.BACK, Stage.ROUTE, Code.NO_ROUTE),
        (
            nic(routes=(LOCAL, replace(DEFAULT, target="igw-2"))),
            OUT,
            Way.THERE,
            Stage.ROUTE,
            Code.NO_ROUTE,
        ),
        (
            nic(routes=(LOCAL, replace(DEFAULT, active=False))),
            OUT,
            Way.THERE,
            Stage.ROUTE,
            Code.NO_ROUTE,
        ),
        (
            lambda scene: scene,
            asked("web", "172.16.20.77"),
            Way.THERE,
            Stage.ROUTE,
            Code.NO_SUCH_ADDRESS,
        ),
        (vpc(gateway=None), PUBLISHED, Way.THERE, Stage.ELASTIC_IP, Code.NO_ROUTE),
        (vpc(elastic={}), OUT, Way.THERE, Stage.ELASTIC_IP, Code.NO_PUBLIC_ADDRESS),
        (
            vpc(elastic={}, loose={A("198.51.100.2"): A("172.16.20.101")}),
            PUBLISHED,
            Way.THERE,
            Stage.ELASTIC_IP,
            Code.NO_PUBLIC_ADDRESS,
        ),
        (
            lambda scene: scene,
            asked("web", "192.168.22.5"),
            Way.THERE,
            Stage.INTERNET,
            Code.PRIVATE_DESTINATION,
        ),
        (
            vpc(machine="stopped"),
            asked("controller", "8.8.8.8"),
            Way.THERE,
            Stage.NODE,
            Code.MACHINE_OFF,
        ),
        (
            lambda scene: scene,
            asked("internet", "controller", 5432),
            Way.THERE,
            Stage.GROUPS,
            Code.GROUP_INGRESS,
        ),
    ],
)
def test_where_it_dies(change: Change, question: Asked, way: Way, stage: Stage, code: Code) -> None:
    half = predicted(question, change(SCENE))
    assert half.death
    assert (half.death.way, half.death.stage, half.death.code) == (way, stage, code)
    assert half.death == half.hops[-1], "nothing is told of what comes after"
    assert half.death.detail
    assert all(hop.fate is Fate.PASSES for hop in half.hops[:-1])


@pytest.mark.parametrize(
    ("change", "question"),
    [
        pytest.param(closed(EVERYTHING_OUT, SSH_IN), OUT, id="answers pass Neutron's groups"),
        pytest.param(below_closed(EVERYTHING_OUT), OUT, id="answers pass the groups below"),
        pytest.param(
            closed(EVERYTHING_OUT, Permit(False, "tcp", (22, 22), None, "sg")),
            NEIGHBOUR,
            id="a group that names itself",
        ),
        pytest.param(both(closed(), port("p-1", filtered=False)), OUT, id="port security off"),
        pytest.param(nic(addresses=REGISTERED[1:], source_check=False), OUT, id="source check off"),
        pytest.param(nic(acl=None), OUT, id="an ACL that cannot be told"),
        pytest.param(
            router("r-1", routes=((IPv4Network("8.8.8.0/24"), A("192.168.20.9")),)),
            OUT,
            id="an extra route",
        ),
        pytest.param(
            nic(
                routes=(
                    LOCAL,
                    DEFAULT,
                    TableRoute(IPv4Network("10.0.0.0/8"), "nowhere", active=False),
                )
            ),
            OUT,
            id="a route that is gone, for others",
        ),
        pytest.param(
            uplink(learned={A("172.16.20.101"): ROUTER.gateway and ROUTER.gateway.mac}),
            PUBLISHED,
            id="a MAC that was learned",
        ),
    ],
)
def test_twins_that_pass(change: Change, question: Asked) -> None:
    assert predicted(question, change(SCENE)).death is None


def test_mac_clone_passes_with_the_nics_own_mac_alone() -> None:
    own = SCENE.vpc.nics["provider"].interface.mac
    cloned = both(uplink(mode="mac-clone"), port("gw-1", mac=own))
    assert predicted(OUT, cloned(SCENE)).death is None
    assert predicted(PUBLISHED, cloned(SCENE)).death is None


@pytest.mark.parametrize(
    ("change", "stage", "code"),
    [
        (dead("neutron-l3-agent"), Stage.ROUTER, Code.NEUTRON_AGENT_DEAD),
        (dead("neutron-openvswitch-agent"), Stage.SWITCH, Code.NEUTRON_AGENT_DEAD),
        (dead("neutron-dhcp-agent"), Stage.SWITCH, Code.NEUTRON_AGENT_DEAD),
        (nic(source_check=False), Stage.NIC, Code.SOURCE_DEST_CHECK),
    ],
)
def test_what_is_wrong_is_told_at_its_hop_though_packets_pass(
    change: Change, stage: Stage, code: Code
) -> None:
    half = predicted(OUT, change(SCENE))
    assert half.death is None
    assert {(one.stage, one.code) for one in half.hops if one.code} == {(stage, code)}


def test_two_routers_of_one_name_are_told_apart() -> None:
    same = router("r-2", name="router")
    assert predicted(TO_FLOATING, same(SCENE)).death is None
    down = both(same, router("r-2", up=False))
    death = predicted(TO_FLOATING, down(SCENE)).death
    assert death
    assert (death.stage, death.code) == (Stage.GATEWAY, Code.NEUTRON_ROUTER_DOWN)


def second_provider(scene: Scene) -> Scene:
    """The other router's addresses are of a provider network of their own."""
    addresses = (A("172.16.30.101"), A("172.16.30.102"))
    eth2 = Interface(
        "wan2", "eth2", "eni-2", Mac("02:00:00:00:00:1e"), IPv4Network("172.16.30.0/24")
    )
    wan2 = replace(scene.vpc.nics["provider"], interface=eth2, addresses=addresses)
    scene = both(
        vpc(
            nics={**scene.vpc.nics, "wan2": wan2},
            elastic={**scene.vpc.elastic, A("198.51.100.3"): addresses[1]},
        ),
        port("gw-2", addresses=addresses[:1], network="n-wan2"),
        router("r-2", external="n-wan2"),
        neutron(
            floating=(FloatingIp(addresses[1], "r-2", APP.port, APP.address),),
            subnets=(*NEUTRON.subnets, Subnet("n-wan2", eth2.subnet, A("172.16.30.1"))),
        ),
    )(scene)
    state = UplinkState("mac-nat", frozenset(addresses))
    return replace(scene, uplinks={**scene.uplinks, "wan2": state})


def test_with_several_provider_nics_each_router_leaves_by_its_own() -> None:
    scene = second_provider(SCENE)
    ways = {
        question: [h.subject for h in predicted(question, scene).hops if h.stage is Stage.UPLINK]
        for question in (asked("app", "8.8.8.8"), OUT, FLOATING, TO_FLOATING)
    }
    assert ways == {
        asked("app", "8.8.8.8"): ["eth2", "eth2"],
        OUT: ["eth1", "eth1"],
        FLOATING: ["eth2", "eth2"],
        TO_FLOATING: ["eth1", "eth2", "eth2", "eth1"],
    }
    assert all(predicted(question, scene).death is None for question in ways)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (
            asked("internet", "db", 80),
            "no published tcp port 80 leads to db, which has no",
        ),
        (asked("internet", "web"), "no pings lead to web, which has no floating IP: this is"),
        (asked("internet", "web", 22), None),
        (asked("internet", "router"), None),
        (asked("internet", "198.51.100.2"), None),
        (asked("web", "192.168.20.1"), None),
        (asked("internet", "app"), None),
    ],
)
def test_a_server_that_nothing_leads_to_is_called_by_its_routers_address_and_it_says_so(
    question: Asked, told: str | None
) -> None:
    notes = predicted(question).notes
    assert [note.startswith(told or "") for note in notes] == ([True] if told else [])
