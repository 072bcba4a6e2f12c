"""What a thin machine makes of the NICs that it finds."""

from __future__ import annotations

from dataclasses import replace

from vpc_states import GUIDE, MANAGEMENT_NIC, PROVIDER_NIC

from pileus.vpc.thin import guest_commands


def test_each_nic_gets_its_primary_address_and_answers_by_itself() -> None:
    enis = [GUIDE.enis[MANAGEMENT_NIC], GUIDE.enis[PROVIDER_NIC]]
    assert list(guest_commands(GUIDE, enis)) == [
        "link set eth0 up",
        "addr add 172.16.10.101/24 dev eth0",
        "route add default via 172.16.10.1 dev eth0",
        "link set eth1 up",
        "addr add 172.16.20.101/24 dev eth1",
        "route add 172.16.20.0/24 dev eth1 src 172.16.20.101 table 10001",
        "route add default via 172.16.20.1 dev eth1 table 10001",
        "rule add from 172.16.20.101 table 10001 priority 10001",
    ]


def test_secondary_addresses_are_the_guests_business() -> None:
    primary = GUIDE.enis[MANAGEMENT_NIC]
    more = replace(primary, addresses=(*primary.addresses, primary.addresses[0] + 1))
    assert list(guest_commands(GUIDE, [more])) == list(guest_commands(GUIDE, [primary]))
