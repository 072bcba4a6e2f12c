"""Doing one step: each is one API call, and one that waits where the next step needs it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import singledispatch
from ipaddress import IPv4Address
from typing import Any

from botocore.exceptions import ClientError

from pileus.model.errors import Fault
from pileus.model.underlay import Permission, Role
from pileus.model.underlay_steps import (
    AllocateElasticIp,
    AssignAddresses,
    AssociateElasticIp,
    AttachInternetGateway,
    AttachNic,
    Authorize,
    AwaitRunning,
    AwaitStopped,
    AwaitTermination,
    CreateGroup,
    CreateInternetGateway,
    CreateNic,
    CreateSubnet,
    CreateVpc,
    DeleteGroup,
    DeleteInternetGateway,
    DeleteKey,
    DeleteNic,
    DeleteSpareGateway,
    DeleteSpareVpc,
    DeleteSubnet,
    DeleteVpc,
    DetachInternetGateway,
    DetachNic,
    ImportKey,
    ReleaseElasticIp,
    Revoke,
    RevokeStrays,
    RouteToInternet,
    RunInstance,
    StartInstance,
    StopInstance,
    TerminateInstance,
    UnassignAddresses,
)
from pileus.system import clock
from pileus.underlay.aws.catalogue import image, instance_type
from pileus.underlay.aws.client import ADDRESS_TAG, ROLE_TAG, tags
from pileus.underlay.aws.consistency import NotSeen
from pileus.underlay.aws.observe import Raw

_POLL_SECONDS = 0.5
_WAIT_SECONDS = 300


@dataclass(frozen=True)
class Call:
    """What a step is done with: the client, and what the cloud has now."""

    client: Any
    cloud: str
    raw: Raw

    @property
    def vpc(self) -> str:
        return str(_there(self.raw.vpc, "VPC")["VpcId"])

    @property
    def gateway(self) -> str:
        return str(_there(self.raw.gateway, "internet gateway")["InternetGatewayId"])

    @property
    def instance(self) -> str:
        return str(_there(self.raw.instance, "machine")["InstanceId"])

    def subnet(self, role: Role) -> str:
        return str(_there(self.raw.subnets.get(role), f"{role} subnet")["SubnetId"])

    def group(self, role: Role) -> str:
        return str(_there(self.raw.groups.get(role), f"{role} security group")["GroupId"])

    def nic(self, role: Role) -> str:
        return str(_there(self.raw.nics.get(role), f"{role} NIC")["NetworkInterfaceId"])

    def registered(self, role: Role) -> list[IPv4Address]:
        """Addresses on the NIC."""
        rows = _there(self.raw.nics.get(role), f"{role} NIC")["PrivateIpAddresses"]
        return [IPv4Address(row["PrivateIpAddress"]) for row in rows]

    def tags(self, kind: str, name: str, **more: str) -> list[dict[str, Any]]:
        return tags(kind, self.cloud, name, **more)

    def role_tags(self, kind: str, role: Role) -> list[dict[str, Any]]:
        return tags(kind, self.cloud, role, **{ROLE_TAG: role})


def _there(item: dict[str, Any] | None, what: str) -> dict[str, Any]:
    if item is None:
        raise NotSeen(f"the {what} is not there", hint="run `pileus up` again", retryable=True)
    return item


# ruff: noqa: ARG001 - every step is done with a call, and some need nothing of themselves
@singledispatch
def do(step: Any, call: Call) -> None:
    """Do one step. Raises botocore's errors as they come, and NotSeen when a part is missing."""
    raise TypeError(step)


@do.register
def _(step: CreateVpc, call: Call) -> None:
    call.client.create_vpc(CidrBlock=str(step.cidr), TagSpecifications=call.tags("vpc", "vpc"))


@do.register
def _(step: CreateInternetGateway, call: Call) -> None:
    call.client.create_internet_gateway(TagSpecifications=call.tags("internet-gateway", "gateway"))


@do.register
def _(step: AttachInternetGateway, call: Call) -> None:
    call.client.attach_internet_gateway(InternetGatewayId=call.gateway, VpcId=call.vpc)


