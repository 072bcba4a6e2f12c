"""Ways to break a running cloud, each done for real and taken back: data for the fault gallery.

Whatever heals by itself within a second is broken with its healer stopped, as it is on a node
whose agent has died.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.api.environment import Cloud
from pileus.model.path import Stage
from pileus.system.runner import Runner

UNREGISTERED = "172.16.20.77"


@dataclass
class World:
    """The cloud that is broken, by all the ways that lead into it."""

    cloud: Cloud
    node: Runner
    """Programs on the machine, as root."""
    guest: Runner
    """Programs in the server `web`, by its router's namespace."""
    ec2: Any
    openstack: Any
    names: Mapping[str, str]
    """What the texts of steps name in angle brackets: devices, namespaces, addresses, ids."""
    kept: dict[str, Any] = field(default_factory=dict)
    """What was there before, for who takes it back."""

    def sh(self, text: str) -> str:
        """Run a shell script on the machine as root; names in angle brackets are filled in."""
        for name, value in self.names.items():
            text = text.replace(f"<{name}>", value)
        return self.node(["sh", "-e", "-s"], stdin=text, timeout=180).stdout


Step = Callable[[World], object]


@dataclass(frozen=True)
class Fault:
    """One way to break it, and who says so."""

    name: str
    inject: Step
    undo: Step
    code: str
    stage: Stage
    case: str
    """The case of `check connectivity` that fails, or whose place cannot be got to."""
    changes_api_state: bool = False
    """Whether either cloud's API shows it."""


def node(text: str) -> Step:
    """A shell script on the machine, as root."""
    return lambda world: world.sh(text)


def router(text: str) -> Step:
    """A shell script in the router's namespace."""
    return node(f"ip netns exec <namespace> sh -e <<'END'\n{text}\nEND")


def unattended(text: str) -> Step:
    """With the uplink's agent stopped, which would put it right at once."""
    return node(f"systemctl stop pileus-agent\n{text}")


def attended(text: str = "") -> Step:
    """The agent started again, which puts right what is its own."""
    return node(f"{text}\nsystemctl start pileus-agent")


def both(first: Step, second: Step) -> Step:
    """One step after the other."""

    def step(world: World) -> None:
        first(world)
        second(world)

    return step


def guest(text: str) -> Step:
    """A shell script in the server."""
    return lambda world: world.guest(["sh", "-c", text], timeout=30)


QG, QR = (
    f"$(ip -br -4 addr | sed -n 's|^\\({kind}-[^ @]*\\).* {at}/.*|\\1|p')"
    for kind, at in (("qg", "172.16.20.101"), ("qr", "192.168.20.1"))
)
"""Devices in the router's namespace: a gateway that is set anew has another one."""
MACHINE = "machine-lets-in"
ROUTER, PUBLISHED = "router-reaches-internet", "published-172.16.20.101:522"
PREFLIGHT = "preflight"
"""For what stops no packet: `check` says it, and a trace of what passes."""
SERVER, INTO_SERVER = "web-reaches-internet", "web-lets-in"
PINGS = (
    "timeout 150 sh -c 'until ip netns exec <namespace> ping -c 1 -W 1 8.8.8.8; do sleep 0.2; done'"
)
"""The router is whole again: its devices plugged, its address learned."""

REACHES_SERVER = (
    "timeout 150 sh -c 'until ip netns exec <namespace> ping -c 1 -W 1 192.168.20.5; "
    "do sleep 0.2; done'"
)
"""The switch lets the server speak by its address again."""

VLAN = "ovs-vsctl set port <tap> tag=$(ovs-vsctl get port <tap> other_config:tag | tr -d '\"')"
"""The agent's own for the server's network, which it numbers anew when it starts."""

NOBODY_MINDS_TAPS = """\
mkdir -p /run/systemd/network
printf '[Match]\\nName=tap*\\n[Link]\\nUnmanaged=yes\\n' >/run/systemd/network/10-fault.network
networkctl reload"""
"""systemd-networkd would set them up again at once."""

KEEP_FLOWS = "ovs-ofctl -O OpenFlow13 --no-stats dump-flows br-int >/run/br-int.flows"
GIVE_FLOWS = "ovs-ofctl -O OpenFlow13 replace-flows br-int /run/br-int.flows"
OVS_AGENT = "systemctl kill neutron-openvswitch-agent"
"""It would put back the flows of br-int within seconds."""

