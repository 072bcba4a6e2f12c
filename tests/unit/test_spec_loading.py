"""pileus.yaml: the default cloud, every problem at once, and text that nobody can trust."""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.model.errors import InvalidSpec, Problem, UserError
from pileus.model.publishing import Publication
from pileus.spec import Spec, load, loads, warnings


def more(entry: str) -> str:
    """A file with a provider network more, on its second line."""
    return f"underlay:\n  more_providers: [{entry}]"


CLONE = "uplink: mac-clone\n"
AT = "172.16.20.103"


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidSpec) as raised:
        loads(text.encode(), name="pileus.yaml")
    assert raised.value.exit_code == 1
    return raised.value.problems


def only(text: str) -> str:
    (problem,) = problems(text)
    return str(problem)


def read(text: str) -> Spec:
    return loads(text.encode(), name="pileus.yaml")


def test_without_a_file_the_cloud_is_the_guides() -> None:
    spec = load(None)
    below = spec.underlay
    assert (spec.cloud, below.kind, below.endpoint, below.region) == (
        "demo",
        "aws",
        "simulated",
        "us-east-1",
    )
    assert below.vpc == IPv4Network("172.16.0.0/16")
    assert (below.management, str(below.management_address)) == (
        IPv4Network("172.16.10.0/24"),
        "172.16.10.101",
    )
    assert (below.provider, str(below.registered_address)) == (
        IPv4Network("172.16.20.0/24"),
        "172.16.20.101",
    )
    assert [str(end) for end in below.allocation_pool] == ["172.16.20.100", "172.16.20.250"]
    assert (below.instance_type, below.root_disk_gib) == ("m5.xlarge", 20)
    assert (spec.uplink, spec.floating_ips) == ("mac-nat", 0)
    assert [(n.name, str(n.cidr)) for n in spec.networks] == [("private", "192.168.20.0/24")]
    (web,) = spec.servers
    assert (web.name, web.network, str(web.fixed_ip)) == ("web", "private", "192.168.20.5")
    assert web.publish == (Publication(522, 22),)


def test_an_empty_file_is_the_default_cloud_too(tmp_path: Path) -> None:
    file = tmp_path / "pileus.yaml"
    file.write_text("# nothing yet\n")
    assert load(file) == load(None)


def test_ports_and_releases_need_no_quotes() -> None:
    """To YAML 1.1 the first is the number 31342 and the second a float."""
    spec = read("openstack: {release: 2025.1}\nservers: [{name: web, publish: [522:22]}]")
    assert spec.openstack.release == "2025.1"
    assert spec.servers[0].publish == (Publication(522, 22),)


def test_addresses_follow_the_subnets_that_are_chosen() -> None:
    spec = read("underlay: {vpc: 10.0.0.0/16, management: 10.0.1.0/24, provider: 10.0.2.0/27}")
    assert str(spec.underlay.management_address) == "10.0.1.101"
    assert str(spec.underlay.registered_address) == "10.0.2.4"
    assert [str(end) for end in spec.underlay.allocation_pool] == ["10.0.2.4", "10.0.2.30"]


def test_servers_without_an_address_get_the_first_free_ones() -> None:
    spec = read("servers: [{name: a}, {name: b, fixed_ip: 192.168.20.5}, {name: c}]")
    assert [str(s.fixed_ip) for s in spec.servers] == [
        "192.168.20.6",
        "192.168.20.5",
        "192.168.20.7",
    ]


