"""Filters of the Describe calls, the same semantics for every resource.

A filter passes when any of its values matches any of the resource's values for that name; several
filters are joined with AND. Values are case-sensitive, `*` is any text and `?` any one character,
a backslash takes a wildcard literally. [EC2 user guide, "Filtering using the CLI and API"]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from moto.core.utils import get_service_model

from pileus.vpc.ec2 import errors

Field = Callable[[Any], Any]
"""From a resource to its value, or values, under a filter's name."""


def select(
    resources: Iterable[Any], filters: Mapping[str, Any] | None, fields: Mapping[str, Field]
) -> list[Any]:
    """Those resources that pass all filters; a name without a field is of something that none has.

    That a name is one at all, `check` has found before.
    """
    wanted = {name: _listed(values) for name, values in (filters or {}).items()}
    return [
        resource
        for resource in resources
        if all(_passes(resource, name, values, fields) for name, values in wanted.items())
    ]


def check(action: str, filters: Iterable[Mapping[str, Any]]) -> None:
    """Raises InvalidParameterValue for a filter that the action has not, or that has no name."""
    known = documented(action)
    for name in (str(one.get("Name", "")) for one in filters):
        tag = _TAG in known and _is_tag(name)
        if name not in known and name not in FIELDS.get(action, {}) and not tag:
            raise errors.invalid_filter(name)


@lru_cache(maxsize=128)
def documented(action: str) -> frozenset[str]:
    """The filters of a call as AWS documents them, read from the text in botocore's API model."""
    shape = get_service_model("ec2").operation_model(action).input_shape
    text = shape.members["Filters"].documentation if "Filters" in shape.members else ""
    names = set(re.findall(r"<li>\s*<p>\s*<code>([\w.-]+)", text))
    return frozenset(names | {_TAG} if names & {_TAG, "tag-key"} else names)


_TAG = "tag"


def _passes(resource: Any, name: str, patterns: Sequence[str], fields: Mapping[str, Field]) -> bool:
    if _is_tag(name):
        values = _tag_values(resource, name)
    else:
        values = _listed(fields[name](resource)) if name in fields else []
    return any(_matcher(pattern).fullmatch(value) for pattern in patterns for value in values)


def _is_tag(name: str) -> bool:
    return name.startswith("tag:") or name in ("tag-key", "tag-value")


def _tag_values(resource: Any, name: str) -> list[str]:
    tags: Mapping[str, str] = resource.ec2_backend.tags.get(resource.id, {})
    if name == "tag-key":
        return list(tags)
    if name == "tag-value":
        return list(tags.values())
    value = tags.get(name.removeprefix("tag:"))
    return [] if value is None else [value]


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str | bool | int | datetime):
        return [_text(value)]
    return [_text(item) for item in value if item is not None]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return str(value)


@lru_cache(maxsize=512)
def _matcher(pattern: str) -> re.Pattern[str]:
    words = re.findall(r"\\.|.", pattern, flags=re.DOTALL)
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(w) or re.escape(w.removeprefix("\\")) for w in words), re.S)


def _each(resource: Any, *path: str) -> list[Any]:
    """Values at a path of attributes or keys, following lists; missing ones are left out."""
    values = [resource]
    for step in path:
        found = []
        for value in values:
            item = value.get(step) if isinstance(value, dict) else getattr(value, step, None)
            found += list(item) if isinstance(item, list | tuple | set) else [item]
        # Not `value != ""`: moto's rules compare themselves only with each other.
        values = [value for value in found if value is not None and str(value)]
    return values


def _at(*path: str) -> Field:
    return lambda resource: _each(resource, *path)


def _while_running(value: str) -> Field:
    return lambda instance: value if instance.state == "running" else "not-applicable"


def _type_field(name: str) -> Field:
    """The value of an instance type at the place that a filter's name spells with hyphens."""
    steps = [step.replace("-", "") for step in name.split(".")]

    def found(instance_type: Any) -> list[Any]:
        values: list[Any] = [instance_type]
        for step in steps:
            inner = [
                item
                for value in values
                if isinstance(value, Mapping)
                for key, item in value.items()
                if key.lower() in (step, f"{step}s")
            ]
            values = [one for item in inner for one in (item if isinstance(item, list) else [item])]
        return values

    return found


