"""The endpoint itself: what gets in, what is offered, and what happens when things go wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any
from xml.etree import ElementTree

import pytest
from moto.core.exceptions import ServiceException
from vpc_ec2 import DEBIAN, Region, client, refused
from werkzeug.test import Client, TestResponse

from pileus.vpc import store
from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import Ec2Settings
from pileus.vpc.ec2.snapshot import snapshot
from pileus.vpc.state import RegionState

SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=AKIASIMULATED/20260101/us-east-1/ec2/aws4_request"
}


@pytest.fixture
def region() -> Region:
    return Region()


def post(
    region: Region,
    data: Mapping[str, str],
    headers: Mapping[str, str] = SIGNED,
    path: str = "/",
    base: str = "http://127.0.0.1:1",
) -> TestResponse:
    return Client(region.server.wsgi).post(path, base_url=base, data=dict(data), headers=headers)


def code(reply: TestResponse) -> str | None:
    """The error code of an answer, which must be AWS's XML whatever happened."""
    assert reply.mimetype == "text/xml"
    return ElementTree.fromstring(reply.data).findtext("Errors/Error/Code")  # noqa: S314 - ours


DESCRIBE = {"Action": "DescribeVpcs"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, "MissingAction"),
        ({"Action": "MakeCoffee"}, "InvalidAction"),
        ({"Action": "CreateNatGateway"}, "UnsupportedOperation"),
        ({"Action": "CreateDefaultVpc"}, "UnsupportedOperation"),
        ({"Action": "DeleteVpc"}, "MissingParameter"),
        ({"Action": "RunInstances", "MaxCount": "many", "MinCount": "1"}, "InvalidParameterValue"),
        ({"Action": "_dispatch"}, "InvalidAction"),
    ],
)
def test_what_is_not_offered_is_refused_in_awss_words(
    region: Region, data: dict[str, str], expected: str
) -> None:
    reply = post(region, data)

    assert (reply.status_code, code(reply)) == (400, expected)


def test_only_signed_requests_of_this_region_get_in(region: Region) -> None:
    elsewhere = {"Authorization": SIGNED["Authorization"].replace("us-east-1", "eu-west-1")}

    assert code(post(region, DESCRIBE)) is None
    assert code(post(region, DESCRIBE, {})) == "AuthFailure"
    assert code(post(region, DESCRIBE, elsewhere)) == "AuthFailure"
    with refused("AuthFailure", region, status=401):
        client(region.server, region="eu-west-1").describe_vpcs()


def test_web_pages_do_not_get_in(region: Region) -> None:
    assert (
        code(post(region, DESCRIBE, {**SIGNED, "Origin": "http://evil.example"})) == "AuthFailure"
    )
    assert code(post(region, DESCRIBE, base="http://rebound.example:1")) == "AuthFailure"


@pytest.mark.parametrize(
    "path", ["/moto-api/reset", "/moto-api/data.json", "/latest/meta-data/", "/anything"]
)
def test_motos_own_pages_are_not_there(region: Region, path: str) -> None:
    assert code(post(region, {}, path=path)) == "MissingAction"
    assert region.vpc in region.state.vpcs


@pytest.mark.parametrize("service", ["s3", "iam", "dynamodb"])
def test_no_other_service_is_there(region: Region, service: str) -> None:
    headers = {"Authorization": SIGNED["Authorization"].replace("/ec2/", f"/{service}/")}

    assert code(post(region, {"Action": "ListUsers"}, headers)) == "UnsupportedOperation"


def test_the_caller_can_ask_who_he_is(region: Region) -> None:
    sts = client(region.server, "sts")

    assert sts.get_caller_identity()["Account"] == region.settings.account
    headers = {"Authorization": SIGNED["Authorization"].replace("/ec2/", "/sts/")}
    assert code(post(region, {"Action": "AssumeRole"}, headers)) == "UnsupportedOperation"


