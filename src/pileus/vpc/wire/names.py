"""Names of the kernel's objects, all derived from the ids of the API."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from pileus.model.addresses import Mac
from pileus.model.verdict import Code

FRAMES_TABLE = "wire"
PACKETS_TABLE = "vpc"
GATEWAY = "igw"
"""The VPC's end of the link to the internet."""
NOWHERE = "nowhere"
"""Where packets without a route go to be counted."""
_PART = re.compile(r"internet|(vpc|i)-[0-9a-f]+")


def device(eni: str) -> str:
    """The VPC's end of an ENI's veth; 15 characters are all that the kernel allows."""
    return "eni" + eni.removeprefix("eni-")[-12:]


def counter(device: str, what: Code | str) -> str:
    """What a device counts for a code, or for "passed_out" and "passed_in"."""
    return f"{device}.{what}"


def numbers(ids: Iterable[str], kind: int) -> dict[str, int]:
    """A number for each id, the same whatever else there is: for marks and routing tables.

    Ids of another `kind` (1 to 127) have other numbers. Where two of one kind would share one, the
    latter in their order has the next.
    """
    taken: dict[int, str] = {}
    for one in sorted(ids):
        number = (kind << 24) | int(hashlib.sha256(one.encode()).hexdigest()[:6], 16)
        while number in taken:
            number += 1
        taken[number] = one
    return {one: number for number, one in taken.items()}


def vpc_namespace(region: str, vpc: str) -> str:
    return f"pileus-{region}-{vpc}"


def machine_namespace(region: str, instance: str) -> str:
    return f"pileus-{region}-{instance}"


def internet_namespace(region: str) -> str:
    return f"pileus-{region}-internet"


def belongs(namespace: str, region: str) -> bool:
    """Whether a namespace is one of this region's: those of `demo-2` are not `demo`'s."""
    prefix = f"pileus-{region}-"
    part = namespace.removeprefix(prefix)
    return namespace.startswith(prefix) and _PART.fullmatch(part) is not None


def router_mac(vpc: str) -> Mac:
    """The VPC router's MAC: locally administered, the same in all of its subnets."""
    octets = hashlib.sha256(vpc.encode()).hexdigest()[:10]
    return Mac("0a:" + ":".join(octets[i : i + 2] for i in range(0, 10, 2)))
