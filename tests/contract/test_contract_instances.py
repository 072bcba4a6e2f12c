"""Instances, their interfaces and their states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from contract_place import Network, Place, refused


@pytest.fixture(scope="module")
def machine(everything: Place, net: Network) -> Iterator[str]:
    """One that runs, with a single interface, for tests that leave it as it was."""
    with everything.inner() as inner:
        yield inner.instance(inner.interface(net.first, PrivateIpAddress="10.77.1.10"))


def shown(place: Place, instance: str) -> Any:
    found = place.ec2.describe_instances(InstanceIds=[instance])
    return found["Reservations"][0]["Instances"][0]


def test_an_interface_is_on_one_machine_and_an_index_taken_once(
    place: Place, net: Network, machine: str
) -> None:
    primary = shown(place, machine)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    spare = place.interface(net.first)
    with refused("InvalidNetworkInterface.InUse"):
        place.attach(primary, machine, 1)
    with refused("InvalidParameterValue"):
        place.attach(spare, machine, 0)
    with refused("InvalidNetworkInterface.InUse"):
        place.instance(primary)


def test_a_type_has_its_limits(place: Place, net: Network, machine: str) -> None:
    second, third = place.interface(net.first), place.interface(net.second)
    attachment = place.attach(second, machine, 1)
    try:
        with refused("AttachmentLimitExceeded"):
            place.attach(third, machine, 2)
        assign = place.ec2.assign_private_ip_addresses
        assign(NetworkInterfaceId=second, SecondaryPrivateIpAddressCount=1)
        with refused("PrivateIpAddressLimitExceeded"):
            assign(NetworkInterfaceId=second, SecondaryPrivateIpAddressCount=1)
        with refused("PrivateIpAddressLimitExceeded"):
            assign(NetworkInterfaceId=second, Ipv4PrefixCount=1)
    finally:
        place.detach(attachment, second)
    with refused("PrivateIpAddressLimitExceeded"):
        place.attach(place.interface(net.first, SecondaryPrivateIpAddressCount=2), machine, 1)


def test_an_attached_interface_is_not_deleted_and_the_primary_stays(
    place: Place, machine: str
) -> None:
    primary = shown(place, machine)["NetworkInterfaces"][0]
    with refused("InvalidParameterValue"):
        place.ec2.delete_network_interface(NetworkInterfaceId=primary["NetworkInterfaceId"])
    with refused("OperationNotPermitted"):
        place.ec2.detach_network_interface(AttachmentId=primary["Attachment"]["AttachmentId"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attachment.device-index", "0"),
        ("attachment.status", "attached"),
        ("addresses.private-ip-address", "10.77.1.10"),
        ("status", "in-use"),
    ],
)
def test_interfaces_are_found_by_what_they_are(
    place: Place, machine: str, name: str, value: str
) -> None:
    asked = [
        {"Name": "attachment.instance-id", "Values": [machine]},
        {"Name": name, "Values": [value]},
    ]
    assert place.ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]
    asked[1]["Values"] = ["nothing"]
    assert not place.ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]


def test_interfaces_are_found_by_their_public_address(
    place: Place, net: Network, machine: str
) -> None:
    eni = shown(place, machine)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    elastic = place.elastic()
    place.ec2.associate_address(AllocationId=elastic, InstanceId=machine)
    (known,) = place.ec2.describe_addresses(AllocationIds=[elastic])["Addresses"]
    asked = [{"Name": "association.public-ip", "Values": [known["PublicIp"]]}]
    (found,) = place.ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]
    assert found["NetworkInterfaceId"] == known["NetworkInterfaceId"] == eni


def test_what_a_machine_leaves_behind(place: Place, net: Network) -> None:
    """Interfaces that were there before stay, unless told otherwise; what came with it goes."""
    kept = place.interface(net.first)
    nics = [
        {"DeviceIndex": 0, "NetworkInterfaceId": kept},
        {"DeviceIndex": 1, "SubnetId": net.second},
    ]
    machine = place.instance(NetworkInterfaces=nics)
    first, second = sorted(
        shown(place, machine)["NetworkInterfaces"],
        key=lambda nic: int(nic["Attachment"]["DeviceIndex"]),
    )
    assert first["Attachment"]["DeleteOnTermination"] is False
    assert second["Attachment"]["DeleteOnTermination"] is True
    place.terminate(machine)
    assert place.shown(kept)["Status"] == "available"
    assert not place.exists(second["NetworkInterfaceId"])
    assert shown(place, machine)["NetworkInterfaces"] == []
    with refused("IncorrectInstanceState"):
        place.ec2.start_instances(InstanceIds=[machine])


def test_an_interface_goes_with_its_machine_when_told(place: Place, net: Network) -> None:
    eni = place.interface(net.first)
    machine = place.instance(eni)
    place.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eni,
        Attachment={
            "AttachmentId": place.shown(eni)["Attachment"]["AttachmentId"],
            "DeleteOnTermination": True,
        },
    )
    place.terminate(machine)
    assert not place.exists(eni)


def test_a_route_is_active_while_its_machine_runs(place: Place, net: Network) -> None:
    eni, table = place.interface(net.first), place.table(net.vpc)
    machine = place.instance(eni)

    def state() -> str:
        (found,) = place.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"]
        by_destination = {one["DestinationCidrBlock"]: one["State"] for one in found["Routes"]}
        return str(by_destination["192.0.2.0/24"])

    place.ec2.create_route(
        RouteTableId=table, DestinationCidrBlock="192.0.2.0/24", NetworkInterfaceId=eni
    )
    assert state() == "active"
    place.terminate(machine)
    assert state() == "blackhole"


def test_a_stopped_machine_may_be_another(place: Place, net: Network) -> None:
    machine = place.instance(place.interface(net.first))
    modify = place.ec2.modify_instance_attribute
    with refused("IncorrectInstanceState"):
        modify(InstanceId=machine, InstanceType={"Value": "t3.micro"})
    place.stop(machine)
    modify(InstanceId=machine, InstanceType={"Value": "t3.micro"})
    assert shown(place, machine)["InstanceType"] == "t3.micro"
    with refused("InvalidInstanceAttributeValue"):
        modify(InstanceId=machine, InstanceType={"Value": "t3.colossal"})
    place.ec2.start_instances(InstanceIds=[machine])
    place.ec2.get_waiter("instance_running").wait(InstanceIds=[machine])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "debian"}, "InvalidAMIID.Malformed"),
        ({"KeyName": "nobody's"}, "InvalidKeyPair.NotFound"),
        ({"InstanceType": "t3.colossal"}, "InvalidParameterValue"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterValue"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_a_launch_is_checked_before_it_is_done(
    place: Place, net: Network, wanted: dict[str, Any], expected: str
) -> None:
    with refused(expected, 412 if "DryRun" in wanted else 400):
        place.instance(SubnetId=net.first, **wanted)


def test_device_indexes_are_taken_once_at_a_launch(place: Place, net: Network) -> None:
    one, other = place.interface(net.first), place.interface(net.first)
    nics = [{"DeviceIndex": 0, "NetworkInterfaceId": eni} for eni in (one, other)]
    with refused("InvalidParameterValue"):
        place.instance(NetworkInterfaces=nics)


@pytest.mark.parametrize(
    ("instance", "expected"),
    [("i-00000000000000000", "InvalidInstanceID.NotFound"), ("web", "InvalidInstanceID.Malformed")],
)
def test_an_instance_that_is_not_there(place: Place, instance: str, expected: str) -> None:
    with refused(expected):
        shown(place, instance)
    with refused(expected):
        place.ec2.terminate_instances(InstanceIds=[instance])
