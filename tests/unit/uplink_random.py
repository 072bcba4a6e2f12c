"""Random frames for the uplink: of few addresses, so that they meet, and often slightly wrong."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address
from random import Random

from uplink_frames import (
    ALL,
    CLONE,
    GROUP,
    INNER,
    LIMITED,
    MAIL,
    METADATA,
    NIC,
    NIC_MAC,
    NONE,
    OTHER,
    OUTSIDE,
    ROUTER,
    ROUTER_MAC,
    SPARE,
    STRANGE,
    UNSET,
    WEB,
    arp,
    ether,
    ipv4,
    tagged,
    udp,
)

from pileus.model.addresses import Mac
from pileus.model.uplink import UplinkNic
from pileus.rules.evaluator import Learned
from pileus.rules.ruleset import Table
from pileus.uplink import pipeline

OWN = (WEB, MAIL, SPARE, *(IPv4Address(f"172.16.20.{n}") for n in range(104, 109)))
FOREIGN = (STRANGE, ROUTER, OUTSIDE, METADATA, UNSET, LIMITED, IPv4Address("224.0.0.5"))
ADDRESSES = OWN * 4 + FOREIGN
INNER_MACS = (INNER, OTHER, Mac("fa:16:3e:00:00:03"))
SOURCES = INNER_MACS * 2 + (NIC_MAC,) * 3 + (ROUTER_MAC,)
DESTINATIONS = (ROUTER_MAC, NIC_MAC) * 4 + (ALL, ALL, GROUP, INNER, OTHER)
PROTOCOLS = (17, 17, 17, 6, 6, 1, 2, 47, 255)
PORTS = (67, 68, 53, 80, 9)
FRAGMENTS = (0,) * 6 + (0x4000, 0x2000, 0x2003, 0x0003, 0x1FFF)
OTHER_KINDS = (0x86DD, 0x88CC, 0x8035, 0x0026, 0x0000, 0x9100, 0x0801)


def registered(random: Random) -> frozenset[IPv4Address]:
    """Some of the addresses that frames are about."""
    return frozenset(address for address in OWN if random.random() < 0.7)


def frame(random: Random) -> bytes:
    """A frame, valid or not; long enough for a device to take it."""
    made = random.choice((_ip, _ip, _ip, _arp, _arp, _other))(random)
    if random.random() < 0.1:
        made = made[: random.randrange(14, len(made) + 1)]
    if random.random() < 0.1:
        made = bent(random, made)
    if random.random() < 0.07 and len(made) >= 16:
        made = tagged(made, kind=random.choice((0x8100, 0x88A8)), vlan=random.randrange(4096))
    return made


def _ip(random: Random) -> bytes:
    protocol = random.choice(PROTOCOLS)
    data = bytes(random.randrange(24))
    if protocol == 17:
        payload = udp(random.choice(PORTS), from_port=random.choice(PORTS), data=data)
    elif protocol == 6:
        payload = struct.pack("!HH", random.choice(PORTS), random.choice(PORTS)) + bytes(16)
    else:
        payload = data
    packet = ipv4(
        random.choice(ADDRESSES),
        random.choice(ADDRESSES),
        payload,
        protocol=protocol,
        fragment=random.choice(FRAGMENTS),
    )
    if random.random() < 0.1:  # a header that contradicts itself
        first, length = random.choice((0x44, 0x46, 0x4F, 0x65, 0x45)), random.randrange(len(packet))
        packet = bytes([first]) + packet[1:2] + struct.pack("!H", length) + packet[4:]
    packet += bytes(random.choice((0, 0, 0, 6)))  # as short frames are padded
    return ether(random.choice(SOURCES), random.choice(DESTINATIONS), 0x0800, packet)


def _arp(random: Random) -> bytes:
    sender = random.choice(SOURCES)
    return arp(
        random.choice((1, 1, 1, 2, 2, 2, 3, 8)),
        (sender, random.choice(ADDRESSES)),
        (random.choice((NONE, NIC_MAC, INNER, ALL)), random.choice(ADDRESSES)),
        to=random.choice((ALL, NIC_MAC, ROUTER_MAC, INNER, GROUP)),
        source=sender if random.random() < 0.9 else random.choice(SOURCES),
        header=b"\0\1\x08\0\6\4" if random.random() < 0.9 else random.randbytes(6),
    )


def _other(random: Random) -> bytes:
    kind = random.choice(OTHER_KINDS)
    body = random.randbytes(random.randrange(60))
    return ether(random.choice(SOURCES), random.choice(DESTINATIONS), kind, body)


def bent(random: Random, made: bytes) -> bytes:
    """A byte or two behind the addresses changed: a bridge looks at those itself."""
    changed = bytearray(made)
    for _ in range(random.randrange(1, 3)):
        if len(changed) > 14:
            changed[random.randrange(14, len(changed))] = random.randrange(256)
    return bytes(changed)


# Sequences of wanted states

POOL = (*OWN, *(IPv4Address(f"172.16.20.{n}") for n in range(110, 140)))
"""Addresses that may be registered in turn."""


@dataclass(frozen=True)
class Wanted:
    """A pipeline that is wanted for a while, and who is heard of meanwhile."""

    nic: UplinkNic
    registered: frozenset[IPv4Address]
    heard: frozenset[tuple[IPv4Address, Mac]]

    @property
    def table(self) -> Table:
        return pipeline.table(self.nic, self.registered)


def sequence(random: Random) -> list[Wanted]:
    """Some wanted states in a row: of a few addresses or many, that come and go or stay."""
    states = [_wanted(random, frozenset())]
    for _ in range(random.randrange(1, 4)):
        states.append(_wanted(random, states[-1].registered))
    return states


def _wanted(random: Random, before: frozenset[IPv4Address]) -> Wanted:
    share = random.random()
    fresh = frozenset(address for address in POOL if random.random() < share)
    registered = random.choice((fresh, before ^ frozenset(random.sample(POOL, 2))))
    nic = random.choice((NIC, NIC, CLONE))
    speaking = sorted(registered) if nic is NIC and random.random() < 0.7 else []
    heard = {(at, random.choice(INNER_MACS)) for at in speaking if random.random() < 0.5}
    return Wanted(nic, registered, frozenset(heard))


def kept(learned: Learned, table: Table, registered: frozenset[IPv4Address]) -> Learned:
    """What is to be left of what was learned under a pipeline that is loaded then.

    Inner MACs whoever is registered, and of registered addresses all the rest. With mac-clone
    nothing is learned, and what was goes.
    """
    own = {str(address) for address in registered}
    sets = {
        name: frozenset(
            one
            for one in learned.sets.get(name, ())
            if name == pipeline.INSIDE or one.partition(" ")[0] in own
        )
        for name in (named.name for named in table.sets if named.dynamic)
    }
    maps = {
        name: {at: mac for at, mac in learned.maps.get(name, {}).items() if at in own}
        for name in (named.name for named in table.maps if named.dynamic)
    }
    return Learned(sets, maps)
