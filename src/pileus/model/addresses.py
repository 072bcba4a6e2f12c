"""Link and network addresses. IP addresses are the standard library's; MACs are ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")

LINK_LOCAL = IPv4Network("169.254.0.0/16")
METADATA_SERVICE = IPv4Address("169.254.169.254")


@dataclass(frozen=True, order=True)
class Mac:
    """An Ethernet address in lower case with colons.

    Raises ValueError for anything else.
    """

    text: str

    def __post_init__(self) -> None:
        if not _MAC.fullmatch(self.text):
            raise ValueError(f"not a MAC address: {self.text!r}")

    @classmethod
    def parse(cls, text: str) -> Mac:
        """Accept upper case too, as clouds print it."""
        return cls(text.strip().lower())

    def __str__(self) -> str:
        return self.text

    @property
    def packed(self) -> bytes:
        return bytes.fromhex(self.text.replace(":", ""))


@dataclass(frozen=True, order=True)
class Identity:
    """What a cloud registers for a NIC: a source (MAC, IP) pair that it forwards."""

    mac: Mac
    address: IPv4Address


@dataclass(frozen=True, order=True)
class Socket:
    """A transport end, printed as `address:port`."""

    address: IPv4Address
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


RESERVED_AT_START = 4
"""Of each subnet: network, router, DNS, future use. [AWS VPC user guide, Subnet sizing]"""


def reserved_addresses(subnet: IPv4Network) -> frozenset[IPv4Address]:
    """The five addresses of a subnet that AWS keeps: the first four and the last."""
    first = [subnet.network_address + offset for offset in range(RESERVED_AT_START)]
    return frozenset([*first, subnet.broadcast_address])


def name_server(vpc: IPv4Network) -> IPv4Address:
    """A VPC's own name server: its base address plus two. [AWS VPC user guide, DNS attributes]"""
    return vpc.network_address + 2


def subnet_router(subnet: IPv4Network) -> IPv4Address:
    """The address of the VPC's own router in a subnet: the first after the network address."""
    return subnet.network_address + 1
