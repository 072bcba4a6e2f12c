"""Instances, images and key pairs, as boto3 sees them: launch, states, termination."""

from __future__ import annotations

from typing import Any

import pytest
from vpc_ec2 import DEBIAN, KEY, Region, refused

from pileus.vpc.ec2.settings import Ec2Settings
from pileus.vpc.state import KIND_TAG, THIN


@pytest.fixture
def region() -> Region:
    return Region()


def machine(region: Region, instance: str) -> Any:
    found = region.ec2.describe_instances(InstanceIds=[instance])
    return found["Reservations"][0]["Instances"][0]


# Launch


def test_the_guides_instance(region: Region) -> None:
    region.ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=KEY.encode())
    management = region.eni(PrivateIpAddress="172.16.10.101")
    provider = region.eni(SubnetId=region.provider, PrivateIpAddress="172.16.20.101")

    instance = region.run(
        management,
        provider,
        InstanceType="m5.xlarge",
        KeyName="mine",
        UserData="#cloud-config\n",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20}}],
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        CpuOptions={"NestedVirtualization": "enabled"},
    )

    state = region.state
    known = state.instances[instance]
    assert (known.image, known.type, known.root_gib) == (DEBIAN.name, "m5.xlarge", 20)
    assert (known.hostname, known.public_key) == ("ip-172-16-10-101", KEY)
    assert known.user_data == b"#cloud-config\n"
    assert known.metadata_tokens_required
    assert known.nested_virtualization
    assert [nic.id for nic in state.enis_of(instance)] == [management, provider]
    shown = machine(region, instance)
    assert [nic["PrivateIpAddress"] for nic in shown["NetworkInterfaces"]] == [
        "172.16.10.101",
        "172.16.20.101",
    ]


def test_launch_makes_an_interface_of_its_own_and_termination_removes_it(region: Region) -> None:
    instance = region.run(
        SubnetId=region.management, PrivateIpAddress="172.16.10.50", SecurityGroupIds=[region.group]
    )

    (nic,) = region.state.enis_of(instance)
    assert (str(nic.addresses[0]), nic.groups) == ("172.16.10.50", (region.group,))
    region.ec2.terminate_instances(InstanceIds=[instance])
    assert region.state.enis == {}


@pytest.mark.parametrize(
    ("code", "parameters"),
    [
        ("InvalidAMIID.NotFound", {"ImageId": "ami-00000000000000000"}),
        ("InvalidAMIID.Malformed", {"ImageId": "debian"}),
        ("InvalidKeyPair.NotFound", {"KeyName": "nobody"}),
        ("InvalidParameterValue", {"InstanceType": "m5.tiny"}),
        ("InvalidParameterValue", {"MinCount": 2, "MaxCount": 1}),
        ("UnsupportedOperation", {"LaunchTemplate": {"LaunchTemplateName": "mine"}}),
        ("VPCIdNotSpecified", {}),
        ("InstanceLimitExceeded", {"MaxCount": 1001}),
    ],
)
def test_what_does_not_exist_is_not_launched(
    region: Region, code: str, parameters: dict[str, Any]
) -> None:
    with refused(code, region):
        region.run(**parameters)


def test_an_interface_in_use_is_not_launched_with(region: Region) -> None:
    eni, free = region.eni(), region.eni()
    region.run(eni)

    with refused("InvalidNetworkInterface.InUse", region):
        region.run(eni)
    with refused("InvalidNetworkInterface.InUse", region):
        region.run(free, free)
    with refused("InvalidNetworkInterfaceID.NotFound", region):
        region.run("eni-00000000000000000")


def test_device_indexes_begin_at_zero_and_are_taken_once(region: Region) -> None:
    one, other = region.eni(), region.eni()

    def nics(*indexes: int) -> list[dict[str, Any]]:
        pairs = zip(indexes, (one, other), strict=False)
        return [{"DeviceIndex": index, "NetworkInterfaceId": eni} for index, eni in pairs]

    for wrong in (nics(0, 0), nics(1, 2)):
        with refused("InvalidParameterValue", region):
            region.run(NetworkInterfaces=wrong)