def test_all_problems_come_at_once_each_with_its_line_and_a_hint() -> None:
    text = """\
cloud: Demo_1
uplink: mac-clone
underlay:
  colour: blue
  management_address: 172.16.10.3
  registered_address: 172.16.20.99
networks:
  - {name: private, cidr: 172.16.30.0/24}
servers:
  - {name: "my web", network: private, publish: [522:22]}
  - {name: db, network: private, publish: [522:5432]}
"""
    found = problems(text)
    assert [problem.where for problem in found] == [
        f"pileus.yaml:{line}" for line in (1, 4, 5, 6, 8, 10, 11)
    ]
    for problem, words in zip(
        found,
        (
            "cannot be a name",
            "unknown key `colour`",
            "AWS keeps",
            "outside the allocation pool",
            "overlaps the VPC",
            "cannot be a name",
            "published twice",
        ),
        strict=True,
    ):
        assert words in problem.what
        assert problem.hint


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ("a: 1", 1, "unknown key `a`", "known keys: cloud, underlay"),
        ("clod: demo", 1, "unknown key `clod`", "did you mean `cloud`?"),
        ("underlay:\n  provder: 10.0.0.0/24", 2, "unknown key `provder`", "`provider`"),
        ("cloud: a\ncloud: b", 2, "given twice; the first is on line 1", "keep one"),
        ("cloud:", 1, "cloud is empty", "remove the key"),
        ("cloud: [a]", 1, "a list stands where text belongs", "pileus.yaml.md"),
        ("servers: web", 1, "`web` stands where a list belongs", "pileus.yaml.md"),
        ("underlay: here", 1, "`here` stands where a mapping belongs", "pileus.yaml.md"),
        ("networks: [{name: a}]\nservers: []", 1, "`cidr` is missing", "add `cidr"),
        ("floating_ips: some", 1, "not a whole number", "20"),
        ("floating_ips: -1", 1, "too small", "0"),
        (f"{CLONE}floating_ips: 2", 2, "floating IPs cannot work with", "publish ports instead"),
        (f"{CLONE}floating_ips: 2", 2, "with `uplink: mac-clone`", "set `uplink: mac-nat`, or"),
        ("floating_ips: 251", 1, "do not fit into the provider subnet", "at most 250"),
        ("underlay: {provider: 172.16.20.0/28}\nfloating_ips: 11", 2, "room for 10", "larger"),
        ("uplink: mac", 1, "`mac` is not known", "'mac-nat' or 'mac-clone'"),
        ("underlay: {kind: openstack}", 1, "not built yet", "kind: aws"),
        ("underlay: {endpoint: aws}", 1, "not built yet", "simulated"),
        ("openstack: {network_driver: ovn}", 1, "not built yet", "ovs"),
        ("openstack: {release: mitaka}", 1, "OpenStack mitaka is not supported", "2025.1"),
        ("underlay: {region: moon}", 1, "cannot be a region", "us-east-1"),
        ("underlay: {instance_type: big}", 1, "cannot be an instance type", "m5.xlarge"),
        ("underlay: {root_disk_gib: 19}", 1, "too small for OpenStack", "20"),
        ("underlay: {vpc: 10.0.0.0/33}", 1, "not an IPv4 network", "192.168.20.0/24"),
        ("underlay: {vpc: '::/0'}", 1, "not an IPv4 network", "192.168.20.0/24"),
        ("underlay: {provider: 172.16.20.9/24}", 1, "bits set behind", "172.16.20.0/24"),
        ("underlay: {provider: 172.17.20.0/24}", 1, "outside the VPC", "a VPC that holds it"),
        ("underlay: {provider: 172.16.10.0/24}", 1, "overlaps the management subnet", "common"),
        ("underlay: {provider: 172.16.20.0/29}", 1, "a size that AWS does not allow", "/28"),
        ("underlay: {vpc: 172.0.0.0/8}", 1, "a size that AWS does not allow", "/16"),
        ("underlay: {management_address: 172.16.20.9}", 1, "outside its subnet", "172.16.10.0/24"),
        ("underlay: {management_address: 172.16.10.1}", 1, "AWS keeps", "172.16.10.4 to"),
        ("underlay: {management_address: 172.16.10.255}", 1, "AWS keeps", "172.16.10.4 to"),
        ("underlay: {registered_address: here}", 1, "not an IPv4 address", "172.16.20.101"),
        (
            f"{CLONE}underlay: {{registered_address: 172.16.20.99}}",
            2,
            "outside the allocation pool",
            "covers",
        ),
        ("underlay: {allocation_pool: 172.16.20.100}", 1, "not a range", "172.16.20.250"),
        ("underlay: {allocation_pool: 172.16.20.9-172.16.20.8}", 1, "ends before", "lower"),
        (f"{CLONE}underlay: {{allocation_pool: 172.16.20.2-172.16.20.250}}", 2, "AWS keeps", ".4"),
        (
            "underlay:\n  allocation_pool: 172.16.20.100-172.16.20.250",
            2,
            "`allocation_pool` is for `uplink: mac-clone`",
            "set `floating_ips` to how many",
        ),
        (more("{name: two}"), 2, "`cidr` is missing", "cidr"),
        (more("{name: two, cidr: 172.16.30.0/24, nics: 1}"), 2, "unknown key `nics`", "floating"),
        (more("{name: two, cidr: 172.17.30.0/24}"), 2, "the two subnet 172.17.30.0/24 lies", "VPC"),
        (more("{name: two, cidr: 172.16.20.0/25}"), 2, "overlaps the provider subnet", "common"),
        (more("{name: two, cidr: 172.16.30.0/29}"), 2, "a size that AWS does not allow", "/28"),
        (
            more("{name: two, cidr: 172.16.30.0/28, floating_ips: 11}"),
            2,
            "room for 10 beside the NIC's",
            "at most 10",
        ),
        (more("{name: Two, cidr: 172.16.30.0/24}"), 2, "cannot be a name", "letter"),
        (more("{name: provider, cidr: 172.16.30.0/24}"), 2, "called `provider` already", "own"),
        (more("{name: private, cidr: 172.16.30.0/24}"), 2, "called `private` already", "own"),
        (
            more("{name: two, cidr: 172.16.30.0/24}") + "\nuplink: mac-clone",
            2,
            "`more_providers` cannot work with `uplink: mac-clone`",
            "set `uplink: mac-nat`",
        ),
        ("networks: [{name: private, cidr: 10.0.0.0/30}]\nservers: []", 1, "too small", "/29"),
        ("networks: [{name: private, cidr: 224.0.0.0/24}]", 1, "hosts cannot use", "private"),
        ("networks: [{name: private, cidr: 169.254.1.0/24}]", 1, "hosts cannot use", "private"),
        ("servers: [{name: controller}]", 1, "cannot be called `controller`", "another"),
        ("servers: [{name: a}, {name: a}]", 1, "two servers called `a`", "own name"),
        ("servers: [{name: -a}]", 1, "cannot be a name", "letter"),
        (f"servers: [{{name: {'a' * 33}}}]", 1, "cannot be a name", "32"),
        ("servers: [{name: a, network: lan}]", 1, "network `lan`, which does not", "private"),
        ("networks: []", 1, "no network for server `web`", "none"),
        ("servers: [{name: a, fixed_ip: 10.0.0.1}]", 1, "outside network `private`", "leave"),
        ("servers: [{name: a, fixed_ip: 192.168.20.1}]", 1, "the network's own", "leave"),
        ("servers: [{name: a, fixed_ip: 192.168.20.255}]", 1, "the network's own", "leave"),
        ("servers: [{name: a, publish: ['22']}]", 1, "not PORT:SERVER_PORT", "522:22"),
        ("servers: [{name: a, publish: ['0:22']}]", 1, "0 is not a port", "522:22"),
        ("servers: [{name: a, publish: ['22:65536']}]", 1, "65536 is not a port", "522:22"),
        ("servers: [{name: a, publish: ['1:1', '1:2']}]", 1, "published twice", "another port"),
        (
            f"servers: [{{name: a, publish: [{AT}:1:1, {AT}:1:2]}}]",
            1,
            f"of {AT} is publ",
            "another",
        ),
        (f"{CLONE}servers: [{{name: a, publish: [{AT}:1:1]}}]", 2, "cannot be publ", "leave"),
        ("servers: [{name: a, publish: ['172.16.20.101:1:1']}]", 1, "the router's own", "leave"),
        ("servers: [{name: a, publish: ['172.16.10.9:1:1']}]", 1, "outside its subnet", "20.0/24"),
        ("servers: [{name: a, publish: ['172.16.20.3:1:1']}]", 1, "AWS keeps", "172.16.20.4 to"),
        ("servers: [{name: a, publish: ['172.16.20:1:1']}]", 1, "4 octets", "522:22"),
        ("underlay: {allow_from: [1.2.3.4/8]}", 1, "bits set behind", "1.2.3.4/32"),
    ],
)
def test_each_kind_of_problem(text: str, line: int, what: str, hint: str) -> None:
    (problem,) = problems(text)
    assert problem.where == f"pileus.yaml:{line}"
    assert what in problem.what
    assert hint in problem.hint