ZONE: dict[str, Field] = {
    "zone-name": _at("name"),
    "zone-id": _at("zone_id"),
    "zone-type": _at("zone_type"),
    "region-name": _at("region_name"),
    "group-name": _at("region_name"),
    "opt-in-status": lambda _: "opt-in-not-required",
    "state": _at("state"),
}

REGION: dict[str, Field] = {
    "endpoint": _at("endpoint"),
    "opt-in-status": _at("opt_in_status"),
    "region-name": _at("name"),
}

VPC: dict[str, Field] = {
    "vpc-id": _at("id"),
    "cidr": _at("cidr_block"),
    "cidr-block-association.cidr-block": _at("cidr_block_association_set", "cidr_block"),
    "cidr-block-association.association-id": _at("cidr_block_association_set", "association_id"),
    "cidr-block-association.state": _at("cidr_block_association_set", "cidr_block_state", "state"),
    "state": _at("state"),
    "is-default": _at("is_default"),
    "owner-id": _at("owner_id"),
    "dhcp-options-id": _at("dhcp_options_id"),
}
VPC["cidr-block"] = VPC["cidrBlock"] = VPC["cidr"]
VPC["isDefault"] = VPC["is-default"]

SUBNET: dict[str, Field] = {
    "subnet-id": _at("id"),
    "vpc-id": _at("vpc_id"),
    "cidr-block": _at("cidr_block"),
    "availability-zone": _at("availability_zone"),
    "availability-zone-id": _at("availability_zone_id"),
    "available-ip-address-count": _at("available_ip_address_count"),
    "default-for-az": _at("default_for_az"),
    "map-public-ip-on-launch": _at("map_public_ip_on_launch"),
    "owner-id": _at("owner_id"),
    "state": _at("state"),
}
SUBNET["cidr"] = SUBNET["cidrBlock"] = SUBNET["cidr-block"]
SUBNET["availabilityZone"] = SUBNET["availability-zone"]
SUBNET["defaultForAz"] = SUBNET["default-for-az"]

INTERNET_GATEWAY: dict[str, Field] = {
    "internet-gateway-id": _at("id"),
    "attachment.vpc-id": _at("vpc", "id"),
    "attachment.state": lambda gateway: "available" if gateway.vpc else None,
    "owner-id": _at("owner_id"),
}

ROUTE_TABLE: dict[str, Field] = {
    "route-table-id": _at("id"),
    "vpc-id": _at("vpc_id"),
    "owner-id": _at("owner_id"),
    "association.main": lambda table: table.main_association_id is not None,
    "association.route-table-id": lambda table: table.id if table.all_associations_ids else None,
    "association.route-table-association-id": lambda table: table.all_associations_ids,
    "association.subnet-id": lambda table: list(table._associations.values()),
    "association.gateway-id": _at("associations", "GatewayId"),
    "route.destination-cidr-block": _at("routes", "destination_cidr_block"),
    "route.gateway-id": _at("routes", "gateway_id"),
    "route.instance-id": _at("routes", "instance_id"),
    "route.nat-gateway-id": _at("routes", "nat_gateway_id"),
    "route.origin": _at("routes", "origin"),
    "route.state": _at("routes", "state"),
    "route.vpc-peering-connection-id": _at("routes", "vpc_peering_connection_id"),
    "route.transit-gateway-id": _at("routes", "transit_gateway_id"),
}

_INGRESS = "ingress_rules"
_EGRESS = "egress_rules"


def _rule_fields(prefix: str, rules: str) -> dict[str, Field]:
    return {
        f"{prefix}.cidr": _at(rules, "cidr_ipv4"),
        f"{prefix}.ipv6-cidr": _at(rules, "cidr_ipv6"),
        f"{prefix}.from-port": _at(rules, "from_port"),
        f"{prefix}.to-port": _at(rules, "to_port"),
        f"{prefix}.protocol": _at(rules, "ip_protocol"),
        f"{prefix}.group-id": _at(rules, "source_group", "GroupId"),
        f"{prefix}.group-name": _at(rules, "source_group", "GroupName"),
        f"{prefix}.prefix-list-id": _at(rules, "prefix_list_id"),
        f"{prefix}.user-id": _at(rules, "source_group", "UserId"),
    }


