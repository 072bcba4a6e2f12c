"""Random NICs of a VPC and random frames that they send: of few addresses, and often wrong."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from random import Random

from uplink_frames import ALL, GROUP, METADATA, NONE, UNSET, arp, ether, ipv4, tagged, udp
from uplink_random import FRAGMENTS, OTHER_KINDS, bent
from vpc_states import GUIDE, MANAGEMENT, PROVIDER, VPC, eni

from pileus.model.addresses import Mac
from pileus.vpc.state import Eni, RegionState
from pileus.vpc.wire.names import router_mac

NICS = (
    eni("eni-101", MANAGEMENT, "172.16.10.101", "172.16.10.102", instance="i-1"),
    eni("eni-201", PROVIDER, "172.16.20.101", instance="i-1", device_index=1),
    eni("eni-202", PROVIDER, "172.16.20.102", "172.16.20.103", instance="i-2"),
    eni("eni-203", PROVIDER, "172.16.20.104", instance="i-3"),
)
PREFIX = IPv4Network("172.16.20.32/28")
OWN = tuple(address for nic in NICS for address in nic.addresses)
RESOLVER = IPv4Address("172.16.0.2")
ROUTERS = (IPv4Address("172.16.10.1"), IPv4Address("172.16.20.1"))
STRANGE = tuple(
    IPv4Address(text)
    for text in ("172.16.20.77", "172.16.20.40", "8.8.8.8", "192.168.50.5", "169.254.169.253")
)
GROUPS = (IPv4Address("224.0.0.5"), IPv4Address("255.255.255.255"))
ADDRESSES = OWN * 3 + (METADATA, METADATA, RESOLVER, RESOLVER, UNSET, *ROUTERS, *STRANGE, *GROUPS)
PORTS = (67, 68, 53, 80, 9)
PROTOCOLS = (17, 17, 17, 6, 6, 1, 2, 47, 255)
FOREIGN = Mac("02:00:00:00:99:99")
ROUTER = router_mac(VPC)


def nics(random: Random) -> RegionState:
    """Some of the NICs, with some of their addresses, some without their check."""
    plugged = [_nic(random, nic) for nic in NICS if random.random() < 0.8] or [NICS[0]]
    return replace(GUIDE, enis={nic.id: nic for nic in plugged})


def _nic(random: Random, nic: Eni) -> Eni:
    more = tuple(address for address in nic.addresses[1:] if random.random() < 0.6)
    delegated = (PREFIX,) if nic.id == "eni-203" and random.random() < 0.5 else ()
    return replace(
        nic,
        addresses=(nic.addresses[0], *more),
        prefixes=delegated,
        source_dest_check=random.random() < 0.7,
    )


@dataclass(frozen=True)
class Sender:
    """Who sends: mostly in its own name, and often to somebody who is there."""

    nic: Eni
    random: Random

    def frame(self) -> bytes:
        """A frame, valid or not; long enough for a device to take it."""
        made = self.random.choice((self._ip, self._ip, self._ip, self._arp, self._other))()
        if self.random.random() < 0.07:
            made = made[: self.random.randrange(14, len(made) + 1)]
        if self.random.random() < 0.07:
            made = bent(self.random, made)
        if self.random.random() < 0.05 and len(made) >= 16:
            made = tagged(made, kind=self.random.choice((0x8100, 0x88A8)))
        return made

    def _mac(self) -> Mac:
        return (
            self.nic.mac
            if self.random.random() < 0.85
            else self.random.choice((FOREIGN, ROUTER, NICS[0].mac, NICS[2].mac))
        )

    def _address(self) -> IPv4Address:
        own = self.nic.registered
        return self.random.choice(own if self.random.random() < 0.7 else ADDRESSES)

    def _to(self) -> Mac:
        neighbours = tuple(nic.mac for nic in NICS)
        return self.random.choice((ROUTER,) * 6 + neighbours * 2 + (ALL, GROUP, FOREIGN))

    def _ip(self) -> bytes:
        random = self.random
        protocol, data = random.choice(PROTOCOLS), bytes(random.randrange(24))
        payload = data
        if protocol == 17:
            payload = udp(random.choice(PORTS), from_port=random.choice(PORTS), data=data)
        if protocol == 6:
            payload = struct.pack("!HH", random.choice(PORTS), random.choice(PORTS)) + bytes(16)
        packet = ipv4(
            self._address(),
            random.choice(ADDRESSES),
            payload,
            protocol=protocol,
            fragment=random.choice(FRAGMENTS),
        )
        if random.random() < 0.07:  # a header that contradicts itself
            first = random.choice((0x44, 0x46, 0x4F, 0x65, 0x45))
            length = struct.pack("!H", random.randrange(len(packet)))
            packet = bytes([first]) + packet[1:2] + length + packet[4:]
        return ether(self._mac(), self._to(), 0x0800, packet)

    def _arp(self) -> bytes:
        random, sender = self.random, self._mac()
        return arp(
            random.choice((1, 1, 1, 1, 2, 3)),
            (sender, self._address()),
            (random.choice((NONE, ROUTER)), random.choice(ADDRESSES)),
            to=random.choice((ALL, ALL, ROUTER, GROUP)),
            source=sender if random.random() < 0.9 else self._mac(),
            header=b"\0\1\x08\0\6\4" if random.random() < 0.9 else random.randbytes(6),
        )

    def _other(self) -> bytes:
        random = self.random
        body = random.randbytes(random.randrange(60))
        return ether(self._mac(), self._to(), random.choice(OTHER_KINDS), body)
