"""The rules on a provider NIC: what may pass, who is behind it, whose MAC a frame carries. Pure.

One netdev table for each NIC, on its egress and ingress hooks, denying by default both ways. A
frame goes through named stages, ARP and IPv4 each by chains of their own:

    to the cloud    guard_out ─▶ learn ─▶ stay_inside (ARP) ─▶ translate_out
    from the cloud  guard_in ─▶ translate_in

The kernel learns from what the inner side sends which MAC is behind each registered address. With
mac-clone the one router has the NIC's MAC: the guard demands it, nothing is learned or translated.

Sources: the clouds forward a frame only with the NIC's registered MAC and addresses and answer ARP
themselves, for addresses behind the same NIC too. [AWS EC2 user guide, "Infrastructure security"]
The egress hook needs Linux 5.16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from pileus.model.addresses import LINK_LOCAL, Mac
from pileus.model.uplink import UplinkNic
from pileus.model.verdict import Code
from pileus.rules.nft import InKernel
from pileus.rules.ruleset import (
    ARP_ETHERNET_IPV4,
    Accept,
    Atom,
    Chain,
    Count,
    Drop,
    Dynamic,
    Field,
    Goto,
    Hook,
    Key,
    Learn,
    Lookup,
    Match,
    NamedMap,
    NamedSet,
    Remember,
    Rewrite,
    Rule,
    SetName,
    Statement,
    Table,
)

FAMILY = "netdev"
OUT, IN = "out", "in"
"""To the cloud and from it, as counters are named: `out.UPLINK_VLAN`."""
PASSED_OUT, PASSED_IN = "passed_out", "passed_in"
BROADCAST = Mac("ff:ff:ff:ff:ff:ff")
_NO_GROUP = Mac("00:00:00:00:00:00")
_UNSET = IPv4Address(0)
_LIMITED = IPv4Address("255.255.255.255")
_MANY: frozenset[Atom] = frozenset({IPv4Network("224.0.0.0/4"), _LIMITED})
_TAGGED: frozenset[Atom] = frozenset({"8021q", "8021ad"})
_DHCP: frozenset[Atom] = frozenset({67, 68})

REGISTERED = SetName("registered")
INNER, INSIDE, CLAIMS, SPEAKING = "inner", "inside", "claims", "speaking"
_ADDRESSES, _LEARNED = 8192, 65536
"""Sizes: more addresses than any NIC can have, and MACs that a flood of them cannot grow beyond."""
CLAIM = 60
"""Seconds for which a MAC's claim to an address is believed without looking at it again."""
SILENT = CLAIM + 15
"""Seconds after its last claim when an address may be anywhere. One that sends IP alone claims at
its first packet after CLAIM: it is never silent as long as it sends every 15 seconds."""
_INSIDE = 2 * CLAIM
"""Seconds for which an inner MAC is kept inside; renewed with each claim."""

_RESOLVED = Count(f"{IN}.{Code.UPLINK_RESOLVED}")
_IP_SENDER: Key = (Field.IP_SOURCE, Field.ETHER_SOURCE)
_ARP_SENDER: Key = (Field.ARP_SENDER_IP, Field.ARP_SENDER_MAC)


def table_name(device: str) -> str:
    """The table of a NIC's pipeline."""
    return f"pileus_{device}"


def table(nic: UplinkNic, registered: frozenset[IPv4Address]) -> Table:
    """The whole pipeline of a NIC on which the cloud has registered these addresses."""
    addresses = NamedSet(REGISTERED.name, "ipv4_addr", frozenset(registered))
    if nic.mode == "mac-clone":
        return Table(FAMILY, table_name(nic.device), tuple(_clone(nic)), (addresses,))
    return Table(
        FAMILY,
        table_name(nic.device),
        tuple(_nat(nic)),
        sets=(addresses, *_dynamic_sets()),
        maps=(
            NamedMap(
                INNER,
                "ipv4_addr",
                "ether_addr",
                dynamic=Dynamic(_ADDRESSES, SILENT, within=REGISTERED.name),
            ),
        ),
    )


def _dynamic_sets() -> Iterator[NamedSet]:
    within = REGISTERED.name
    yield NamedSet(INSIDE, "ether_addr", dynamic=Dynamic(_LEARNED, _INSIDE))
    yield NamedSet(
        CLAIMS, "ipv4_addr . ether_addr", dynamic=Dynamic(_LEARNED, CLAIM, within=within)
    )
    # One second less: a claim that outlived it in a race of timers would accuse itself.
    yield NamedSet(SPEAKING, "ipv4_addr", dynamic=Dynamic(_ADDRESSES, CLAIM - 1, within=within))


