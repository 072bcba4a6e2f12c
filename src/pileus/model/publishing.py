"""Ports of registered addresses that are handed on to servers: as asked for, and as resolved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from pileus.model.addresses import Socket

_FORM = re.compile(
    r"(?:(?P<address>[0-9.]+):)?(?P<port>\d{1,6}):(?P<target>\d{1,6})(?:/(?P<protocol>tcp|udp))?"
)
PORTS = range(1, 65536)


@dataclass(frozen=True)
class Publication:
    """`522:22` means: port 522 of the router's registered address leads to the server's port 22.

    `172.16.20.103:522:22` names another registered address, which is then a floating IP.
    """

    port: int
    target: int
    protocol: Literal["tcp", "udp"] = "tcp"
    address: IPv4Address | None = None
    """None for the router's own."""

    @classmethod
    def parse(cls, text: str) -> Publication:
        """Read `[ADDRESS:]PORT:SERVER_PORT`, with `/udp` behind it for UDP.

        Raises ValueError, with a sentence for the user, for anything else.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not PORT:SERVER_PORT or ADDRESS:PORT:SERVER_PORT")
        port, target = int(match["port"]), int(match["target"])
        for number in (port, target):
            if number not in PORTS:
                raise ValueError(f"{number} is not a port: ports are 1 to 65535")
        address = IPv4Address(match["address"]) if match["address"] else None
        return cls(port, target, "udp" if match["protocol"] == "udp" else "tcp", address)

    def __str__(self) -> str:
        at = f"{self.address}:" if self.address else ""
        return f"{at}{self.port}:{self.target}" + ("/udp" if self.protocol == "udp" else "")


@dataclass(frozen=True, order=True)
class Published:
    """A port of a registered address that is handed on to a server."""

    protocol: Literal["tcp", "udp"]
    registered: Socket
    private: Socket

    def __str__(self) -> str:
        return f"{self.protocol} {self.registered} → {self.private}"