SECURITY_GROUP: dict[str, Field] = {
    "group-id": _at("id"),
    "group-name": _at("name"),
    "description": _at("description"),
    "owner-id": _at("owner_id"),
    "vpc-id": _at("vpc_id"),
    **_rule_fields("ip-permission", _INGRESS),
    **_rule_fields("egress.ip-permission", _EGRESS),
}

SECURITY_GROUP_RULE: dict[str, Field] = {
    "group-id": _at("group_id"),
    "security-group-rule-id": _at("id"),
}

KEY_PAIR: dict[str, Field] = {
    "key-name": _at("key_name"),
    "key-pair-id": _at("id"),
    "fingerprint": _at("key_fingerprint"),
}

NETWORK_ACL: dict[str, Field] = {
    "network-acl-id": _at("id"),
    "vpc-id": _at("vpc_id"),
    "owner-id": _at("owner_id"),
    "default": _at("default"),
    "association.association-id": _at("associations", "new_association_id"),
    "association.network-acl-id": _at("associations", "network_acl_id"),
    "association.subnet-id": _at("associations", "subnet_id"),
    "entry.cidr": _at("network_acl_entries", "cidr_block"),
    "entry.egress": _at("network_acl_entries", "egress"),
    "entry.icmp.code": _at("network_acl_entries", "icmp_code"),
    "entry.icmp.type": _at("network_acl_entries", "icmp_type"),
    "entry.ipv6-cidr": _at("network_acl_entries", "ipv6_cidr_block"),
    "entry.port-range.from": _at("network_acl_entries", "port_range_from"),
    "entry.port-range.to": _at("network_acl_entries", "port_range_to"),
    "entry.protocol": _at("network_acl_entries", "protocol"),
    "entry.rule-action": _at("network_acl_entries", "rule_action"),
    "entry.rule-number": _at("network_acl_entries", "rule_number"),
}

VOLUME: dict[str, Field] = {
    "volume-id": _at("id"),
    "attachment.attach-time": _at("attachments", "attach_time"),
    "attachment.delete-on-termination": lambda volume: [
        mapping.delete_on_termination
        for attachment in volume.attachments
        for mapping in attachment.instance.block_device_mapping.values()
        if mapping.volume_id == volume.id
    ],
    "attachment.device": _at("attachments", "device"),
    "attachment.instance-id": _at("attachments", "instance_id"),
    "attachment.status": _at("attachments", "status"),
    "availability-zone": _at("availability_zone"),
    "availability-zone-id": _at("zone", "zone_id"),
    "create-time": _at("create_time"),
    "encrypted": _at("encrypted"),
    "multi-attach-enabled": lambda _: False,
    "size": _at("size"),
    "snapshot-id": _at("snapshot_id"),
    "status": _at("status"),
    "volume-type": _at("volume_type"),
}

PROFILE_ASSOCIATION: dict[str, Field] = {
    "instance-id": _at("instance_id"),
    "state": _at("state"),
}

IMAGE: dict[str, Field] = {
    "architecture": _at("architecture"),
    "block-device-mapping.delete-on-termination": _at(
        "block_device_mappings", "Ebs", "DeleteOnTermination"
    ),
    "block-device-mapping.device-name": _at("block_device_mappings", "DeviceName"),
    "block-device-mapping.snapshot-id": _at("block_device_mappings", "Ebs", "SnapshotId"),
    "block-device-mapping.volume-size": _at("block_device_mappings", "Ebs", "VolumeSize"),
    "block-device-mapping.volume-type": _at("block_device_mappings", "Ebs", "VolumeType"),
    "boot-mode": _at("boot_mode"),
    "creation-date": _at("creation_date"),
    "description": _at("description"),
    "ena-support": lambda _: True,
    "hypervisor": _at("hypervisor"),
    "image-id": _at("id"),
    "image-type": _at("image_type"),
    "is-public": _at("is_public"),
    "name": _at("name"),
    "owner-alias": _at("owner_alias"),
    "owner-id": _at("owner_id"),
    "platform": _at("platform"),
    "root-device-name": _at("root_device_name"),
    "root-device-type": _at("root_device_type"),
    "state": _at("state"),
    "virtualization-type": _at("virtualization_type"),
}

