"""Network ACLs, as strict as AWS. [Amazon VPC user guide, "Control subnet traffic with network
access control lists"; EC2 API reference, CreateNetworkAclEntry]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.filters import NETWORK_ACL, select
from pileus.vpc.ec2.networks import IP_PROTOCOLS, canonical
from pileus.vpc.ec2.ranges import Ranges

LAST = 32767
"""The number of the entries that deny what no other lets through. They stay."""
RULES = 20
"""A direction. Default quota. [Amazon VPC user guide, "Amazon VPC quotas"]"""
_NUMBERS = {"icmp": "1", "tcp": "6", "udp": "17"}


class NetworkAcls(Ranges):
    """Every subnet has one ACL at any time: its VPC's default one until another is given."""

    def create_network_acl(self, vpc_id: str, tags: Any = None, default: bool = False) -> Any:
        acl = super().create_network_acl(vpc_id, tags=tags, default=default)
        for egress in (False, True):
            if default:
                super().create_network_acl_entry(**_everything(acl.id, egress, 100, "allow"))
            super().create_network_acl_entry(**_everything(acl.id, egress, LAST, "deny"))
        return acl

    def add_default_entries(self, network_acl_id: str) -> None:
        """For moto's own hand: here all ACLs get theirs when they are made."""

    def get_network_acl(self, network_acl_id: str) -> Any:
        if network_acl_id not in self.network_acls:
            raise errors.acl_unknown(network_acl_id)
        return self.network_acls[network_acl_id]

    def describe_network_acls(
        self, network_acl_ids: Sequence[str] | None = None, filters: Any = None
    ) -> list[Any]:
        for id in network_acl_ids or ():
            self.get_network_acl(id)
        return select(super().describe_network_acls(network_acl_ids), filters, NETWORK_ACL)

    def delete_network_acl(self, network_acl_id: str) -> Any:
        acl = self.get_network_acl(network_acl_id)
        if acl.default:
            raise errors.invalid_value(f"cannot delete default network ACL {acl.id}")
        if acl.associations:
            raise errors.dependency("networkAcl", acl.id)
        self.tags.pop(acl.id, None)
        return super().delete_network_acl(acl.id)

    def create_network_acl_entry(self, **entry: Any) -> Any:
        acl = self.get_network_acl(entry["network_acl_id"])
        checked = _checked(entry)
        entries = _direction(acl, entry["egress"])
        if entry["rule_number"] in {one.rule_number for one in entries}:
            raise errors.acl_entry_exists(entry["rule_number"])
        if len(entries) > RULES:  # the last one is not counted
            raise errors.acl_entry_limit()
        return super().create_network_acl_entry(**checked)

    def replace_network_acl_entry(self, **entry: Any) -> Any:
        acl = self.get_network_acl(entry["network_acl_id"])
        checked = _checked(entry)
        _require_entry(acl, entry["rule_number"], entry["egress"])
        return super().replace_network_acl_entry(**checked)

    def delete_network_acl_entry(self, network_acl_id: str, rule_number: int, egress: bool) -> Any:
        acl = self.get_network_acl(network_acl_id)
        _check_number(rule_number)
        _require_entry(acl, rule_number, egress)
        return super().delete_network_acl_entry(network_acl_id, rule_number, egress)

    def replace_network_acl_association(self, association_id: str, network_acl_id: str) -> Any:
        acl = self.get_network_acl(network_acl_id)
        for old in self.network_acls.values():
            if association_id in old._associations:
                if old.vpc_id != acl.vpc_id:
                    raise errors.different_networks(f"network ACL {acl.id}", f"ACL {old.id}")
                return super().replace_network_acl_association(association_id, network_acl_id)
        raise errors.association_unknown(association_id)

    def delete_subnet(self, subnet_id: str) -> Any:
        deleted = super().delete_subnet(subnet_id)
        for acl in self.network_acls.values():
            for id, association in list(acl._associations.items()):
                if association.subnet_id == subnet_id:
                    del acl._associations[id]
        return deleted

    def delete_vpc(self, vpc_id: str) -> Any:
        """The default ACL goes with its VPC; any other has to be deleted before."""
        acls = [acl for acl in self.network_acls.values() if acl.vpc_id == vpc_id]
        if any(not acl.default for acl in acls):
            raise errors.dependency("vpc", vpc_id)
        deleted = super().delete_vpc(vpc_id)
        for acl in acls:
            del self.network_acls[acl.id]
            self.tags.pop(acl.id, None)
        return deleted