NO_PROXY = "kill $(cat /var/lib/neutron/external/pids/<router id>.pid.haproxy)"
START_PROXY = (
    "ip netns exec <namespace> haproxy -f /var/lib/neutron/ns-metadata-proxy/<router id>.conf"
)
PROXY = (
    "timeout 150 sh -c 'until ip netns exec <namespace> ss -Hltn sport = 9697 | grep -q .; "
    "do sleep 0.2; done'"
)


def below(call: str, **arguments: Any) -> Step:
    """A call of the EC2 API; texts among its arguments may name things in angle brackets."""
    return lambda world: getattr(world.ec2, call)(**_filled(arguments, world.names))


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    if isinstance(value, str) and value.startswith("<"):
        return names[value[1:-1]]
    return value


ALL = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
TO_PINGED = {"Protocol": "-1", "CidrBlock": "8.8.8.8/32"}
ENTRY = {"NetworkAclId": "<acl>", "RuleNumber": 1, "Egress": True}
GROUP, NIC = "<provider group>", "<provider nic>"


def close_group(role: str) -> Step:
    """Nothing comes in any more: all inbound rules of a NIC's group are taken away."""

    def step(world: World) -> None:
        group = world.names[f"{role} group"]
        (found,) = world.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        world.kept[role] = found["IpPermissions"]
        world.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=world.kept[role])

    return step


def open_group(role: str) -> Step:
    return lambda world: world.ec2.authorize_security_group_ingress(
        GroupId=world.names[f"{role} group"], IpPermissions=world.kept[role]
    )


def empty_route_table(world: World) -> None:
    """The provider subnet gets a route table of its own, with no way out."""
    ec2, names = world.ec2, world.names
    table = ec2.create_route_table(VpcId=names["vpc"])["RouteTable"]["RouteTableId"]
    world.kept["table"] = table
    made = ec2.associate_route_table(RouteTableId=table, SubnetId=names["provider subnet below"])
    world.kept["association"] = made["AssociationId"]


def main_route_table(world: World) -> None:
    world.ec2.disassociate_route_table(AssociationId=world.kept["association"])
    world.ec2.delete_route_table(RouteTableId=world.kept["table"])


def neutron(call: str, thing: str, **arguments: Any) -> Step:
    """A call of Neutron's API about the thing of that name."""
    return lambda world: getattr(world.openstack.network, call)(world.names[thing], **arguments)


def forget_rules(direction: str) -> Step:
    """The server's security group loses its rules of one direction."""

    def step(world: World) -> None:
        network = world.openstack.network
        rules = list(
            network.security_group_rules(
                security_group_id=world.names["server group"],
                direction=direction,
                ether_type="IPv4",
            )
        )
        world.kept[direction] = rules
        for rule in rules:
            network.delete_security_group_rule(rule)

    return step


def remember_rules(direction: str) -> Step:
    def step(world: World) -> None:
        for rule in world.kept[direction]:
            world.openstack.network.create_security_group_rule(
                security_group_id=rule.security_group_id,
                direction=direction,
                ether_type="IPv4",
                protocol=rule.protocol,
                port_range_min=rule.port_range_min,
                port_range_max=rule.port_range_max,
                remote_ip_prefix=rule.remote_ip_prefix,
                description=rule.description or "",
            )

    return step


def leave_gateway(world: World) -> None:
    network = world.openstack.network
    router = network.get_router(world.names["router id"])
    world.kept["gateway"] = router.external_gateway_info
    network.update_router(router, external_gateway_info={})


def enter_gateway(world: World) -> None:
    gateway = {key: world.kept["gateway"][key] for key in ("network_id", "external_fixed_ips")}
    world.openstack.network.update_router(world.names["router id"], external_gateway_info=gateway)


def pause(world: World) -> None:
    world.openstack.compute.pause_server(world.names["server id"])


def unpause(world: World) -> None:
    world.openstack.compute.unpause_server(world.names["server id"])


