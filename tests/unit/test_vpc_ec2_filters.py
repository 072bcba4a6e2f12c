"""Every filter that AWS documents is answered, every other one refused, by each Describe call."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import xform_name
from vpc_ec2 import KEY, Region, refused

from pileus.vpc.ec2.filters import documented
from pileus.vpc.ec2.offered import READING

FILTERED = sorted(action for action in READING if documented(action))


@pytest.fixture(scope="module")
def region() -> Region:
    """One of each, so that each filter has something to look at."""
    made = Region()
    eni = made.eni()
    instance = made.run(eni, IamInstanceProfile={"Name": "node"})
    made.ec2.associate_address(AllocationId=made.elastic(), NetworkInterfaceId=eni)
    made.ec2.create_tags(Resources=[instance, eni], Tags=[{"Key": "k", "Value": "v"}])
    made.ec2.import_key_pair(KeyName="k", PublicKeyMaterial=KEY.encode())
    made.permit(IpProtocol="tcp", FromPort=22, ToPort=22, IpRanges=[{"CidrIp": "0.0.0.0/0"}])
    return made


def look(region: Region, action: str, name: str, *values: str) -> Any:
    call = getattr(region.ec2, xform_name(action))
    answer = call(Filters=[{"Name": name, "Values": list(values)}])
    answer.pop("ResponseMetadata")
    return next(found for found in answer.values() if isinstance(found, list))


def test_documentation_is_still_read() -> None:
    assert {"vpc-id", "tag"} <= documented("DescribeSubnets")
    assert len(FILTERED) > 20
    assert len(documented("DescribeInstances")) > 100


@pytest.mark.parametrize("action", FILTERED)
def test_documented_filters_are_answered_and_others_refused(region: Region, action: str) -> None:
    for name in sorted(documented(action) - {"tag"}):
        assert look(region, action, name, "no such value") == []
    with refused("InvalidParameterValue", region):
        look(region, action, "colour", "blue")


@pytest.mark.parametrize(
    ("action", "name", "value"),
    [
        ("DescribeSecurityGroups", "egress.ip-permission.cidr", "0.0.0.0/0"),
        ("DescribeSecurityGroups", "ip-permission.from-port", "22"),
        ("DescribeInstances", "iam-instance-profile.arn", "*:instance-profile/node"),
        ("DescribeInstances", "launch-index", "0"),
        ("DescribeInstances", "network-interface.addresses.association.allocation-id", "*"),
        ("DescribeInstanceStatus", "instance-status.status", "ok"),
        ("DescribeInstanceTypes", "processor-info.supported-features", "nested-virtualization"),
        ("DescribeInstanceTypes", "instance-storage-info.disk.type", "ssd"),
        ("DescribeInstanceTypes", "vcpu-info.default-vcpus", "96"),
        ("DescribeInstanceTypes", "bare-metal", "true"),
        ("DescribeNetworkAcls", "entry.rule-action", "allow"),
        ("DescribeVolumes", "attachment.status", "attached"),
        ("DescribeVolumes", "attachment.delete-on-termination", "true"),
        ("DescribeNetworkInterfaces", "tag:k", "v"),
        ("DescribeNetworkInterfaces", "tag-key", "k"),
        ("DescribeVpcs", "cidrBlock", "172.16.0.0/16"),
    ],
)
def test_values_are_found_where_they_are(
    region: Region, action: str, name: str, value: str
) -> None:
    assert look(region, action, name, value)


@pytest.mark.parametrize(
    ("action", "ids", "code"),
    [
        ("describe_addresses", {"AllocationIds": ["eipalloc-0"]}, "InvalidAllocationID.NotFound"),
        ("describe_addresses", {"PublicIps": ["192.0.2.1"]}, "InvalidAddress.NotFound"),
        ("describe_key_pairs", {"KeyPairIds": ["key-0"]}, "InvalidKeyPair.NotFound"),
        ("describe_network_acls", {"NetworkAclIds": ["acl-0"]}, "InvalidNetworkAclID.NotFound"),
        ("describe_volumes", {"VolumeIds": ["vol-0"]}, "InvalidVolume.NotFound"),
        ("describe_availability_zones", {"ZoneNames": ["us-east-1q"]}, "InvalidParameterValue"),
        ("describe_regions", {"RegionNames": ["mars-1"]}, "InvalidParameterValue"),
    ],
)
def test_what_is_named_must_be_there(
    region: Region, action: str, ids: dict[str, list[str]], code: str
) -> None:
    with refused(code, region):
        getattr(region.ec2, action)(**ids)


def test_tags_of_aws_are_its_own(region: Region) -> None:
    with refused("InvalidParameterValue", region):
        region.ec2.create_tags(Resources=[region.vpc], Tags=[{"Key": "aws:mine", "Value": ""}])


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("k" * 128, "", "InvalidParameterValue"),
        ("k", "v" * 256, "InvalidParameterValue"),
        ("k" * 127, "v" * 255, None),
    ],
)
def test_tags_have_their_lengths(region: Region, key: str, value: str, code: str | None) -> None:
    asked = {"Resources": [region.gateway], "Tags": [{"Key": key, "Value": value}]}
    if code is None:
        region.ec2.create_tags(**asked)
    else:
        with refused(code, region):
            region.ec2.create_tags(**asked)