@do.register
def _(step: RouteToInternet, call: Call) -> None:
    table = _there(call.raw.main_table, "main route table")
    route = {
        "RouteTableId": table["RouteTableId"],
        "DestinationCidrBlock": "0.0.0.0/0",
        "GatewayId": call.gateway,
    }
    elsewhere = any(r.get("DestinationCidrBlock") == "0.0.0.0/0" for r in table["Routes"])
    (call.client.replace_route if elsewhere else call.client.create_route)(**route)


@do.register
def _(step: CreateSubnet, call: Call) -> None:
    zones = {subnet["AvailabilityZone"] for subnet in call.raw.subnets.values()}
    same_zone = {"AvailabilityZone": zones.pop()} if zones else {}
    call.client.create_subnet(
        VpcId=call.vpc,
        CidrBlock=str(step.cidr),
        TagSpecifications=call.role_tags("subnet", step.role),
        **same_zone,
    )


@do.register
def _(step: CreateGroup, call: Call) -> None:
    call.client.create_security_group(
        GroupName=f"{call.cloud}-{step.role}",
        Description=f"Pileus cloud {call.cloud}, {step.role} NIC",
        VpcId=call.vpc,
        TagSpecifications=call.role_tags("security-group", step.role),
    )


@do.register
def _(step: Authorize, call: Call) -> None:
    with _unless("InvalidPermission.Duplicate"):
        call.client.authorize_security_group_ingress(
            GroupId=call.group(step.role), IpPermissions=[_rule(step.permission)]
        )


@do.register
def _(step: Revoke, call: Call) -> None:
    with _unless("InvalidPermission.NotFound"):
        call.client.revoke_security_group_ingress(
            GroupId=call.group(step.role), IpPermissions=[_rule(step.permission)]
        )


@do.register
def _(step: RevokeStrays, call: Call) -> None:
    with _unless(".NotFound"):
        call.client.revoke_security_group_ingress(
            GroupId=call.group(step.role), SecurityGroupRuleIds=list(step.rule_ids)
        )


def _rule(permission: Permission) -> dict[str, Any]:
    first, last = permission.ports or (-1, -1)
    return {
        "IpProtocol": permission.protocol,
        "FromPort": first,
        "ToPort": last,
        "IpRanges": [{"CidrIp": str(permission.source)}],
    }


@do.register
def _(step: ImportKey, call: Call) -> None:
    call.client.import_key_pair(
        KeyName=_key_name(call.cloud),
        PublicKeyMaterial=step.public_key.encode(),
        TagSpecifications=call.tags("key-pair", "key"),
    )


def _key_name(cloud: str) -> str:
    return f"pileus-{cloud}"


@do.register
def _(step: CreateNic, call: Call) -> None:
    call.client.create_network_interface(
        SubnetId=call.subnet(step.role),
        PrivateIpAddress=str(step.address),
        Groups=[call.group(step.role)],
        Description=f"Pileus cloud {call.cloud}, {step.role} NIC",
        TagSpecifications=call.role_tags("network-interface", step.role),
    )


@do.register
def _(step: AssignAddresses, call: Call) -> None:
    call.client.assign_private_ip_addresses(
        NetworkInterfaceId=call.nic(step.role), PrivateIpAddresses=_texts(step.addresses)
    )


@do.register
def _(step: UnassignAddresses, call: Call) -> None:
    if gone := set(step.addresses) & set(call.registered(step.role)):
        call.client.unassign_private_ip_addresses(
            NetworkInterfaceId=call.nic(step.role), PrivateIpAddresses=_texts(gone)
        )


def _texts(addresses: Iterable[IPv4Address]) -> list[str]:
    return [str(address) for address in sorted(addresses)]


@do.register
def _(step: AllocateElasticIp, call: Call) -> None:
    call.client.allocate_address(
        Domain="vpc",
        TagSpecifications=call.tags(
            "elastic-ip", str(step.address), **{ADDRESS_TAG: str(step.address)}
        ),
    )


