"""Why a packet was dropped: stable codes, one sentence each, and the verdict that carries them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Reasons for a drop. The family names the part that drops: UNDERLAY is the cloud below."""

    SOURCE_MAC = "UNDERLAY_SOURCE_MAC_UNREGISTERED"
    SOURCE_IP = "UNDERLAY_SOURCE_IP_UNREGISTERED"
    ARP_SENDER = "UNDERLAY_ARP_SENDER_UNREGISTERED"
    ARP_SILENT = "UNDERLAY_ARP_NOT_ANSWERED"
    NOT_CARRIED = "UNDERLAY_NOT_CARRIED"
    LINK_LOCAL = "UNDERLAY_LINK_LOCAL"
    GROUP_INGRESS = "UNDERLAY_SECURITY_GROUP_INGRESS"
    GROUP_EGRESS = "UNDERLAY_SECURITY_GROUP_EGRESS"
    NO_PUBLIC_ADDRESS = "UNDERLAY_NO_PUBLIC_ADDRESS"
    NO_ROUTE = "UNDERLAY_NO_ROUTE"
    NO_SUCH_ADDRESS = "UNDERLAY_DESTINATION_UNREGISTERED"
    INVALID = "UNDERLAY_CONNECTION_INVALID"
    ROUTER_SILENT = "UNDERLAY_ROUTER_NOT_ADDRESSED"


@dataclass(frozen=True)
class Explanation:
    """What a code means: who drops, one sentence why, and what to do about it."""

    component: str
    sentence: str
    hint: str


_SOURCE_CHECK = "the cloud's source check at the NIC"
_VPC = "the cloud's own network"

EXPLANATIONS: dict[Code, Explanation] = {
    Code.SOURCE_MAC: Explanation(
        _SOURCE_CHECK,
        "The frame's source MAC is not the one registered for the NIC it left by.",
        "give the sender the NIC's registered MAC (`pileus up` sets the router gateway's)",
    ),
    Code.SOURCE_IP: Explanation(
        _SOURCE_CHECK,
        "The packet's source address is not registered on the NIC it left by.",
        "register the address on the NIC, or send from a registered one",
    ),
    Code.ARP_SENDER: Explanation(
        _SOURCE_CHECK,
        "An ARP packet names a sender whose MAC and IP are not registered together on the NIC.",
        "only registered (MAC, IP) pairs may speak ARP on this NIC",
    ),
    Code.ARP_SILENT: Explanation(
        _VPC,
        "The cloud answers ARP itself and says nothing to this packet: a probe, an announcement, "
        "a reply, or a request for an address that is not registered in the subnet.",
        "harmless for probes and announcements; for a request, check the address is registered",
    ),
    Code.NOT_CARRIED: Explanation(
        _VPC,
        "The frame is neither IPv4 nor ARP, or is broadcast, multicast, VLAN-tagged or addressed "
        "to a MAC that the subnet does not know.",
        "the cloud carries unicast IPv4 only; tunnel anything else",
    ),
    Code.LINK_LOCAL: Explanation(
        _VPC,
        "The packet is to or from 169.254.0.0/16 and is not metadata traffic of the instance.",
        "nothing but the instance itself may reach the link-local services",
    ),
    Code.GROUP_INGRESS: Explanation(
        "the security group of the receiving NIC",
        "No inbound rule of the receiving NIC's security groups allows the packet.",
        "publish the port (`pileus publish`), or allow the source in `allow_from`",
    ),
    Code.GROUP_EGRESS: Explanation(
        "the security group of the sending NIC",
        "No outbound rule of the sending NIC's security groups allows the packet.",
        "allow it in the outbound rules of the NIC's security group",
    ),
    Code.NO_PUBLIC_ADDRESS: Explanation(
        "the internet gateway",
        "The source address has no Elastic IP, so the internet gateway cannot translate it.",
        "associate an Elastic IP with the address",
    ),
    Code.NO_ROUTE: Explanation(
        "the subnet's route table",
        "The subnet's route table has no route to the destination.",
        "add a route, for example 0.0.0.0/0 to the internet gateway",
    ),
    Code.NO_SUCH_ADDRESS: Explanation(
        _VPC,
        "The destination lies in the VPC but is not registered on any NIC.",
        "check the address; unregistered addresses do not exist for the cloud",
    ),
    Code.INVALID: Explanation(
        "connection tracking of the cloud's network",
        "The packet belongs to no connection that the cloud has seen the start of.",
        "check for asymmetric paths: replies must leave by the NIC the request came to",
    ),
    Code.ROUTER_SILENT: Explanation(
        "the VPC's router",
        "The packet is addressed to the VPC's router, which serves DHCP, DNS and metadata only.",
        "test reachability with a host, not with the router's address",
    ),
}


@dataclass(frozen=True)
class Drop:
    """A packet's end: the stage and rule that dropped it, and the reason's code."""

    stage: str
    rule: str
    reason: Code