def test_the_type_limits_interfaces_and_their_addresses(region: Region) -> None:
    four = [region.eni() for _ in range(4)]
    rich = region.eni(SecondaryPrivateIpAddressCount=10)  # m5.large: ten with the primary

    with refused("AttachmentLimitExceeded", region):
        region.run(*four)
    with refused("PrivateIpAddressLimitExceeded", region):
        region.run(rich)


def test_groups_and_subnets_belong_to_the_interfaces(region: Region) -> None:
    eni = region.eni()

    with refused("InvalidParameterCombination", region):
        region.run(eni, SubnetId=region.management)
    with refused("InvalidParameterCombination", region):
        region.run(eni, SecurityGroupIds=[region.group])


def test_a_client_token_launches_once(region: Region) -> None:
    eni, other = region.eni(), region.eni()
    first = region.run(eni, ClientToken="one")

    assert region.run(eni, ClientToken="one") == first
    assert len(region.state.instances) == 1
    with refused("IdempotentParameterMismatch", region):
        region.run(other, ClientToken="one")
    assert region.run(other, ClientToken="two") != first


def test_interfaces_that_a_launch_makes_have_the_tags_it_names(region: Region) -> None:
    ready = region.eni()
    tags = [{"Key": "of", "Value": "us"}]
    region.run(
        NetworkInterfaces=[
            {"DeviceIndex": 0, "NetworkInterfaceId": ready},
            {"DeviceIndex": 1, "SubnetId": region.management},
        ],
        TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}],
    )
    found = region.ec2.describe_network_interfaces(Filters=[{"Name": "tag:of", "Values": ["us"]}])
    (made,) = found["NetworkInterfaces"]
    assert made["NetworkInterfaceId"] != ready
    assert made["TagSet"] == tags


def test_the_root_volume_is_the_images_and_goes_with_the_instance(region: Region) -> None:
    kept = [{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 3}}]
    for asked, sizes in (
        ([], {"/dev/xvda": 8}),
        ([{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20}}], {"/dev/xvda": 20}),
        ([{"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp3"}}], {"/dev/xvda": 8}),
        (kept, {"/dev/xvda": 8, "/dev/sdf": 3}),
    ):
        instance = region.run(region.eni(), **({"BlockDeviceMappings": asked} if asked else {}))
        shown = machine(region, instance)
        assert shown["RootDeviceName"] == "/dev/xvda"
        ids = {one["DeviceName"]: one["Ebs"]["VolumeId"] for one in shown["BlockDeviceMappings"]}
        volumes = region.ec2.describe_volumes(VolumeIds=list(ids.values()))["Volumes"]
        known = {one["VolumeId"]: one["Size"] for one in volumes}
        assert {name: known[id] for name, id in ids.items()} == sizes
        region.ec2.terminate_instances(InstanceIds=[instance])
    (left,) = region.ec2.describe_volumes()["Volumes"]
    assert (left["Size"], left["State"]) == (3, "available")


def test_an_instance_shows_its_interfaces_as_they_show_themselves(region: Region) -> None:
    eni = region.eni()
    (shown,) = machine(region, region.run(eni))["NetworkInterfaces"]
    alone = region.interface(eni)
    assert "Association" not in shown
    assert {name: shown[name] for name in shown if name in alone and name != "Attachment"} == {
        name: alone[name] for name in shown if name in alone and name != "Attachment"
    }
    assert shown["NetworkInterfaceId"] == eni


def test_several_instances_are_one_reservation(region: Region) -> None:
    made = region.ec2.run_instances(
        ImageId=region.image,
        MinCount=1,
        MaxCount=3,
        InstanceType="m5.large",
        SubnetId=region.management,
    )

    assert len({one["InstanceId"] for one in made["Instances"]}) == 3
    assert len(region.ec2.describe_instances()["Reservations"]) == 1
    assert len({nic.addresses[0] for nic in region.state.enis.values()}) == 3


