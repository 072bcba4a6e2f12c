"""What a NIC may send: the cloud's source check, its own ARP, and what it does not carry. Pure.

Sources: AWS EC2 user guide, "Infrastructure security" (only the MAC and IP addresses assigned to an
instance may send); AWS VPC user guide on ARP, broadcast and multicast. That the MAC stays enforced
with the source/destination check off is inferred, not documented.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from pileus.model.addresses import LINK_LOCAL, METADATA_SERVICE, Mac, subnet_router
from pileus.model.verdict import Code
from pileus.rules.ruleset import (
    Accept,
    AnswerArp,
    Atom,
    Chain,
    Count,
    Drop,
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
    Statement,
    Table,
)
from pileus.vpc.state import Eni, RegionState, Subnet
from pileus.vpc.wire.names import FRAMES_TABLE, counter, device, router_mac

BROADCAST = IPv4Address("255.255.255.255")
MULTICAST = IPv4Network("224.0.0.0/4")
NO_ADDRESS = IPv4Address("0.0.0.0")  # noqa: S104 - DHCP's source, not a binding


def frames_table(state: RegionState, vpc: str) -> Table:
    """The netdev table of one VPC: an ingress and an egress chain for each attached ENI."""
    enis = attached(state, vpc)
    subnets = [subnet for subnet in state.subnets.values() if subnet.vpc == vpc]
    peers = frozenset([router_mac(vpc), *(eni.mac for eni in enis)])
    return Table(
        "netdev",
        FRAMES_TABLE,
        chains=tuple(chain for eni in enis for chain in _chains(eni)),
        sets=(
            NamedSet("peers", "ether_addr", frozenset(peers)),
            *(NamedSet(_own(eni), "ipv4_addr", frozenset(eni.addresses)) for eni in enis),
            *(
                NamedSet(_answerable(s.id), "ipv4_addr", frozenset(owners(state, s)))
                for s in subnets
            ),
        ),
        maps=tuple(
            NamedMap(_owners(s.id), "ipv4_addr", "ether_addr", owners(state, s)) for s in subnets
        ),
    )


def attached(state: RegionState, vpc: str) -> list[Eni]:
    """The VPC's ENIs that are plugged into a machine, in stable order."""
    enis = [eni for eni in state.enis.values() if eni.vpc == vpc and eni.instance]
    return sorted(enis, key=lambda eni: eni.id)


def owners(state: RegionState, subnet: Subnet) -> dict[IPv4Address, Mac]:
    """For whom the VPC answers ARP in a subnet: registered addresses and its own router."""
    answers = {
        address: eni.mac
        for eni in attached(state, subnet.vpc)
        if eni.subnet == subnet.id
        for address in eni.addresses
    }
    return {subnet_router(subnet.cidr): router_mac(subnet.vpc), **answers}


def _own(eni: Eni) -> str:
    return f"own_{device(eni.id)}"


def _answerable(subnet: str) -> str:
    return f"answerable_{subnet.removeprefix('subnet-')}"


def _owners(subnet: str) -> str:
    return f"owners_{subnet.removeprefix('subnet-')}"


def _chains(eni: Eni) -> Iterator[Chain]:
    name = device(eni.id)
    yield Chain(
        f"from_{name}", tuple(_sent(eni)), Hook("filter", "ingress", "0", "drop", device=name)
    )
    yield Chain(f"arp_{name}", tuple(_arp(eni)))
    yield Chain(
        f"to_{name}", tuple(_received(eni)), Hook("filter", "egress", "0", "accept", device=name)
    )


def _drop(eni: Eni, code: Code, *matches: Statement) -> Rule:
    return Rule(code, (*matches, Count(counter(eni.id, code)), Drop()))


