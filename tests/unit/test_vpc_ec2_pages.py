"""Answers in pages, as botocore's own paginators turn them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from vpc_ec2 import Region, refused

from pileus.vpc.ec2.offered import READING

MODEL = Loader().load_service_model("ec2", "paginators-1")["pagination"]
PAGED = sorted(action for action in READING if "limit_key" in MODEL.get(action, {}))


@pytest.fixture(scope="module")
def region() -> Region:
    """More of some things than a page holds."""
    made = Region()
    for number in range(7):
        made.new_group(f"group-{number}")
        made.eni()
    for number in range(3):
        made.run(made.eni(), TagSpecifications=[tagged(number)])
    return made


def tagged(number: int) -> dict[str, Any]:
    return {"ResourceType": "instance", "Tags": [{"Key": "n", "Value": str(number)}]}


def pages(region: Region, action: str, size: int, **asked: Any) -> list[list[Any]]:
    paginator = region.ec2.get_paginator(xform_name(action))
    found = paginator.paginate(PaginationConfig={"PageSize": size}, **asked)
    return [page.get(MODEL[action]["result_key"], []) for page in found]


@pytest.mark.parametrize("action", PAGED)
def test_pages_are_the_whole_in_its_order(region: Region, action: str) -> None:
    asked: dict[str, Any] = {}
    if action == "DescribeAddressesAttribute":
        asked = {"Attribute": "domain-name"}
    if action in ("DescribeInstanceTypes", "DescribeInstanceTypeOfferings"):
        asked = {"Filters": [{"Name": "instance-type", "Values": ["m5.*"]}]}
    whole = getattr(region.ec2, xform_name(action))(**asked)
    assert "NextToken" not in whole
    found = pages(region, action, 5, **asked)
    assert [one for page in found for one in page] == whole.get(MODEL[action]["result_key"], [])
    assert all(len(page) == 5 for page in found[:-1])


def test_there_is_more_than_one_page(region: Region) -> None:
    assert [len(page) for page in pages(region, "DescribeNetworkInterfaces", 5)] == [5, 5]
    assert [len(page) for page in pages(region, "DescribeInstances", 1)] == [1, 1, 1]


def test_a_token_is_good_for_the_same_question_alone(region: Region) -> None:
    ask = region.ec2.describe_network_interfaces
    token = ask(MaxResults=5)["NextToken"]
    assert len(ask(NextToken=token)["NetworkInterfaces"]) == 5
    for wrong in (
        {"NextToken": "anything"},
        {"NextToken": base64.urlsafe_b64encode(b"[" * 100_000).decode()},
        {"NextToken": token, "Filters": [{"Name": "status", "Values": ["available"]}]},
    ):
        with refused("InvalidNextToken", region):
            ask(**wrong)
    with refused("InvalidNextToken", region):
        region.ec2.describe_security_groups(NextToken=token)


def test_a_page_has_its_limits_and_names_no_ids(region: Region) -> None:
    with refused("InvalidParameterValue", region):
        region.ec2.describe_instances(MaxResults=0)
    with refused("InvalidParameterValue", region):
        region.ec2.describe_network_interfaces(MaxResults=1001)
    some = next(iter(region.state.instances))
    with refused("InvalidParameterCombination", region):
        region.ec2.describe_instances(MaxResults=5, InstanceIds=[some])
