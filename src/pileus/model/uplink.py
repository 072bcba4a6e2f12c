"""The provider NIC as the uplink knows it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from pileus.model.addresses import Mac

Mode = Literal["mac-nat", "mac-clone"]
_DEVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")


@dataclass(frozen=True)
class UplinkNic:
    """A NIC whose MAC the cloud below knows, and who stands in for addresses that are silent.

    `device` is its name on the node, such as enX1; it becomes part of a table's name. Raises
    ValueError for a name that nft would not take there.
    """

    device: str
    mac: Mac
    mode: Mode
    resolver: Mac

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(f"not a device name that rules can hold: {self.device!r}")


def resolver_mac(nic_mac: Mac) -> Mac:
    """The MAC of a NIC's resolver: locally administered, unicast, the same at every start."""
    derived = hashlib.sha256(b"pileus resolver " + nic_mac.packed).digest()
    return Mac(":".join(f"{byte:02x}" for byte in b"\x02" + derived[:5]))
