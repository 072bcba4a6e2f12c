"""ModifyInstanceAttribute as boto3 sees it: one attribute at a time, each with its checks."""

from __future__ import annotations

from typing import Any

import pytest
from vpc_ec2 import Region, refused


@pytest.fixture
def region() -> Region:
    return Region()


def stopped(region: Region, *enis: str, **parameters: Any) -> str:
    instance = region.run(*enis, **parameters)
    region.ec2.stop_instances(InstanceIds=[instance])
    return instance


def test_another_type_must_have_room_for_the_interfaces(region: Region) -> None:
    rich = region.eni(SecondaryPrivateIpAddressCount=5)
    instance = stopped(region, rich, region.eni(), region.eni())
    modify = region.ec2.modify_instance_attribute
    for kind, code in (
        ("t3.micro", "AttachmentLimitExceeded"),  # two
        ("t3.medium", None),  # three with six addresses
        ("m9.none", "InvalidInstanceAttributeValue"),
        ("t3.large", None),
    ):
        wanted = {"InstanceId": instance, "InstanceType": {"Value": kind}}
        if code is None:
            modify(**wanted)
            assert region.state.instances[instance].type == kind
        else:
            with refused(code, region):
                modify(**wanted)
    region.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=rich, SecondaryPrivateIpAddressCount=1
    )
    with refused("PrivateIpAddressLimitExceeded", region):
        modify(InstanceId=instance, InstanceType={"Value": "t3.medium"})


def test_what_a_running_instance_keeps(region: Region) -> None:
    instance = region.run(region.eni())
    for wanted in (
        {"InstanceType": {"Value": "m5.xlarge"}},
        {"UserData": {"Value": b"#!/bin/sh\n"}},
    ):
        with refused("IncorrectInstanceState", region):
            region.ec2.modify_instance_attribute(InstanceId=instance, **wanted)
    region.ec2.stop_instances(InstanceIds=[instance])
    region.ec2.modify_instance_attribute(InstanceId=instance, UserData={"Value": b"#!/bin/sh\n"})
    assert region.state.instances[instance].user_data == b"#!/bin/sh\n"
    region.ec2.terminate_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState", region):
        region.ec2.modify_instance_attribute(
            InstanceId=instance, DisableApiTermination={"Value": True}
        )


def test_one_attribute_changes_and_no_other(region: Region) -> None:
    instance = region.run(region.eni(Groups=[region.group]))
    modify, tell = region.ec2.modify_instance_attribute, region.ec2.describe_instance_attribute
    modify(InstanceId=instance, InstanceInitiatedShutdownBehavior={"Value": "terminate"})
    asked = {"InstanceId": instance, "Attribute": "instanceInitiatedShutdownBehavior"}
    assert tell(**asked)["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    (nic,) = region.state.enis_of(instance)
    assert nic.groups == (region.group,)
    for wrong in (
        {},
        {"SourceDestCheck": {"Value": False}, "Groups": [region.group]},
    ):
        with refused("InvalidParameterCombination", region):
            modify(InstanceId=instance, **wrong)
    with refused("InvalidInstanceAttributeValue", region):
        modify(InstanceId=instance, InstanceInitiatedShutdownBehavior={"Value": "explode"})


def test_the_older_way_to_name_an_attribute(region: Region) -> None:
    instance = region.run(region.eni())
    modify = region.ec2.modify_instance_attribute
    modify(InstanceId=instance, Attribute="sourceDestCheck", Value="false")
    (nic,) = region.state.enis_of(instance)
    assert not nic.source_dest_check
    for attribute, value, code in (
        ("sourceDestCheck", "perhaps", "InvalidInstanceAttributeValue"),
        ("kernel", "aki-1", "UnsupportedOperation"),
    ):
        with refused(code, region):
            modify(InstanceId=instance, Attribute=attribute, Value=value)


def test_a_volume_is_kept_when_told(region: Region) -> None:
    instance = region.run(region.eni())

    def keep(device: str) -> None:
        mapping = {"DeviceName": device, "Ebs": {"DeleteOnTermination": False}}
        region.ec2.modify_instance_attribute(InstanceId=instance, BlockDeviceMappings=[mapping])

    with refused("InvalidInstanceAttributeValue", region):
        keep("/dev/sdz")
    keep("/dev/xvda")
    region.ec2.terminate_instances(InstanceIds=[instance])
    (left,) = region.ec2.describe_volumes()["Volumes"]
    assert left["State"] == "available"
