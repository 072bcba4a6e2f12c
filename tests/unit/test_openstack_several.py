"""Several provider networks: each gives out its own addresses, and goes when nobody is on it.

Against the OpenStack in memory, which has Neutron's guards.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from fake_openstack import CutOff, FakeOpenStack, Refusal

from pileus.api.tenant import wanted_openstack
from pileus.api.wanted import Wants
from pileus.model.addresses import Mac
from pileus.model.errors import Refused
from pileus.openstack import ensure, in_use, observe, plan
from pileus.plan.addresses import floating_addresses
from pileus.spec import loads

SPEC = loads(
    b"""\
floating_ips: 1
underlay:
  more_providers: [{name: provider2, cidr: 172.16.30.0/24, floating_ips: 1}]
servers: []
""",
    name="pileus.yaml",
)
BOTH = wanted_openstack(
    SPEC,
    Mac("02:00:00:00:20:01"),
    "ssh-ed25519 AAAA demo",
    Wants(floating=floating_addresses(SPEC)),
)
ALONE = replace(BOTH, more_providers=())
FIRST, SECOND = IPv4Address("172.16.30.101"), IPv4Address("172.16.30.102")


def brought_up() -> FakeOpenStack:
    cloud = FakeOpenStack()
    ensure(cloud, BOTH)
    return cloud


def external(cloud: FakeOpenStack, name: str = "provider2") -> str:
    return str(cloud.one("networks", name=name).id)


def float_on(cloud: FakeOpenStack, name: str) -> Any:
    """`openstack floating ip create NAME`, by someone of another project."""
    return cloud.network.create_ip(floating_network_id=external(cloud, name), project_id="p2")


def test_each_has_a_network_that_gives_out_exactly_its_own_addresses() -> None:
    cloud = brought_up()
    network = cloud.one("networks", name="provider2")
    assert (network.provider_physical_network, network.provider_network_type) == (
        "provider2",
        "flat",
    )
    assert cloud.one("subnets", name="provider2").gateway_ip == "172.16.30.1"
    assert not cloud.one("subnets", name="provider2").is_dhcp_enabled
    got = [float_on(cloud, "provider2").floating_ip_address for _ in range(2)]
    assert got == [str(FIRST), str(SECOND)]
    with pytest.raises(Refusal, match="no more IP addresses"):
        float_on(cloud, "provider2")
    assert float_on(cloud, "provider").floating_ip_address == "172.16.20.102"
    assert plan(BOTH, observe(cloud, BOTH)) == []


def test_a_users_router_takes_its_gateway_there_and_is_left_alone() -> None:
    cloud = brought_up()
    cloud.network.create_router(
        name="users", external_gateway_info={"network_id": external(cloud)}, project_id="p2"
    )
    observed = observe(cloud, BOTH)
    assert in_use(observed) == {
        IPv4Address("172.16.20.101"): "gateway of router router",
        FIRST: "gateway of router users of project second",
    }
    assert plan(BOTH, observed) == []


def test_it_is_made_in_a_cloud_that_runs_and_taken_away_again() -> None:
    cloud = FakeOpenStack()
    ensure(cloud, ALONE)
    assert [str(took.step) for took in ensure(cloud, BOTH).took] == [
        "create network provider2 on physical network provider2",
        "create subnet 172.16.30.0/24 of provider2, pool 172.16.30.101-172.16.30.102",
    ]
    result = ensure(cloud, ALONE)
    assert [str(took.step) for took in result.took] == ["delete network provider2"]
    assert plan(ALONE, result.observed) == []
    assert not cloud.select("subnets", name="provider2")


def test_one_that_somebody_is_on_is_not_taken_away() -> None:
    cloud = brought_up()
    float_on(cloud, "provider2")
    before = len(cloud.writes)
    with pytest.raises(Refused, match=r"given back.*172\.16\.30\.101.*project second") as refused:
        ensure(cloud, ALONE)
    assert "openstack floating ip delete 172.16.30.101" in refused.value.hint
    assert len(cloud.writes) == before


def test_its_addresses_in_use_stay_registered() -> None:
    cloud = brought_up()
    for _ in range(2):
        float_on(cloud, "provider2")
    (provider,) = BOTH.more_providers
    fewer = replace(BOTH, more_providers=(replace(provider, pools=((FIRST, FIRST),)),))
    with pytest.raises(Refused, match=r"172\.16\.30\.102"):
        ensure(cloud, fewer)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_cut_off_anywhere_it_comes_out_right_when_repeated(moment: str) -> None:
    for number in range(len(brought_up().writes)):
        cloud = FakeOpenStack()
        setattr(cloud, f"cut_{moment}", number)
        with pytest.raises(CutOff):
            ensure(cloud, BOTH)
        cloud.cut_before = cloud.cut_after = None
        assert plan(BOTH, ensure(cloud, BOTH).observed) == []
        assert len(cloud.select("networks", name="provider2")) == 1