def _nat(nic: UplinkNic) -> Iterator[Chain]:
    at_home = Match(Field.ETHER_DESTINATION, SetName(INSIDE))
    own = Rewrite(Field.ETHER_SOURCE, nic.mac)
    yield _base(nic, OUT)
    yield _chain(
        "guard_out_ip", _guard_out_ip("learn_ip", _drop(OUT, Code.UPLINK_STAYS_INSIDE, at_home))
    )
    yield _chain("guard_out_arp", _guard_out_arp("learn_arp"))
    yield _chain("learn_ip", _learn_ip("translate_out_ip"))
    yield _chain("learn_arp", _learn_arp("stay_inside_arp"))
    yield _chain("stay_inside_arp", _stay_inside_arp("translate_out_arp"))
    yield _chain("translate_out_ip", _leave(own))
    yield _chain("translate_out_arp", _leave(Rewrite(Field.ARP_SENDER_MAC, nic.mac), own))
    yield from _guard_in(nic)
    yield _chain("translate_in_ip", _translate_in_ip(nic.resolver))
    yield _chain("translate_in_arp", _translate_in_arp())


def _clone(nic: UplinkNic) -> Iterator[Chain]:
    foreign = _drop(OUT, Code.UPLINK_SOURCE_MAC, Match(Field.ETHER_SOURCE, nic.mac, negate=True))
    forged = _drop(OUT, Code.UPLINK_SOURCE_MAC, Match(Field.ARP_SENDER_MAC, nic.mac, negate=True))
    yield _base(nic, OUT)
    yield _chain("guard_out_ip", _guard_out_ip("translate_out_ip", foreign))
    yield _chain("guard_out_arp", _guard_out_arp("stay_inside_arp", foreign, forged))
    yield _chain("stay_inside_arp", _stay_inside_arp("translate_out_arp"))
    yield _chain("translate_out_ip", _leave())
    yield _chain("translate_out_arp", _leave())
    yield from _guard_in(nic)
    yield _chain("translate_in_ip", _arrive("deliver"))
    yield _chain("translate_in_arp", _arrive("deliver"))


def _guard_in(nic: UplinkNic) -> Iterator[Chain]:
    yield _base(nic, IN)
    yield _chain("guard_in_ip", _guard_in_ip())
    yield _chain("guard_in_arp", _guard_in_arp())


def _chain(name: str, rules: Iterator[Rule]) -> Chain:
    return Chain(name, tuple(rules))


def _base(nic: UplinkNic, way: str) -> Chain:
    """The hook of one direction: only whole kinds of frames are told apart here."""
    hook = Hook("filter", "egress" if way == OUT else "ingress", "0", "drop", device=nic.device)
    rules = (
        # By what stands in the frame: a tagged one is not IPv4, though `ip saddr` would match it.
        Rule("ip", (Match(Field.ETHER_TYPE, "ip"), Goto(f"guard_{way}_ip"))),
        Rule("arp", (Match(Field.ETHER_TYPE, "arp"), Goto(f"guard_{way}_arp"))),
        _drop(way, Code.UPLINK_VLAN, Match(Field.ETHER_TYPE, _TAGGED)),
        _drop(way, Code.UPLINK_IPV6, Match(Field.ETHER_TYPE, "ip6")),
        _drop(way, Code.UPLINK_NOT_CARRIED),
    )
    return Chain(f"guard_{way}", rules, hook)


def _drop(way: str, code: Code, *matches: Statement) -> Rule:
    return Rule(code, (*matches, Count(f"{way}.{code}"), Drop()))


def _never_ip(way: str) -> Iterator[Rule]:
    """What no IPv4 packet may be, whichever way it goes."""
    yield _drop(way, Code.UPLINK_LINK_LOCAL, Match(Field.IP_DESTINATION, LINK_LOCAL))
    yield _drop(way, Code.UPLINK_LINK_LOCAL, Match(Field.IP_SOURCE, LINK_LOCAL))
    # Linux 6.18 reads ports in later fragments too, where they are data.
    first = Match(Field.IP_FRAGMENT, 0)
    yield _drop(way, Code.UPLINK_DHCP, first, Match(Field.UDP_DESTINATION, _DHCP))
    yield _drop(way, Code.UPLINK_MULTICAST, Match(Field.ETHER_GROUP, _NO_GROUP, negate=True))
    yield _drop(way, Code.UPLINK_MULTICAST, Match(Field.IP_DESTINATION, _MANY))


