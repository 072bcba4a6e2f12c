"""Why a packet was dropped, or will be: stable codes, one sentence each, and a drop's verdict.

The same code is told by who drops a packet, and by who finds beforehand that it would be dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Code(str, Enum):
    """Reasons for a drop, two that are counted without one, and what `pileus check` finds wrong.

    The family is the part that has it: see FAMILIES.
    """

    SOURCE_MAC = "UNDERLAY_SOURCE_MAC_UNREGISTERED"
    SOURCE_IP = "UNDERLAY_SOURCE_IP_UNREGISTERED"
    ARP_SENDER = "UNDERLAY_ARP_SENDER_UNREGISTERED"
    ARP_SILENT = "UNDERLAY_ARP_NOT_ANSWERED"
    NOT_CARRIED = "UNDERLAY_NOT_CARRIED"
    LINK_LOCAL = "UNDERLAY_LINK_LOCAL"
    SERVICE_RATE = "UNDERLAY_LINK_LOCAL_RATE"
    DHCP_SERVER = "UNDERLAY_DHCP_SERVER"
    GROUP_INGRESS = "UNDERLAY_SECURITY_GROUP_INGRESS"
    GROUP_EGRESS = "UNDERLAY_SECURITY_GROUP_EGRESS"
    ACL_INGRESS = "UNDERLAY_NETWORK_ACL_INGRESS"
    ACL_EGRESS = "UNDERLAY_NETWORK_ACL_EGRESS"
    NO_PUBLIC_ADDRESS = "UNDERLAY_NO_PUBLIC_ADDRESS"
    NO_ROUTE = "UNDERLAY_NO_ROUTE"
    NO_SUCH_ADDRESS = "UNDERLAY_DESTINATION_UNREGISTERED"
    INVALID = "UNDERLAY_CONNECTION_INVALID"
    ROUTER_SILENT = "UNDERLAY_ROUTER_NOT_ADDRESSED"
    GROUP_OPEN = "UNDERLAY_SECURITY_GROUP_OPEN"
    SOURCE_DEST_CHECK = "UNDERLAY_SOURCE_DEST_CHECK_OFF"
    NIC_MISSING = "UNDERLAY_NIC_MISSING"
    MACHINE_OFF = "UNDERLAY_MACHINE_OFF"
    INSTANCE_TYPE = "UNDERLAY_INSTANCE_TYPE_TOO_SMALL"
    ELASTIC_IP_LIMIT = "UNDERLAY_ELASTIC_IP_LIMIT"
    NIC_ADDRESS_LIMIT = "UNDERLAY_NIC_ADDRESS_LIMIT"
    DIFFERS = "UNDERLAY_NOT_AS_IN_FILE"
    PRIVATE_DESTINATION = "UNDERLAY_PRIVATE_DESTINATION"
    NOT_ENFORCED = "UNDERLAY_NOT_ENFORCED"

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
    UPLINK_RULES_MISSING = "UPLINK_RULES_MISSING"
    UPLINK_WIRING = "UPLINK_WIRING"
    UPLINK_AGENT_DEAD = "UPLINK_AGENT_DEAD"
    UPLINK_UNWELL = "UPLINK_UNWELL"
    UPLINK_NOT_ENFORCED = "UPLINK_NOT_ENFORCED"

    NODE_UNREACHABLE = "NODE_UNREACHABLE"
    NODE_MEMORY = "NODE_MEMORY"
    NODE_DISK = "NODE_DISK"
    NODE_NIC_MISSING = "NODE_NIC_MISSING"
    NODE_NIC_DOWN = "NODE_NIC_DOWN"
    NODE_MAC_CHANGED = "NODE_MAC_CHANGED"
    NODE_PROVIDER_ADDRESS = "NODE_PROVIDER_ADDRESS"
    NODE_PROVIDER_ROUTE = "NODE_PROVIDER_ROUTE"
    NODE_DEFAULT_ROUTE = "NODE_DEFAULT_ROUTE"
    NODE_REVERSE_PATH_FILTER = "NODE_REVERSE_PATH_FILTER"
    NODE_MTU = "NODE_MTU"
    NODE_EGRESS_HOOK = "NODE_EGRESS_HOOK"
    NODE_KVM = "NODE_KVM"
    NODE_MODULE = "NODE_MODULE"
    NODE_BRIDGE_FILTER = "NODE_BRIDGE_FILTER"
    NODE_CLOCK = "NODE_CLOCK"
    NODE_HOST_NAME = "NODE_HOST_NAME"
    NODE_PORT_TAKEN = "NODE_PORT_TAKEN"
    NODE_OTHER_DEPLOYMENT = "NODE_OTHER_DEPLOYMENT"
    NODE_FOREIGN_RULES = "NODE_FOREIGN_RULES"
    NODE_FOREIGN_BRIDGE = "NODE_FOREIGN_BRIDGE"
    NODE_SERVICE_DEAD = "NODE_SERVICE_DEAD"

    NEUTRON_PORT_UNBOUND = "NEUTRON_PORT_UNBOUND"
    NEUTRON_PORT_DOWN = "NEUTRON_PORT_DOWN"
    NEUTRON_GROUP_EGRESS = "NEUTRON_SECURITY_GROUP_EGRESS"
    NEUTRON_GROUP_INGRESS = "NEUTRON_SECURITY_GROUP_INGRESS"
    NEUTRON_NO_ROUTER = "NEUTRON_NO_ROUTER"
    NEUTRON_ROUTER_DOWN = "NEUTRON_ROUTER_DOWN"
    NEUTRON_NO_GATEWAY = "NEUTRON_NO_GATEWAY"
    NEUTRON_NO_ROUTE = "NEUTRON_NO_ROUTE"
    NEUTRON_NOT_PUBLISHED = "NEUTRON_NOT_PUBLISHED"
    NEUTRON_ADDRESS_UNUSED = "NEUTRON_ADDRESS_UNUSED"
    NEUTRON_AGENT_DEAD = "NEUTRON_AGENT_DEAD"
    NEUTRON_DEVICE_MISSING = "NEUTRON_DEVICE_MISSING"
    NEUTRON_DEVICE_DOWN = "NEUTRON_DEVICE_DOWN"
    NEUTRON_PORT_DEAD = "NEUTRON_PORT_DEAD_VLAN"
    NEUTRON_PORT_SECURITY = "NEUTRON_PORT_SECURITY"
    NEUTRON_SWITCH_SILENT = "NEUTRON_SWITCH_SILENT"
    NEUTRON_FLOWS_MISSING = "NEUTRON_FLOWS_MISSING"
    NEUTRON_BRIDGE_PORT = "NEUTRON_BRIDGE_PORT_MISSING"
    NEUTRON_NOT_FORWARDING = "NEUTRON_NOT_FORWARDING"
    NEUTRON_ROUTER_FILTER = "NEUTRON_ROUTER_FILTER"
    NEUTRON_NO_NEIGHBOUR = "NEUTRON_NO_NEIGHBOUR"
    NEUTRON_METADATA = "NEUTRON_METADATA_FAILS"
    NEUTRON_PORT_OPEN = "NEUTRON_PORT_OPEN"

    GUEST_OFF = "GUEST_OFF"
    GUEST_NO_ANSWER = "GUEST_NO_ANSWER"
    GUEST_REFUSED = "GUEST_REFUSED"
    GUEST_NO_NEIGHBOUR = "GUEST_NO_NEIGHBOUR"

    HOST_NOT_ROOT = "HOST_NOT_ROOT"
    HOST_PROGRAM = "HOST_PROGRAM_MISSING"
    HOST_DISK = "HOST_DISK"
    HOST_MEMORY = "HOST_MEMORY"

    def __str__(self) -> str:
        return str(self.value)

    @property
    def family(self) -> str:
        """The part that it belongs to: a key of FAMILIES."""
        return self.value.partition("_")[0]


FAMILIES = {
    "UNDERLAY": "the cloud below: its network, its NICs, what the account may have",
    "UPLINK": "what stands between the cloud below and the tenants' routers",
    "NEUTRON": "OpenStack's networks: ports, security groups, routers, agents",
    "GUEST": "the server itself",
    "NODE": "the machine that carries OpenStack",
    "HOST": "the host that carries the simulated region",
}


@dataclass(frozen=True)
class Explanation:
    """What a code means: the part that has it, one sentence why, and what to do about it."""

    component: str
    sentence: str
    hint: str


_SOURCE_CHECK = "the cloud's source check at the NIC"
_VPC = "the cloud's own network"
_PIPELINE = "the uplink's pipeline on the provider NIC"
_COUNTED = "nobody: the uplink's pipeline counts it and lets it pass"
_GROUP_IN = "the security group of the receiving NIC"
_NIC = "the machine's NIC in the cloud below"
_ACCOUNT = "the account in the cloud below"
_MACHINE = "the machine"
_DEVICE = "the machine's network device"
_ROUTING = "the machine's own routing"
_KERNEL = "the machine's kernel; a simulated machine runs on the host's"
_PORT = "a port in Neutron"
_ROUTER = "the router in Neutron"
_NEUTRON_GROUP = "the security groups of the server's port"
_GUEST = "the server"
_SWITCH = "Open vSwitch on the machine"
_ROUTER_THERE = "the router's namespace on the machine"
_OTHERS = "what others installed on the machine"
_HOST = "the host of the simulated region"

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
    Code.SERVICE_RATE: Explanation(
        _VPC,
        "The NIC sends more than 1024 packets a second to link-local services and the name server.",
        "cache names and metadata on the machine; the limit is for each NIC and cannot be raised",
    ),
    Code.DHCP_SERVER: Explanation(
        _VPC,
        "The packet is a DHCP server's answer, and the cloud's own is the only one.",
        "run no DHCP server on this NIC; inner networks have their own behind the uplink",
    ),
    Code.ACL_INGRESS: Explanation(
        "the network ACL of the receiver's subnet",
        "The network ACL denies the packet on its way into the subnet.",
        "allow it in an entry with a lower number; ACLs are stateless, so replies need one too",
    ),
    Code.ACL_EGRESS: Explanation(
        "the network ACL of the sender's subnet",
        "The network ACL denies the packet on its way out of the subnet.",
        "allow it in an entry with a lower number; ACLs are stateless, so replies need one too",
    ),
    Code.GROUP_INGRESS: Explanation(
        _GROUP_IN,
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
        "The destination lies in the VPC but is not registered on any NIC, or not on the one that "
        "the packet was sent or routed to.",
        "check the address; a NIC that is to forward needs its source/destination check off",
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
    Code.GROUP_OPEN: Explanation(
        _GROUP_IN,
        "The NIC's security group lets in more than pileus.yaml and the published ports ask for.",
        "run `pileus up`, which takes the rules away, or name the networks in `allow_from`",
    ),
    Code.SOURCE_DEST_CHECK: Explanation(
        _NIC,
        "The source/destination check is off: packets with foreign source addresses leave the NIC.",
        "switch it on again (ModifyNetworkInterfaceAttribute, SourceDestCheck); nothing here needs "
        "it off, since only registered addresses are sent",
    ),
    Code.NIC_MISSING: Explanation(
        _NIC,
        "The machine does not have both NICs, for management and for the provider network.",
        "run `pileus down --yes` and `pileus up` to make the machine anew",
    ),
    Code.MACHINE_OFF: Explanation(
        "the machine in the cloud below",
        "The cloud has no machine, or it does not run.",
        "start it with `pileus start`, or bring the cloud up with `pileus up`",
    ),
    Code.INSTANCE_TYPE: Explanation(
        "the instance type of the machine",
        "Machines of this type have too little memory or too few NICs for OpenStack.",
        "set underlay.instance_type to a larger one, such as m5.xlarge",
    ),
    Code.ELASTIC_IP_LIMIT: Explanation(
        _ACCOUNT,
        "The account may not have as many Elastic IPs in this region as are needed.",
        "have fewer floating IPs, release Elastic IPs that nothing uses, or raise the quota: "
        "Service Quotas, code L-0263D0A3; in the simulated region `pileus sim quota elastic-ips N`",
    ),
    Code.NIC_ADDRESS_LIMIT: Explanation(
        _NIC,
        "The instance type does not take as many addresses on a NIC as are needed.",
        "have fewer floating IPs, or set underlay.instance_type to one that takes more",
    ),
    Code.DIFFERS: Explanation(
        _VPC,
        "What is there differs from pileus.yaml in something that cannot be changed in place.",
        "run `pileus down --yes` and `pileus up`, or undo the change in pileus.yaml",
    ),
    Code.PRIVATE_DESTINATION: Explanation(
        "the internet gateway",
        "The packet left for a private address outside of the VPC, to which nothing leads there.",
        "connect the networks to one router, or use a floating IP or a published port",
    ),
    Code.NOT_ENFORCED: Explanation(
        _SOURCE_CHECK,
        "A frame with a forged source MAC was not dropped, or not counted, as it left the machine.",
        "see `pileus sim wire`; where another NIC of the machine counts it, that one sent it",
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
        "The sender's MAC is not the NIC's own, and nothing translates it: `uplink: mac-clone` "
        "does not, nor does a pipeline that somebody changed.",
        "give the router's gateway the NIC's MAC (`pileus up` does), or use `uplink: mac-nat`; "
        "`systemctl restart pileus-agent` on the machine puts the pipeline right",
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
        "An ARP answer from the cloud for an address behind which nobody has spoken of late.",
        "harmless: who asks again is known by then",
    ),
    Code.UPLINK_CLAIMED_TWICE: Explanation(
        _COUNTED,
        "A registered address was claimed by another MAC within a minute of the last one.",
        "it counts claims, not frames: one for each address that moves is normal; more means two "
        "devices share the address",
    ),
    Code.UPLINK_RESOLVED: Explanation(
        _COUNTED,
        "Traffic for a registered address behind which nobody has spoken of late; the inner side "
        "was asked who has it.",
        "normal after a start; when it keeps rising, no device has that address",
    ),
    Code.NODE_UNREACHABLE: Explanation(
        _MACHINE,
        "The machine cannot be logged in to, or cannot be looked at.",
        "see whether `allow_from` has your address and the machine has finished booting; where it "
        "denies permission, the cloud was made with another key: see $PILEUS_STATE",
    ),
    Code.NODE_MEMORY: Explanation(
        _MACHINE,
        "The machine has less memory than OpenStack needs.",
        "choose a larger underlay.instance_type",
    ),
    Code.NODE_DISK: Explanation(
        _MACHINE,
        "The machine's disk is smaller than OpenStack needs, or full.",
        "set underlay.root_disk_gib to 20 or more; remove what fills the disk",
    ),
    Code.NODE_NIC_MISSING: Explanation(
        _DEVICE,
        "The machine has no device with the MAC that the cloud below registered for a NIC.",
        "restart the machine (`pileus stop`, `pileus start`); where it stays, make it anew by "
        "`pileus down --yes` and `pileus up`",
    ),
    Code.NODE_NIC_DOWN: Explanation(
        _DEVICE,
        "The device of a NIC is down.",
        "set it up on the machine: `ip link set DEVICE up`",
    ),
    Code.NODE_MAC_CHANGED: Explanation(
        _DEVICE,
        "The device of a NIC has another MAC than the cloud below registered for it.",
        "give it its own MAC back (`ip link set DEVICE address MAC`): the uplink translates MACs, "
        "and no step here changes that of a NIC",
    ),
    Code.NODE_PROVIDER_ADDRESS: Explanation(
        _ROUTING,
        "The machine itself has an address on the provider NIC, which belongs to Neutron.",
        "take it off (`ip address flush dev DEVICE`), and whatever configures it: DHCP, cloud-init",
    ),
    Code.NODE_PROVIDER_ROUTE: Explanation(
        _ROUTING,
        "The machine itself routes by the provider NIC, where it has no address to send from.",
        "take the route away (`ip route del NETWORK dev DEVICE`), and whatever configures it",
    ),
    Code.NODE_DEFAULT_ROUTE: Explanation(
        _ROUTING,
        "The machine's default route does not lead out of the management NIC.",
        "route 0.0.0.0/0 to the first address of the management subnet, by the management NIC only",
    ),
    Code.NODE_REVERSE_PATH_FILTER: Explanation(
        _ROUTING,
        "Strict reverse-path filtering drops what comes in by a NIC that answers do not leave by.",
        "set net.ipv4.conf.all.rp_filter and that of the device to 2 or 0",
    ),
    Code.NODE_MTU: Explanation(
        _DEVICE,
        "A device on the way takes smaller packets than Neutron's networks send.",
        "set its MTU to 1500 or more: `ip link set DEVICE mtu 1500`",
    ),
    Code.NODE_EGRESS_HOOK: Explanation(
        _KERNEL,
        "The kernel has no netdev egress hook, on which the uplink's pipeline stands.",
        "take a kernel from 5.16 on that has CONFIG_NETFILTER_EGRESS, as those of Debian 12 and 13",
    ),
    Code.NODE_KVM: Explanation(
        _KERNEL,
        "Servers are to run on KVM, and the machine has none.",
        "set openstack.hypervisor to auto or qemu, or underlay.instance_type to one with nested "
        "virtualization, such as m8i.xlarge",
    ),
    Code.NODE_MODULE: Explanation(
        _KERNEL,
        "The kernel lacks a module that is needed here.",
        "install the kernel's own package of modules, or boot the kernel that the modules are for",
    ),
    Code.NODE_BRIDGE_FILTER: Explanation(
        _KERNEL,
        "Frames on the uplink's bridge go through the IP packet filter and connection tracking.",
        "set net.bridge.bridge-nf-call-iptables to 0; the agent does so when it starts: "
        "`systemctl restart pileus-uplink` on the machine",
    ),
    Code.NODE_CLOCK: Explanation(
        _MACHINE,
        "The machine's clock is wrong, so signed requests and tokens are refused.",
        "let systemd-timesyncd or chrony set it from 169.254.169.123; simulated machines have the "
        "host's clock",
    ),
    Code.NODE_HOST_NAME: Explanation(
        _MACHINE,
        "The machine's name is not the one that its services were first started with.",
        "set it back (`hostnamectl set-hostname`), and its line in /etc/hosts; `pileus up` does",
    ),
    Code.NODE_PORT_TAKEN: Explanation(
        _OTHERS,
        "A port that OpenStack listens on is taken by another program.",
        "stop and disable the other program on the machine, then run `pileus up`",
    ),
    Code.NODE_OTHER_DEPLOYMENT: Explanation(
        _OTHERS,
        "Something is installed that rules networking of its own, as another OpenStack or Docker.",
        "use a machine of its own, or remove the other installation",
    ),
    Code.NODE_FOREIGN_RULES: Explanation(
        _OTHERS,
        "There are nftables rules that are neither Pileus's nor OpenStack's.",
        "see `nft list ruleset` on the machine, and remove what nobody needs any more",
    ),
    Code.NODE_FOREIGN_BRIDGE: Explanation(
        _OTHERS,
        "Open vSwitch has bridges that are neither Pileus's nor OpenStack's.",
        "remove them with `ovs-vsctl del-br` if nobody needs them any more",
    ),
    Code.NODE_SERVICE_DEAD: Explanation(
        "a service of OpenStack's on the machine",
        "A service of OpenStack's does not run.",
        "`systemctl restart` it on the machine, and see its journal: `journalctl -u UNIT`",
    ),
    Code.NEUTRON_PORT_UNBOUND: Explanation(
        _PORT,
        "Neutron could not bind the port, so no machine carries it.",
        "see that the Open vSwitch agent is alive (`openstack network agent list`), then set the "
        "server, or the router, down and up again",
    ),
    Code.NEUTRON_PORT_DOWN: Explanation(
        _PORT,
        "The port is administratively down, or its device is not plugged in.",
        "`openstack port set --enable PORT`; where that is so, see neutron-openvswitch-agent.log "
        "on the machine",
    ),
    Code.NEUTRON_GROUP_EGRESS: Explanation(
        _NEUTRON_GROUP,
        "No outbound rule of the security groups of the sending server allows the packet.",
        "`openstack security group rule create --egress …`",
    ),
    Code.NEUTRON_GROUP_INGRESS: Explanation(
        _NEUTRON_GROUP,
        "No inbound rule of the security groups of the receiving server allows the packet.",
        "`openstack security group rule create --ingress …`, or `pileus publish` the port",
    ),
    Code.NEUTRON_NO_ROUTER: Explanation(
        _ROUTER,
        "No router has the gateway address of the server's network.",
        "`openstack router add subnet ROUTER SUBNET`",
    ),
    Code.NEUTRON_ROUTER_DOWN: Explanation(
        _ROUTER,
        "The router is administratively down.",
        "`openstack router set --enable ROUTER`",
    ),
    Code.NEUTRON_NO_GATEWAY: Explanation(
        _ROUTER,
        "The router has no gateway on the provider network.",
        "`pileus up` for the cloud's own; else `openstack router set --external-gateway provider "
        "ROUTER`",
    ),
    Code.NEUTRON_NO_ROUTE: Explanation(
        _ROUTER,
        "The router has no route to the destination.",
        "`pileus up` sets the provider subnet's gateway; for others, `openstack router add route`",
    ),
    Code.NEUTRON_NOT_PUBLISHED: Explanation(
        "the router's address translation",
        "The router has the address, and nothing leads from that port of it to a server.",
        "publish it: `pileus publish SERVER PORT:SERVER_PORT`",
    ),
    Code.NEUTRON_ADDRESS_UNUSED: Explanation(
        "OpenStack's networks",
        "The packet is for an address that no server and no router has.",
        "give it to a server (`openstack server add floating ip`), or publish the port anew, to "
        "the address that the server has now",
    ),
    Code.NEUTRON_AGENT_DEAD: Explanation(
        "an agent of Neutron's on the machine",
        "The agent does not report to Neutron, so what it is to do stays undone.",
        "restart it on the machine: `systemctl restart` with the program's name, and see its log",
    ),
    Code.UPLINK_RULES_MISSING: Explanation(
        _PIPELINE,
        "The NIC has no pipeline, so nothing of the inner side gets out, and nothing in.",
        "`systemctl restart pileus-agent` on the machine puts it back",
    ),
    Code.UPLINK_WIRING: Explanation(
        "the uplink's devices on the machine",
        "A device between Open vSwitch and the provider NIC is missing or down.",
        "`systemctl restart pileus-uplink` on the machine makes what is missing",
    ),
    Code.UPLINK_AGENT_DEAD: Explanation(
        "the uplink's agent on the machine",
        "The uplink's agent does not run: what is lost or changes is not put back.",
        "`systemctl start pileus-agent` on the machine, and see its journal",
    ),
    Code.UPLINK_UNWELL: Explanation(
        "the uplink's agent on the machine",
        "The uplink's agent runs, and has something to complain of.",
        "`pileus agent status` says of what, and `journalctl -u pileus-agent` on the machine "
        "since when",
    ),
    Code.UPLINK_NOT_ENFORCED: Explanation(
        _PIPELINE,
        "Something passed that must not: a packet from an address that is not registered, or a "
        "question to the services that the cloud below has for this machine.",
        "`systemctl restart pileus-agent` on the machine puts the pipeline right; where it stays, "
        "see `nft list ruleset` there",
    ),
    Code.NEUTRON_DEVICE_MISSING: Explanation(
        _ROUTER_THERE,
        "The router's namespace, or a device in it, is not there.",
        "`systemctl restart neutron-l3-agent` on the machine, and see its log",
    ),
    Code.NEUTRON_DEVICE_DOWN: Explanation(
        _ROUTER_THERE,
        "A device in the router's namespace is down.",
        "set it up there: `ip -n NAMESPACE link set DEVICE up`, or disable the router and enable "
        "it again",
    ),
    Code.NEUTRON_PORT_DEAD: Explanation(
        _SWITCH,
        "The port is not in its network's VLAN: the Open vSwitch agent has not wired it or has cut "
        "it off, or somebody changed its tag.",
        "see neutron-openvswitch-agent.log on the machine; restart the agent",
    ),
    Code.NEUTRON_PORT_SECURITY: Explanation(
        _NEUTRON_GROUP,
        "The packet's source MAC or address is not that of the port, and port security is on.",
        "use the port's own, or `openstack port set --allowed-address ip-address=… PORT`",
    ),
    Code.NEUTRON_SWITCH_SILENT: Explanation(
        _SWITCH,
        "Open vSwitch on the machine does not answer, or does not take the packet.",
        "`systemctl restart openvswitch-switch` on the machine",
    ),
    Code.NEUTRON_FLOWS_MISSING: Explanation(
        _SWITCH,
        "Open vSwitch has lost the flows that tell what to do with the port's packets.",
        "`systemctl restart neutron-openvswitch-agent` on the machine",
    ),
    Code.NEUTRON_BRIDGE_PORT: Explanation(
        _SWITCH,
        "The provider network's bridge lacks the port to the NIC, or that to br-int.",
        "`pileus up` puts it back, or `ovs-vsctl add-port br-ex DEVICE` on the machine",
    ),
    Code.NEUTRON_NOT_FORWARDING: Explanation(
        _ROUTER_THERE,
        "The router's namespace does not forward packets.",
        "`ip netns exec NAMESPACE sysctl net.ipv4.ip_forward=1` on the machine",
    ),
    Code.NEUTRON_ROUTER_FILTER: Explanation(
        _ROUTER_THERE,
        "A packet filter rule in the router's namespace drops the packet.",
        "`ip netns exec NAMESPACE iptables-save -c` on the machine shows it; remove it where it "
        "is not Neutron's",
    ),
    Code.NEUTRON_NO_NEIGHBOUR: Explanation(
        _ROUTER_THERE,
        "Nobody answers the router's question (ARP) for its next hop on the provider network.",
        "see that the provider subnet's gateway is that of the cloud below, and the NIC is up",
    ),
    Code.NEUTRON_METADATA: Explanation(
        "OpenStack's metadata service",
        "The metadata proxy is not there, or gets no good answer from what stands behind it.",
        "see neutron-metadata-agent.log and nova-api-metadata's on the machine",
    ),
    Code.NEUTRON_PORT_OPEN: Explanation(
        "the way in from the internet",
        "Somebody answers at a port that nobody published, or that no security group opens.",
        "see who: `pileus trace internet ADDRESS --port PORT`, and `pileus agent status` for what "
        "is published",
    ),
    Code.GUEST_NO_ANSWER: Explanation(
        _GUEST,
        "The packet was handed to the server, and nothing came back.",
        "look at the server's own firewall and routes: `openstack console log show SERVER`",
    ),
    Code.GUEST_REFUSED: Explanation(
        _GUEST,
        "The server answers that nothing listens on the port.",
        "start the service in the server, or ask for the port that it listens on",
    ),
    Code.GUEST_NO_NEIGHBOUR: Explanation(
        _GUEST,
        "The server does not answer the question (ARP) for its address.",
        "it may not have booted, or have another address: `openstack console log show SERVER`",
    ),
    Code.GUEST_OFF: Explanation(
        _GUEST,
        "The server does not run.",
        "`openstack server start SERVER`; where it is in ERROR, `openstack server show SERVER` "
        "says why",
    ),
    Code.HOST_NOT_ROOT: Explanation(
        _HOST,
        "The simulated region needs root: it makes namespaces and boots machines.",
        "run the same command as root (`sudo ./pileus …`)",
    ),
    Code.HOST_PROGRAM: Explanation(
        _HOST,
        "Programs that the simulated region needs are not installed.",
        "run `make install` as root",
    ),
    Code.HOST_DISK: Explanation(
        _HOST,
        "Too little disk is free for images and machines.",
        "free some, or set PILEUS_DATA to a directory on another disk",
    ),
    Code.HOST_MEMORY: Explanation(
        _HOST,
        "Too little memory is free for a machine with OpenStack.",
        "end other programs, or take a larger machine",
    ),
}


@dataclass(frozen=True)
class Drop:
    """A packet's end: the stage and rule that dropped it, and the reason's code."""

    stage: str
    rule: str
    reason: Code