def test_a_dry_run_changes_nothing(region: Region) -> None:
    eni = region.eni()

    with refused("DryRunOperation", region, status=412):
        region.run(eni, DryRun=True)


# States


def test_states_are_the_machine_layers_to_report() -> None:
    region = Region(Ec2Settings(images=(DEBIAN,)))
    eni, spare = region.eni(), region.eni()
    instance = region.run(eni)
    ec2, settle = region.ec2, region.server.settle_instance

    def state() -> str:
        return str(machine(region, instance)["State"]["Name"])

    assert state() == "pending"
    with refused("IncorrectInstanceState", region):
        ec2.reboot_instances(InstanceIds=[instance])
    with refused("IncorrectState", region):
        ec2.attach_network_interface(NetworkInterfaceId=spare, InstanceId=instance, DeviceIndex=1)

    settle(instance, "running")
    assert state() == "running"
    ec2.reboot_instances(InstanceIds=[instance])
    assert region.state.instances[instance].reboots == 1

    ec2.stop_instances(InstanceIds=[instance])
    assert state() == "stopping"
    with refused("IncorrectInstanceState", region):
        ec2.start_instances(InstanceIds=[instance])
    settle(instance, "stopped")
    ec2.start_instances(InstanceIds=[instance])
    assert state() == "pending"

    ec2.terminate_instances(InstanceIds=[instance])
    assert state() == "shutting-down"
    assert region.state.enis[eni].instance == instance
    settle(instance, "terminated")
    assert state() == "terminated"
    assert region.state.enis[eni].instance is None


def test_every_change_is_published_with_the_whole_state() -> None:
    region = Region(Ec2Settings(images=(DEBIAN,)))
    eni = region.eni()
    instance = region.run(eni)
    count = len(region.seen)

    region.ec2.describe_instances()
    assert len(region.seen) == count
    region.server.settle_instance(instance, "running")

    assert len(region.seen) == count + 1
    assert region.seen[-1].instances[instance].state == "running"
    assert region.seen[-1] == region.state


def test_a_machine_that_ends_by_itself_says_why() -> None:
    region = Region(Ec2Settings(images=(DEBIAN,)))
    instance = region.run(region.eni())
    region.server.settle_instance(instance, "terminated", "Server.InternalError: no boot in time")

    reason = machine(region, instance)["StateReason"]
    assert reason == {
        "Code": "Server.InternalError",
        "Message": "Server.InternalError: no boot in time",
    }


def test_termination_frees_interfaces_and_keeps_their_addresses(region: Region) -> None:
    kept, gone = region.eni(), region.eni()
    elastic = region.elastic()
    region.ec2.associate_address(AllocationId=elastic, NetworkInterfaceId=kept)
    instance = region.run(kept, gone)
    region.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=gone,
        Attachment={"AttachmentId": region.attachment(gone), "DeleteOnTermination": True},
    )

    region.ec2.terminate_instances(InstanceIds=[instance])

    assert region.interface(kept)["Status"] == "available"
    assert list(region.state.enis) == [kept]
    # The Elastic IP is the interface's, and the interface lives on.
    assert region.state.elastic_ips[elastic].eni == kept
    shown = machine(region, instance)
    assert shown["State"]["Name"] == "terminated"
    assert shown["NetworkInterfaces"] == []
    assert "PrivateIpAddress" not in shown
    with refused("IncorrectInstanceState", region):
        region.ec2.start_instances(InstanceIds=[instance])
    with refused("InvalidInstanceID.NotFound", region):
        region.ec2.terminate_instances(InstanceIds=["i-00000000000000000"])


