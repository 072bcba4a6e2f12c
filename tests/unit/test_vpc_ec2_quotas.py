"""Quotas as an account sees them: told by two APIs, raised by one, in force at once."""

from __future__ import annotations

from typing import Any

import pytest
from vpc_ec2 import Region, client, refused
from werkzeug.test import Client

from pileus.vpc.ec2.quotas import ELASTIC_IPS, VPCS

OURS = {"ServiceCode": "ec2", "QuotaCode": ELASTIC_IPS}


@pytest.fixture
def region() -> Region:
    return Region()


@pytest.fixture
def quotas(region: Region) -> Any:
    return client(region.server, "service-quotas")


def told(region: Region) -> dict[str, str]:
    found = region.ec2.describe_account_attributes()["AccountAttributes"]
    return {one["AttributeName"]: one["AttributeValues"][0]["AttributeValue"] for one in found}


def test_the_sixth_elastic_ip_comes_after_the_quota_was_raised(region: Region, quotas: Any) -> None:
    for _ in range(5):
        region.elastic()
    with refused("AddressLimitExceeded", region):
        region.elastic()

    granted = quotas.request_service_quota_increase(**OURS, DesiredValue=6)["RequestedQuota"]

    assert (granted["Status"], granted["DesiredValue"]) == ("APPROVED", 6.0)
    region.elastic()
    with refused("AddressLimitExceeded", region):
        region.elastic()


def test_the_quota_is_told_alike_everywhere(region: Region, quotas: Any) -> None:
    assert (told(region)["vpc-max-elastic-ips"], told(region)["max-elastic-ips"]) == ("5", "5")
    quotas.request_service_quota_increase(**OURS, DesiredValue=8)

    assert (told(region)["vpc-max-elastic-ips"], told(region)["max-elastic-ips"]) == ("8", "8")
    assert quotas.get_service_quota(**OURS)["Quota"]["Value"] == 8
    assert quotas.get_aws_default_service_quota(**OURS)["Quota"]["Value"] == 5
    (listed,) = quotas.list_service_quotas(ServiceCode="ec2")["Quotas"]
    assert (listed["QuotaCode"], listed["Value"], listed["Adjustable"]) == (ELASTIC_IPS, 8, True)
    (request,) = quotas.list_requested_service_quota_change_history_by_quota(**OURS)[
        "RequestedQuotas"
    ]
    again = quotas.get_requested_service_quota_change(RequestId=request["Id"])["RequestedQuota"]
    assert again["DesiredValue"] == 8


def test_attributes_are_answered_as_asked(region: Region) -> None:
    one = region.ec2.describe_account_attributes(AttributeNames=["supported-platforms"])
    assert one["AccountAttributes"] == [
        {"AttributeName": "supported-platforms", "AttributeValues": [{"AttributeValue": "VPC"}]}
    ]
    with refused("InvalidParameterValue", region):
        region.ec2.describe_account_attributes(AttributeNames=["colour"])


@pytest.mark.parametrize("value", [5, 4, 0, 1e9])
def test_a_quota_only_grows(region: Region, quotas: Any, value: float) -> None:
    with refused("IllegalArgumentException", region):
        quotas.request_service_quota_increase(**OURS, DesiredValue=value)


def test_unknown_quotas_and_operations_are_refused(region: Region, quotas: Any) -> None:
    for service, code in (("ec2", "L-00000000"), ("s3", ELASTIC_IPS)):
        with refused("NoSuchResourceException", region):
            quotas.get_service_quota(ServiceCode=service, QuotaCode=code)
    with refused("NoSuchResourceException", region):
        quotas.list_service_quotas(ServiceCode="s3")
    with refused("UnknownOperationException", region):
        quotas.list_services()


def test_vpcs_have_a_quota_of_their_own(region: Region, quotas: Any) -> None:
    for number in range(4):
        region.ec2.create_vpc(CidrBlock=f"10.{number}.0.0/16")
    with refused("VpcLimitExceeded", region):
        region.ec2.create_vpc(CidrBlock="10.9.0.0/16")
    quotas.request_service_quota_increase(ServiceCode="vpc", QuotaCode=VPCS, DesiredValue=6)
    region.ec2.create_vpc(CidrBlock="10.9.0.0/16")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_requests_of_no_form_are_refused(region: Region, body: bytes) -> None:
    scope = "Credential=AKIASIMULATED/20260101/us-east-1/servicequotas/aws4_request"
    reply = Client(region.server.wsgi).post(
        "/",
        base_url="http://127.0.0.1:1",
        data=body,
        headers={
            "Authorization": f"AWS4-HMAC-SHA256 {scope}",
            "X-Amz-Target": "ServiceQuotasV20190624.GetServiceQuota",
        },
    )
    assert reply.status_code == 400
    assert "Exception" in reply.get_json(force=True)["__type"]
