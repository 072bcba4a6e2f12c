"""What the region takes for granted of AWS without a document that says so, all in one place.

`INFERRED` follows from what is documented or from what running systems show; `COMMON` is general
knowledge without a source. docs/limits.md has the same list, and a test compares them. Whoever
learns better corrects it here and where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Basis(StrEnum):
    """What an assumption rests on."""

    INFERRED = "inferred"
    COMMON = "common knowledge"


@dataclass(frozen=True)
class Assumption:
    """One thing that is taken for granted, and the module of the region that does so."""

    sentence: str
    basis: Basis
    module: str


ASSUMPTIONS = (
    Assumption(
        "The source MAC stays enforced where the source/destination check is off.",
        Basis.INFERRED,
        "wire.frames",
    ),
    Assumption(
        "ARP for an address that is not registered in the subnet is not answered.",
        Basis.INFERRED,
        "wire.frames",
    ),
    Assumption("A guest's gratuitous ARP has no effect.", Basis.COMMON, "wire.frames"),
    Assumption(
        "A DHCP server's answer (UDP 67 to 68) that a guest sends is not carried.",
        Basis.INFERRED,
        "wire.frames",
    ),
    Assumption(
        "A frame for the MAC of a NIC in another subnet is not carried.",
        Basis.INFERRED,
        "wire.frames",
    ),
    Assumption(
        "A frame straight to a neighbour's MAC, for an address that is not the neighbour's, "
        "arrives where the neighbour's source/destination check is off, and is dropped where it is "
        "on.",
        Basis.INFERRED,
        "wire.frames",
    ),
    Assumption(
        "The 1024 packets a second are those of a NIC to metadata and the VPC's name server "
        "together, and as many may come at once.",
        Basis.INFERRED,
        "wire.frames",
    ),
    Assumption(
        "Flows end when the Elastic IP or the private address that they went by is taken away.",
        Basis.INFERRED,
        "wire.flows",
    ),
    Assumption(
        'The internet gateway\'s own "fragmentation needed" reaches the sender whatever its groups '
        "and network ACLs say.",
        Basis.INFERRED,
        "wire.packets",
    ),
    Assumption(
        "A packet meets the sender's groups, its subnet's ACL, the route table and the gateway, in "
        "this order, and then the receiver's ACL and groups: the first that drops it names the "
        "reason.",
        Basis.INFERRED,
        "wire.packets",
    ),
    Assumption(
        "A route to the NIC of a machine that is stopped is a black hole.",
        Basis.COMMON,
        "ec2.objects",
    ),
    Assumption(
        "A prefix that overlaps an address in use is refused with InvalidIPAddress.InUse, one on "
        "an instance that is not built on Nitro with UnsupportedOperation, and an address of a "
        "prefix can have no Elastic IP.",
        Basis.INFERRED,
        "ec2.prefixes",
    ),
    Assumption(
        "A changed instance type is held to its limits with the codes of an attachment: "
        "AttachmentLimitExceeded and PrivateIpAddressLimitExceeded.",
        Basis.INFERRED,
        "ec2.attributes",
    ),
    Assumption(
        "A launch, a start, or the end of an association, after which an instance would lack its "
        "public address since none is left, is refused with InsufficientAddressCapacity.",
        Basis.INFERRED,
        "ec2.elastic",
    ),
    Assumption(
        "A token of a page is good for the same question alone; another one is refused with "
        "InvalidNextToken.",
        Basis.INFERRED,
        "ec2.pages",
    ),
    Assumption(
        "A further range that overlaps another one of its VPC, or holds the destination of a "
        "route, is refused with CidrConflict.",
        Basis.INFERRED,
        "ec2.ranges",
    ),
)
