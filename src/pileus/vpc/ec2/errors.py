"""The refusals of EC2, in AWS's own codes and words: one function per situation.

Codes and texts are those of the EC2 API reference (Error codes) and of answers seen in public bug
reports; where AWS's text varies between calls, the code is what callers may rely on.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from moto.core.exceptions import ServiceException


class AwsError(ServiceException):  # type: ignore[misc]
    """A refusal: AWS's error code, its message, and the HTTP status it comes with."""

    def __init__(self, code: str, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(code, message)
        self.status = int(status)


# The request itself


def auth_failure(message: str) -> AwsError:
    return AwsError("AuthFailure", message, HTTPStatus.UNAUTHORIZED)


def missing_action() -> AwsError:
    return AwsError("MissingAction", "The request must contain the parameter Action")


def invalid_action(action: str) -> AwsError:
    return AwsError("InvalidAction", f"The action {action} is not valid for this web service.")


def unsupported(what: str) -> AwsError:
    """Something that AWS offers and the simulated region does not: never ignored in silence."""
    return AwsError("UnsupportedOperation", f"The simulated region does not offer {what}.")


def missing_parameter(name: str) -> AwsError:
    return AwsError("MissingParameter", f"The request must contain the parameter {name}")


def invalid_value(message: str) -> AwsError:
    return AwsError("InvalidParameterValue", message)


def invalid_combination(message: str) -> AwsError:
    return AwsError("InvalidParameterCombination", message)


def invalid_token() -> AwsError:
    return AwsError("InvalidNextToken", "The specified token is invalid")


def page_size(size: int, expected: str) -> AwsError:
    return invalid_value(
        f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value {expected}."
    )


def invalid_character() -> AwsError:
    return AwsError("InvalidCharacter", "A specified character is invalid.")


def tag_limit() -> AwsError:
    return AwsError(
        "TagLimitExceeded", "The maximum number of Tags for a resource has been reached."
    )


def reserved_tag() -> AwsError:
    return invalid_value("Tag keys starting with 'aws:' are reserved for internal use")


def not_taggable(resource_type: str) -> AwsError:
    return invalid_value(
        f"'{resource_type}' is not a valid taggable resource type for this operation."
    )


def invalid_filter(name: str) -> AwsError:
    return invalid_value(f"The filter '{name}' is invalid")


def dry_run() -> AwsError:
    return AwsError(
        "DryRunOperation",
        "Request would have succeeded, but DryRun flag is set.",
        HTTPStatus.PRECONDITION_FAILED,
    )


def internal() -> AwsError:
    return AwsError(
        "InternalError", "An internal error has occurred", HTTPStatus.INTERNAL_SERVER_ERROR
    )


def throttled() -> AwsError:
    return AwsError(
        "RequestLimitExceeded", "Request limit exceeded.", HTTPStatus.SERVICE_UNAVAILABLE
    )


def unavailable() -> AwsError:
    return AwsError(
        "Unavailable",
        "The service is unavailable. Please try again shortly.",
        HTTPStatus.SERVICE_UNAVAILABLE,
    )


def idempotent_mismatch() -> AwsError:
    return AwsError(
        "IdempotentParameterMismatch",
        "Arguments on this idempotent request are inconsistent with arguments used in previous "
        "request(s).",
    )


# Things that depend on each other


def dependency(kind: str, id: str) -> AwsError:
    """`kind` as AWS spells it in this sentence: vpc, subnet, routeTable, internetGateway."""
    return AwsError(
        "DependencyViolation", f"The {kind} '{id}' has dependencies and cannot be deleted."
    )


def group_in_use(group: str) -> AwsError:
    return AwsError("DependencyViolation", f"resource {group} has a dependent object")


def default_group(group: str) -> AwsError:
    return AwsError(
        "CannotDelete",
        f'the specified group: "{group}" name: "default" cannot be deleted by a user',
    )


def mapped_addresses(vpc: str) -> AwsError:
    return AwsError(
        "DependencyViolation",
        f"Network {vpc} has some mapped public address(es). Please unmap those public "
        "address(es) before detaching the gateway.",
    )


def already_associated(resource: str, association: str) -> AwsError:
    return AwsError(
        "Resource.AlreadyAssociated",
        f"resource {resource} is already associated with associate-id {association}",
    )


def gateway_attached(gateway: str, vpc: str) -> AwsError:
    return AwsError(
        "Resource.AlreadyAssociated", f"resource {gateway} is already attached to network {vpc}"
    )


def zone_unknown(zone: str, zones: Iterable[str]) -> AwsError:
    return invalid_value(
        f"Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only be "
        f"created in the following availability zones: {', '.join(zones)}."
    )


def subnet_range(cidr: str) -> AwsError:
    return AwsError("InvalidSubnet.Range", f"The CIDR '{cidr}' is invalid.")


def has_gateway(vpc: str) -> AwsError:
    return invalid_value(f"Network {vpc} already has an internet gateway attached")


def no_gateway(vpc: str) -> AwsError:
    return AwsError("Gateway.NotAttached", f"Network {vpc} is not attached to any internet gateway")


def table_associated(table: str) -> AwsError:
    return AwsError(
        "Resource.AlreadyAssociated",
        f"the specified association for route table {table} conflicts with an existing association",
    )


def different_networks(one: str, other: str) -> AwsError:
    return invalid_value(f"{one} and {other} belong to different networks")


def vpc_range(cidr: str) -> AwsError:
    return AwsError("InvalidVpc.Range", f"The CIDR '{cidr}' is invalid.")


def range_restricted(cidr: str) -> AwsError:
    return AwsError(
        "InvalidVpc.Range",
        f"The CIDR '{cidr}' is restricted. Use a CIDR from the same private address range as the "
        "current VPC CIDR, or use a publicly-routable CIDR.",
    )


def range_conflict(cidr: str) -> AwsError:
    return AwsError(
        "CidrConflict", f"The CIDR '{cidr}' conflicts with another CIDR or a route of the VPC"
    )


def range_limit(vpc: str, most: int) -> AwsError:
    return AwsError(
        "CidrLimitExceeded",
        f"This network '{vpc}' has met its maximum number of allowed CIDRs: {most}",
    )


def range_unknown(association: str) -> AwsError:
    return AwsError(
        "InvalidVpcCidrBlockAssociationID.NotFound",
        f"The vpc CIDR block association ID '{association}' does not exist",
    )


def range_in_use(vpc: str, cidr: str) -> AwsError:
    return AwsError(
        "InvalidCidrBlock.InUse", f"The vpc {vpc} currently has a subnet within CIDR block {cidr}"
    )


def first_range(vpc: str) -> AwsError:
    return AwsError(
        "OperationNotPermitted",
        f"The primary IPv4 CIDR block of '{vpc}' may not be disassociated.",
    )


def vpc_unknown(vpc: str) -> AwsError:
    return AwsError("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist")


def acl_unknown(acl: str) -> AwsError:
    return AwsError("InvalidNetworkAclID.NotFound", f"The networkAcl ID '{acl}' does not exist")


def acl_entry_unknown(acl: str, number: int) -> AwsError:
    return AwsError(
        "InvalidNetworkAclEntry.NotFound",
        f"The network acl entry identified by {number} does not exist in {acl}.",
    )


def acl_entry_exists(number: int) -> AwsError:
    return AwsError(
        "NetworkAclEntryAlreadyExists",
        f"The network acl entry identified by {number} already exists.",
    )


def acl_entry_limit() -> AwsError:
    return AwsError(
        "NetworkAclEntryLimitExceeded",
        "The maximum number of network ACL entries has been reached.",
    )


def volume_unknown(volume: str) -> AwsError:
    return AwsError("InvalidVolume.NotFound", f"The volume '{volume}' does not exist.")


def volume_type_unknown(name: str) -> AwsError:
    return AwsError("UnknownVolumeType", f"Unsupported volume type '{name}' for volume creation.")


def volume_out_of_range(what: str, value: int, least: int, most: int) -> AwsError:
    """`what` is size, iops or throughput."""
    return invalid_value(
        f"Volume {what} of {value} is invalid; minimum is {least} and maximum is {most}."
    )


def volume_smaller(size: int, snapshot: str, least: int) -> AwsError:
    return AwsError(
        "InvalidBlockDeviceMapping",
        f"Volume of size {size}GB is smaller than snapshot '{snapshot}', expect size >= {least}GB",
    )


def volume_of_no_size(device: str) -> AwsError:
    return AwsError(
        "InvalidBlockDeviceMapping",
        f"Either snapshot ID or volume size must be provided for: {device}",
    )


def device_twice(device: str) -> AwsError:
    return AwsError(
        "InvalidBlockDeviceMapping",
        f"The device '{device}' is used in more than one block-device mapping",
    )


def no_iops(volume_type: str) -> AwsError:
    return invalid_combination(f"The parameter iops must be specified for {volume_type} volumes.")


def not_of_volumes(parameter: str, volume_type: str) -> AwsError:
    """`parameter` is iops or throughput."""
    return invalid_combination(
        f"The parameter {parameter} is not supported for {volume_type} volumes."
    )


def key_without_encryption() -> AwsError:
    return AwsError(
        "InvalidParameterDependency",
        "The parameter KmsKeyId requires the parameter Encrypted to be set.",
    )


def snapshot_malformed(snapshot: str) -> AwsError:
    return AwsError(
        "InvalidSnapshotID.Malformed", f'Invalid id: "{snapshot}" (expecting "snap-...")'
    )


def snapshot_unknown(snapshot: str) -> AwsError:
    return AwsError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot}' does not exist.")


