"""A port of the registered address that is handed on to a server's port."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_FORM = re.compile(r"(\d{1,6}):(\d{1,6})(?:/(tcp|udp))?")
PORTS = range(1, 65536)


@dataclass(frozen=True, order=True)
class Publication:
    """`522:22` means: port 522 of the registered address leads to port 22 of the server."""

    port: int
    target: int
    protocol: Literal["tcp", "udp"] = "tcp"

    @classmethod
    def parse(cls, text: str) -> Publication:
        """Read `PORT:SERVER_PORT`, with `/udp` behind it for UDP.

        Raises ValueError, with a sentence for the user, for anything else.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not PORT:SERVER_PORT")
        port, target = int(match[1]), int(match[2])
        for number in (port, target):
            if number not in PORTS:
                raise ValueError(f"{number} is not a port: ports are 1 to 65535")
        return cls(port, target, "udp" if match[3] == "udp" else "tcp")

    def __str__(self) -> str:
        return f"{self.port}:{self.target}" + ("/udp" if self.protocol == "udp" else "")
