"""Which range simulated Elastic IPs get, so that nothing of the host's is taken from it."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.model.errors import Refused
from pileus.vpc.internet import POOLS, HostLink, choose_pool, networks_in


def networks(*texts: str) -> list[IPv4Network]:
    return [IPv4Network(text) for text in texts]


def test_the_first_free_range_is_taken() -> None:
    assert choose_pool([]) == POOLS[0]
    assert choose_pool(networks("10.0.0.0/8", "198.51.101.0/24")) == POOLS[0]


@pytest.mark.parametrize("taken", ["198.51.100.0/24", "198.51.100.77/32", "198.51.0.0/16"])
def test_a_range_in_use_is_left_alone_whether_in_part_or_as_a_part(taken: str) -> None:
    assert choose_pool(networks(taken)) == POOLS[1]


def test_when_all_are_in_use_the_user_hears_which() -> None:
    with pytest.raises(Refused, match="in use on this host") as refused:
        choose_pool(POOLS)
    assert all(str(pool) in refused.value.hint for pool in POOLS[:4])


ANY = st.builds(
    lambda number, length: IPv4Network((number, length), strict=False),
    st.integers(0, 2**32 - 1) | st.sampled_from([int(pool[0]) for pool in POOLS]),
    st.integers(2, 32),
)


@given(st.lists(ANY, max_size=4))
def test_what_is_chosen_never_overlaps(taken: list[IPv4Network]) -> None:
    try:
        pool = choose_pool(taken)
    except Refused:
        assert all(any(pool.overlaps(network) for network in taken) for pool in POOLS)
    else:
        assert not any(pool.overlaps(network) for network in taken)


def test_routes_of_the_host_are_networks_in_use() -> None:
    listing = [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"},
        {"dst": "172.17.0.0/16", "dev": "docker0"},
        {"type": "local", "dst": "198.51.100.9", "dev": "eth1"},
        {"type": "broadcast", "dst": "172.17.255.255", "dev": "docker0"},
        {"type": "unreachable", "dst": "198.19.255.0/24"},
    ]
    found = networks("172.17.0.0/16", "198.51.100.9/32", "172.17.255.255/32", "198.19.255.0/24")
    assert networks_in(listing) == found
    assert choose_pool(networks_in(listing)) == POOLS[2]


def test_the_two_halves_that_a_vpn_makes_of_its_default_route_take_no_range() -> None:
    assert networks_in([{"dst": "0.0.0.0/1"}, {"dst": "128.0.0.0/1"}]) == []


@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_the_ends_of_the_hosts_link_are_no_elastic_ips(pool: IPv4Network) -> None:
    link = HostLink("pileus-00000000", pool)
    assert link.elastic_ips.subnet_of(pool)
    for end in (link.host_end, link.internet_end):
        assert end in pool
        assert end not in link.elastic_ips
    assert link.host_end != link.internet_end
