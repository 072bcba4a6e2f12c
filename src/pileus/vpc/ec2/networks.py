"""VPCs, subnets, internet gateways, route tables and security groups, as strict as AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any

from moto.ec2.models import EC2Backend

from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.filters import (
    INTERNET_GATEWAY,
    ROUTE_TABLE,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    SUBNET,
    VPC,
    select,
)
from pileus.vpc.ec2.objects import Route, Subnet
from pileus.vpc.ec2.quotas import VPCS, Quotas
from pileus.vpc.ec2.settings import Ec2Settings
from pileus.vpc.ec2.tokens import Tokens

LARGEST_SUBNET, SMALLEST_SUBNET = 16, 28
"""Prefix lengths. [Amazon VPC user guide, Subnet sizing]"""

_GROUP_TEXT = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}")
"""A group's name or description. [API_CreateSecurityGroup]"""
ROUTES = 50
"""A table. Default quota. [Amazon VPC user guide, "Amazon VPC quotas"]"""

IP_PROTOCOLS = {"-1": "-1", "tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "icmp": "icmp"}
IP_PROTOCOLS |= {"1": "icmp", "all": "-1", "icmpv6": "58"}


class Networks(EC2Backend):  # type: ignore[misc]
    """An empty region: no default VPC, and no images but those of its catalogue."""

    def __init__(self, settings: Ec2Settings) -> None:
        self.settings = settings
        self.quotas = Quotas(settings)
        self.tokens = Tokens()
        super().__init__(settings.region, settings.account)

    def create_default_vpc(self) -> None:
        """Accounts may be without one; then nothing depends on it by accident."""

    def _load_amis(self) -> None:
        """moto's own catalogue stays out."""

    # VPCs and subnets

    def create_vpc(self, cidr_block: str, *args: Any, **options: Any) -> Any:
        if len(self.vpcs) >= self.quotas[VPCS]:
            raise errors.vpc_limit()
        return super().create_vpc(canonical(cidr_block), *args, **options)

    def get_vpc(self, vpc_id: str) -> Any:
        if vpc_id not in self.vpcs:
            raise errors.vpc_unknown(vpc_id)
        return self.vpcs[vpc_id]

    def describe_vpcs(self, vpc_ids: Sequence[str] | None = None, filters: Any = None) -> Any:
        for id in vpc_ids or ():
            self.get_vpc(id)
        return select(super().describe_vpcs(vpc_ids), filters, VPC)

    def delete_vpc(self, vpc_id: str) -> Any:
        self.get_vpc(vpc_id)
        groups = [group for group in self.groups[vpc_id].values() if not group.is_default]
        if groups or self.gateway_of(vpc_id) or any(self.subnets_in(vpc_id)):
            raise errors.dependency("vpc", vpc_id)
        tables = [table for table in self.route_tables.values() if table.vpc_id == vpc_id]
        if any(table.main_association_id is None for table in tables):
            raise errors.dependency("vpc", vpc_id)
        # The main table and the default group go with their VPC, by moto's hand.
        self._deleting = vpc_id
        try:
            return super().delete_vpc(vpc_id)
        finally:
            self._deleting = None
            self.tags.pop(vpc_id, None)

    _deleting: str | None = None

    def subnets_in(self, vpc_id: str) -> Iterator[Any]:
        """A VPC's subnets."""
        for zone in self.subnets.values():
            yield from (subnet for subnet in zone.values() if subnet.vpc_id == vpc_id)

    def create_subnet(self, vpc_id: str, cidr_block: str, *args: Any, **options: Any) -> Any:
        cidr = canonical(cidr_block)
        if not LARGEST_SUBNET <= IPv4Network(cidr).prefixlen <= SMALLEST_SUBNET:
            raise errors.subnet_range(cidr)
        return Subnet.adopt(super().create_subnet(vpc_id, cidr, *args, **options))

    def describe_subnets(
        self, subnet_ids: Sequence[str] | None = None, filters: Any = None
    ) -> list[Any]:
        for id in subnet_ids or ():
            self.get_subnet(id)
        return select(super().describe_subnets(subnet_ids), filters, SUBNET)

    def delete_subnet(self, subnet_id: str) -> Any:
        subnet = self.get_subnet(subnet_id)
        if any(eni.subnet is subnet for eni in self.enis.values()):
            raise errors.dependency("subnet", subnet_id)
        for table in self.route_tables.values():
            kept = {id: to for id, to in table._associations.items() if to != subnet_id}
            table._associations = kept
        self.tags.pop(subnet_id, None)
        return super().delete_subnet(subnet_id)

    # Internet gateways

    def gateway_of(self, vpc_id: str) -> Any | None:
        """The internet gateway attached to a VPC, or None."""
        for gateway in self.internet_gateways.values():
            if gateway.vpc is not None and gateway.vpc.id == vpc_id:
                return gateway
        return None

    def describe_internet_gateways(
        self, internet_gateway_ids: Sequence[str] | None = None, filters: Any = None
    ) -> list[Any]:
        found = super().describe_internet_gateways(internet_gateway_ids or None)
        return select(found, filters, INTERNET_GATEWAY)

    def attach_internet_gateway(self, internet_gateway_id: str, vpc_id: str) -> Any:
        gateway = self.get_internet_gateway(internet_gateway_id)
        self.get_vpc(vpc_id)
        if gateway.vpc is not None:
            raise errors.gateway_attached(internet_gateway_id, gateway.vpc.id)
        if self.gateway_of(vpc_id):
            raise errors.has_gateway(vpc_id)
        return super().attach_internet_gateway(internet_gateway_id, vpc_id)

    def detach_internet_gateway(self, internet_gateway_id: str, vpc_id: str) -> None:
        mapped = [eni for eni in self.enis.values() if eni.vpc_id == vpc_id and eni.associations]
        if mapped:
            raise errors.mapped_addresses(vpc_id)
        super().detach_internet_gateway(internet_gateway_id, vpc_id)

    def delete_internet_gateway(self, internet_gateway_id: str) -> None:
        if self.get_internet_gateway(internet_gateway_id).vpc is not None:
            raise errors.dependency("internetGateway", internet_gateway_id)
        self.tags.pop(internet_gateway_id, None)
        super().delete_internet_gateway(internet_gateway_id)

    # Route tables

    def describe_route_tables(
        self, route_table_ids: Sequence[str] | None = None, filters: Any = None
    ) -> list[Any]:
        return select(super().describe_route_tables(route_table_ids), filters, ROUTE_TABLE)

    def delete_route_table(self, route_table_id: str) -> None:
        table = self.get_route_table(route_table_id)
        if table.main_association_id and table.vpc_id != self._deleting:
            raise errors.main_table(route_table_id)
        super().delete_route_table(route_table_id)
        self.tags.pop(route_table_id, None)

    def associate_route_table(
        self, route_table_id: str, gateway_id: str | None = None, subnet_id: str | None = None
    ) -> str:
        if gateway_id is not None:
            raise errors.unsupported("route tables of gateways")
        if subnet_id is None:
            raise errors.missing_parameter("subnetId")
        table = self.get_route_table(route_table_id)
        subnet = self.get_subnet(subnet_id)
        if table.vpc_id != subnet.vpc_id:
            raise errors.different_networks(f"route table {table.id}", f"subnet {subnet.id}")
        for other in self.route_tables.values():
            if other is not table and subnet_id in other._associations.values():
                raise errors.table_associated(route_table_id)
        association: str = super().associate_route_table(route_table_id, subnet_id=subnet_id)
        return association

    def disassociate_route_table(self, association_id: str) -> None:
        if any(table.main_association_id == association_id for table in self.route_tables.values()):
            raise errors.main_association(association_id)
        super().disassociate_route_table(association_id)

    def replace_route_table_association(self, association_id: str, route_table_id: str) -> str:
        new = self.get_route_table(route_table_id)
        for old in self.route_tables.values():
            if association_id in old.all_associations_ids and old.vpc_id != new.vpc_id:
                raise errors.different_networks(f"route table {new.id}", f"network {old.vpc_id}")
        found: str = super().replace_route_table_association(association_id, route_table_id)
        return found

    def create_route(
        self,
        route_table_id: str,
        destination_cidr_block: str | None,
        destination_ipv6_cidr_block: str | None = None,
        destination_prefix_list_id: str | None = None,
        **options: Any,
    ) -> Route:
        table = self.get_route_table(route_table_id)
        options = self._by_interface(options)
        if not options.get("local"):
            destination_cidr_block = _destination(
                destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id
            )
            self._check_target(table, options)
            if destination_cidr_block in {route.destination_cidr_block for route in table.routes}:
                raise errors.route_exists(destination_cidr_block)
            self._check_specific(table, destination_cidr_block, options)
            if len(table.routes) > ROUTES:  # the local one is not counted
                raise errors.route_limit()
        return Route.adopt(super().create_route(route_table_id, destination_cidr_block, **options))

    def replace_route(
        self,
        route_table_id: str,
        destination_cidr_block: str | None,
        destination_ipv6_cidr_block: str | None = None,
        destination_prefix_list_id: str | None = None,
        **options: Any,
    ) -> Any:
        destination = _destination(
            destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id
        )
        options = self._by_interface(options)
        self._check_target(self.get_route_table(route_table_id), options)
        return super().replace_route(route_table_id, destination, **options)

    def delete_route(
        self,
        route_table_id: str,
        destination_cidr_block: str | None,
        destination_ipv6_cidr_block: str | None = None,
        destination_prefix_list_id: str | None = None,
    ) -> Any:
        table = self.get_route_table(route_table_id)
        destination = _destination(
            destination_cidr_block, destination_ipv6_cidr_block, destination_prefix_list_id
        )
        if any(
            route.local and route.destination_cidr_block == destination for route in table.routes
        ):
            raise errors.invalid_value(
                f"cannot remove local route {destination} in route table {route_table_id}"
            )
        return super().delete_route(route_table_id, destination)

    def _by_interface(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """A route to an instance is one to its only interface. [API_CreateRoute]"""
        instance = options.get("instance_id")
        if not instance:
            return dict(options)
        nics = list(self.get_instance(instance).nics.values())
        if len(nics) != 1:
            raise errors.several_interfaces(instance)
        return {**options, "instance_id": None, "interface_id": nics[0].id}

    def _check_target(self, table: Any, options: Mapping[str, Any]) -> None:
        targets = {name: value for name, value in options.items() if value and name != "local"}
        if len(targets) != 1:
            raise errors.invalid_combination("The request must contain exactly one target")
        (name, target), *_ = targets.items()
        if name == "interface_id":
            if self.get_network_interface(target).vpc_id != table.vpc_id:
                raise errors.different_networks(f"route table {table.id}", f"interface {target}")
        elif name == "gateway_id" and target.startswith("igw-"):
            gateway = self.get_internet_gateway(target)
            if gateway.vpc is None or gateway.vpc.id != table.vpc_id:
                raise errors.different_networks(
                    f"route table {table.id}", f"network gateway {target}"
                )
        else:
            raise errors.unsupported(f"routes to {target}")

    def _check_specific(self, table: Any, destination: str, options: Mapping[str, Any]) -> None:
        ranges = self.get_vpc(table.vpc_id).get_cidr_block_association_set()
        inside = any(
            IPv4Network(destination).subnet_of(IPv4Network(one["cidr_block"])) for one in ranges
        )
        if inside and not options.get("interface_id"):
            raise errors.invalid_value(
                f"The destination CIDR block {destination} is equal to or more specific than one "
                "of this VPC's CIDR blocks. This route can target only an interface or an instance."
            )

    # Security groups

    def create_security_group(
        self, name: str, description: str, vpc_id: str | None = None, **options: Any
    ) -> Any:
        if vpc_id is None:
            raise errors.no_default_vpc()
        self.get_vpc(vpc_id)
        if name == "default" and not options.get("is_default"):
            raise errors.invalid_value("Cannot use reserved security group name: default")
        if name.lower().startswith("sg-"):
            raise errors.invalid_value("Group names may not be in the format sg-*.")
        for parameter, text in (("GroupName", name), ("GroupDescription", description)):
            if not _GROUP_TEXT.fullmatch(text):
                raise errors.group_text(parameter, text)
        group = super().create_security_group(name, description, vpc_id=vpc_id, **options)
        if group.is_default:
            # Who is in it reaches each other. [Amazon VPC user guide, "Default security groups"]
            self.authorize_security_group_ingress(
                group_name_or_id=group.id,
                ip_protocol="-1",
                from_port=None,
                to_port=None,
                ip_ranges=[],
                source_groups=[{"GroupId": group.id}],
            )
        return group

    def describe_security_groups(
        self,
        group_ids: Sequence[str] | None = None,
        groupnames: Sequence[str] | None = None,
        filters: Any = None,
    ) -> list[Any]:
        for group in group_ids or ():
            self.security_group(group)
        names = {group.name for by_id in self.groups.values() for group in by_id.values()}
        for name in groupnames or ():
            if name not in names:
                raise errors.group_not_found(name)
        found = super().describe_security_groups(group_ids, groupnames)
        return select(found, filters, SECURITY_GROUP)

    def describe_security_group_rules(
        self, sg_rule_ids: Sequence[str], filters: Mapping[str, Any]
    ) -> list[Any]:
        found = super().describe_security_group_rules(sg_rule_ids, {})
        return select(found, filters, SECURITY_GROUP_RULE)

    def security_group(self, group_id: str) -> Any:
        """A group by its id. Raises InvalidGroup.NotFound."""
        group = self.get_security_group_from_id(group_id)
        if group is None:
            raise errors.group_not_found(group_id)
        return group

    def delete_security_group(self, name: str | None = None, group_id: str | None = None) -> None:
        if group_id is None:
            raise errors.no_default_vpc() if name else errors.missing_parameter("groupId")
        group = self.security_group(group_id)
        if group.is_default and group.vpc_id != self._deleting:
            raise errors.default_group(group_id)
        worn = any(group in eni.group_set for eni in self.enis.values())
        named = any(
            rule.source_group.get("GroupId") == group_id
            for other in self.groups[group.vpc_id].values()
            if other is not group
            for rule in (*other.ingress_rules, *other.egress_rules)
        )
        if worn or named:
            raise errors.group_in_use(group_id)
        super().delete_security_group(group_id=group_id)
        self.tags.pop(group_id, None)

    def authorize_security_group_ingress(self, **rule: Any) -> Any:
        return super().authorize_security_group_ingress(**self._of_the_same_network(rule))

    def authorize_security_group_egress(self, **rule: Any) -> Any:
        return super().authorize_security_group_egress(**self._of_the_same_network(rule))

    def revoke_security_group_ingress(self, **rule: Any) -> None:
        wanted = rule if rule.get("security_rule_ids") else self._checked(rule)
        super().revoke_security_group_ingress(**wanted)

    def revoke_security_group_egress(self, **rule: Any) -> None:
        wanted = rule if rule.get("security_rule_ids") else self._checked(rule)
        super().revoke_security_group_egress(**wanted)

    def update_security_group_rule_descriptions_ingress(self, **rule: Any) -> Any:
        return super().update_security_group_rule_descriptions_ingress(**self._checked(rule))

    def update_security_group_rule_descriptions_egress(self, **rule: Any) -> Any:
        return super().update_security_group_rule_descriptions_egress(**self._checked(rule))

    def modify_security_group_rules(
        self, group_id: str, rules: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """All of them or none; what a rule is about stays of its kind."""
        group = self.security_group(group_id)
        changes = []
        for id, wanted in rules.items():
            rule = group.get_rule(id)
            if rule is None:
                raise errors.rule_unknown(id)
            changes.append((rule, self._modified(wanted)))
            if bool(rule.source_group) != bool(wanted.get("ReferencedGroupId")):
                raise errors.rule_of_another_kind(id)
        for rule, change in changes:
            for name, value in change.items():
                setattr(rule, name, value)

    def _modified(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """A rule's attributes, from how ModifySecurityGroupRules spells it."""
        network, group = wanted.get("CidrIpv4"), wanted.get("ReferencedGroupId")
        if wanted.get("CidrIpv6") or wanted.get("PrefixListId"):
            raise errors.unsupported("rules for IPv6 networks or prefix lists")
        described = {"Description": wanted["Description"]} if "Description" in wanted else {}
        checked = self._checked(
            {
                "ip_protocol": wanted.get("IpProtocol"),
                "from_port": wanted.get("FromPort"),
                "to_port": wanted.get("ToPort"),
                "ip_ranges": [{"CidrIp": network, **described}] if network else [],
                "source_groups": [{"GroupId": group, **described}] if group else [],
            }
        )
        change = {name: checked[name] for name in ("ip_protocol", "from_port", "to_port")}
        if network:
            return {**change, "ip_range": checked["ip_ranges"][0]}
        named = self.security_group(str(group))
        known = {"GroupName": named.name, "UserId": self.account_id}
        return {**change, "source_group": {**known, **checked["source_groups"][0]}}

    def _of_the_same_network(self, rule: Mapping[str, Any]) -> dict[str, Any]:
        """A rule for a group, which may name groups of its own VPC alone."""
        group = self.security_group(str(rule["group_name_or_id"]))
        for other in rule.get("source_groups") or ():
            named = str(other.get("GroupId", ""))
            if named and self.security_group(named).vpc_id != group.vpc_id:
                raise errors.group_of_another_network()
        return self._checked(rule)

    def _checked(self, rule: Mapping[str, Any]) -> dict[str, Any]:
        """A rule in AWS's one spelling: canonical networks, named protocols, whole port ranges."""
        protocol = _protocol(rule.get("ip_protocol"))
        first, last = rule.get("from_port"), rule.get("to_port")
        if protocol in ("tcp", "udp"):
            if first is None or last is None:
                raise errors.invalid_value(
                    "Invalid value 'Must specify both from and to ports with TCP/UDP.' "
                    "for portRange."
                )
            if not 0 <= int(first) <= int(last) <= 65535:
                raise errors.invalid_value(f"Invalid value '{first}-{last}' for portRange.")
        elif protocol != "-1":
            first, last = (-1 if first is None else first), (-1 if last is None else last)
            if protocol == "icmp" and not (-1 <= int(first) <= 255 and -1 <= int(last) <= 255):
                raise errors.invalid_value(f"Invalid value '{first}/{last}' for ICMP type or code.")
        ranges = [
            {**entry, "CidrIp": canonical(entry["CidrIp"], "cidrIp")}
            if "CidrIp" in entry
            else entry
            for entry in rule.get("ip_ranges") or ()
        ]
        for entry in rule.get("prefix_list_ids") or ():
            raise errors.prefix_list_unknown(str(entry.get("PrefixListId", "")))
        if not (ranges or rule.get("source_groups")):
            raise errors.missing_parameter("ipRanges or groups")
        return {
            **rule,
            "ip_protocol": protocol,
            "from_port": first,
            "to_port": last,
            "ip_ranges": ranges,
        }


def canonical(cidr: str, parameter: str = "cidrBlock") -> str:
    """A network without host bits, as AWS stores it. Raises InvalidParameterValue."""
    try:
        if "/" not in cidr:
            raise ValueError(cidr)
        return str(IPv4Network(cidr, strict=False))
    except (TypeError, ValueError):
        raise errors.invalid_value(
            f"Value ({cidr}) for parameter {parameter} is invalid. This is not a valid CIDR block."
        ) from None


def _destination(cidr: str | None, ipv6: str | None, prefix_list: str | None) -> str:
    if ipv6 or prefix_list:
        raise errors.unsupported("routes by IPv6 network or prefix list")
    if not cidr:
        raise errors.missing_parameter("destinationCidrBlock")
    return canonical(cidr, "destinationCidrBlock")


def _protocol(name: Any) -> str:
    text = str(name).lower() if name is not None else ""
    if not text:
        raise errors.invalid_value(
            "Invalid value 'null' for protocol. VPC security group rules must specify protocols "
            "explicitly."
        )
    if text in IP_PROTOCOLS:
        return IP_PROTOCOLS[text]
    if text.isdigit() and int(text) <= 255:
        return text
    raise errors.unknown_protocol(str(name))
