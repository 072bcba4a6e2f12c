"""The units of an all-in-one controller."""

from __future__ import annotations

NOVA = ("nova-api", "nova-api-metadata", "nova-conductor", "nova-scheduler", "nova-compute")
NEUTRON = (
    "neutron-api",
    "neutron-rpc-server",
    "neutron-openvswitch-agent",
    "neutron-l3-agent",
    "neutron-dhcp-agent",
    "neutron-metadata-agent",
)
CONTROLLER = ("keystone", "placement-api", "glance-api", *NOVA, *NEUTRON, "horizon")