def test_two_servers_cannot_have_one_address() -> None:
    told = only(
        "servers:\n- {name: a, fixed_ip: 192.168.20.9}\n- {name: b, fixed_ip: 192.168.20.9}"
    )
    assert "pileus.yaml:3" in told
    assert "`a` and `b` both have 192.168.20.9" in told


def test_a_port_is_published_once_for_each_address() -> None:
    spec = read(f"servers: [{{name: a, publish: [522:22, {AT}:522:22, 172.16.20.104:522:22]}}]")
    assert [str(port.address) for port in spec.servers[0].publish] == ["None", AT, "172.16.20.104"]


def test_what_a_mode_forbids_is_not_said_while_the_mode_is_not_known() -> None:
    """Whoever misspells mac-clone is not told what mac-nat has to say of the rest."""
    rest = "floating_ips: 999\nunderlay: {allocation_pool: 172.16.20.100-172.16.20.250}"
    assert "`mac` is not known" in only(f"uplink: mac\n{rest}")
    assert "did you mean `uplink`" in only(f"uplnk: mac-clone\n{rest}")


def test_an_address_to_publish_on_is_one_of_the_provider_subnet() -> None:
    told = only("uplink: mac-nat\nservers: [{name: a, publish: ['10.0.0.1:1:1']}]")
    assert "outside its subnet" in told


