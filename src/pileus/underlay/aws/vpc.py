"""Reading what the cloud below decides by when a packet passes: for `pileus trace`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.ends import Interface
from pileus.model.scene import ANY, AclEntry, Permit, TableRoute, Vpc, VpcNic
from pileus.model.underlay import Role, in_order
from pileus.underlay.aws.client import ADDRESS_TAG, tag_of
from pileus.underlay.aws.observe import Raw

_PROTOCOLS = {"-1": ANY, "1": "icmp", "6": "tcp", "17": "udp"}
"""Network ACLs name protocols by number, security groups by name. [RFC 5237]"""
_AT_ONCE = 4
_Answers = Mapping[str, list[dict[str, Any]]]


def read(client: Any, cloud: str) -> Vpc | None:
    """The VPC of a cloud with its NICs; None where there is none. Raises botocore's errors."""
    raw = Raw(client, cloud)
    questions: dict[str, Callable[[], Any]] = {
        "vpc": lambda: raw.vpc,
        "gateway": lambda: raw.gateway,
        "nics": lambda: raw.nics,
        "subnets": lambda: raw.subnets,
        "instance": lambda: raw.instance,
        "addresses": lambda: raw.elastic_ips,
        "acls": lambda: client.describe_network_acls()["NetworkAcls"],
        "tables": lambda: client.describe_route_tables()["RouteTables"],
        "groups": lambda: client.describe_security_groups()["SecurityGroups"],
    }
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = {name: pool.submit(question) for name, question in questions.items()}
        found = {name: future.result() for name, future in futures.items()}
    return _vpc(found) if found["vpc"] else None


def _vpc(found: Mapping[str, Any]) -> Vpc:
    gateway, instance, id = found["gateway"], found["instance"], found["vpc"]["VpcId"]
    attached = gateway and any(one["VpcId"] == id for one in gateway.get("Attachments", []))
    here = {kind: [one for one in found[kind] if one["VpcId"] == id] for kind in _IN_VPC}
    nics = {role: _nic(role, found, here) for role in in_order(found["nics"])}
    used = {group for nic in nics.values() for group in nic.groups}
    elastic = list(found["addresses"])
    return Vpc(
        network=IPv4Network(found["vpc"]["CidrBlock"]),
        gateway=gateway["InternetGatewayId"] if attached else None,
        machine=instance["State"]["Name"] if instance else "gone",
        nics=nics,
        groups={
            one["GroupId"]: tuple(_permits(one)) for one in here["groups"] if one["GroupId"] in used
        },
        elastic={
            IPv4Address(one["PublicIp"]): IPv4Address(one["PrivateIpAddress"])
            for one in elastic
            if one.get("PrivateIpAddress")
        },
        loose={
            IPv4Address(one["PublicIp"]): IPv4Address(wanted)
            for one in elastic
            if not one.get("PrivateIpAddress") and (wanted := tag_of(one, ADDRESS_TAG))
        },
    )


_IN_VPC = ("acls", "tables", "groups")


def _nic(role: Role, found: Mapping[str, Any], here: _Answers) -> VpcNic:
    item, instance = found["nics"][role], found["instance"]
    attachment = item.get("Attachment") or {}
    subnet = item["SubnetId"]
    rows = sorted(item["PrivateIpAddresses"], key=lambda row: not row["Primary"])
    return VpcNic(
        interface=Interface(
            role,
            f"eth{attachment.get('DeviceIndex', role)}",
            item["NetworkInterfaceId"],
            Mac.parse(item["MacAddress"]),
            IPv4Network(found["subnets"][role]["CidrBlock"]),
        ),
        addresses=tuple(IPv4Address(row["PrivateIpAddress"]) for row in rows),
        attached=bool(instance) and attachment.get("InstanceId") == instance["InstanceId"],
        source_check=item.get("SourceDestCheck", True),
        groups=tuple(group["GroupId"] for group in item["Groups"]),
        acl=_acl(here["acls"], subnet),
        routes=tuple(_routes(here["tables"], subnet)),
    )


def _acl(acls: Iterable[dict[str, Any]], subnet: str) -> tuple[AclEntry, ...] | None:
    for acl in acls:
        if subnet in [one.get("SubnetId") for one in acl["Associations"]]:
            return tuple(_entries(acl["Entries"]))
    return None


def _entries(entries: Iterable[dict[str, Any]]) -> Iterator[AclEntry]:
    for entry in entries:
        if "CidrBlock" not in entry:
            continue
        protocol = _PROTOCOLS.get(str(entry["Protocol"]), str(entry["Protocol"]))
        ports = entry.get("PortRange") or {}
        kind = entry.get("IcmpTypeCode") or {}
        span = _span(protocol, ports.get("From", kind.get("Type")), ports.get("To"))
        far = IPv4Network(entry["CidrBlock"])
        about = Permit(bool(entry["Egress"]), protocol, span, far)
        yield AclEntry(entry["RuleNumber"], entry["RuleAction"] == "allow", about)


def _span(protocol: str, first: int | None, last: int | None) -> tuple[int, int] | None:
    """Of ICMP, the type; -1 is any."""
    if first is None or first < 0 or protocol == ANY:
        return None
    return (first, first) if protocol == "icmp" or last is None else (first, last)


def _routes(tables: Iterable[dict[str, Any]], subnet: str) -> Iterator[TableRoute]:
    """Of the table that the subnet is associated with, else of the main one."""
    chosen = _table(tables, lambda one: one.get("SubnetId") == subnet) or _table(
        tables, lambda one: bool(one.get("Main"))
    )
    for route in chosen["Routes"] if chosen else ():
        if "DestinationCidrBlock" in route:
            target = next((str(route[key]) for key in _TARGETS if route.get(key)), "nowhere")
            active = route.get("State", "active") == "active"
            yield TableRoute(IPv4Network(route["DestinationCidrBlock"]), target, active)


_TARGETS = (
    "GatewayId",
    "NetworkInterfaceId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "InstanceId",
)


def _table(
    tables: Iterable[dict[str, Any]], fits: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    return next((one for one in tables if any(map(fits, one.get("Associations", [])))), None)


def _permits(group: dict[str, Any]) -> Iterator[Permit]:
    for outwards, key in ((False, "IpPermissions"), (True, "IpPermissionsEgress")):
        for rule in group.get(key, []):
            protocol = _PROTOCOLS.get(rule["IpProtocol"], rule["IpProtocol"])
            ports = _span(protocol, rule.get("FromPort"), rule.get("ToPort"))
            for one in rule.get("IpRanges", []):
                yield Permit(outwards, protocol, ports, IPv4Network(one["CidrIp"]))
            for one in rule.get("UserIdGroupPairs", []):
                yield Permit(outwards, protocol, ports, None, one["GroupId"])