def _sent(eni: Eni) -> Iterator[Rule]:
    """Ingress of the VPC's end: what the machine sends."""
    # Tagged frames come first: `ip saddr` would match inside the tag.
    yield _drop(eni, Code.NOT_CARRIED, Match(Field.ETHER_TYPE, frozenset({"8021q", "8021ad"})))
    yield _drop(eni, Code.SOURCE_MAC, Match(Field.ETHER_SOURCE, eni.mac, negate=True))
    yield Rule("arp", (Match(Field.ETHER_TYPE, "arp"), Goto(f"arp_{device(eni.id)}")))
    yield _drop(eni, Code.NOT_CARRIED, Match(Field.ETHER_TYPE, "ip", negate=True))
    yield Rule(
        "dhcp",
        (
            Match(Field.IP_SOURCE, NO_ADDRESS),
            Match(Field.IP_DESTINATION, BROADCAST),
            Match(Field.UDP_DESTINATION, 67),
            Count(counter(eni.id, "passed_out")),
            Accept(),
        ),
    )
    # Before the source check: hosts without an address yet speak IGMP from 0.0.0.0.
    many: frozenset[Atom] = frozenset({MULTICAST, BROADCAST})
    yield _drop(eni, Code.NOT_CARRIED, Match(Field.IP_DESTINATION, many))
    if eni.source_dest_check:
        own = SetName(_own(eni))
        yield _drop(eni, Code.SOURCE_IP, Match(Field.IP_SOURCE, own, negate=True))
    yield _drop(eni, Code.LINK_LOCAL, Match(Field.IP_SOURCE, LINK_LOCAL))
    peers = SetName("peers")
    yield _drop(eni, Code.NOT_CARRIED, Match(Field.ETHER_DESTINATION, peers, negate=True))
    yield Rule(
        "metadata",
        (
            Match(Field.IP_DESTINATION, METADATA_SERVICE),
            Match(Field.TCP_DESTINATION, 80),
            *_pass(eni),
        ),
    )
    yield _drop(eni, Code.LINK_LOCAL, Match(Field.IP_DESTINATION, LINK_LOCAL))
    # A match on what a frame is too short for fails, negated or not: this one, which is true of
    # all others here, keeps such frames from passing.
    whole = Match(Field.IP_DESTINATION, LINK_LOCAL, negate=True)
    yield Rule("carried", (whole, *_pass(eni)))
    yield _drop(eni, Code.NOT_CARRIED)


def _pass(eni: Eni) -> tuple[Statement, ...]:
    """Hand the frame to the VPC's router, also when it is addressed to a neighbour's MAC."""
    return (
        Count(counter(eni.id, "passed_out")),
        Rewrite(Field.PACKET_TYPE, "host"),
        Accept(),
    )


def _arp(eni: Eni) -> Iterator[Rule]:
    """ARP never crosses the VPC: each question is answered here or met with silence."""
    own = SetName(_own(eni))
    yield _drop(eni, Code.ARP_SENDER, Match(Field.ARP_HARDWARE, 1, negate=True))
    yield _drop(eni, Code.ARP_SENDER, Match(Field.ARP_SENDER_MAC, eni.mac, negate=True))
    yield _drop(eni, Code.ARP_SILENT, Match(Field.ARP_SENDER_IP, NO_ADDRESS))
    yield _drop(eni, Code.ARP_SENDER, Match(Field.ARP_SENDER_IP, own, negate=True))
    yield _drop(eni, Code.ARP_SILENT, Match(Field.ARP_TARGET_IP, own))
    yield _drop(eni, Code.ARP_SILENT, Match(Field.ARP_OPERATION, "request", negate=True))
    answerable = SetName(_answerable(eni.subnet))
    yield _drop(eni, Code.ARP_SILENT, Match(Field.ARP_TARGET_IP, answerable, negate=True))
    yield Rule("answer", (AnswerArp(_owners(eni.subnet)),))
    yield _drop(eni, Code.NOT_CARRIED)  # too short to be ARP


def _received(eni: Eni) -> Iterator[Rule]:
    """Egress of the VPC's end: a neighbour's frame carries its own MAC, not the router's."""
    yield Rule("delivered", (Match(Field.ETHER_TYPE, "ip"), Count(counter(eni.id, "passed_in"))))
    yield Rule(
        "neighbour",
        (
            Match(Field.ETHER_TYPE, "ip"),
            Rewrite(Field.ETHER_SOURCE, Lookup(Field.IP_SOURCE, _owners(eni.subnet))),
        ),
    )
