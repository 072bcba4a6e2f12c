"""Reading the environment: everything that carries the cloud's tag."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.underlay import (
    ElasticIp,
    Nic,
    Node,
    ObservedNic,
    ObservedUnderlay,
    Permission,
    Registered,
    Role,
    in_order,
)
from pileus.underlay.aws.client import ADDRESS_TAG, role_of, tag_filter, tag_of

_ENDED = "terminated"
_LEAVING = "shutting-down"
_PROTOCOLS = ("tcp", "udp", "icmp")


class Raw:
    """The API's own descriptions of what is ours, each kind asked for once, when it is needed.

    Reading raises botocore's errors as they come.
    """

    def __init__(self, client: Any, cloud: str) -> None:
        self._client = client
        self._ours = tag_filter(cloud)

    @property
    def vpc(self) -> dict[str, Any] | None:
        return self._vpcs[0] if self._vpcs else None

    @property
    def spare_vpcs(self) -> list[dict[str, Any]]:
        return self._vpcs[1:]

    @cached_property
    def _vpcs(self) -> list[dict[str, Any]]:
        """The one in use first. Only an answer lost on its way makes a second one."""
        found = self._client.describe_vpcs(Filters=self._ours)["Vpcs"]
        if len(found) < 2:
            return list(found)
        used = {subnet["VpcId"] for subnet in self.subnets.values()}
        used = used or {id for item in self._gateways for id in _attached_to(item)}
        return sorted(found, key=lambda vpc: (vpc["VpcId"] not in used, vpc["VpcId"]))

    @property
    def gateway(self) -> dict[str, Any] | None:
        return self._gateways[0] if self._gateways else None

    @property
    def spare_gateways(self) -> list[dict[str, Any]]:
        return self._gateways[1:]

    @cached_property
    def _gateways(self) -> list[dict[str, Any]]:
        """The one in use first."""
        found = self._client.describe_internet_gateways(Filters=self._ours)["InternetGateways"]
        return sorted(found, key=lambda one: (not _attached_to(one), one["InternetGatewayId"]))

    @cached_property
    def main_table(self) -> dict[str, Any] | None:
        """The main route table of the VPC, which our subnets use."""
        if self.vpc is None:
            return None
        filters = [
            {"Name": "vpc-id", "Values": [self.vpc["VpcId"]]},
            {"Name": "association.main", "Values": ["true"]},
        ]
        found = self._client.describe_route_tables(Filters=filters)["RouteTables"]
        return found[0] if found else None

    @cached_property
    def subnets(self) -> Mapping[Role, dict[str, Any]]:
        return _by_role(self._client.describe_subnets(Filters=self._ours)["Subnets"])

    @cached_property
    def groups(self) -> Mapping[Role, dict[str, Any]]:
        return _by_role(self._client.describe_security_groups(Filters=self._ours)["SecurityGroups"])

    @property
    def rules(self) -> list[dict[str, Any]]:
        """Inbound rules of all our groups, one for each far end."""
        return [rule for rule in self._rules if not rule["IsEgress"]]

    @property
    def outbound(self) -> list[dict[str, Any]]:
        """Outbound rules of all our groups."""
        return [rule for rule in self._rules if rule["IsEgress"]]

    @cached_property
    def _rules(self) -> list[dict[str, Any]]:
        ids = [group["GroupId"] for group in self.groups.values()]
        if not ids:
            return []
        filters = [{"Name": "group-id", "Values": ids}]
        found = self._client.describe_security_group_rules(Filters=filters)
        return list(found["SecurityGroupRules"])

    @cached_property
    def nics(self) -> Mapping[Role, dict[str, Any]]:
        found = self._client.describe_network_interfaces(Filters=self._ours)
        return _by_role(found["NetworkInterfaces"])

    @cached_property
    def elastic_ips(self) -> list[dict[str, Any]]:
        return list(self._client.describe_addresses(Filters=self._ours)["Addresses"])

    @cached_property
    def key(self) -> dict[str, Any] | None:
        found = self._client.describe_key_pairs(Filters=self._ours, IncludePublicKey=True)
        return found["KeyPairs"][0] if found["KeyPairs"] else None

    @property
    def instance(self) -> dict[str, Any] | None:
        return next((one for one in self._instances if _state(one) != _LEAVING), None)

    @property
    def leaving(self) -> list[dict[str, Any]]:
        return [one for one in self._instances if _state(one) == _LEAVING]

    @cached_property
    def _instances(self) -> list[dict[str, Any]]:
        """Those that hold their NICs: all but terminated ones, which AWS shows for an hour."""
        found = self._client.describe_instances(Filters=self._ours)["Reservations"]
        every = [one for reservation in found for one in reservation["Instances"]]
        return [one for one in every if _state(one) != _ENDED]


def _by_role(items: list[dict[str, Any]]) -> dict[Role, dict[str, Any]]:
    return {role: item for item in items if (role := role_of(item))}


def _attached_to(gateway: dict[str, Any]) -> list[str]:
    return [attachment["VpcId"] for attachment in gateway.get("Attachments", [])]


def _state(instance: dict[str, Any]) -> str:
    return str(instance["State"]["Name"])


def elastic_ip_quota(client: Any) -> int | None:
    """How many Elastic IPs the account may have in the region; None where it does not tell."""
    name = "vpc-max-elastic-ips"
    attributes = client.describe_account_attributes(AttributeNames=[name])["AccountAttributes"]
    for attribute in attributes:
        if attribute["AttributeName"] == name and attribute["AttributeValues"]:
            return int(attribute["AttributeValues"][0]["AttributeValue"])
    return None


def observed(raw: Raw, cloud: str) -> ObservedUnderlay:
    """The descriptions as values. Asks for every kind."""
    gateway_id = raw.gateway["InternetGatewayId"] if raw.gateway else None
    return ObservedUnderlay(
        vpc_id=raw.vpc["VpcId"] if raw.vpc else None,
        vpc=IPv4Network(raw.vpc["CidrBlock"]) if raw.vpc else None,
        gateway_id=gateway_id,
        gateway_attached=bool(raw.gateway and _attached_to(raw.gateway)),
        default_route=_routes_to(raw.main_table, gateway_id),
        subnets={role: IPv4Network(item["CidrBlock"]) for role, item in raw.subnets.items()},
        groups={role: frozenset(filter(None, _rules(raw, role).values())) for role in raw.groups},
        stray_rules={role: strays for role in raw.groups if (strays := _strays(raw, role))},
        closed_outbound=frozenset(role for role in raw.groups if not _lets_all_out(raw, role)),
        nics={role: _nic(raw, role) for role in raw.nics},
        elastic_ips=tuple(_elastic_ip(item) for item in raw.elastic_ips),
        public_key=_public_key(raw.key),
        node=_node(raw, cloud),
        instance_type=raw.instance["InstanceType"] if raw.instance else None,
        leaving=tuple(instance["InstanceId"] for instance in raw.leaving),
        spare_vpcs=tuple(vpc["VpcId"] for vpc in raw.spare_vpcs),
        spare_gateways=tuple(one["InternetGatewayId"] for one in raw.spare_gateways),
    )


def _routes_to(table: dict[str, Any] | None, gateway: str | None) -> bool:
    routes = table.get("Routes", []) if table else []
    return gateway is not None and any(
        route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("GatewayId") == gateway
        for route in routes
    )


def _rules(raw: Raw, role: Role) -> dict[str, Permission | None]:
    """The inbound rules of a group by id; None for what `Permission` cannot express."""
    group = raw.groups[role]["GroupId"]
    return {
        rule["SecurityGroupRuleId"]: _permission(rule)
        for rule in raw.rules
        if rule["GroupId"] == group
    }


def _strays(raw: Raw, role: Role) -> tuple[str, ...]:
    return tuple(id for id, permission in _rules(raw, role).items() if permission is None)


def _permission(rule: dict[str, Any]) -> Permission | None:
    protocol, source = rule["IpProtocol"], rule.get("CidrIpv4")
    first, last = rule.get("FromPort", -1), rule.get("ToPort", -1)
    if protocol not in _PROTOCOLS or source is None:
        return None
    if protocol == "icmp":
        return Permission(protocol, None, IPv4Network(source)) if first == last == -1 else None
    return Permission(protocol, (first, last), IPv4Network(source))


def _lets_all_out(raw: Raw, role: Role) -> bool:
    return any(
        rule["GroupId"] == raw.groups[role]["GroupId"]
        and rule["IpProtocol"] == "-1"
        and rule.get("CidrIpv4") == "0.0.0.0/0"
        for rule in raw.outbound
    )


def _nic(raw: Raw, role: Role) -> ObservedNic:
    item, group = raw.nics[role], raw.groups.get(role)
    return ObservedNic(
        item["NetworkInterfaceId"],
        Mac.parse(item["MacAddress"]),
        tuple(address.private for address in _registered(item)),
        item.get("SourceDestCheck", True),
        group is not None and group["GroupId"] in [one["GroupId"] for one in item["Groups"]],
        _index(raw, item),
    )


def _index(raw: Raw, item: dict[str, Any]) -> int | None:
    """Where a NIC is on our machine; None where it is on none, or on another."""
    attachment = item.get("Attachment", {})
    if raw.instance is None or attachment.get("InstanceId") != raw.instance["InstanceId"]:
        return None
    return int(attachment["DeviceIndex"])


def _registered(item: dict[str, Any]) -> tuple[Registered, ...]:
    rows = sorted(item["PrivateIpAddresses"], key=lambda row: not row["Primary"])
    return tuple(
        Registered(IPv4Address(row["PrivateIpAddress"]), _address(row.get("Association")))
        for row in rows
    )


def _address(association: dict[str, Any] | None) -> IPv4Address | None:
    public = (association or {}).get("PublicIp")
    return IPv4Address(public) if public else None


def _elastic_ip(item: dict[str, Any]) -> ElasticIp:
    wanted_for, private = tag_of(item, ADDRESS_TAG), item.get("PrivateIpAddress")
    return ElasticIp(
        item["AllocationId"],
        IPv4Address(item["PublicIp"]),
        IPv4Address(wanted_for) if wanted_for else None,
        IPv4Address(private) if private else None,
    )


def _public_key(key: dict[str, Any] | None) -> str | None:
    return " ".join(key.get("PublicKey", "").split()) if key else None


def _node(raw: Raw, cloud: str) -> Node | None:
    if raw.instance is None:
        return None
    nics = [
        Nic(
            role,
            raw.nics[role]["NetworkInterfaceId"],
            Mac.parse(raw.nics[role]["MacAddress"]),
            _registered(raw.nics[role]),
            _index(raw, raw.nics[role]),
        )
        for role in in_order(raw.nics)
    ]
    nics.sort(key=lambda nic: (nic.index is None, nic.index))
    name, state = f"{cloud}-controller", _state(raw.instance)
    return Node(name, raw.instance["InstanceId"], state, tuple(nics))