def no_default_vpc() -> AwsError:
    return AwsError("VPCIdNotSpecified", "No default VPC for this user")


# Limits


def vpc_limit() -> AwsError:
    return AwsError("VpcLimitExceeded", "The maximum number of VPCs has been reached.")


def address_limit() -> AwsError:
    return AwsError("AddressLimitExceeded", "The maximum number of addresses has been reached.")


def no_free_public_address() -> AwsError:
    return AwsError(
        "InsufficientAddressCapacity",
        "There are no more addresses available to satisfy this request.",
    )


def private_address_limit() -> AwsError:
    return AwsError(
        "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit."
    )


def attachment_limit(count: int, instance_type: str) -> AwsError:
    return AwsError(
        "AttachmentLimitExceeded",
        f"Interface count {count} exceeds the limit for {instance_type}",
    )


def groups_limit() -> AwsError:
    return AwsError(
        "SecurityGroupsPerInterfaceLimitExceeded",
        "The maximum number of security groups per interface has been reached.",
    )


def subnet_full() -> AwsError:
    return AwsError(
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )


# Interfaces and private addresses


def address_in_use() -> AwsError:
    return AwsError("InvalidIPAddress.InUse", "The specified address is already in use.")


def address_malformed(text: str) -> AwsError:
    return invalid_value(f"Value ({text}) for parameter privateIpAddress is invalid. ")


