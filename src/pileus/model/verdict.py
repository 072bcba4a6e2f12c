"""Why a packet was dropped: stable codes, one sentence each, and the verdict that carries them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Code(str, Enum):
    """Reasons for a drop, and two that are counted without one.

    The family names the part that drops: UNDERLAY is the cloud below, UPLINK what stands between
    it and the tenants' routers.
    """

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

    UPLINK_VLAN = "UPLINK_VLAN"
    UPLINK_IPV6 = "UPLINK_IPV6"
    UPLINK_NOT_CARRIED = "UPLINK_NOT_CARRIED"
    UPLINK_LINK_LOCAL = "UPLINK_LINK_LOCAL"
    UPLINK_DHCP = "UPLINK_DHCP"
    UPLINK_MULTICAST = "UPLINK_MULTICAST"
    UPLINK_SOURCE_MAC = "UPLINK_SOURCE_MAC"
    UPLINK_SOURCE_IP = "UPLINK_SOURCE_UNREGISTERED"
    UPLINK_DESTINATION_IP = "UPLINK_DESTINATION_UNREGISTERED"
    UPLINK_STAYS_INSIDE = "UPLINK_STAYS_INSIDE"
    UPLINK_ARP_PROBE = "UPLINK_ARP_PROBE"
    UPLINK_ARP_SENDER = "UPLINK_ARP_SENDER_UNREGISTERED"
    UPLINK_ARP_NOT_OURS = "UPLINK_ARP_NOT_OURS"
    UPLINK_ARP_NOT_ASKED = "UPLINK_ARP_NOT_ASKED"
    UPLINK_CLAIMED_TWICE = "UPLINK_ADDRESS_CLAIMED_TWICE"
    UPLINK_RESOLVED = "UPLINK_RESOLVED"

    def __str__(self) -> str:
        return str(self.value)

    @property
    def family(self) -> str:
        """The part that drops: UNDERLAY or UPLINK."""
        return self.value.partition("_")[0]


@dataclass(frozen=True)
class Explanation:
    """What a code means: who drops, one sentence why, and what to do about it."""

    component: str
    sentence: str
    hint: str


_SOURCE_CHECK = "the cloud's source check at the NIC"
_VPC = "the cloud's own network"
_PIPELINE = "the uplink's pipeline on the provider NIC"
_COUNTED = "nobody: the uplink's pipeline counts it and lets it pass"

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
    Code.UPLINK_VLAN: Explanation(
        _PIPELINE,
        "The frame carries a VLAN tag.",
        "make the provider network a flat one; the cloud below carries no tags",
    ),
    Code.UPLINK_IPV6: Explanation(
        _PIPELINE,
        "The frame is IPv6, whose neighbour discovery cannot be translated here.",
        "harmless when it is a device announcing itself; use IPv4 on the provider network",
    ),
    Code.UPLINK_NOT_CARRIED: Explanation(
        _PIPELINE,
        "The frame is neither well-formed IPv4 nor an ARP request or reply for IPv4.",
        "the cloud below carries unicast IPv4 only; tunnel anything else",
    ),
    Code.UPLINK_LINK_LOCAL: Explanation(
        _PIPELINE,
        "The frame is to, from or asks for 169.254.0.0/16, where the cloud's services of this "
        "machine live.",
        "nothing behind the NIC may reach them; servers have OpenStack's own metadata service",
    ),
    Code.UPLINK_DHCP: Explanation(
        _PIPELINE,
        "The packet is DHCP, a question or an answer.",
        "no DHCP on the provider network: the cloud below would offer the NIC's own address",
    ),
    Code.UPLINK_MULTICAST: Explanation(
        _PIPELINE,
        "The packet is broadcast or multicast.",
        "harmless for IGMP; the cloud below carries unicast only",
    ),
    Code.UPLINK_SOURCE_MAC: Explanation(
        _PIPELINE,
        "The sender's MAC is not the NIC's own, and `uplink: mac-clone` translates none.",
        "give the router's gateway the NIC's MAC (`pileus up` does), or use `uplink: mac-nat`",
    ),
    Code.UPLINK_SOURCE_IP: Explanation(
        _PIPELINE,
        "The packet's source address is not registered on the NIC.",
        "register it (`pileus floating-ip add`), or send from a registered address",
    ),
    Code.UPLINK_DESTINATION_IP: Explanation(
        _PIPELINE,
        "The packet came from the cloud for an address that is not registered on the NIC.",
        "register the address, or wait until the node has seen it in its metadata",
    ),
    Code.UPLINK_STAYS_INSIDE: Explanation(
        _PIPELINE,
        "Both ends are behind this NIC, so the frame has nothing to do outside.",
        "harmless: the inner side delivers it; announcements of an address end here too",
    ),
    Code.UPLINK_ARP_PROBE: Explanation(
        _PIPELINE,
        "An ARP question without a sender's address: a probe before an address is used, or the "
        "resolver looking for who has one.",
        "harmless: the inner side answers it",
    ),
    Code.UPLINK_ARP_SENDER: Explanation(
        _PIPELINE,
        "An ARP packet names a sender whose address is not registered on the NIC.",
        "register the address, or take it off the device behind the NIC",
    ),
    Code.UPLINK_ARP_NOT_OURS: Explanation(
        _PIPELINE,
        "ARP from the cloud that concerns no registered address, or whose sender claims one.",
        "harmless when rare; otherwise look for a machine outside that uses a registered address",
    ),
    Code.UPLINK_ARP_NOT_ASKED: Explanation(
        _PIPELINE,
        "An ARP answer from the cloud for an address behind which nobody has spoken yet.",
        "harmless: who asks again is known by then",
    ),
    Code.UPLINK_CLAIMED_TWICE: Explanation(
        _COUNTED,
        "A registered address was claimed by another MAC within a minute of the last one.",
        "once for each address that moves is normal; more means two devices share the address",
    ),
    Code.UPLINK_RESOLVED: Explanation(
        _COUNTED,
        "Traffic for a registered address behind which nobody has spoken yet; the inner side was "
        "asked who has it.",
        "normal after a start; when it keeps rising, no device has that address",
    ),
}


@dataclass(frozen=True)
class Drop:
    """A packet's end: the stage and rule that dropped it, and the reason's code."""

    stage: str
    rule: str
    reason: Code