def _never_arp(way: str) -> Iterator[Rule]:
    """What no ARP packet may be, whichever way it goes."""
    kinds: frozenset[Atom] = frozenset({"request", "reply"})
    ethernet = Match(Field.ARP_FORMAT, ARP_ETHERNET_IPV4, negate=True)
    yield _drop(way, Code.UPLINK_NOT_CARRIED, ethernet)
    yield _drop(way, Code.UPLINK_NOT_CARRIED, Match(Field.ARP_OPERATION, kinds, negate=True))
    yield _drop(way, Code.UPLINK_LINK_LOCAL, Match(Field.ARP_TARGET_IP, LINK_LOCAL))
    yield _drop(way, Code.UPLINK_LINK_LOCAL, Match(Field.ARP_SENDER_IP, LINK_LOCAL))


# A match on what a frame is too short for fails, negated or not. So the guards end with a rule
# that only a whole and consistent header satisfies, and drop the rest: 255 is no protocol, and
# nobody has the last of all addresses. (Of a network nft reads only the bytes that tell it.)
_WHOLE_IP = Match(Field.L4_PROTOCOL, 255, negate=True)
_WHOLE_ARP = Match(Field.ARP_TARGET_IP, _LIMITED, negate=True)


def _whole(way: str, match: Match, goes_on: str) -> Iterator[Rule]:
    yield Rule("whole", (match, Goto(goes_on)))
    yield _drop(way, Code.UPLINK_NOT_CARRIED)


def _guard_out_ip(goes_on: str, *mode: Rule) -> Iterator[Rule]:
    yield from _never_ip(OUT)
    yield _drop(OUT, Code.UPLINK_SOURCE_IP, Match(Field.IP_SOURCE, REGISTERED, negate=True))
    yield _drop(OUT, Code.UPLINK_STAYS_INSIDE, Match(Field.IP_DESTINATION, REGISTERED))
    yield from mode
    yield from _whole(OUT, _WHOLE_IP, goes_on)


def _guard_out_arp(goes_on: str, *mode: Rule) -> Iterator[Rule]:
    yield from _never_arp(OUT)
    yield _drop(OUT, Code.UPLINK_ARP_PROBE, Match(Field.ARP_SENDER_IP, _UNSET))
    yield _drop(OUT, Code.UPLINK_ARP_SENDER, Match(Field.ARP_SENDER_IP, REGISTERED, negate=True))
    yield from mode
    yield from _whole(OUT, _WHOLE_ARP, goes_on)


def _learn_ip(goes_on: str) -> Iterator[Rule]:
    yield Rule("known", (Match(_IP_SENDER, SetName(CLAIMS)), Goto(goes_on)))
    yield from _learn(_IP_SENDER, Field.IP_SOURCE, Field.ETHER_SOURCE)
    yield Rule("learned", (Goto(goes_on),))


def _learn_arp(goes_on: str) -> Iterator[Rule]:
    """ARP always teaches, so that a gratuitous one moves an address at once."""
    other = Match(_ARP_SENDER, SetName(CLAIMS), negate=True)
    yield from _learn(_ARP_SENDER, Field.ARP_SENDER_IP, Field.ARP_SENDER_MAC, other)
    yield Rule("learned", (Goto(goes_on),))


def _learn(claim: Key, address: Field, mac: Field, *unless: Statement) -> Iterator[Rule]:
    """One rule for each: a set that is full ends its rule and nothing else."""
    again = Match(address, SetName(SPEAKING))
    counter = f"{OUT}.{Code.UPLINK_CLAIMED_TWICE}"
    yield Rule(Code.UPLINK_CLAIMED_TWICE, (*unless, again, Count(counter)))
    yield Rule("speaking", (Remember(SPEAKING, address),))
    yield Rule("claim", (Remember(CLAIMS, claim),))
    yield Rule("inside", (Remember(INSIDE, mac),))
    yield Rule("learn", (Learn(INNER, address, mac),))


def _stay_inside_arp(goes_on: str) -> Iterator[Rule]:
    """The cloud would answer with this NIC's MAC and cut two inner hosts off from each other."""
    yield _drop(OUT, Code.UPLINK_STAYS_INSIDE, Match(Field.ARP_TARGET_IP, REGISTERED))
    yield Rule("leaves", (Goto(goes_on),))