def test_a_protected_instance_is_not_terminated(region: Region) -> None:
    instance = region.run(region.eni(), DisableApiTermination=True)

    with refused("OperationNotPermitted", region):
        region.ec2.terminate_instances(InstanceIds=[instance])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instance-state-name", "running"),
        ("tag:pileus", "demo"),
        ("tag-key", "pileus"),
        ("network-interface.addresses.private-ip-address", "172.16.10.101"),
        ("network-interface.attachment.device-index", "0"),
        ("network-interface.network-interface-id", "eni-*"),
        ("instance.group-id", "sg-*"),
        ("private-ip-address", "172.16.10.101"),
        ("image-id", "ami-*"),
        ("client-token", "unique"),
    ],
)
def test_instances_are_found_by_every_filter(region: Region, name: str, value: str) -> None:
    wanted = region.run(
        region.eni(PrivateIpAddress="172.16.10.101"),
        ClientToken="unique",
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "pileus", "Value": "demo"}]}
        ],
    )

    def find(*values: str) -> list[str]:
        found = region.ec2.describe_instances(Filters=[{"Name": name, "Values": list(values)}])
        return [one["InstanceId"] for each in found["Reservations"] for one in each["Instances"]]

    assert find(value) == [wanted]
    assert find("nothing", value) == [wanted]
    assert find("nothing") == []


def test_the_source_check_of_a_single_interface_is_set_through_its_instance(
    region: Region,
) -> None:
    eni = region.eni()
    alone = region.run(eni)
    pair = region.run(region.eni(), region.eni())
    lift = {"SourceDestCheck": {"Value": False}}

    region.ec2.modify_instance_attribute(InstanceId=alone, **lift)
    assert not region.state.enis[eni].source_dest_check
    with refused("InvalidInstanceID", region):
        region.ec2.modify_instance_attribute(InstanceId=pair, **lift)


def test_metadata_options_change_one_by_one(region: Region) -> None:
    instance = region.run(region.eni(), MetadataOptions={"HttpTokens": "required"})
    region.ec2.modify_instance_metadata_options(InstanceId=instance, HttpPutResponseHopLimit=2)

    known = region.state.instances[instance]
    assert (known.metadata_tokens_required, known.metadata_hop_limit) == (True, 2)


# Images and keys


def test_images_are_found_by_name_and_owner(region: Region) -> None:
    def find(**parameters: Any) -> list[str]:
        return [one["Name"] for one in region.ec2.describe_images(**parameters)["Images"]]

    by_name = [{"Name": "name", "Values": ["debian-13-amd64-*"]}]
    assert find(Owners=[DEBIAN.owner], Filters=by_name) == [DEBIAN.name]
    assert find(Owners=["self"]) == []
    assert find(Owners=["amazon"]) == []
    assert find(Filters=[{"Name": "name", "Values": ["debian-12-*"]}]) == []
    with refused("InvalidAMIID.NotFound", region):
        find(ImageIds=["ami-00000000000000000"])


def test_an_images_id_depends_on_its_name_alone(region: Region) -> None:
    assert Region().image == region.image


def test_key_pairs(region: Region) -> None:
    region.ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=KEY.encode())

    with refused("InvalidKeyPair.Duplicate", region):
        region.ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=KEY.encode())
    with refused("InvalidKeyPair.NotFound", region):
        region.ec2.describe_key_pairs(KeyNames=["theirs"])
    with refused("InvalidKey.Format", region):
        region.ec2.import_key_pair(KeyName="bad", PublicKeyMaterial=b"ssh-rsa nonsense")
    region.ec2.delete_key_pair(KeyName="theirs")
    region.ec2.delete_key_pair(KeyName="mine")
    assert region.ec2.describe_key_pairs()["KeyPairs"] == []


def test_the_console_is_what_the_machine_printed_and_its_end_alone(region: Region) -> None:
    instance = region.run(region.eni())
    assert "Output" not in region.ec2.get_console_output(InstanceId=instance)
    region.consoles[instance] = b"x" * (64 << 10) + b"login: \xff"
    shown = region.ec2.get_console_output(InstanceId=instance)["Output"]
    assert (len(shown), shown[-8:]) == (64 << 10, "login: \ufffd")
    with refused("InvalidInstanceID.NotFound", region):
        region.ec2.get_console_output(InstanceId="i-00000000000000000")