def pool_too_large(world: World) -> None:
    """Neutron may give out an address that nobody registered, and the router has it."""
    network = world.openstack.network
    router = network.get_router(world.names["router id"])
    world.kept["pools"] = network.get_subnet(world.names["provider subnet"]).allocation_pools
    world.kept["gateway"] = router.external_gateway_info
    network.update_subnet(
        world.names["provider subnet"],
        allocation_pools=[{"start": "172.16.20.70", "end": "172.16.20.120"}],
    )
    fixed = [{"subnet_id": world.names["provider subnet"], "ip_address": UNREGISTERED}]
    network.update_router(
        router,
        external_gateway_info={
            "network_id": router.external_gateway_info["network_id"],
            "external_fixed_ips": fixed,
        },
    )


def pool_as_it_was(world: World) -> None:
    enter_gateway(world)
    world.openstack.network.update_subnet(
        world.names["provider subnet"], allocation_pools=world.kept["pools"]
    )


def lose_secondary(world: World) -> None:
    """The server's floating IP is an address that the NIC has lost, and the agent cannot know."""
    names = world.names
    world.openstack.network.update_ip(names["spare id"], port_id=names["server port"])
    world.sh("systemctl stop pileus-agent")
    world.ec2.unassign_private_ip_addresses(
        NetworkInterfaceId=names["provider nic"], PrivateIpAddresses=[names["spare"]]
    )


def regain_secondary(world: World) -> None:
    nic, address = world.names["provider nic"], world.names["spare"]
    world.ec2.assign_private_ip_addresses(NetworkInterfaceId=nic, PrivateIpAddresses=[address])
    world.ec2.associate_address(
        AllocationId=world.names["spare allocation"],
        NetworkInterfaceId=nic,
        PrivateIpAddress=address,
    )
    world.sh("systemctl start pileus-agent")
    world.openstack.network.update_ip(world.names["spare id"], port_id=None)


UNTRANSLATED = (
    "nft flush chain netdev pileus_<nic> translate_out_ip\n"
    "nft add rule netdev pileus_<nic> translate_out_ip accept"
)
# Each ARP question claims the address anew.
CLAIMANT = """
ip netns add pileus-claimant
ovs-vsctl -- add-port br-ex claimant -- set interface claimant type=internal
ip link set claimant netns pileus-claimant
ip -n pileus-claimant addr add 172.16.20.101/24 dev claimant
ip -n pileus-claimant link set claimant up
(for n in $(seq 300); do
  ip -n pileus-claimant neigh flush dev claimant
  ip netns exec pileus-claimant ping -c 1 -W 0.1 172.16.20.1
  sleep 0.1
done) >/dev/null 2>&1 &
echo $! >/run/claimant.pid
"""
NO_CLAIMANT = """
kill $(cat /run/claimant.pid) || true
ovs-vsctl --if-exists del-port br-ex claimant
ip netns del pileus-claimant
nft flush set netdev pileus_<nic> claims
ip netns exec <namespace> ping -c 1 -W 1 8.8.8.8 || true
"""