def address_outside(text: str) -> AwsError:
    return invalid_value(f"Address {text} does not fall within the subnet's address range")


def address_reserved(text: str) -> AwsError:
    return invalid_value(f"Address {text} is in subnet's reserved address range")


def prefix_malformed(text: str) -> AwsError:
    return invalid_value(f"Value ({text}) for parameter ipv4Prefix is invalid. It must be a /28.")


def no_free_prefix() -> AwsError:
    return AwsError(
        "InsufficientCidrBlocks",
        "The specified subnet does not have enough free cidr blocks to satisfy the request.",
    )


def no_prefixes(instance_type: str) -> AwsError:
    return AwsError(
        "UnsupportedOperation",
        f"Instances of the type {instance_type} do not support IPv4 prefixes on their interfaces.",
    )


def address_not_on(addresses: Iterable[str], interface: str) -> AwsError:
    listed = ", ".join(addresses)
    return invalid_value(f"Some of [{listed}] are not assigned to interface {interface}")


def primary_address(address: str) -> AwsError:
    return invalid_value(f"{address} is the primary address and cannot be unassigned")


def interface_in_use(interface: str) -> AwsError:
    return AwsError("InvalidNetworkInterface.InUse", f"Interface: [{interface}] in use.")


def interface_to_delete_in_use(interface: str) -> AwsError:
    """The documented code is InvalidNetworkInterface.InUse; what AWS sends is this one."""
    return invalid_value(f"Network interface '{interface}' is currently in use.")