@pytest.mark.parametrize(
    ("call", "wrong", "code"),
    [
        ("describe_instances", {"InstanceIds": ["web"]}, "InvalidInstanceID.Malformed"),
        ("reboot_instances", {"InstanceIds": ["web"]}, "InvalidInstanceID.Malformed"),
        ("describe_security_groups", {"GroupIds": ["web"]}, "InvalidGroupId.Malformed"),
        ("delete_security_group", {"GroupId": "web"}, "InvalidGroupId.Malformed"),
        (
            "delete_network_interface",
            {"NetworkInterfaceId": "web"},
            "InvalidNetworkInterfaceId.Malformed",
        ),
        ("monitor_instances", {"InstanceIds": ["i-0"]}, "UnsupportedOperation"),
        ("create_nat_gateway", {"SubnetId": "subnet-0"}, "UnsupportedOperation"),
    ],
)
def test_what_is_no_id_and_what_is_not_offered(
    region: Region, call: str, wrong: dict[str, Any], code: str
) -> None:
    with refused(code, region):
        getattr(region.ec2, call)(**wrong)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"Placement": {"AvailabilityZone": "us-east-1b"}}, "InvalidParameterValue"),
        ({"NetworkInterfaces": [{"InterfaceType": "efa"}]}, "UnsupportedOperation"),
        ({"NetworkInterfaces": [{"Ipv6AddressCount": 1}]}, "UnsupportedOperation"),
    ],
)
def test_what_a_launch_cannot_have_is_not_left_out_in_silence(
    region: Region, wanted: dict[str, Any], code: str
) -> None:
    nic = {"DeviceIndex": 0, "SubnetId": region.management}
    nics = [{**nic, **one} for one in wanted.get("NetworkInterfaces", [{}])]
    with refused(code, region):
        region.run(**{**wanted, "NetworkInterfaces": nics})


def volume(device: str = "/dev/sdf", **ebs: Any) -> dict[str, Any]:
    return {"DeviceName": device, "Ebs": ebs}


@pytest.mark.parametrize(
    ("mappings", "code"),
    [
        ([volume(VolumeSize=10, VolumeType="io1")], "InvalidParameterCombination"),
        ([volume(VolumeSize=10, VolumeType="io2")], "InvalidParameterCombination"),
        ([volume(VolumeSize=10, VolumeType="gp2", Iops=3000)], "InvalidParameterCombination"),
        ([volume(VolumeSize=10, VolumeType="io1", Iops=99)], "InvalidParameterValue"),
        (
            [volume(VolumeSize=10, VolumeType="io1", Iops=200, Throughput=125)],
            "InvalidParameterCombination",
        ),
        ([volume(VolumeSize=10, VolumeType="gp3", Throughput=124)], "InvalidParameterValue"),
        ([volume(VolumeSize=10, VolumeType="gp9")], "UnknownVolumeType"),
        ([volume(VolumeSize=10, VolumeType="st1")], "InvalidParameterValue"),
        ([volume(VolumeSize=0)], "InvalidParameterValue"),
        ([volume(VolumeSize=-1)], "InvalidParameterValue"),
        ([volume(VolumeSize=10, KmsKeyId="key")], "InvalidParameterDependency"),
        ([volume(SnapshotId="snap-00000000000000000")], "InvalidSnapshot.NotFound"),
        ([volume(SnapshotId="anything")], "InvalidSnapshotID.Malformed"),
        ([volume(VolumeType="gp2")], "InvalidBlockDeviceMapping"),
        ([volume("/dev/xvda", VolumeSize=7)], "InvalidBlockDeviceMapping"),
        ([volume(VolumeSize=1), volume(VolumeSize=2)], "InvalidBlockDeviceMapping"),
        ([{"DeviceName": "/dev/sdf"}], "MissingParameter"),
        ([{"Ebs": {"VolumeSize": 1}}], "MissingParameter"),
        ([{"DeviceName": "/dev/sdf", "VirtualName": "ephemeral0"}], "UnsupportedOperation"),
        ([{"DeviceName": "/dev/sdf", "NoDevice": "yes"}], "InvalidParameterValue"),
    ],
)
def test_volumes_that_could_not_be_are_refused(
    region: Region, mappings: list[dict[str, Any]], code: str
) -> None:
    with refused(code, region):
        region.run(SubnetId=region.management, BlockDeviceMappings=mappings)
    assert region.ec2.describe_volumes()["Volumes"] == []
    region.run(SubnetId=region.management)


