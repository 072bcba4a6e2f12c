"""What a NIC may send: the cloud's source check, its own ARP, and what it does not carry. Pure.

Sources: AWS EC2 user guide, "Infrastructure security" (only the MAC and IP addresses assigned to an
instance may send), "Instance metadata and user data" and "DNS quotas" (1024 packets a second and
NIC); AWS VPC user guide on ARP, broadcast and multicast, and "Route tables" (they apply to what is
addressed to the router). What is not documented is in `pileus.vpc.assumptions`.

Rules are shared by all NICs of a VPC: what one NIC may do is in sets, whose first part is the name
of the VPC's end of its veth, or the number of its subnet, which the frame carries as its mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

from pileus.model.addresses import (
    LINK_LOCAL,
    METADATA_SERVICE,
    Mac,
    name_server,
    subnet_router,
)
from pileus.model.verdict import Code
from pileus.rules.ruleset import (
    Accept,
    AnswerArp,
    Atom,
    Chain,
    CountEach,
    Dynamic,
    Exceeds,
    Field,
    Goto,
    Hook,
    Lookup,
    Match,
    NamedMap,
    NamedSet,
    Rewrite,
    Rule,
    SetName,
    Single,
    Table,
)
from pileus.vpc.state import Eni, RegionState, Subnet
from pileus.vpc.wire.drops import NICS, counting, drop, ends
from pileus.vpc.wire.names import FRAMES_TABLE, device, numbers, router_mac

BROADCAST = IPv4Address("255.255.255.255")
MULTICAST = IPv4Network("224.0.0.0/4")
NO_ADDRESS = IPv4Address("0.0.0.0")  # noqa: S104 - DHCP's source, not a binding
SERVICES_RATE = 1024
"""Packets a second that a NIC may send to link-local services and the VPC's name server."""

_WHOLE = Match(Field.L4_PROTOCOL, 255, negate=True)
"""True of every packet with a whole and consistent IP header, and of no other: 255 is no protocol,
and a match on what a frame does not have fails, negated or not."""
_NEIGHBOUR = (Field.MARK, Field.ETHER_DESTINATION)
_IP = Match(Field.ETHER_TYPE, "ip")


def frames_table(state: RegionState, vpc: str) -> Table:
    """The netdev table of one VPC: an ingress and an egress chain for each attached ENI."""
    enis = attached(state, vpc)
    subnets = subnet_numbers(state, vpc)
    router, resolver = router_mac(vpc), state.vpcs[vpc].cidr.network_address + 2
    shared = (
        Chain("sent", tuple(_sent())),
        Chain("sent_as_another", tuple(_sent_as_another())),
        Chain("resolve", tuple(_resolve())),
        Chain("packet", tuple(_packet(resolver))),
        Chain("service", tuple(_service(resolver))),
        Chain("served", tuple(_served())),
        Chain("addressed", tuple(_addressed(router))),
        Chain("carried", (_CARRIED,)),
    )
    drops, counted = ends(shared)
    straight = straight_numbers(enis)
    own = [
        chain
        for eni in enis
        for chain in _own_chains(device(eni.id), eni.mac, subnets[eni.subnet], straight.get(eni.id))
    ]
    return Table(
        "netdev",
        FRAMES_TABLE,
        chains=(*shared, *drops, *own),
        sets=(
            NamedSet(NICS, "ifname", frozenset(device(eni.id) for eni in enis)),
            *_registered(state, vpc, enis),
            NamedSet("services", "ifname", dynamic=Dynamic(65535, within=NICS)),
            *(counting(name) for name in ("passed_out", "passed_in")),
            *counted,
        ),
        maps=(
            NamedMap("owners", "ipv4_addr", "ether_addr", _owners(state, vpc)),
            NamedMap(
                "straight",
                "mark . ether_addr",
                "mark",
                {
                    (subnets[eni.subnet], eni.mac): straight[eni.id]
                    for eni in enis
                    if eni.id in straight
                },
            ),
        ),
    )


def _registered(state: RegionState, vpc: str, enis: list[Eni]) -> Iterator[NamedSet]:
    subnets = subnet_numbers(state, vpc)
    pairs = [(eni, address) for eni in enis for address in eni.registered]
    yield _set("macs", "ifname . ether_addr", ((device(e.id), e.mac) for e in enis))
    yield _set("own", "ifname . ipv4_addr", ((device(e.id), address) for e, address in pairs))
    yield _set("unchecked", "ifname", (device(e.id) for e in enis if not e.source_dest_check))
    yield _set("peers", "mark . ether_addr", ((subnets[e.subnet], e.mac) for e in enis))
    yield _set(
        "neighbours",
        "mark . ether_addr . ipv4_addr",
        ((subnets[e.subnet], e.mac, address) for e, address in pairs),
    )
    yield _set(
        "answerable",
        "mark . ipv4_addr",
        (
            (subnets[subnet.id], address)
            for subnet in state.subnets.values()
            if subnet.vpc == vpc
            for address in owners(state, subnet)
        ),
    )


