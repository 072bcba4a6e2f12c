"""From pileus.yaml to the environment below: who may reach what, and what it costs."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from pileus.model.addresses import Socket
from pileus.model.publishing import Published
from pileus.model.tenant import ANYWHERE
from pileus.model.underlay import Permission, WantedUnderlay
from pileus.plan.addresses import floating_addresses
from pileus.plan.wanted import EVERYTHING, Caller, monthly_dollars, wanted_underlay
from pileus.spec import Spec, load, loads

CALLER = Caller(IPv4Address("203.0.113.7"), "ssh-ed25519 AAAA me")
MANAGEMENT, PROVIDER = IPv4Address("172.16.10.101"), IPv4Address("172.16.20.101")
WEB = IPv4Address("192.168.20.5")
SSH = Published("tcp", Socket(PROVIDER, 522), Socket(WEB, 22))
DNS = Published("udp", Socket(PROVIDER, 53), Socket(WEB, 53))


def wanted(spec: Spec, *published: Published) -> WantedUnderlay:
    return wanted_underlay(spec, CALLER, published, "image")


def test_without_a_file_it_is_the_guides_environment() -> None:
    guide = wanted(load(None), SSH)
    assert guide.cloud == "demo"
    assert guide.vpc == IPv4Network("172.16.0.0/16")
    assert [(nic.role, nic.subnet, nic.addresses) for nic in guide.nics] == [
        ("management", IPv4Network("172.16.10.0/24"), (MANAGEMENT,)),
        ("provider", IPv4Network("172.16.20.0/24"), (PROVIDER,)),
    ]
    assert guide.elastic_ips == {MANAGEMENT, PROVIDER}
    assert (guide.instance_type, guide.root_gib) == ("m5.xlarge", 20)


def test_only_the_caller_reaches_ssh_the_apis_and_the_dashboard() -> None:
    management, _ = wanted(load(None)).nics
    assert {permission.source for permission in management.ingress} == {
        IPv4Network("203.0.113.7/32")
    }
    ports = {permission.ports[0] for permission in management.ingress if permission.ports}
    assert ports == {22, 80, 5000, 8774, 8778, 9292, 9696}, "no consoles are there"


def test_allow_from_takes_the_callers_place() -> None:
    spec = loads(b"underlay:\n  allow_from: [198.51.100.0/24, 192.0.2.1/32]\n", name="pileus.yaml")
    management, _ = wanted(spec).nics
    assert {permission.source for permission in management.ingress} == {
        IPv4Network("198.51.100.0/24"),
        IPv4Network("192.0.2.1/32"),
    }


def test_published_ports_and_no_others_are_open_to_everyone_on_the_provider_nic() -> None:
    _, provider = wanted(load(None), SSH, DNS).nics
    assert {rule for rule in provider.ingress if rule.protocol != "icmp"} == {
        Permission("tcp", (522, 522), ANYWHERE),
        Permission("udp", (53, 53), ANYWHERE),
    }


def test_kvm_is_asked_for_unless_emulation_is_chosen() -> None:
    assert wanted(load(None)).nested_virtualization
    spec = loads(b"openstack:\n  hypervisor: qemu\n", name="pileus.yaml")
    assert not wanted(spec).nested_virtualization


def test_two_public_addresses_cost_seven_dollars_thirty_a_month() -> None:
    assert round(monthly_dollars(wanted(load(None))), 2) == 7.30


def test_floating_addresses_follow_the_routers_each_with_an_elastic_ip() -> None:
    more = [PROVIDER + 2, PROVIDER + 1]
    target = wanted_underlay(load(None), CALLER, (), "image", more)
    assert target.nics[1].addresses == (PROVIDER, PROVIDER + 1, PROVIDER + 2)
    assert target.elastic_ips == {MANAGEMENT, PROVIDER, *more}
    assert round(monthly_dollars(target), 2) == 14.60


def test_with_floating_addresses_openstacks_security_groups_are_the_filter() -> None:
    management, provider = wanted_underlay(load(None), CALLER, (SSH,), "image", [PROVIDER + 1]).nics
    assert provider.ingress == {
        Permission("tcp", (0, 65535), ANYWHERE),
        Permission("udp", (0, 65535), ANYWHERE),
        Permission("icmp", None, ANYWHERE),
    }
    assert management.ingress == wanted(load(None)).nics[0].ingress


SEVERAL = loads(
    b"""\
floating_ips: 1
underlay:
  more_providers:
  - {name: provider2, cidr: 172.16.30.0/24, floating_ips: 2}
  - {name: lab, cidr: 172.16.40.0/28}
""",
    name="pileus.yaml",
)


def test_each_provider_network_has_a_nic_with_its_own_addresses() -> None:
    made = wanted_underlay(SEVERAL, CALLER, (SSH,), "image", floating_addresses(SEVERAL))
    assert [(nic.role, str(nic.subnet), [*map(str, nic.addresses)]) for nic in made.nics[1:]] == [
        ("provider", "172.16.20.0/24", ["172.16.20.101", "172.16.20.102"]),
        ("provider2", "172.16.30.0/24", ["172.16.30.101", "172.16.30.102", "172.16.30.103"]),
        ("lab", "172.16.40.0/28", ["172.16.40.4"]),
    ]
    assert made.elastic_ips == {address for nic in made.nics for address in nic.addresses}


def test_a_provider_nic_without_floating_addresses_lets_nothing_in() -> None:
    """What is published is on the router's own network."""
    made = wanted_underlay(SEVERAL, CALLER, (SSH,), "image", floating_addresses(SEVERAL))
    ingress = {nic.role: nic.ingress for nic in made.nics}
    assert ingress["provider"] == ingress["provider2"] == EVERYTHING
    assert ingress["lab"] == frozenset()
