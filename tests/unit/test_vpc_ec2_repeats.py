"""Calls that fail, and calls that are repeated: what is done once is done once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vpc_ec2 import Region, client, refused

from pileus.vpc.ec2.errors import AwsError
from pileus.vpc.ec2.tokens import REMEMBERED, Tokens
from pileus.vpc.faults import Faults, strikes


@pytest.fixture
def region() -> Region:
    return Region()


def interfaces(region: Region) -> int:
    return len(region.state.enis)


def test_a_token_makes_one_interface_and_answers_it_again(region: Region) -> None:
    first = region.eni(ClientToken="one", PrivateIpAddress="172.16.10.50")
    assert region.eni(ClientToken="one", PrivateIpAddress="172.16.10.50") == first
    assert interfaces(region) == 1
    with refused("IdempotentParameterMismatch", region):
        region.eni(ClientToken="one", PrivateIpAddress="172.16.10.51")
    assert region.eni(ClientToken="two") != first


def test_a_token_is_of_its_action(region: Region) -> None:
    region.eni(ClientToken="one")
    region.ec2.create_route_table(VpcId=region.vpc, ClientToken="one")
    tables = len(region.state.route_tables)
    region.ec2.create_route_table(VpcId=region.vpc, ClientToken="one")
    assert len(region.state.route_tables) == tables


def test_a_refused_call_may_be_tried_again_with_its_token(region: Region) -> None:
    taken = region.eni(PrivateIpAddress="172.16.10.50")
    wanted = {"ClientToken": "one", "PrivateIpAddress": "172.16.10.50"}
    with refused("InvalidIPAddress.InUse", region):
        region.eni(**wanted)
    region.ec2.delete_network_interface(NetworkInterfaceId=taken)
    region.eni(**wanted)


def test_only_the_latest_tokens_are_kept() -> None:
    tokens, made = Tokens(), []

    def call(token: str) -> int:
        def act() -> int:
            made.append(token)
            return len(made)

        return tokens.once("Make", {"ClientToken": token}, act)

    assert call("first") == call("first") == 1
    for number in range(REMEMBERED):
        call(str(number))
    assert call("first") == REMEMBERED + 2
    with pytest.raises(AwsError):
        tokens.once("Make", {"ClientToken": "first", "Size": 1}, lambda: 0)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (Faults(api_throttle=0.5), "RequestLimitExceeded"),
        (Faults(api_unavailable=0.5), "Unavailable"),
    ],
)
def test_a_share_of_the_calls_is_refused_and_does_nothing(
    region: Region, wrong: Faults, code: str
) -> None:
    region.wrong = wrong
    answers = [answer(region, f"k{number}") for number in range(6)]
    region.wrong = Faults()
    assert sorted(answers) == [("", 200)] * 3 + [(code, 503)] * 3
    assert len(region.ec2.describe_key_pairs()["KeyPairs"]) == 3


def answer(region: Region, key: str) -> tuple[str, int]:
    """Code and HTTP status of an attempt to make a key pair."""
    try:
        made = region.ec2.create_key_pair(KeyName=key)
    except region.ec2.exceptions.ClientError as error:
        made = error.response
    status = made["ResponseMetadata"]["HTTPStatusCode"]
    return made.get("Error", {}).get("Code", ""), status


def test_other_services_are_as_bad(region: Region) -> None:
    quotas: Any = client(region.server, "service-quotas")
    region.wrong = Faults(api_throttle=1)
    with refused("RequestLimitExceeded", status=503):
        quotas.list_service_quotas(ServiceCode="ec2")


@given(st.integers(0, 500), st.floats(0, 1))
def test_faults_strike_their_share(calls: int, share: float) -> None:
    assert sum(strikes(call, share) for call in range(calls)) == int(calls * share)