def test_a_failing_wire_fails_the_call_and_is_brought_the_state_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = False

    def wire(_: RegionState) -> None:
        if broken:
            raise OSError("no netns")

    region = Region(on_change=wire)
    broken = True
    with caplog.at_level(logging.ERROR), refused("InternalError", status=500):
        region.eni(PrivateIpAddress="172.16.10.101")
    assert "no netns" in caplog.text
    assert "no netns" not in str(post(region, DESCRIBE).data)

    broken = False
    count = len(region.seen)
    region.ec2.create_tags(Resources=[region.vpc], Tags=[{"Key": "a", "Value": "b"}])
    assert len(region.seen) == count + 1
    (eni,) = region.seen[-1].enis.values()
    assert str(eni.addresses[0]) == "172.16.10.101"


def test_a_machine_may_report_while_the_wire_is_being_changed() -> None:
    region: Region

    def wire(state: RegionState) -> None:
        for instance in state.instances.values():
            if instance.state == "pending":
                region.server.settle_instance(instance.id, "running")

    region = Region(Ec2Settings(images=(DEBIAN,)))
    region.on_change = wire
    instance = region.run(region.eni())

    assert [state.instances[instance].state for state in region.seen[-2:]] == ["pending", "running"]


def test_the_state_can_be_read_while_the_wire_is_being_changed() -> None:
    seen = []
    region = Region()
    region.on_change = lambda state: seen.append(region.server.state() == state)
    region.eni()

    assert seen == [True]


def test_regions_stand_side_by_side(region: Region) -> None:
    other = Region(Ec2Settings(images=(DEBIAN,), region="eu-west-1"), _quiet)

    assert other.vpc not in region.state.vpcs
    assert other.state.region == "eu-west-1"


def _quiet(_: RegionState) -> None:
    pass


def test_a_reading_call_publishes_nothing(region: Region) -> None:
    count = len(region.seen)
    region.ec2.describe_instances()
    region.ec2.describe_instance_types(InstanceTypes=["m5.large"])
    region.ec2.describe_availability_zones()

    assert len(region.seen) == count


def everything(region: Region) -> list[Any]:
    answers = [
        region.ec2.describe_instances(),
        region.ec2.describe_network_interfaces(),
        region.ec2.describe_volumes(),
        region.ec2.describe_tags(),
    ]
    for answer in answers:
        del answer["ResponseMetadata"]
    return answers


def test_a_call_that_is_refused_half_way_has_changed_nothing() -> None:
    """The pool of public addresses has six; the seventh instance is refused when six are there."""
    region = Region(replace(Region().settings, elastic_pool=IPv4Network("198.51.100.0/29")))
    before = everything(region)
    nic = {"DeviceIndex": 0, "SubnetId": region.management, "AssociatePublicIpAddress": True}
    launch: dict[str, Any] = {"ImageId": region.image, "MinCount": 1, "NetworkInterfaces": [nic]}
    with refused("InsufficientAddressCapacity", region):
        region.ec2.run_instances(MaxCount=7, **launch)
    assert everything(region) == before
    made = region.ec2.run_instances(MaxCount=6, **launch)["Instances"]
    assert len(region.state.elastic_ips) == 6

    region.ec2.stop_instances(InstanceIds=[made[0]["InstanceId"]])
    region.elastic()
    before = everything(region)
    with refused("InsufficientAddressCapacity", region):
        region.ec2.start_instances(InstanceIds=[made[0]["InstanceId"]])
    assert everything(region) == before


def test_a_change_that_cannot_be_kept_is_none(caplog: pytest.LogCaptureFixture) -> None:
    region, full = Region(), False

    def keep(_: bytes) -> None:
        if full:
            raise OSError("no space left")

    region.keep = keep
    full = True
    with caplog.at_level(logging.ERROR), refused("InternalError", region, status=500):
        region.eni()
    full = False
    region.eni()
    assert len(region.state.enis) == 1
    assert snapshot(store.unpacked(region.kept)) == region.state


def test_a_new_region_is_kept_before_anything_is_made_in_it() -> None:
    kept: list[bytes] = []
    server = Ec2Server(Ec2Settings(images=(DEBIAN,)), _quiet, keep=kept.append)
    server.refresh()
    assert snapshot(store.unpacked(kept[-1])) == server.state()


def test_a_machine_that_is_not_known_reports_in_vain(region: Region) -> None:
    before = region.state
    with pytest.raises(ServiceException):
        region.server.settle_instance("i-00000000000000000", "running")
    assert region.state == before
    region.eni()