def _set(name: str, kind: str, elements: Iterable[Atom]) -> NamedSet:
    return NamedSet(name, kind, frozenset(elements))


def attached(state: RegionState, vpc: str) -> list[Eni]:
    """The VPC's ENIs that are plugged into a machine, in stable order."""
    enis = [eni for eni in state.enis.values() if eni.vpc == vpc and eni.instance]
    return sorted(enis, key=lambda eni: eni.id)


def subnet_numbers(state: RegionState, vpc: str) -> dict[str, int]:
    """What marks the frames of each subnet of a VPC, and is its routing table's number."""
    return numbers((s.id for s in state.subnets.values() if s.vpc == vpc), 1)


def straight_numbers(enis: Iterable[Eni]) -> dict[str, int]:
    """What marks frames that go straight to a NIC, whatever their IP address; likewise.

    Only a NIC without the source/destination check takes what is not for its own addresses.
    """
    return numbers((eni.id for eni in enis if not eni.source_dest_check), 2)


def owners(state: RegionState, subnet: Subnet) -> dict[IPv4Address, Mac]:
    """For whom the VPC answers ARP in a subnet: registered addresses, its own router, and the
    VPC's resolver where that is in the subnet."""
    answers = {
        address: eni.mac
        for eni in attached(state, subnet.vpc)
        if eni.subnet == subnet.id
        for address in eni.registered
    }
    own = [subnet_router(subnet.cidr), name_server(state.vpcs[subnet.vpc].cidr)]
    router = {one: router_mac(subnet.vpc) for one in own if one in subnet.cidr}
    return {**router, **answers}


def _owners(state: RegionState, vpc: str) -> dict[IPv4Address, Mac]:
    """Of the whole VPC, whose subnets share no address."""
    subnets = [subnet for subnet in state.subnets.values() if subnet.vpc == vpc]
    return {one: mac for subnet in subnets for one, mac in owners(state, subnet).items()}


@lru_cache(maxsize=4096)
def _own_chains(name: str, mac: Mac, subnet: int, straight: int | None) -> tuple[Chain, Chain]:
    """The two hooks of a NIC, at the wire's end `name`; what it sends is marked as its subnet's."""
    own = (Match(Field.ETHER_SOURCE, mac), Rewrite(Field.MARK, subnet), Goto("sent"))
    return (
        Chain(
            f"from_{name}",
            (Rule("sent", own), Rule("sent as another", (Goto("sent_as_another"),))),
            Hook("filter", "ingress", "0", "drop", device=name),
        ),
        Chain(
            f"to_{name}",
            tuple(_received({subnet} if straight is None else {subnet, straight})),
            Hook("filter", "egress", "0", "accept", device=name),
        ),
    )


def _received(from_here: set[int]) -> Iterator[Rule]:
    """Egress of the VPC's end: a neighbour's frame carries its own MAC, not the router's."""
    yield Rule("delivered", (_IP, CountEach("passed_in", Field.OUT_INTERFACE)))
    yield Rule(
        "neighbour",
        (
            _IP,
            Match(Field.MARK, frozenset[Single](from_here)),
            Rewrite(Field.ETHER_SOURCE, Lookup(Field.IP_SOURCE, "owners")),
        ),
    )


def _sent() -> Iterator[Rule]:
    """Ingress of the VPC's end: what the machine sends. A tagged frame's type is the tag's."""
    yield Rule("packet", (_IP, _WHOLE, Goto("packet")))
    yield Rule("arp", (Match(Field.ETHER_TYPE, "arp"), Goto("resolve")))
    yield drop(Code.NOT_CARRIED)


def _sent_as_another() -> Iterator[Rule]:
    """What has no MAC matches neither: our own broadcast, which Linux shows to its sender too, and
    which the policy drops. [net/ipv4/ip_output.c, ip_mc_output]"""
    tags = frozenset[Single]({"8021q", "8021ad"})
    yield drop(Code.NOT_CARRIED, Match(Field.ETHER_TYPE, tags))
    yield drop(Code.SOURCE_MAC, Match(Field.ETHER_TYPE, tags, negate=True))


