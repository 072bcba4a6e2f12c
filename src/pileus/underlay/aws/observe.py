"""Reading the environment: everything that carries the cloud's tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.underlay import (
    ROLES,
    ElasticIp,
    Nic,
    Node,
    ObservedNic,
    ObservedUnderlay,
    Permission,
    Registered,
    Role,
)
from pileus.underlay.aws.client import (
    ADDRESS_TAG,
    calling,
    role_of,
    tag_filter,
    tag_of,
)

_LIVE = ["pending", "running", "stopping", "stopped"]


@dataclass(frozen=True)
class Raw:
    """The API's own descriptions of what is ours, by role where there is one for each."""

    vpc: dict[str, Any] | None
    gateway: dict[str, Any] | None
    main_table: dict[str, Any] | None
    subnets: Mapping[Role, dict[str, Any]]
    groups: Mapping[Role, dict[str, Any]]
    nics: Mapping[Role, dict[str, Any]]
    elastic_ips: tuple[dict[str, Any], ...]
    key: dict[str, Any] | None
    instance: dict[str, Any] | None


def read(client: Any, cloud: str) -> Raw:
    """Describe everything of the cloud. Raises CloudFault and UserError as `calling` does."""
    ours = tag_filter(cloud)
    with calling("look at the environment"):
        vpc = _first(client.describe_vpcs(Filters=ours)["Vpcs"])
        reservations = client.describe_instances(
            Filters=[*ours, {"Name": "instance-state-name", "Values": _LIVE}]
        )["Reservations"]
        return Raw(
            vpc=vpc,
            gateway=_first(client.describe_internet_gateways(Filters=ours)["InternetGateways"]),
            main_table=_main_table(client, vpc),
            subnets=_by_role(client.describe_subnets(Filters=ours)["Subnets"]),
            groups=_by_role(client.describe_security_groups(Filters=ours)["SecurityGroups"]),
            nics=_by_role(client.describe_network_interfaces(Filters=ours)["NetworkInterfaces"]),
            elastic_ips=tuple(client.describe_addresses(Filters=ours)["Addresses"]),
            key=_first(client.describe_key_pairs(Filters=ours, IncludePublicKey=True)["KeyPairs"]),
            instance=_first([i for found in reservations for i in found["Instances"]]),
        )


def _first(items: list[dict[str, Any]]) -> dict[str, Any] | None:
    return items[0] if items else None


def _by_role(items: list[dict[str, Any]]) -> dict[Role, dict[str, Any]]:
    return {role: item for item in items if (role := role_of(item))}


def _main_table(client: Any, vpc: dict[str, Any] | None) -> dict[str, Any] | None:
    if vpc is None:
        return None
    filters = [
        {"Name": "vpc-id", "Values": [vpc["VpcId"]]},
        {"Name": "association.main", "Values": ["true"]},
    ]
    return _first(client.describe_route_tables(Filters=filters)["RouteTables"])


def observed(raw: Raw, cloud: str) -> ObservedUnderlay:
    """The descriptions as values. Pure."""
    gateway_id = raw.gateway["InternetGatewayId"] if raw.gateway else None
    return ObservedUnderlay(
        vpc_id=raw.vpc["VpcId"] if raw.vpc else None,
        vpc=IPv4Network(raw.vpc["CidrBlock"]) if raw.vpc else None,
        gateway_id=gateway_id,
        gateway_attached=bool(raw.gateway and raw.gateway.get("Attachments")),
        default_route=_routes_to(raw.main_table, gateway_id),
        subnets={role: IPv4Network(item["CidrBlock"]) for role, item in raw.subnets.items()},
        groups={
            role: frozenset(permissions(item.get("IpPermissions", [])))
            for role, item in raw.groups.items()
        },
        nics={role: _nic(item) for role, item in raw.nics.items()},
        elastic_ips=tuple(_elastic_ip(item) for item in raw.elastic_ips),
        public_key=_public_key(raw.key),
        node=_node(raw, cloud),
        instance_type=raw.instance["InstanceType"] if raw.instance else None,
    )


def _routes_to(table: dict[str, Any] | None, gateway: str | None) -> bool:
    routes = table.get("Routes", []) if table else []
    return gateway is not None and any(
        route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("GatewayId") == gateway
        for route in routes
    )


def permissions(rules: list[dict[str, Any]]) -> list[Permission]:
    """The rules with an IPv4 network as their far end, one for each network."""
    found = []
    for rule in rules:
        first, last = rule.get("FromPort", -1), rule.get("ToPort", -1)
        ports = None if first in (None, -1) else (first, last)
        for item in rule.get("IpRanges", []):
            source = IPv4Network(item["CidrIp"])
            found.append(Permission(rule["IpProtocol"], ports, source))
    return found


def _nic(item: dict[str, Any]) -> ObservedNic:
    return ObservedNic(
        item["NetworkInterfaceId"],
        Mac.parse(item["MacAddress"]),
        tuple(address.private for address in _registered(item)),
    )


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
    nics = tuple(
        Nic(
            role,
            raw.nics[role]["NetworkInterfaceId"],
            Mac.parse(raw.nics[role]["MacAddress"]),
            _registered(raw.nics[role]),
        )
        for role in ROLES
        if role in raw.nics
    )
    state = raw.instance["State"]["Name"]
    return Node(f"{cloud}-controller", raw.instance["InstanceId"], state, nics)