def test_a_network_can_run_out_of_addresses() -> None:
    servers = ", ".join(f"{{name: s{number}}}" for number in range(3))
    told = only(f"networks: [{{name: lan, cidr: 10.0.0.0/29}}]\nservers: [{servers}]")
    assert "has no free address for `s2`" in told


def test_the_same_port_may_be_published_once_for_each_protocol() -> None:
    spec = read("servers: [{name: dns, publish: ['53:53', '53:53/udp']}]")
    assert [str(port) for port in spec.servers[0].publish] == ["53:53", "53:53/udp"]


def test_what_follows_from_a_broken_value_is_not_reported() -> None:
    """The provider subnet cannot be read, so nothing is said of the address in it."""
    told = only("underlay: {provider: 10.0.0/24, registered_address: 10.0.0.9}")
    assert "not an IPv4 network" in told


def test_what_a_misspelt_key_was_to_say_is_not_guessed() -> None:
    told = only("underlay: {provder: 172.16.30.0/24, registered_address: 172.16.30.101}")
    assert "did you mean `provider`" in told


def test_a_broken_entry_does_not_hide_problems_in_others() -> None:
    found = problems("servers:\n- {publish: [80:80]}\n- {name: b, network: lan}\n- {name: B}")
    assert [problem.where for problem in found] == [f"pileus.yaml:{n}" for n in (2, 3, 4)]


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"a: &x [1]\nb: [*x, *x]", "aliases"),
        (b"cloud: !!python/object/apply:os.system [true]", "tags"),
        (b"cloud: !!binary aGk=", "tags"),
        (b"cloud: a\n---\ncloud: b", "a second document"),
        (b"- a", "not a mapping"),
        (b"cloud", "not a mapping"),
        (b"? [a]\n: b", "a key is not plain text"),
        (b"cloud: [", "expected"),
        (b"cloud: a: b", "not allowed here"),
        (b"cloud: \xff", "not UTF-8"),
        (b"cloud: \x07", "not YAML"),
        (b"a: " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b"#" * (64 * 1024 + 1), "larger than 64 KiB"),
    ],
)
def test_text_that_is_no_configuration_is_refused(raw: bytes, what: str) -> None:
    with pytest.raises(InvalidSpec) as raised:
        loads(raw, name="pileus.yaml")
    (problem,) = raised.value.problems
    assert what in problem.what
    assert problem.hint


def test_a_file_that_cannot_be_read_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_letting_everyone_in_is_allowed_but_said() -> None:
    spec = read("underlay: {allow_from: [0.0.0.0/0]}")
    (sentence,) = warnings(spec)
    assert "0.0.0.0/0" in sentence
    assert warnings(read("underlay: {allow_from: [203.0.113.7]}")) == ()


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(None).underlay.management_address = IPv4Address("10.0.0.1")


keys = st.sampled_from(
    ["cloud", "underlay", "servers", "networks", "name", "cidr", "publish", "provider", "x"]
)
scalars = st.sampled_from(["", "a", "B c", "1", "522:22", "10.0.0.0/24", "172.16.20.9", "null"])
documents = st.dictionaries(
    keys,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)


def flow(value: object) -> str:
    """A value in YAML's one-line form."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return f"'{value}'"


@given(documents)
def test_whatever_is_written_ends_in_a_spec_or_in_problems(document: dict[str, object]) -> None:
    try:
        spec = loads(flow(document).encode(), name="x")
    except InvalidSpec:
        return
    assert loads(flow(document).encode(), name="x") == spec


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_end_in_a_spec_or_in_problems(raw: bytes) -> None:
    with contextlib.suppress(InvalidSpec):
        loads(raw, name="x")