@do.register
def _(step: AssociateElasticIp, call: Call) -> None:
    call.client.associate_address(
        AllocationId=_elastic_ip(call, str(step.address), ADDRESS_TAG),
        NetworkInterfaceId=call.nic(step.role),
        PrivateIpAddress=str(step.address),
        AllowReassociation=True,
    )


def _elastic_ip(call: Call, value: str, tag: str) -> str:
    for item in call.raw.elastic_ips:
        if any(pair == {"Key": tag, "Value": value} for pair in item.get("Tags", [])):
            return str(item["AllocationId"])
    raise NotSeen(f"the Elastic IP for {value} is not there", hint="run `pileus up` again")


@do.register
def _(step: RunInstance, call: Call) -> None:
    found = image(call.client, step.image_name)
    # No ClientToken of our own: a NIC is on one machine at a time, so a second launch is refused,
    # while a token told from the NICs would bring back a former machine that has ended.
    launched = call.client.run_instances(
        ImageId=found["ImageId"],
        InstanceType=step.instance_type,
        KeyName=_key_name(call.cloud),
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[
            {"DeviceIndex": index, "NetworkInterfaceId": call.nic(role)}
            for index, role in enumerate(step.roles)
        ],
        BlockDeviceMappings=[
            {
                "DeviceName": found.get("RootDeviceName") or "/dev/xvda",
                "Ebs": {"VolumeSize": step.root_gib, "DeleteOnTermination": True},
            }
        ],
        # Tenants' packets pass through this machine: without a token, one hop away, nobody reads.
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        TagSpecifications=[
            *call.tags("instance", "controller"),
            *call.tags("volume", "controller"),
        ],
        **_cpu(step, call),
    )
    _await_state(call, launched["Instances"][0]["InstanceId"], "running")


def _cpu(step: RunInstance, call: Call) -> dict[str, Any]:
    able = (
        step.nested_virtualization
        and instance_type(call.client, step.instance_type).nested_virtualization
    )
    return {"CpuOptions": {"NestedVirtualization": "enabled"}} if able else {}


@do.register
def _(step: AttachNic, call: Call) -> None:
    nic, instance = call.nic(step.role), call.instance
    with _unless("InvalidNetworkInterface.InUse"):
        call.client.attach_network_interface(
            NetworkInterfaceId=nic, InstanceId=instance, DeviceIndex=step.index
        )
    _await_attachment(call, nic, instance)


@do.register
def _(step: DetachNic, call: Call) -> None:
    nic = call.raw.nics.get(step.role, {})
    if attachment := nic.get("Attachment"):
        with _unless("InvalidAttachmentID.NotFound"):
            call.client.detach_network_interface(AttachmentId=attachment["AttachmentId"])
        _await_attachment(call, nic["NetworkInterfaceId"], None)


def _await_attachment(call: Call, nic: str, instance: str | None) -> None:
    """Wait until a NIC is attached to a machine, None being no machine any more."""

    def look() -> bool | None:
        (found,) = call.client.describe_network_interfaces(NetworkInterfaceIds=[nic])[
            "NetworkInterfaces"
        ]
        attachment = found.get("Attachment", {})
        there = attachment.get("InstanceId") if attachment.get("Status") != "attaching" else ""
        return there == instance or None

    clock.poll(
        look,
        what=f"the NIC {nic} was not {'attached' if instance else 'detached'}",
        hint="see what has it in the cloud's console, then repeat",
        timeout=_WAIT_SECONDS,
        interval=_POLL_SECONDS,
    )


@do.register
def _(step: StopInstance, call: Call) -> None:
    call.client.stop_instances(InstanceIds=[call.instance])


@do.register
def _(step: AwaitStopped, call: Call) -> None:
    _await_state(call, call.instance, "stopped")


@do.register
def _(step: StartInstance, call: Call) -> None:
    call.client.start_instances(InstanceIds=[call.instance])


@do.register
def _(step: AwaitRunning, call: Call) -> None:
    _await_state(call, call.instance, "running")


@do.register
def _(step: TerminateInstance, call: Call) -> None:
    call.client.terminate_instances(InstanceIds=[call.instance])
    _await_state(call, call.instance, "terminated")


