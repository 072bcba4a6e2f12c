"""From the API's store to a plain value: the only way by which others learn what is in it."""

from __future__ import annotations

import base64
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from pileus.model.addresses import Mac
from pileus.vpc import state
from pileus.vpc.ec2.acls import LAST
from pileus.vpc.ec2.backend import Backend
from pileus.vpc.ec2.objects import Address, Instance, Interface
from pileus.vpc.ec2.ranges import networks_of


def snapshot(backend: Backend) -> state.RegionState:
    """Everything in the store that has an effect outside of it. Reads only, calls nothing."""
    subnets = [subnet for zone in backend.subnets.values() for subnet in zone.values()]
    groups = [group for by_id in backend.groups.values() for group in by_id.values()]
    instances = [one for whole in backend.reservations.values() for one in whole.instances]
    return state.RegionState(
        vpcs={id: _vpc(backend, vpc) for id, vpc in backend.vpcs.items()},
        subnets={
            one.id: state.Subnet(
                one.id, one.vpc_id, IPv4Network(one.cidr_block), one.availability_zone
            )
            for one in subnets
        },
        route_tables={id: _route_table(table) for id, table in backend.route_tables.items()},
        groups={group.id: _group(group) for group in groups},
        network_acls={id: _network_acl(acl) for id, acl in backend.network_acls.items()},
        enis={id: _eni(eni) for id, eni in backend.enis.items()},
        elastic_ips={
            one.allocation_id: _elastic_ip(one) for one in (*backend.addresses, *backend.lent)
        },
        instances={one.id: _instance(backend, one) for one in instances},
        region=backend.region_name,
        account=backend.account_id,
    )


def _vpc(backend: Backend, vpc: Any) -> state.Vpc:
    first, *further = networks_of(vpc)
    return state.Vpc(vpc.id, first, backend.gateway_of(vpc.id) is not None, tuple(further))


def _route_table(table: Any) -> state.RouteTable:
    return state.RouteTable(
        table.id,
        table.vpc_id,
        tuple(
            state.Route(IPv4Network(route.destination_cidr_block), _target(route))
            for route in table.routes
        ),
        frozenset(table._associations.values()),
        table.main_association_id is not None,
    )


def _target(route: Any) -> str:
    if route.local:
        return "local"
    if route.state == "blackhole":
        return "blackhole"
    return str(route.interface.id) if route.interface else "igw"


def _group(group: Any) -> state.SecurityGroup:
    return state.SecurityGroup(
        group.id,
        group.vpc_id,
        group.name,
        tuple(_permission(rule) for rule in group.ingress_rules if not rule.cidr_ipv6),
        tuple(_permission(rule) for rule in group.egress_rules if not rule.cidr_ipv6),
    )


def _permission(rule: Any) -> state.Permission:
    network, group = rule.cidr_ipv4, rule.source_group.get("GroupId")
    return state.Permission(
        _protocol(rule.ip_protocol),
        _ports(rule.from_port, rule.to_port),
        frozenset([IPv4Network(network)] if network else []),
        frozenset([group] if group else []),
    )


_NAMED = {"1": "icmp", "6": "tcp", "17": "udp"}


def _protocol(protocol: Any) -> str:
    return _NAMED.get(str(protocol), str(protocol))


def _ports(first: Any, last: Any) -> tuple[int, int] | None:
    """Of TCP and UDP the ports, of ICMP type and code."""
    if first is None or int(first) == -1:
        return None
    return int(first), -1 if last is None else int(last)


def _network_acl(acl: Any) -> state.NetworkAcl:
    """Its last entry, which denies everything, goes without saying."""
    entries = sorted(
        (one for one in acl.network_acl_entries if one.cidr_block and int(one.rule_number) < LAST),
        key=lambda entry: int(entry.rule_number),
    )
    return state.NetworkAcl(
        acl.id,
        acl.vpc_id,
        tuple(_acl_entry(one) for one in entries if not _is_egress(one)),
        tuple(_acl_entry(one) for one in entries if _is_egress(one)),
        frozenset(one.subnet_id for one in acl.associations),
    )


def _is_egress(entry: Any) -> bool:
    return str(entry.egress).lower() == "true"


def _acl_entry(entry: Any) -> state.AclEntry:
    protocol = _protocol(entry.protocol)
    low, high = entry.port_range_from, entry.port_range_to
    if protocol == "icmp":
        low, high = entry.icmp_type, entry.icmp_code
    return state.AclEntry(
        int(entry.rule_number),
        entry.rule_action == "allow",
        protocol,
        _ports(low, high),
        IPv4Network(entry.cidr_block),
    )


def _eni(eni: Interface) -> state.Eni:
    return state.Eni(
        id=eni.id,
        mac=Mac(eni.mac_address),
        vpc=eni.vpc_id,
        subnet=eni.subnet.id,
        addresses=tuple(eni.addresses),
        groups=tuple(group.id for group in eni.group_set),
        source_dest_check=bool(eni.source_dest_check),
        instance=eni.instance.id if eni.instance else None,
        device_index=int(eni.device_index) if eni.instance else None,
        prefixes=tuple(eni.prefixes),
    )


def _elastic_ip(elastic: Address) -> state.ElasticIp:
    return state.ElasticIp(
        elastic.allocation_id,
        IPv4Address(elastic.public_ip),
        elastic.network_interface_id,
        elastic.private,
        elastic.association_id,
    )


def _instance(backend: Backend, instance: Instance) -> state.Instance:
    image = backend.amis.get(instance.image_id)
    name = image.name if image else instance.image_id
    metadata = instance.metadata_options
    return state.Instance(
        id=instance.id,
        type=instance.instance_type,
        image=name,
        state=instance.state,
        hostname=instance.hostname,
        public_key=instance.launch.public_key,
        key_name=instance.key_name,
        user_data=base64.b64decode(str(instance.user_data)) if instance.user_data else None,
        metadata_hop_limit=int(metadata.http_put_response_hop_limit or 1),
        metadata_tokens_required=metadata.http_tokens == "required",
        metadata_enabled=metadata.http_endpoint != "disabled",
        nested_virtualization=instance.launch.nested_virtualization,
        image_id=instance.image_id,
        root_gib=instance.launch.root_gib,
        launched=instance.launch_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        reboots=instance.reboots,
        profile=instance.profile.name if instance.profile else None,
        thin=instance.launch.thin,
    )
