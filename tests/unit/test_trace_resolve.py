"""From words to ends: who has a name or an address, and by which one it is called."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trace_ends import APP, DB, OTHER, ROUTER, WEB, A
from trace_scene import SCENE, both, neutron, router, vpc

from pileus.model.ends import Machine, Metadata, Nobody, Outside
from pileus.model.errors import InvalidSpec, Refused
from pileus.model.path import Asked
from pileus.model.scene import Scene, ServerState
from pileus.spec import ROUTER as ROUTER_NAME
from pileus.spec import loads
from pileus.spec.checks import RESERVED_NAMES
from pileus.trace.resolve import RESERVED, resolve
from pileus.trace.route import route


@pytest.mark.parametrize("word", ["web", "s-1", "192.168.20.5"])
def test_a_server_by_its_name_its_id_and_its_address(word: str) -> None:
    found = resolve(Asked(word, "db", "icmp", None), SCENE)
    assert (found.source, found.destination) == (WEB, DB)


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("172.16.20.101", ROUTER),
        ("198.51.100.2", ROUTER),
        ("192.168.22.1", OTHER),
        ("172.16.20.102", APP),
        ("198.51.100.3", APP),
        ("172.16.10.101", Machine("controller", A("172.16.10.101"))),
        ("demo-controller", Machine("demo-controller", A("172.16.10.101"))),
        ("internet", Outside("internet", A("198.18.0.7"))),
        ("here", Outside("here", A("203.0.113.7"))),
        ("203.0.113.9", Outside("203.0.113.9", A("203.0.113.9"))),
    ],
)
def test_whose_a_name_or_an_address_is_that_sends(word: str, end: object) -> None:
    assert resolve(Asked(word, "web", "tcp", 22), SCENE).source == end


def test_a_published_server_is_called_by_its_elastic_ip_and_port() -> None:
    found = resolve(Asked("internet", "web", "tcp", 22), SCENE)
    assert (found.first.destination, found.first.destination_port) == (A("198.51.100.2"), 522)
    assert (found.at, found.through, found.target_port) == (A("172.16.20.101"), ROUTER, 22)
    assert found.by_public


def test_a_server_is_called_by_its_own_address_where_that_leads_to_it() -> None:
    for source, to in (("web", DB), ("router", WEB)):
        found = resolve(Asked(source, to.name, "icmp", None), SCENE)
        assert (found.first.destination, found.at) == (to.address, None)


def test_a_server_behind_another_router_is_called_by_its_floating_ip() -> None:
    found = resolve(Asked("web", "app", "icmp", None), SCENE)
    assert (found.first.destination, found.through) == (APP.floating, OTHER)
    assert not found.by_public


def test_a_router_is_called_by_the_address_on_the_network_of_who_asks() -> None:
    called = {
        source: resolve(Asked(source, "router", "icmp", None), SCENE).first.destination
        for source in ("web", "app", "internet")
    }
    assert called == {
        "web": A("192.168.20.1"),
        "app": A("172.16.20.101"),
        "internet": A("198.51.100.2"),
    }


def test_169_254_169_254_is_openstacks_to_a_servers_port_80_alone() -> None:
    def service(source: str, port: int) -> str:
        end = resolve(Asked(source, "169.254.169.254", "tcp", port), SCENE).destination
        assert isinstance(end, Metadata)
        return end.name

    assert service("web", 80) == "openstack"
    assert service("web", 443) == service("controller", 80) == "underlay"


def test_addresses_of_the_vpc_that_nobody_has() -> None:
    free = neutron(floating=())(SCENE)
    held = resolve(Asked("internet", "198.51.100.3", "icmp", None), free)
    assert (held.destination, held.at) == (Nobody(A("172.16.20.102")), A("172.16.20.102"))
    stray = resolve(Asked("web", "172.16.20.77", "icmp", None), SCENE)
    assert (stray.destination, stray.at) == (Nobody(A("172.16.20.77")), None)


SAME = neutron(servers=tuple(ServerState(s.id, "web", "ACTIVE") for s in SCENE.neutron.servers))
LOST = neutron(ports=tuple(port for port in SCENE.neutron.ports if port.device != APP.id))
GONE = both(
    router("r-1", external=None),
    neutron(ports=tuple(port for port in SCENE.neutron.ports if port.id != "gw-1")),
    vpc(nics={}),
)


@pytest.mark.parametrize(
    ("source", "destination", "scene", "why"),
    [
        ("wbe", "web", SCENE, "there is no `wbe`"),
        ("web", "8.8.8", SCENE, "there is no `8.8.8`"),
        ("internet", "8.8.8.8", SCENE, "neither internet nor 8.8.8.8 is in this cloud"),
        ("169.254.169.254", "web", SCENE, "nothing is sent from there"),
        ("web", "192.168.20.5", SCENE, "web and 192.168.20.5 are the same"),
        ("router", "172.16.20.101", SCENE, "router and 172.16.20.101 are the same"),
        ("controller", "demo-controller", SCENE, "are the same"),
        ("web", "192.168.20.77", SCENE, "no router has 192.168.20.77, an address of network pri"),
        ("192.168.20.77", "web", SCENE, "no router has 192.168.20.77"),
        ("::1", "web", SCENE, "::1 is an IPv6 address"),
        *(
            ("web", none, SCENE, f"{none} is no host's address")
            for none in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255")  # noqa: S104
        ),
        ("controller", "web", GONE(SCENE), "the machine has no management NIC"),
        ("internet", "router", GONE(SCENE), "router router has no gateway"),
        ("here", "web", replace(SCENE, here=None), "your own address cannot be told"),
        ("web", "8.8.8.8", SAME(SCENE), "there are 3 named `web`, and none is the cloud's own"),
        ("app", "8.8.8.8", LOST(SCENE), "`app` has no address"),
    ],
)
def test_what_there_is_not_is_refused(
    source: str, destination: str, scene: Scene, why: str
) -> None:
    with pytest.raises(Refused, match=why.replace(".", r"\.")) as refused:
        resolve(Asked(source, destination, "icmp", None), scene)
    assert refused.value.hint


def test_of_those_with_one_name_the_clouds_own_keeps_it() -> None:
    """A user may call a server `web` and a router `router`, and have them in a trace, too."""
    state = SCENE.neutron
    taken = neutron(
        servers=tuple(replace(one, name="web") for one in state.servers),
        routers=tuple(replace(one, name="router") for one in state.routers),
        networks=tuple(replace(one, name="private") for one in state.networks),
        own=frozenset({"s-1", "r-1", "n-private"}),
    )(SCENE)
    found = resolve(Asked("web", "8.8.8.8", "icmp", None), taken)
    assert found.source == WEB
    others = resolve(Asked("web", "s-3", "icmp", None), taken)
    assert (others.destination.name, others.through and others.through.name) == ("s-3", "r-2")
    subjects = {place.subject for place in route(others)}
    assert {"web", "private", "router", "s-3", "r-2", "n-third"} <= subjects


def test_of_those_with_one_name_and_none_the_clouds_own_each_is_named_by_id_or_address() -> None:
    with pytest.raises(Refused) as refused:
        resolve(Asked("web", "8.8.8.8", "icmp", None), SAME(SCENE))
    assert "s-1 (192.168.20.5), s-2 (192.168.21.5)" in refused.value.hint
    for word in ("s-2", "192.168.21.5"):
        assert resolve(Asked(word, "8.8.8.8", "icmp", None), SAME(SCENE)).source.name == "s-2"


@pytest.mark.parametrize("word", [*RESERVED, "s-1"])
def test_a_users_server_takes_nobodys_name(word: str) -> None:
    """Called by a word that means something else, or by the id of another."""
    servers = tuple(
        replace(one, name=word) if one.id == "s-3" else one for one in SCENE.neutron.servers
    )
    scene = neutron(servers=servers)(SCENE)
    meant = resolve(Asked(word, "db", "tcp", 22), scene).source
    assert meant == resolve(Asked(word, "db", "tcp", 22), SCENE).source
    assert resolve(Asked("s-3", "8.8.8.8", "icmp", None), scene).first.source == APP.address


def test_an_elastic_ip_that_is_gone_is_told_by_those_that_there_are() -> None:
    with pytest.raises(Refused) as refused:
        resolve(Asked("internet", "198.51.100.77", "tcp", 80), SCENE)
    assert "198.51.100.1, 198.51.100.2, 198.51.100.3" in refused.value.hint


def test_what_traces_give_a_meaning_no_server_of_pileus_yaml_may_be_called() -> None:
    assert {*RESERVED, ROUTER_NAME} == {*RESERVED_NAMES}
    for name in (*RESERVED_NAMES, "demo-controller"):
        spec = f"servers: [{{name: {name}, network: private}}]"
        with pytest.raises(InvalidSpec) as refused:
            loads(spec.encode(), name="pileus.yaml")
        assert f"a server cannot be called `{name}`" in refused.value.problems[0].what


def test_of_several_addresses_a_servers_name_stands_for_the_one_that_leads_farthest() -> None:
    more = (A("192.168.20.4"), *SCENE.neutron.ports[2].addresses)
    ports = tuple(
        replace(port, addresses=more) if port.id == APP.port else port
        for port in SCENE.neutron.ports
    )
    scene = neutron(ports=ports)(SCENE)
    assert resolve(Asked("app", "8.8.8.8", "icmp", None), scene).source == APP
    other = resolve(Asked("192.168.20.4", "8.8.8.8", "icmp", None), scene).source
    assert other == replace(APP, address=A("192.168.20.4"), router=None, floating=None)