def _leave(*translation: Statement) -> Iterator[Rule]:
    yield Rule("leave", (*translation, Count(PASSED_OUT), Accept()))


def _guard_in_ip() -> Iterator[Rule]:
    yield from _never_ip(IN)
    foreign = Match(Field.IP_DESTINATION, REGISTERED, negate=True)
    yield _drop(IN, Code.UPLINK_DESTINATION_IP, foreign)
    yield from _whole(IN, _WHOLE_IP, "translate_in_ip")


def _guard_in_arp() -> Iterator[Rule]:
    yield from _never_arp(IN)
    # The cloud's answer for an address behind this NIC would mislead its inner neighbours.
    yield _drop(IN, Code.UPLINK_ARP_NOT_OURS, Match(Field.ARP_SENDER_IP, REGISTERED))
    yield _drop(
        IN,
        Code.UPLINK_ARP_NOT_OURS,
        Match(Field.ETHER_DESTINATION, BROADCAST, negate=True),
        Match(Field.ARP_TARGET_IP, REGISTERED, negate=True),
    )
    yield from _whole(IN, _WHOLE_ARP, "translate_in_arp")


def _translate_in_ip(resolver: Mac) -> Iterator[Rule]:
    """To whoever spoke of late. Who has been silent may have moved meanwhile, and is asked for."""
    owner = Lookup(Field.IP_DESTINATION, INNER)
    yield from _arrive("deliver", Rewrite(Field.ETHER_DESTINATION, owner))
    yield from _arrive("resolve", Rewrite(Field.ETHER_DESTINATION, resolver), _RESOLVED)


def _translate_in_arp() -> Iterator[Rule]:
    yield from _arrive("announced", Match(Field.ETHER_DESTINATION, BROADCAST))
    owner = Lookup(Field.ARP_TARGET_IP, INNER)
    to_owner = Rewrite(Field.ETHER_DESTINATION, owner)
    asks, answers = (Match(Field.ARP_OPERATION, kind) for kind in ("request", "reply"))
    yield from _arrive("answered", answers, Rewrite(Field.ARP_TARGET_MAC, owner), to_owner)
    yield _drop(IN, Code.UPLINK_ARP_NOT_ASKED, answers)
    yield from _arrive("asked", asks, to_owner)
    yield from _arrive("resolve", asks, Rewrite(Field.ETHER_DESTINATION, BROADCAST), _RESOLVED)


def _arrive(name: str, *before: Statement) -> Iterator[Rule]:
    yield Rule(name, (*before, Count(PASSED_IN), Accept()))


@dataclass(frozen=True)
class Counts:
    """Frames of one pipeline since it was made; by code, zero or not, and by direction."""

    passed_out: int
    passed_in: int
    out: Mapping[Code, int]
    into: Mapping[Code, int]


def counts(kernel: InKernel) -> Counts:
    """What a pipeline has counted."""

    def by_code(way: str) -> dict[Code, int]:
        names = {code: f"{way}.{code}" for code in Code}
        return {
            code: kernel.counters[name] for code, name in names.items() if name in kernel.counters
        }

    return Counts(
        kernel.counters.get(PASSED_OUT, 0),
        kernel.counters.get(PASSED_IN, 0),
        by_code(OUT),
        by_code(IN),
    )


def registered(kernel: InKernel) -> frozenset[IPv4Address]:
    """The addresses that a pipeline lets through."""
    return frozenset(map(IPv4Address, kernel.sets.get(REGISTERED.name, frozenset())))


def learned(kernel: InKernel) -> dict[IPv4Address, Mac]:
    """Which inner MAC is behind each registered address that is not silent."""
    return {IPv4Address(address): Mac(mac) for address, mac in kernel.maps.get(INNER, {}).items()}


def claimed_twice(kernel: InKernel) -> dict[IPv4Address, frozenset[Mac]]:
    """Addresses that more than one MAC has claimed within the last minute, and those MACs.

    An address that has just moved is here for a minute, too.
    """
    claims: dict[IPv4Address, set[Mac]] = {}
    for claim in kernel.sets.get(CLAIMS, frozenset()):
        address, _, mac = claim.partition(" . ")
        claims.setdefault(IPv4Address(address), set()).add(Mac(mac))
    return {address: frozenset(macs) for address, macs in claims.items() if len(macs) > 1}