def test_volumes_are_as_asked(region: Region) -> None:
    image = region.ec2.describe_images(ImageIds=[region.image])["Images"][0]
    (root,) = image["BlockDeviceMappings"]
    assert root["Ebs"]["VolumeSize"] == 8
    instance = region.run(
        SubnetId=region.management,
        BlockDeviceMappings=[
            volume("/dev/sdf", VolumeSize=10, VolumeType="io2", Iops=200, Encrypted=True),
            volume("/dev/sdg", VolumeSize=10, VolumeType="gp3", Iops=4000, Throughput=300),
            volume("/dev/sdh", SnapshotId=root["Ebs"]["SnapshotId"]),
            {"DeviceName": "/dev/sdi", "NoDevice": ""},
        ],
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "of", "Value": "us"}]}],
    )
    found = region.ec2.describe_volumes()["Volumes"]
    assert all(one["Tags"] == [{"Key": "of", "Value": "us"}] for one in found)
    assert all(one["Attachments"][0]["InstanceId"] == instance for one in found)
    shown = {one["Attachments"][0]["Device"]: one for one in found}
    assert {device: one["VolumeType"] for device, one in shown.items()} == {
        "/dev/xvda": "gp2",
        "/dev/sdf": "io2",
        "/dev/sdg": "gp3",
        "/dev/sdh": "gp2",
    }
    assert (shown["/dev/sdf"]["Iops"], shown["/dev/sdf"]["Encrypted"]) == (200, True)
    assert (shown["/dev/sdg"]["Iops"], shown["/dev/sdg"]["Throughput"]) == (4000, 300)
    assert shown["/dev/sdh"]["Size"] == 8


def test_stop_protection_holds_for_stops_and_for_termination(region: Region) -> None:
    instance, other = region.run(region.eni(), DisableApiStop=True), region.run(region.eni())
    for call in (region.ec2.stop_instances, region.ec2.terminate_instances):
        with refused("OperationNotPermitted", region):
            call(InstanceIds=[other, instance])
    region.ec2.reboot_instances(InstanceIds=[instance])
    region.server.settle_instance(instance, "stopped")  # it powered itself off
    region.ec2.modify_instance_attribute(InstanceId=instance, DisableApiStop={"Value": False})
    region.ec2.terminate_instances(InstanceIds=[instance])


def test_user_data_has_a_limit_and_none_of_it_is_lost(region: Region) -> None:
    most = "#!/bin/sh\n" + "é" * 8187
    assert len(most.encode()) == 16_384
    instance = region.run(region.eni(), UserData=most)
    assert region.state.instances[instance].user_data == most.encode()
    with refused("InvalidParameterValue", region):
        region.run(SubnetId=region.management, UserData=most + "x")
    region.ec2.stop_instances(InstanceIds=[instance])
    with refused("InvalidParameterValue", region):
        region.ec2.modify_instance_attribute(
            InstanceId=instance, UserData={"Value": most.encode() + b"x"}
        )


def test_what_a_machine_is_its_launch_says_and_no_later_tag(region: Region) -> None:
    tag = {"Key": KIND_TAG, "Value": THIN}
    whole = region.run(region.eni())
    thin = region.run(region.eni(), TagSpecifications=[{"ResourceType": "instance", "Tags": [tag]}])
    region.ec2.create_tags(Resources=[whole], Tags=[tag])
    region.ec2.delete_tags(Resources=[thin], Tags=[tag])
    known = region.state.instances
    assert (known[whole].thin, known[thin].thin) == (False, True)