@do.register
def _(step: AwaitTermination, call: Call) -> None:
    _await_state(call, step.instance_id, "terminated")


def _await_state(call: Call, instance: str, *states: str) -> None:
    """Wait until the machine is in one of these states; EC2 tells by being asked only.

    Raises Fault, with the reason that EC2 gives, when it ends instead, or when time is up.
    """

    def look() -> bool | None:
        state, reason = _state(call, instance)
        if state in states:
            return True
        if state in ("shutting-down", "terminated") and "terminated" not in states:
            raise Fault(
                f"the machine {instance} ended instead of being {states[0]}: {reason}",
                hint="see its console log; `pileus up` launches it again",
                retryable=True,
            )
        return None

    clock.poll(
        look,
        what=f"the machine {instance} was not {states[0]}",
        hint="see its state in the cloud's console, then repeat",
        timeout=_WAIT_SECONDS,
        interval=_POLL_SECONDS,
    )


def _state(call: Call, instance: str) -> tuple[str, str]:
    """The machine's state and the reason for it; pending while EC2 does not know it yet."""
    try:
        found = call.client.describe_instances(InstanceIds=[instance])["Reservations"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "InvalidInstanceID.NotFound":
            return "pending", ""
        raise
    ((described,),) = [reservation["Instances"] for reservation in found]
    reason = described.get("StateReason", {}).get("Message", "no reason given")
    return str(described["State"]["Name"]), str(reason)


@do.register
def _(step: ReleaseElasticIp, call: Call) -> None:
    for item in call.raw.elastic_ips:
        if IPv4Address(item["PublicIp"]) == step.public:
            if "AssociationId" in item:
                call.client.disassociate_address(AssociationId=item["AssociationId"])
            with _unless(".NotFound"):
                call.client.release_address(AllocationId=item["AllocationId"])


@do.register
def _(step: DeleteNic, call: Call) -> None:
    with _unless(".NotFound"):
        call.client.delete_network_interface(NetworkInterfaceId=call.nic(step.role))


@do.register
def _(step: DeleteGroup, call: Call) -> None:
    with _unless(".NotFound"):
        call.client.delete_security_group(GroupId=call.group(step.role))


@do.register
def _(step: DeleteSubnet, call: Call) -> None:
    with _unless(".NotFound"):
        call.client.delete_subnet(SubnetId=call.subnet(step.role))


@do.register
def _(step: DetachInternetGateway, call: Call) -> None:
    _detach(call, _there(call.raw.gateway, "internet gateway"))


def _detach(call: Call, gateway: dict[str, Any]) -> None:
    for attachment in gateway.get("Attachments", []):
        call.client.detach_internet_gateway(
            InternetGatewayId=gateway["InternetGatewayId"], VpcId=attachment["VpcId"]
        )


@do.register
def _(step: DeleteInternetGateway, call: Call) -> None:
    with _unless(".NotFound"):
        call.client.delete_internet_gateway(InternetGatewayId=call.gateway)


@do.register
def _(step: DeleteVpc, call: Call) -> None:
    with _unless(".NotFound"):
        call.client.delete_vpc(VpcId=call.vpc)


@do.register
def _(step: DeleteSpareVpc, call: Call) -> None:
    with _unless(".NotFound"):
        call.client.delete_vpc(VpcId=step.vpc_id)


@do.register
def _(step: DeleteSpareGateway, call: Call) -> None:
    for gateway in call.raw.spare_gateways:
        if gateway["InternetGatewayId"] == step.gateway_id:
            _detach(call, gateway)
            call.client.delete_internet_gateway(InternetGatewayId=step.gateway_id)


@do.register
def _(step: DeleteKey, call: Call) -> None:
    call.client.delete_key_pair(KeyName=_key_name(call.cloud))


@contextlib.contextmanager
def _unless(code: str) -> Iterator[None]:
    """Take an error whose code ends so for success: the step was done before.

    A call whose answer was lost is sent again by boto3, and then finds its work done.
    """
    try:
        yield
    except ClientError as error:
        if not error.response["Error"]["Code"].endswith(code):
            raise
