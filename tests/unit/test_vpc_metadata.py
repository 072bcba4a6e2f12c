"""Instance metadata as a pure function: who may read what, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from pileus.model.addresses import Mac
from pileus.vpc.metadata import (
    CANARY,
    TOKEN_HEADER,
    TOKEN_PATH,
    TTL_HEADER,
    Request,
    Response,
    answer,
    asker,
    kind,
)
from pileus.vpc.state import (
    ElasticIp,
    Eni,
    Instance,
    RegionState,
    SecurityGroup,
    Subnet,
    Vpc,
)

KEY = b"k" * 32
NOW = 1_800_000_000.0
VPC = "vpc-1"
ME = IPv4Address("172.16.10.101")
MY_MACS = (Mac("02:00:00:00:00:01"), Mac("02:00:00:00:00:02"))


def nic(index: int, subnet: str, *addresses: str) -> Eni:
    return Eni(
        id=f"eni-{index}",
        mac=MY_MACS[index],
        vpc=VPC,
        subnet=subnet,
        addresses=tuple(IPv4Address(address) for address in addresses),
        groups=("sg-1",),
        source_dest_check=True,
        instance="i-1",
        device_index=index,
    )


INSTANCE = Instance(
    id="i-1",
    type="m5.xlarge",
    image="debian-13",
    state="running",
    hostname="ip-172-16-10-101",
    public_key="ssh-ed25519 AAAA me",
    key_name="mine",
    user_data=b"#cloud-config\n\xff",
    image_id="ami-1",
)
STATE = RegionState(
    vpcs={VPC: Vpc(VPC, IPv4Network("172.16.0.0/16"), has_internet_gateway=True)},
    subnets={
        "subnet-m": Subnet("subnet-m", VPC, IPv4Network("172.16.10.0/24"), "us-east-1a"),
        "subnet-p": Subnet("subnet-p", VPC, IPv4Network("172.16.20.0/24"), "us-east-1a"),
    },
    groups={"sg-1": SecurityGroup("sg-1", VPC, "web", (), ())},
    enis={
        "eni-0": nic(0, "subnet-m", "172.16.10.101"),
        "eni-1": nic(1, "subnet-p", "172.16.20.101", "172.16.20.102"),
    },
    elastic_ips={
        "e0": ElasticIp("e0", IPv4Address("198.51.100.1"), "eni-0", ME, "a0"),
        "e1": ElasticIp(
            "e1", IPv4Address("198.51.100.2"), "eni-1", IPv4Address("172.16.20.102"), "a1"
        ),
    },
    instances={"i-1": INSTANCE},
)


def ask(
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    state: RegionState = STATE,
    source: IPv4Address = ME,
    now: float = NOW,
) -> Response:
    return answer(KEY, asker(state, VPC, source), Request(method, path, headers or {}), now)


def changed(**changes: object) -> RegionState:
    return replace(STATE, instances={"i-1": replace(INSTANCE, **changes)})  # type: ignore[arg-type]


def token(*, seconds: int = 60, state: RegionState = STATE) -> dict[str, str]:
    made = ask("PUT", TOKEN_PATH, {TTL_HEADER: str(seconds)}, state=state)
    assert made.status == 200
    return {TOKEN_HEADER: made.body.decode()}


def read(path: str, *, state: RegionState = STATE) -> str:
    found = ask("GET", path, token(state=state), state=state)
    assert found.status == 200, path
    return found.body.decode()


def test_a_token_opens_the_metadata_until_it_expires() -> None:
    mine = token(seconds=60)

    assert ask("GET", "/latest/meta-data/instance-id", mine).body == b"i-1"
    assert ask("GET", "/latest/meta-data/instance-id", mine, now=NOW + 59).status == 200
    assert ask("GET", "/latest/meta-data/instance-id", mine, now=NOW + 60).status == 401


def test_the_token_answer_says_its_ttl_and_goes_no_further_than_the_hop_limit() -> None:
    made = ask("PUT", TOKEN_PATH, {TTL_HEADER: "21600"}, state=changed(metadata_hop_limit=1))

    assert made.headers[TTL_HEADER] == "21600"
    assert made.ttl == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({TTL_HEADER: "0"}, 400),
        ({TTL_HEADER: "21601"}, 400),
        ({TTL_HEADER: "-1"}, 400),
        ({TTL_HEADER: "9" * 5000}, 400),
        ({TTL_HEADER: "0" * 8 + "1" * 20}, 400),
        ({TTL_HEADER: "0" * 8 + "1" * 5000}, 400),
        ({TTL_HEADER: "sixty"}, 400),
        ({TTL_HEADER: "60", "x-forwarded-for": "192.0.2.1"}, 403),
    ],
)
def test_no_token_without_a_right_ttl_or_through_a_proxy(
    headers: dict[str, str], status: int
) -> None:
    assert ask("PUT", TOKEN_PATH, headers).status == status


@pytest.mark.parametrize("path", ["/latest/api/token/", "/2021-03-23/api/token", "/api/token", "/"])
def test_tokens_are_made_at_exactly_one_path(path: str) -> None:
    assert ask("PUT", path, {TTL_HEADER: "60"}).status == 404


def test_without_a_token_nothing_is_read() -> None:
    for path in ("/", "/latest/", "/latest/meta-data/", "/latest/user-data"):
        assert ask("GET", path).status == 401


@pytest.mark.parametrize("forged", ["", "x", "AAAA" * 16, "\u00e9"])
def test_a_forged_token_is_refused_even_where_tokens_are_optional(forged: str) -> None:
    state = changed(metadata_tokens_required=False)

    assert ask("GET", "/latest/meta-data/", {TOKEN_HEADER: forged}, state=state).status == 401


def test_another_instances_token_is_refused() -> None:
    other = replace(
        STATE,
        enis={**STATE.enis, "eni-9": replace(nic(0, "subnet-m", "172.16.10.9"), instance="i-9")},
        instances={**STATE.instances, "i-9": replace(INSTANCE, id="i-9")},
    )
    theirs = ask(
        "PUT", TOKEN_PATH, {TTL_HEADER: "60"}, state=other, source=IPv4Address("172.16.10.9")
    )

    mine = {TOKEN_HEADER: theirs.body.decode()}
    assert ask("GET", "/latest/meta-data/", mine, state=other).status == 401


def test_version_one_works_only_where_tokens_are_optional() -> None:
    optional = changed(metadata_tokens_required=False)

    assert ask("GET", "/latest/meta-data/instance-id", state=optional).body == b"i-1"
    assert ask("GET", "/latest/meta-data/instance-id").status == 401


def test_a_disabled_endpoint_answers_nothing() -> None:
    off = changed(metadata_enabled=False)

    assert ask("PUT", TOKEN_PATH, {TTL_HEADER: "60"}, state=off).status == 403
    assert ask("GET", "/latest/meta-data/", state=off).status == 403


def test_a_stranger_learns_nothing() -> None:
    assert (
        ask("PUT", TOKEN_PATH, {TTL_HEADER: "60"}, source=IPv4Address("172.16.10.7")).status == 404
    )
    assert asker(STATE, "vpc-2", ME) is None


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("PUT", TOKEN_PATH, "token"),
        ("GET", "/latest/meta-data/mac", "meta-data"),
        ("GET", "/2021-03-23//meta-data", "meta-data"),
        ("GET", "/latest/meta-data/iam/security-credentials/", "credentials"),
        ("GET", "/latest/meta-data/iam/security-credentials/node?x=1", "credentials"),
        ("GET", "/latest/user-data", "user-data"),
        ("GET", "/latest/dynamic/instance-identity/document", "dynamic"),
        ("GET", "/", "other"),
        ("GET", "/latest", "other"),
        ("GET", "/latest/api/token", "other"),
    ],
)
def test_requests_are_told_apart_by_what_they_are_after(
    method: str, path: str, expected: str
) -> None:
    assert kind(Request(method, path, {})) == expected


def test_who_asks_is_known_with_the_nic() -> None:
    found = asker(STATE, VPC, IPv4Address("172.16.20.102"))
    assert found
    assert (found.instance.id, found.nic) == ("i-1", "eni-1")


def test_other_methods_are_not_allowed() -> None:
    assert ask("POST", "/latest/meta-data/", token()).status == 405
    assert ask("DELETE", TOKEN_PATH, token()).status == 405


def test_the_registered_identity_of_each_nic() -> None:
    assert read("/latest/meta-data/network/interfaces/macs/").split() == [
        f"{mac}/" for mac in MY_MACS
    ]
    provider = f"/latest/meta-data/network/interfaces/macs/{MY_MACS[1]}/"
    assert read(provider + "local-ipv4s") == "172.16.20.101\n172.16.20.102"
    assert read(provider + "ipv4-associations/") == "198.51.100.2"
    assert read(provider + "ipv4-associations/198.51.100.2") == "172.16.20.102"
    assert read(provider + "public-ipv4s") == "198.51.100.2"
    assert read(provider + "device-number") == "1"
    assert read(provider + "interface-id") == "eni-1"
    assert read(provider + "subnet-id") == "subnet-p"
    assert read(provider + "vpc-id") == VPC
    assert read(provider + "subnet-ipv4-cidr-block") == "172.16.20.0/24"
    assert read(provider + "vpc-ipv4-cidr-blocks") == "172.16.0.0/16"
    assert read(provider + "security-group-ids") == "sg-1"
    assert read(provider + "owner-id") == STATE.account
    assert ask("GET", provider + "ipv4-prefix", token()).status == 404
    prefixes = (IPv4Network("172.16.20.64/28"), IPv4Network("172.16.20.32/28"))
    delegated = replace(STATE.enis["eni-1"], prefixes=prefixes)
    state = replace(STATE, enis={**STATE.enis, "eni-1": delegated})
    assert read(provider + "ipv4-prefix", state=state) == "172.16.20.64/28\n172.16.20.32/28"


def test_the_instance_itself() -> None:
    top = "/latest/meta-data/"
    assert read(top + "mac") == str(MY_MACS[0])
    assert read(top + "local-ipv4") == str(ME)
    assert read(top + "public-ipv4") == "198.51.100.1"
    assert read(top + "placement/availability-zone") == "us-east-1a"
    assert read(top + "placement/region") == "us-east-1"
    assert read(top + "hostname") == "ip-172-16-10-101.ec2.internal"
    assert read(top + "security-groups") == "web"
    assert read(top + "public-keys/") == "0=mine"
    assert read(top + "public-keys/0/") == "openssh-key"
    assert read(top + "public-keys/0/openssh-key") == "ssh-ed25519 AAAA me"
    assert json.loads(read("/latest/dynamic/instance-identity/document"))["instanceId"] == "i-1"


def test_user_data_comes_byte_for_byte_or_not_at_all() -> None:
    found = ask("GET", "/latest/user-data", token())
    assert (found.body, found.content_type) == (b"#cloud-config\n\xff", "application/octet-stream")

    without = changed(user_data=None)
    assert ask("GET", "/latest/user-data", token(state=without), state=without).status == 404


def test_every_listed_name_can_be_read_as_cloud_init_does() -> None:
    """It walks the listings: names with a slash are directories, `0=name` is a key."""
    pending, leaves = ["/2021-03-23/meta-data/", "/2021-03-23/dynamic/"], 0
    while pending:
        directory = pending.pop()
        for name in read(directory).splitlines():
            if name.endswith("/"):
                pending.append(directory + name)
            elif "=" in name:
                pending.append(f"{directory}{name.partition('=')[0]}/")
            else:
                assert read(directory + name)
                leaves += 1
    assert leaves > 40


def test_versions_are_listed_and_unknown_ones_are_not_there() -> None:
    assert {"2009-04-04", "2021-03-23", "latest"} <= set(read("/").split())
    assert ask("GET", "/2099-01-01/meta-data/", token()).status == 404


def test_role_credentials_are_there_only_with_a_profile_and_are_canaries() -> None:
    assert ask("GET", "/latest/meta-data/iam/", token()).status == 404

    attached = changed(profile="node")
    role = "/latest/meta-data/iam/security-credentials/"
    assert read(role, state=attached) == "node"
    assert json.loads(read(role + "node", state=attached))["AccessKeyId"].startswith(CANARY)