def _packet(resolver: IPv4Address) -> Iterator[Rule]:
    yield Rule(
        "dhcp",
        (
            Match(Field.IP_SOURCE, NO_ADDRESS),
            Match(Field.IP_DESTINATION, BROADCAST),
            Match(Field.UDP_DESTINATION, 67),
            Goto("carried"),
        ),
    )
    # Before the source check: hosts without an address yet speak IGMP from 0.0.0.0.
    many = frozenset[Single]({MULTICAST, BROADCAST})
    yield drop(Code.NOT_CARRIED, Match(Field.IP_DESTINATION, many))
    yield drop(
        Code.SOURCE_IP,
        Match((Field.IN_INTERFACE, Field.IP_SOURCE), SetName("own"), negate=True),
        Match(Field.IN_INTERFACE, SetName("unchecked"), negate=True),
    )
    yield drop(Code.LINK_LOCAL, Match(Field.IP_SOURCE, LINK_LOCAL))
    yield drop(Code.DHCP_SERVER, Match(Field.UDP_SOURCE, 67), Match(Field.UDP_DESTINATION, 68))
    services = frozenset[Single]({LINK_LOCAL, resolver})
    yield Rule("service", (Match(Field.IP_DESTINATION, services), Goto("service")))
    yield Rule("addressed", (Goto("addressed"),))


def _service(resolver: IPv4Address) -> Iterator[Rule]:
    metadata = (Match(Field.IP_DESTINATION, METADATA_SERVICE), Match(Field.TCP_DESTINATION, 80))
    yield Rule("metadata", (*metadata, Goto("served")))
    for names in (Field.UDP_DESTINATION, Field.TCP_DESTINATION):
        yield Rule(
            "names", (Match(Field.IP_DESTINATION, resolver), Match(names, 53), Goto("served"))
        )
    yield drop(Code.LINK_LOCAL, Match(Field.IP_DESTINATION, LINK_LOCAL))
    yield Rule("addressed", (Goto("addressed"),))


def _served() -> Iterator[Rule]:
    yield drop(Code.SERVICE_RATE, Exceeds("services", Field.IN_INTERFACE, SERVICES_RATE))
    yield Rule("addressed", (Goto("addressed"),))


def _addressed(router: Mac) -> Iterator[Rule]:
    """Whom the frame is for: route tables are for what goes to the router alone."""
    yield Rule("router", (Match(Field.ETHER_DESTINATION, router), Goto("carried")))
    to = (*_NEIGHBOUR, Field.IP_DESTINATION)
    yield Rule("neighbour", (Match(to, SetName("neighbours")), Goto("carried")))
    yield Rule("straight", (Rewrite(Field.MARK, Lookup(_NEIGHBOUR, "straight")), Goto("carried")))
    yield drop(Code.NO_SUCH_ADDRESS, Match(_NEIGHBOUR, SetName("peers")))
    yield drop(Code.NOT_CARRIED)


_CARRIED = Rule(
    "carried",
    (
        CountEach("passed_out", Field.IN_INTERFACE),
        # Also what is addressed to a neighbour's MAC is the router's to deliver.
        Rewrite(Field.PACKET_TYPE, "host"),
        Accept(),
    ),
)


def _resolve() -> Iterator[Rule]:
    """ARP never crosses the VPC: each question is answered here or met with silence."""
    own = SetName("own")
    sender, target = (
        (Field.IN_INTERFACE, Field.ARP_SENDER_IP),
        (Field.IN_INTERFACE, Field.ARP_TARGET_IP),
    )
    claimed = (Field.IN_INTERFACE, Field.ARP_SENDER_MAC)
    yield drop(Code.ARP_SENDER, Match(Field.ARP_HARDWARE, 1, negate=True))
    yield drop(Code.ARP_SENDER, Match(claimed, SetName("macs"), negate=True))
    yield drop(Code.ARP_SILENT, Match(Field.ARP_SENDER_IP, NO_ADDRESS))
    yield drop(Code.ARP_SENDER, Match(sender, own, negate=True))
    yield drop(Code.ARP_SILENT, Match(target, own))
    yield drop(Code.ARP_SILENT, Match(Field.ARP_OPERATION, "request", negate=True))
    asked = (Field.MARK, Field.ARP_TARGET_IP)
    yield drop(Code.ARP_SILENT, Match(asked, SetName("answerable"), negate=True))
    yield Rule("answer", (AnswerArp("owners"),))
    yield drop(Code.NOT_CARRIED)  # too short to be ARP