FAULTS = (
    # What the cloud below was told.
    Fault(
        "no Elastic IP any more",
        below("disassociate_address", PublicIp="<public>"),
        below(
            "associate_address",
            AllocationId="<allocation>",
            NetworkInterfaceId=NIC,
            PrivateIpAddress="172.16.20.101",
        ),
        "UNDERLAY_NO_PUBLIC_ADDRESS",
        Stage.ELASTIC_IP,
        ROUTER,
        changes_api_state=True,
    ),
    Fault(
        "the cloud below lets nothing in",
        close_group("provider"),
        open_group("provider"),
        "UNDERLAY_SECURITY_GROUP_INGRESS",
        Stage.GROUPS,
        PUBLISHED,
        changes_api_state=True,
    ),
    Fault(
        "the cloud below lets nobody in to the machine",
        close_group("management"),
        open_group("management"),
        "UNDERLAY_SECURITY_GROUP_INGRESS",
        Stage.GROUPS,
        MACHINE,
        changes_api_state=True,
    ),
    Fault(
        "the cloud below lets nothing out",
        below("revoke_security_group_egress", GroupId=GROUP, IpPermissions=[ALL]),
        below("authorize_security_group_egress", GroupId=GROUP, IpPermissions=[ALL]),
        "UNDERLAY_SECURITY_GROUP_EGRESS",
        Stage.GROUPS,
        ROUTER,
        changes_api_state=True,
    ),
    Fault(
        "no default route below",
        empty_route_table,
        main_route_table,
        "UNDERLAY_NO_ROUTE",
        Stage.ROUTE,
        ROUTER,
        changes_api_state=True,
    ),
    Fault(
        "a network ACL that lets nothing out to 8.8.8.8",
        below("create_network_acl_entry", RuleAction="deny", **ENTRY, **TO_PINGED),
        below("delete_network_acl_entry", **ENTRY),
        "UNDERLAY_NETWORK_ACL_EGRESS",
        Stage.ACL,
        ROUTER,
        changes_api_state=True,
    ),
    Fault(
        "a secondary address is missing on the NIC",
        lose_secondary,
        regain_secondary,
        "UNDERLAY_SOURCE_IP_UNREGISTERED",
        Stage.NIC,
        SERVER,
        changes_api_state=True,
    ),
    Fault(
        "the NIC's source/dest check is off",
        below(
            "modify_network_interface_attribute",
            NetworkInterfaceId=NIC,
            SourceDestCheck={"Value": False},
        ),
        below(
            "modify_network_interface_attribute",
            NetworkInterfaceId=NIC,
            SourceDestCheck={"Value": True},
        ),
        "UNDERLAY_SOURCE_DEST_CHECK_OFF",
        Stage.NIC,
        PREFLIGHT,
        changes_api_state=True,
    ),
    # What OpenStack was told.
    Fault(
        "the server's security group lets nothing in",
        forget_rules("ingress"),
        remember_rules("ingress"),
        "NEUTRON_SECURITY_GROUP_INGRESS",
        Stage.PORT,
        PUBLISHED,
        changes_api_state=True,
    ),
    Fault(
        "the server's security group lets nothing out",
        forget_rules("egress"),
        remember_rules("egress"),
        "NEUTRON_SECURITY_GROUP_EGRESS",
        Stage.PORT,
        SERVER,
        changes_api_state=True,
    ),
    Fault(
        "the server's port is disabled",
        neutron("update_port", "server port", is_admin_state_up=False),
        neutron("update_port", "server port", is_admin_state_up=True),
        "NEUTRON_PORT_DEAD_VLAN",
        Stage.PORT,
        PUBLISHED,
        changes_api_state=True,
    ),
    Fault(
        "the server is paused",
        pause,
        unpause,
        "GUEST_OFF",
        Stage.SERVER,
        PUBLISHED,
        changes_api_state=True,
    ),
    Fault(
        "the router is disabled",
        neutron("update_router", "router id", is_admin_state_up=False),
        both(neutron("update_router", "router id", is_admin_state_up=True), node(PINGS)),
        "NEUTRON_ROUTER_DOWN",
        Stage.ROUTER,
        ROUTER,
        changes_api_state=True,
    ),
    Fault(
        "the router has no gateway",
        leave_gateway,
        both(enter_gateway, node(PINGS)),
        "NEUTRON_NO_GATEWAY",
        Stage.ROUTER,
        ROUTER,
        changes_api_state=True,
    ),
    Fault(
        "an allocation pool with addresses that are not registered",
        pool_too_large,
        both(pool_as_it_was, node(PINGS)),
        "UPLINK_SOURCE_UNREGISTERED",
        Stage.UPLINK,
        ROUTER,
        changes_api_state=True,
    ),
    Fault(
        "the published server has moved to another address",
        neutron("update_port", "server port", fixed_ips=[{"ip_address": "192.168.20.67"}]),
        both(
            neutron("update_port", "server port", fixed_ips=[{"ip_address": "192.168.20.5"}]),
            node(REACHES_SERVER),
        ),
        "NEUTRON_ADDRESS_UNUSED",
        Stage.ROUTER,
        PUBLISHED,
        changes_api_state=True,
    ),
    # What no API tells: the router.
    Fault(
        "qg- is down",
        router(f"ip link set {QG} down"),
        router(f"ip link set {QG} up; ip route add default via 172.16.20.1"),
        "NEUTRON_DEVICE_DOWN",
        Stage.GATEWAY,
        ROUTER,
    ),
    Fault(
        "qr- is down",
        router(f"ip link set {QR} down"),
        router(f"ip link set {QR} up"),
        "NEUTRON_DEVICE_DOWN",
        Stage.ROUTER,
        INTO_SERVER,
    ),
    Fault(
        "the router's default route is gone",
        router("ip route del default"),
        router("ip route add default via 172.16.20.1"),
        "NEUTRON_NO_ROUTE",
        Stage.ROUTER,
        ROUTER,
    ),
    Fault(
        "the router forwards nothing",
        router("sysctl -q -w net.ipv4.ip_forward=0"),
        router("sysctl -q -w net.ipv4.ip_forward=1"),
        "NEUTRON_NOT_FORWARDING",
        Stage.ROUTER,
        SERVER,
    ),
    Fault(
        "somebody's rules in the router drop what it forwards",
        router(
            "nft add table ip others; "
            'nft add chain ip others f "{ type filter hook forward priority 0; policy drop; }"'
        ),
        router("nft delete table ip others"),
        "NEUTRON_ROUTER_FILTER",
        Stage.ROUTER,
        SERVER,
    ),
    Fault(
        "the router translates no source any more",
        router("iptables-save -t nat >/run/nat.rules; iptables -t nat -F neutron-l3-agent-snat"),
        router("iptables-restore -T nat </run/nat.rules"),
        "UPLINK_SOURCE_UNREGISTERED",
        Stage.UPLINK,
        SERVER,
    ),
    Fault(
        "the L3 agent is dead, and the router's namespace with it",
        # Its metadata proxy too: a new agent would take the old one for its own.
        node(f"systemctl stop neutron-l3-agent\n{NO_PROXY}\nip netns del <namespace>"),
        node(f"systemctl start neutron-l3-agent\n{PINGS}\n{PROXY}"),
        "NEUTRON_DEVICE_MISSING",
        Stage.ROUTER,
        ROUTER,
    ),
    Fault(
        "a published port is not translated",
        unattended("ip netns exec <namespace> nft delete table ip pileus_publish"),
        attended(),
        "NEUTRON_NOT_PUBLISHED",
        Stage.ROUTER,
        PUBLISHED,
    ),
    Fault(
        "a published port leads to an address that nobody has",
        unattended(
            "ip netns exec <namespace> sh -c 'nft list table ip pileus_publish "
            "| sed s/192.168.20.5:22/192.168.20.66:22/ >/run/publish.nft; "
            "nft delete table ip pileus_publish; nft -f /run/publish.nft'"
        ),
        attended(),
        "NEUTRON_ADDRESS_UNUSED",
        Stage.ROUTER,
        PUBLISHED,
    ),
    # Open vSwitch.
    Fault(
        "br-ex lost its port",
        node("ovs-vsctl del-port br-ex uplink0-ex"),
        node("ovs-vsctl add-port br-ex uplink0-ex"),
        "NEUTRON_BRIDGE_PORT_MISSING",
        Stage.GATEWAY,
        ROUTER,
    ),
    Fault(
        "the flows of br-int are flushed",
        node(f"{KEEP_FLOWS}\n{OVS_AGENT} --signal=STOP\novs-ofctl del-flows br-int"),
        node(f"{GIVE_FLOWS}\n{OVS_AGENT} --signal=CONT"),
        "NEUTRON_FLOWS_MISSING",
        Stage.SWITCH,
        INTO_SERVER,
    ),
    Fault(
        "the flows of br-ex are flushed",
        node(f"{KEEP_FLOWS}\novs-ofctl del-flows br-ex".replace("br-int", "br-ex")),
        node(GIVE_FLOWS.replace("br-int", "br-ex")),
        "NEUTRON_FLOWS_MISSING",
        Stage.GATEWAY,
        ROUTER,
    ),
    Fault(
        "the server's tap is down",
        node(f"{NOBODY_MINDS_TAPS}\nip link set <tap> down"),
        node("rm /run/systemd/network/10-fault.network\nnetworkctl reload\nip link set <tap> up"),
        "NEUTRON_PORT_DOWN",
        Stage.PORT,
        INTO_SERVER,
    ),
    Fault(
        "the server's tap has another VLAN",
        node("ovs-vsctl set port <tap> tag=4000"),
        node(VLAN),
        "NEUTRON_PORT_DEAD_VLAN",
        Stage.PORT,
        INTO_SERVER,
    ),
    Fault(
        "the server's tap has the VLAN of dead ports",
        node("ovs-vsctl set port <tap> tag=4095"),
        node(VLAN),
        "NEUTRON_PORT_DEAD_VLAN",
        Stage.PORT,
        INTO_SERVER,
    ),
    # The uplink.
    Fault(
        "the pipeline is flushed",
        unattended("nft delete table netdev pileus_<nic>"),
        attended(),
        "UPLINK_RULES_MISSING",
        Stage.UPLINK,
        ROUTER,
    ),
    Fault(
        "the pipeline does not know the router's address as registered",
        unattended("nft delete element netdev pileus_<nic> registered '{ 172.16.20.101 }'"),
        attended(),
        "UPLINK_SOURCE_UNREGISTERED",
        Stage.UPLINK,
        ROUTER,
    ),
    Fault(
        "the pipeline leaves the gateway its own MAC",
        unattended(UNTRANSLATED),
        attended(),
        "UPLINK_SOURCE_MAC",
        Stage.UPLINK,
        ROUTER,
    ),
    Fault(
        "the gateway's own MAC leaves, which is not registered",
        unattended(f"{UNTRANSLATED}\ntc qdisc del dev <nic> clsact"),
        attended(),
        "UNDERLAY_SOURCE_MAC_UNREGISTERED",
        Stage.NIC,
        ROUTER,
    ),
    Fault(
        "the veth behind the pipeline is down",
        unattended("ip link set uplink0-in down"),
        attended("ip link set uplink0-in up"),
        "UPLINK_WIRING",
        Stage.UPLINK,
        ROUTER,
    ),
    Fault(
        "the provider NIC is down",
        unattended("ip link set <nic> down"),
        attended("ip link set <nic> up"),
        "NODE_NIC_DOWN",
        Stage.UPLINK,
        ROUTER,
    ),
    Fault(
        "a black hole for large packets",
        unattended("ip link set uplink0-in mtu 1400"),
        attended("ip link set uplink0-in mtu 1500"),
        "NODE_MTU",
        Stage.UPLINK,
        "router-full-size",
    ),
    Fault(
        "strict reverse-path filter, and a route that leads elsewhere",
        router(
            "sysctl -q -w net.ipv4.conf.all.rp_filter=1\n"
            f"ip route add 198.18.0.0/15 via 192.168.20.9 dev {QR}"
        ),
        router("ip route del 198.18.0.0/15\nsysctl -q -w net.ipv4.conf.all.rp_filter=0"),
        "NODE_REVERSE_PATH_FILTER",
        Stage.ROUTER,
        PUBLISHED,
    ),
    Fault(
        "two machines have one address",
        node(CLAIMANT),
        node(NO_CLAIMANT),
        "UPLINK_ADDRESS_CLAIMED_TWICE",
        Stage.UPLINK,
        ROUTER,
    ),
    Fault(
        "somebody's rules on the provider NIC drop what comes in",
        node(
            "nft add table netdev others\nnft add chain netdev others f "
            '"{ type filter hook ingress device <nic> priority -10; policy drop; }"'
        ),
        node("nft delete table netdev others"),
        "NODE_FOREIGN_RULES",
        Stage.UPLINK,
        ROUTER,
    ),
    # What serves servers.
    Fault(
        "the DHCP agent and its server are dead",
        node("systemctl stop neutron-dhcp-agent\nkill $(cat <dnsmasq pid>) || true"),
        node("systemctl start neutron-dhcp-agent"),
        "NEUTRON_AGENT_DEAD",
        Stage.SWITCH,
        "web-gets-lease",
    ),
    Fault(
        "the metadata agent is dead",
        node("systemctl stop neutron-metadata-agent"),
        node("systemctl start neutron-metadata-agent"),
        "NEUTRON_AGENT_DEAD",
        Stage.METADATA,
        "web-own-metadata",
    ),
    Fault(
        "the metadata proxy in the router is dead",
        node(NO_PROXY),
        node(f"{START_PROXY} || {PROXY}"),  # the agent may have been quicker
        "NEUTRON_METADATA_FAILS",
        Stage.METADATA,
        "web-own-metadata",
    ),
    # The guest.
    Fault(
        "the guest has no default route",
        guest("ip route del default"),
        guest("ip route add default via 192.168.20.1"),
        "GUEST_NO_ANSWER",
        Stage.SERVER,
        PUBLISHED,
    ),
    Fault(
        "the guest's firewall",
        guest(
            "for one in x_tables ip_tables iptable_filter; do insmod /lib/modules/$one.ko; done; "
            "iptables-legacy -A INPUT -s 198.18.0.0/15 -j DROP"
        ),
        guest("iptables-legacy -F INPUT"),
        "GUEST_NO_ANSWER",
        Stage.SERVER,
        PUBLISHED,
    ),
)