def _direction(acl: Any, egress: bool) -> list[Any]:
    return [one for one in acl.network_acl_entries if one.egress == egress]


def _require_entry(acl: Any, number: int, egress: bool) -> None:
    if number not in {one.rule_number for one in _direction(acl, egress)}:
        raise errors.acl_entry_unknown(acl.id, number)


def _everything(acl: str, egress: bool, number: int, action: str) -> dict[str, Any]:
    nothing = ("icmp_code", "icmp_type", "port_range_from", "port_range_to", "ipv6_cidr_block")
    return {
        "network_acl_id": acl,
        "rule_number": number,
        "protocol": "-1",
        "rule_action": action,
        "egress": egress,
        "cidr_block": "0.0.0.0/0",
        **dict.fromkeys(nothing),
    }


def _check_number(number: int) -> None:
    if not 1 <= number < LAST:
        raise errors.invalid_value(
            f"Value ({number}) for parameter ruleNumber is invalid. Rule numbers go from 1 to 32766"
        )


def _checked(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as AWS stores it: canonical network, protocol by number, ports where it has any."""
    _check_number(entry["rule_number"])
    if entry["rule_action"] not in ("allow", "deny"):
        raise errors.invalid_value(
            f"Value ({entry['rule_action']}) for parameter ruleAction is invalid"
        )
    if entry["ipv6_cidr_block"]:
        raise errors.unsupported("entries for IPv6 networks")
    if not entry["cidr_block"]:
        raise errors.missing_parameter("cidrBlock")
    protocol = _number(entry["protocol"])
    return {
        **entry,
        "cidr_block": canonical(entry["cidr_block"]),
        "protocol": protocol,
        **_ports(entry, protocol),
        **_icmp(entry, protocol),
    }


def _number(protocol: str) -> str:
    name = IP_PROTOCOLS.get(protocol.lower(), protocol)
    number = _NUMBERS.get(name, name)
    if number != "-1" and not (number.isdigit() and int(number) <= 255):
        raise errors.unknown_protocol(protocol)
    return number


def _ports(entry: Mapping[str, Any], protocol: str) -> dict[str, int | None]:
    """Needed for TCP and UDP, ignored for all others."""
    first, last = entry["port_range_from"], entry["port_range_to"]
    if protocol not in (_NUMBERS["tcp"], _NUMBERS["udp"]):
        return {"port_range_from": None, "port_range_to": None}
    if first is None or last is None:
        raise errors.missing_parameter("portRange")
    if not 0 <= first <= last <= 65535:
        raise errors.invalid_value(f"Invalid value '{first}-{last}' for portRange.")
    return {"port_range_from": first, "port_range_to": last}


def _icmp(entry: Mapping[str, Any], protocol: str) -> dict[str, int | None]:
    """Type and code, -1 for any: needed for ICMP, ignored for all others."""
    if protocol != _NUMBERS["icmp"]:
        return {"icmp_type": None, "icmp_code": None}
    kind, code = entry["icmp_type"], entry["icmp_code"]
    if kind is None or code is None:
        raise errors.missing_parameter("icmpTypeCode")
    if not -1 <= kind <= 255 or not -1 <= code <= 255:
        raise errors.invalid_value(f"Invalid value '{kind}/{code}' for icmpTypeCode.")
    return {"icmp_type": kind, "icmp_code": code}