def device_index_taken(instance: str, index: int) -> AwsError:
    return invalid_value(
        f"Instance '{instance}' already has an interface attached at device index '{index}'."
    )


def primary_interface() -> AwsError:
    return AwsError(
        "OperationNotPermitted",
        "The network interface at device index 0 and networkCard index 0 cannot be detached.",
    )


def no_attachment(attachment: str) -> AwsError:
    return AwsError(
        "InvalidAttachmentID.NotFound",
        f"The networkInterface attachment ID '{attachment}' does not exist",
    )


def other_zone() -> AwsError:
    return invalid_value(
        "You may not attach a network interface to an instance if they are not in the same "
        "availability zone"
    )


def group_not_found(group: str) -> AwsError:
    return AwsError("InvalidGroup.NotFound", f"The security group '{group}' does not exist")


# Elastic IPs


def public_address_in_use(address: str) -> AwsError:
    return AwsError("InvalidIPAddress.InUse", f"Address {address} is in use.")


def public_address_unknown(address: str) -> AwsError:
    return AwsError("InvalidAddress.NotFound", f"Address '{address}' not found.")


def allocation_unknown(allocation: str) -> AwsError:
    return AwsError(
        "InvalidAllocationID.NotFound", f"The allocation ID '{allocation}' does not exist"
    )


def association_unknown(association: str) -> AwsError:
    return AwsError(
        "InvalidAssociationID.NotFound", f"The association ID '{association}' does not exist"
    )


def several_interfaces(instance: str) -> AwsError:
    return AwsError(
        "InvalidInstanceID",
        f"There are multiple interfaces attached to instance '{instance}'. Please specify an "
        "interface ID for the operation instead.",
    )


# Instances


def image_unknown(image: str) -> AwsError:
    return AwsError("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")


def instance_limit(count: int) -> AwsError:
    return AwsError(
        "InstanceLimitExceeded", f"You have requested more instances ({count}) than your limit."
    )


def zone_of_subnet(zone: str, subnet: str) -> AwsError:
    return invalid_value(f"The subnet '{subnet}' is not in the availability zone {zone}")


def instance_malformed(instance: str) -> AwsError:
    return AwsError("InvalidInstanceID.Malformed", f'Invalid id: "{instance}"')


def interface_malformed(interface: str) -> AwsError:
    return AwsError(
        "InvalidNetworkInterfaceId.Malformed", f'Invalid id: "{interface}" (expecting "eni-...")'
    )


def group_malformed(group: str) -> AwsError:
    return AwsError("InvalidGroupId.Malformed", f'Invalid id: "{group}" (expecting "sg-...")')


def image_malformed(image: str) -> AwsError:
    return AwsError("InvalidAMIID.Malformed", f'Invalid id: "{image}" (expecting "ami-...")')


def key_unknown(name: str) -> AwsError:
    return AwsError("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")


def key_malformed() -> AwsError:
    return AwsError("InvalidKey.Format", "Key is not in valid OpenSSH public key format")


def type_unknown(name: str) -> AwsError:
    return invalid_value(f"Invalid value '{name}' for InstanceType.")


