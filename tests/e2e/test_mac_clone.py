"""A cloud that comes up in mac-clone from nothing: the one router is who the cloud below knows.

The first of its half; the users of the next module need floating IPs, and mac-nat with them.
"""

from __future__ import annotations

from cloud_under_test import FOREIGN, CloudUnderTest, openstack, until


def test_the_gateway_has_the_registered_address_and_mac(cloud: CloudUnderTest) -> None:
    provider = cloud.provider
    assert [one["private"] for one in provider["addresses"]] == ["172.16.20.101"]
    (router,) = cloud.status["routers"]
    assert router["gateway_ip"] == "172.16.20.101"
    assert router["gateway_mac"] == provider["mac"]


def test_the_published_port_leads_into_the_server(cloud: CloudUnderTest) -> None:
    assert cloud.landing() == "web\n"


def test_every_way_that_must_be_open_is_and_every_other_is_closed(cloud: CloudUnderTest) -> None:
    report = cloud.json("check", "connectivity")
    assert report["ok"], report
    assert {"router-reaches-internet", "web-fetches-page"} <= {c["name"] for c in report["cases"]}
    assert cloud.json("check")["ok"]


def test_both_halves_of_a_trace_say_that_it_arrives(cloud: CloudUnderTest) -> None:
    answer = cloud.json("trace", "web", "8.8.8.8")
    assert answer["ok"], answer
    assert not [hop for hop in answer["hops"] if hop["differs"]]


def test_the_mac_stays_when_the_router_goes_down_and_up(cloud: CloudUnderTest) -> None:
    """Neutron makes the gateway's device anew then."""
    openstack(cloud, "router", "set", "--disable", "router")
    until("the port is shut", lambda: cloud.landing() == "")
    openstack(cloud, "router", "set", "--enable", "router")
    assert until("SSH at the published port", cloud.landing, seconds=120) == "web\n"
    (router,) = cloud.status["routers"]
    assert router["gateway_mac"] == cloud.provider["mac"]
    assert cloud.json("plan")["changes"] == []


def test_not_one_frame_left_with_another_mac_or_address(cloud: CloudUnderTest) -> None:
    """From the machine's first breath on, the router's restart included."""
    dropped = cloud.dropped("eth1")
    assert {code: dropped[code] for code in FOREIGN} == dict.fromkeys(FOREIGN, 0)