INTERFACE: dict[str, Field] = {
    "network-interface-id": _at("id"),
    "addresses.association.owner-id": _at("private_ip_addresses", "Association", "IpOwnerId"),
    "addresses.association.public-ip": _at("private_ip_addresses", "Association", "PublicIp"),
    "addresses.primary": _at("private_ip_addresses", "Primary"),
    "addresses.private-ip-address": _at("private_ip_addresses", "PrivateIpAddress"),
    "association.allocation-id": _at("association", "AllocationId"),
    "association.association-id": _at("association", "AssociationId"),
    "association.ip-owner-id": _at("association", "IpOwnerId"),
    "association.public-dns-name": _at("association", "PublicDnsName"),
    "association.public-ip": _at("association", "PublicIp"),
    "attachment.attach-time": _at("attachment", "attach_time"),
    "attachment.attachment-id": _at("attachment", "attachment_id"),
    "attachment.delete-on-termination": _at("attachment", "delete_on_termination"),
    "attachment.device-index": _at("attachment", "device_index"),
    "attachment.instance-id": _at("attachment", "instance_id"),
    "attachment.instance-owner-id": _at("attachment", "instance_owner_id"),
    "attachment.status": _at("attachment", "status"),
    "availability-zone": _at("availability_zone"),
    "description": _at("description"),
    "group-id": _at("group_set", "id"),
    "group-name": _at("group_set", "name"),
    "interface-type": _at("interface_type"),
    "mac-address": _at("mac_address"),
    "owner-id": _at("owner_id"),
    "private-dns-name": _at("private_dns_name"),
    "private-ip-address": _at("private_ip_address"),
    "requester-id": _at("requester_id"),
    "requester-managed": _at("requester_managed"),
    "source-dest-check": _at("source_dest_check"),
    "status": _at("status"),
    "subnet-id": _at("subnet", "id"),
    "vpc-id": _at("vpc_id"),
}

ADDRESS: dict[str, Field] = {
    "allocation-id": _at("allocation_id"),
    "association-id": _at("association_id"),
    "domain": _at("domain"),
    "instance-id": _at("instance_id"),
    "network-border-group": _at("ec2_backend", "region_name"),
    "network-interface-id": _at("network_interface_id"),
    "network-interface-owner-id": _at("network_interface_owner_id"),
    "private-ip-address": _at("private_ip_address"),
    "public-ip": _at("public_ip"),
}

_NICS = "network_interfaces"