def wrong_state(instance: str, wanted: str) -> AwsError:
    """`wanted` is a participle: started, stopped, rebooted."""
    return AwsError(
        "IncorrectInstanceState",
        f"The instance '{instance}' is not in a state from which it can be {wanted}.",
    )


def not_stopped(instance: str) -> AwsError:
    return AwsError(
        "IncorrectInstanceState", f"The instance '{instance}' is not in the 'stopped' state."
    )


def attribute_value(value: str, attribute: str) -> AwsError:
    return AwsError("InvalidInstanceAttributeValue", f"Invalid value '{value}' for {attribute}.")


def device_unknown(device: str) -> AwsError:
    return AwsError("InvalidInstanceAttributeValue", f"No device is currently mapped at {device}")


def instance_not_ready(instance: str) -> AwsError:
    return AwsError("IncorrectState", f"Instance '{instance}' is not 'running' or 'stopped'.")


def termination_protected(instance: str) -> AwsError:
    return AwsError(
        "OperationNotPermitted",
        f"The instance '{instance}' may not be terminated. Modify its 'disableApiTermination' "
        "instance attribute and try again.",
    )


def stop_protected(instance: str, participle: str) -> AwsError:
    """Stop protection keeps an instance from being stopped and from being terminated.

    [EC2 user guide, "Enable stop protection for your EC2 instances"]
    """
    return AwsError(
        "OperationNotPermitted",
        f"The instance '{instance}' may not be {participle}. Modify its 'disableApiStop' "
        "instance attribute and try again.",
    )


def user_data_limit(most: int) -> AwsError:
    return invalid_value(f"User data is limited to {most} bytes")


def profile_invalid(field: str, text: str) -> AwsError:
    """`field` is name or arn."""
    return invalid_value(
        f"Value ({text}) for parameter iamInstanceProfile.{field} is invalid. "
        f"Invalid IAM Instance Profile {'ARN' if field == 'arn' else field}"
    )


def profile_associated(instance: str) -> AwsError:
    return AwsError("IncorrectState", f"There is an existing association for instance {instance}")


def profile_association_unknown(association: str) -> AwsError:
    return AwsError(
        "InvalidAssociationID.NotFound", f"An invalid association-id of '{association}' was given"
    )


# Routes and rules


def route_exists(destination: str) -> AwsError:
    return AwsError("RouteAlreadyExists", f"The route identified by {destination} already exists.")


def route_limit() -> AwsError:
    return AwsError("RouteLimitExceeded", "The maximum number of routes has been reached.")


def main_table(table: str) -> AwsError:
    return dependency("routeTable", table)


def main_association(association: str) -> AwsError:
    return invalid_value(f"cannot disassociate the main route table association {association}")


def group_text(parameter: str, text: str) -> AwsError:
    return invalid_value(
        f"Value ({text}) for parameter {parameter} is invalid. It may have 255 characters, from "
        "a-z, A-Z, 0-9, spaces, and ._-:/()#,@[]+=&;{}!$*"
    )


def group_of_another_network() -> AwsError:
    return AwsError(
        "InvalidGroup.NotFound",
        "You have specified two resources that belong to different networks.",
    )


def rule_unknown(rule: str) -> AwsError:
    return AwsError(
        "InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{rule}' does not exist"
    )


def rule_of_another_kind(rule: str) -> AwsError:
    return invalid_value(
        f"Invalid rule type for security group rule '{rule}'. You may not specify a network for a "
        "rule that refers to a group, or the other way round."
    )


def prefix_list_unknown(id: str) -> AwsError:
    """There are none: they cannot be made here."""
    return AwsError("InvalidPrefixListID.NotFound", f"The prefix list ID '{id}' does not exist")


def unknown_protocol(protocol: str) -> AwsError:
    return invalid_value(f"Invalid value '{protocol}' for IP protocol. Unknown protocol.")
