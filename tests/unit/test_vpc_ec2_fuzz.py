"""Absurd requests: each is answered or refused, none is a fault; store and wire stay whole."""

from __future__ import annotations

import logging
import re
from collections import Counter
from ipaddress import IPv4Network
from random import Random
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from ec2_requests import ODD_KEYS, Pairs, Requests
from vpc_ec2 import DEBIAN, KEY, Region
from werkzeug.test import Client, TestResponse
from wire_by_hand import UPLINK, Wire, probes
from wire_model import Model

from pileus.rules import nft
from pileus.vpc import store
from pileus.vpc.ec2.offered import CHANGING
from pileus.vpc.ec2.settings import Ec2Settings
from pileus.vpc.ec2.snapshot import snapshot
from pileus.vpc.wire.frames import frames_table
from pileus.vpc.wire.packets import packets_table
from pileus.vpc.wire.topology import vpc_config

REGIONS, REQUESTS = 12, 75
SETTINGS = Ec2Settings(
    images=(DEBIAN,), settle_at_once=True, elastic_pool=IPv4Network("198.51.100.0/29")
)
"""Few public addresses, so that there are times when there are none."""
MADE = re.compile(r"(?:eni-attach|eipassoc|rtbassoc|aclassoc|sgr|iip-assoc)-\w+")
"""Ids that only answers tell."""
SIGNED = {
    "Authorization": (
        "AWS4-HMAC-SHA256 Credential=AKIASIMULATED/20260101/us-east-1/ec2/aws4_request"
    ),
    "Content-Type": "application/x-www-form-urlencoded",
}


@pytest.fixture(scope="module")
def region() -> Region:
    return Region()


def post(region: Region, pairs: Pairs) -> TestResponse:
    body = urlencode(pairs, errors="surrogatepass")
    return Client(region.server.wsgi).post(
        "/", base_url="http://127.0.0.1:1", data=body, headers=SIGNED
    )


def answered(region: Region, pairs: Pairs) -> str | None:
    """The error code of the answer, None for success; it is XML and no fault of ours.

    After it the region knows what it has published and could go on from what it has kept, be the
    request refused or not.
    """
    reply = post(region, pairs)
    assert reply.status_code < 500, pairs
    assert snapshot(region.server._backend) == region.state, pairs
    assert snapshot(store.unpacked(region.kept)) == region.state, pairs
    root = ElementTree.fromstring(reply.data)  # noqa: S314 - ours
    code = root.findtext("Errors/Error/Code")
    assert (reply.status_code == 200) == (code is None), pairs
    return code


def lively() -> Region:
    """A region with a machine of two interfaces, and one of most other things."""
    region = Region(SETTINGS)
    eni = region.eni(PrivateIpAddress="172.16.10.9")
    region.run(eni, region.eni(SubnetId=region.provider), IamInstanceProfile={"Name": "node"})
    region.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.10.50"]
    )
    table = region.ec2.create_route_table(VpcId=region.vpc)["RouteTable"]["RouteTableId"]
    region.ec2.associate_route_table(RouteTableId=table, SubnetId=region.provider)
    for one in region.state.route_tables:
        region.ec2.create_route(
            RouteTableId=one, DestinationCidrBlock="192.168.60.0/24", NetworkInterfaceId=eni
        )
    region.permit(IpProtocol="tcp", FromPort=1, ToPort=2, IpRanges=[{"CidrIp": "172.16.0.0/16"}])
    region.ec2.associate_address(AllocationId=region.elastic(), NetworkInterfaceId=eni)
    region.ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=KEY.encode())
    return region


def known(region: Region) -> list[str]:
    """What a request may name."""
    state = region.state
    image = region.ec2.describe_images(ImageIds=[region.image])["Images"][0]
    answers = (
        region.ec2.describe_network_interfaces(),
        region.ec2.describe_route_tables(),
        region.ec2.describe_network_acls(),
        region.ec2.describe_security_group_rules(),
        region.ec2.describe_iam_instance_profile_associations(),
    )
    ids = (
        state.vpcs,
        state.subnets,
        state.route_tables,
        state.groups,
        state.network_acls,
        state.enis,
        state.elastic_ips,
        state.instances,
    )
    return [
        *(id for each in ids for id in each),
        *(id for answer in answers for id in MADE.findall(str(answer))),
        *(region.gateway, region.image, "mine", "m5.large", "us-east-1a", "tcp", "-1", "allow"),
        *("172.16.0.0/16", "172.16.10.9", "172.16.10.50", "172.16.30.0/24", "192.168.50.0/24"),
        *("192.168.60.0/24", "/dev/xvda", "/dev/sdf", "/dev/sdg"),
        image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"],
    ]


def check_wire(region: Region, random: Random) -> None:
    """The state yields a wire that does what a model says of the state."""
    state = region.state
    for vpc in state.vpcs:
        for table in (frames_table(state, vpc), packets_table(state, vpc)):
            assert nft.render(table)
        vpc_config(state, vpc, UPLINK)
        model = Model(state, vpc)
        for probe in probes(random, model, 20) if model.nics else ():
            assert Wire(state, vpc).fate(probe) == model.fate(probe), probe


def test_no_request_is_too_absurd(caplog: pytest.LogCaptureFixture) -> None:
    done: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for number in range(REGIONS):
        random, region = Random(f"absurd {number}"), lively()  # noqa: S311 - repeatable, not secret
        for count in range(REQUESTS):
            if count % 15 == 0:
                source = Requests(random, known(region))
            with caplog.at_level(logging.WARNING, logger="pileus"):
                pairs = source.one()
                code = answered(region, pairs)
            assert not caplog.records, pairs
            (refused if code else done)[code or dict(pairs)["Action"]] += 1
        check_wire(region, random)
    assert len(set(done) & CHANGING) > 30, done
    assert len(refused) > 30, refused


@pytest.mark.parametrize("key", ODD_KEYS)
@pytest.mark.parametrize("action", ["DescribeInstances", "RunInstances", "CreateTags"])
def test_keys_of_no_form_are_no_fault(region: Region, key: str, action: str) -> None:
    for value in ("", "1", "x" * 70_000):
        answered(region, [("Action", action), (key, value), (key, "again")])


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("Version", "2016-11-15")],
        [("Action", "")],
        [("Action", "DescribeVpcs"), ("Version", "1999-01-01")],
        [("Action", "DescribeVpcs"), ("Action", "DeleteVpc")],
        [("Action", "DescribeVpcs\x00")],
        [("Action", "x" * 100_000)],
        [("Action", "DescribeVpcs"), *((f"VpcId.{number}", "vpc-0") for number in range(1, 5000))],
        [
            ("Action", "CreateTags"),
            *((f"ResourceId.{number}", "x") for number in range(1, 2000)),
            *((f"Tag.{number}.Key", "\U0001f4a5") for number in range(1, 2000)),
        ],
        [("Action", "DescribeVpcs"), ("Filter.1" + ".Value.1" * 500, "deep")],
    ],
)
def test_requests_of_no_form_are_no_fault(region: Region, pairs: Pairs) -> None:
    answered(region, pairs)