INSTANCE: dict[str, Field] = {
    "architecture": _at("architecture"),
    "availability-zone": _at("placement", "zone"),
    "block-device-mapping.volume-id": _at("block_device_mappings", "Ebs", "volume_id"),
    "client-token": _at("client_token"),
    "dns-name": _at("public_dns_name"),
    "hypervisor": _at("hypervisor"),
    "iam-instance-profile.arn": _at("iam_instance_profile", "Arn"),
    "iam-instance-profile.id": _at("iam_instance_profile", "Id"),
    "block-device-mapping.device-name": lambda instance: list(instance.block_device_mapping),
    "ebs-optimized": _at("ebs_optimized"),
    "ena-support": lambda _: True,
    "launch-index": _at("ami_launch_index"),
    "monitoring-state": _at("monitoring_state"),
    "platform-details": lambda _: "Linux/UNIX",
    "state-reason-message": _at("state_reason", "message"),
    "image-id": _at("image_id"),
    "instance-id": _at("id"),
    "instance-state-code": _at("state_code"),
    "instance-state-name": _at("state"),
    "instance-type": _at("instance_type"),
    "instance.group-id": _at("security_groups", "id"),
    "instance.group-name": _at("security_groups", "name"),
    "ip-address": _at("public_ip"),
    "key-name": _at("key_name"),
    "launch-time": _at("launch_time"),
    "metadata-options.http-endpoint": _at("metadata_options", "http_endpoint"),
    "metadata-options.http-put-response-hop-limit": _at(
        "metadata_options", "http_put_response_hop_limit"
    ),
    "metadata-options.http-tokens": _at("metadata_options", "http_tokens"),
    "owner-id": _at("owner_id"),
    "placement-group-name": _at("placement", "group_name"),
    "private-dns-name": _at("private_dns_name"),
    "private-ip-address": _at("private_ip"),
    "reservation-id": _at("reservation_id"),
    "root-device-name": _at("root_device_name"),
    "root-device-type": _at("root_device_type"),
    "source-dest-check": _at("source_dest_check"),
    "state-reason-code": _at("state_reason", "code"),
    "subnet-id": _at("subnet_id"),
    "tenancy": _at("placement", "tenancy"),
    "virtualization-type": _at("virtualization_type"),
    "vpc-id": _at("vpc_id"),
    "network-interface.addresses.association.public-ip": _at(
        _NICS, "private_ip_addresses", "Association", "PublicIp"
    ),
    "network-interface.addresses.primary": _at(_NICS, "private_ip_addresses", "Primary"),
    "network-interface.addresses.private-ip-address": _at(
        _NICS, "private_ip_addresses", "PrivateIpAddress"
    ),
    "network-interface.addresses.association.allocation-id": _at(
        _NICS, "private_ip_addresses", "Association", "AllocationId"
    ),
    "network-interface.addresses.association.association-id": _at(
        _NICS, "private_ip_addresses", "Association", "AssociationId"
    ),
    "network-interface.addresses.association.ip-owner-id": _at(
        _NICS, "private_ip_addresses", "Association", "IpOwnerId"
    ),
    "network-interface.association.ip-owner-id": _at(_NICS, "association", "IpOwnerId"),
    "network-interface.attachment.delete-on-termination": _at(
        _NICS, "attachment", "delete_on_termination"
    ),
    "network-interface.association.public-ip": _at(_NICS, "association", "PublicIp"),
    "network-interface.association.allocation-id": _at(_NICS, "association", "AllocationId"),
    "network-interface.association.association-id": _at(_NICS, "association", "AssociationId"),
    "network-interface.attachment.attachment-id": _at(_NICS, "attachment", "attachment_id"),
    "network-interface.attachment.device-index": _at(_NICS, "attachment", "device_index"),
    "network-interface.attachment.instance-id": _at(_NICS, "attachment", "instance_id"),
    "network-interface.attachment.status": _at(_NICS, "attachment", "status"),
    "network-interface.availability-zone": _at(_NICS, "availability_zone"),
    "network-interface.description": _at(_NICS, "description"),
    "network-interface.group-id": _at(_NICS, "group_set", "id"),
    "network-interface.group-name": _at(_NICS, "group_set", "name"),
    "network-interface.mac-address": _at(_NICS, "mac_address"),
    "network-interface.network-interface-id": _at(_NICS, "id"),
    "network-interface.owner-id": _at(_NICS, "owner_id"),
    "network-interface.private-dns-name": _at(_NICS, "private_dns_name"),
    "network-interface.source-dest-check": _at(_NICS, "source_dest_check"),
    "network-interface.status": _at(_NICS, "status"),
    "network-interface.subnet-id": _at(_NICS, "subnet", "id"),
    "network-interface.vpc-id": _at(_NICS, "vpc_id"),
}


INSTANCE_TYPE: dict[str, Field] = {
    name: _type_field(name) for name in documented("DescribeInstanceTypes")
}

INSTANCE["group-id"] = INSTANCE["instance.group-id"]
INSTANCE["group-name"] = INSTANCE["instance.group-name"]
INSTANCE["network-interface.private-ip-address"] = INSTANCE[
    "network-interface.addresses.private-ip-address"
]

INSTANCE_STATUS: dict[str, Field] = {
    **INSTANCE,
    "instance-status.reachability": _while_running("passed"),
    "instance-status.status": _while_running("ok"),
    "system-status.reachability": _while_running("passed"),
    "system-status.status": _while_running("ok"),
}

FIELDS: Mapping[str, Mapping[str, Field]] = {
    "DescribeAddresses": ADDRESS,
    "DescribeInstanceStatus": INSTANCE_STATUS,
    "DescribeInstances": INSTANCE,
    "DescribeInternetGateways": INTERNET_GATEWAY,
    "DescribeKeyPairs": KEY_PAIR,
    "DescribeNetworkInterfaces": INTERFACE,
    "DescribeRouteTables": ROUTE_TABLE,
    "DescribeSecurityGroups": SECURITY_GROUP,
    "DescribeSubnets": SUBNET,
    "DescribeVpcs": VPC,
}
"""Names that are taken too, documented now or not: older ones, and the alternative spellings."""
