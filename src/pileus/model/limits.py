"""What limits the addresses of a cloud: what is known of it, and the ways around it."""

from __future__ import annotations

from dataclasses import dataclass

from pileus.model.underlay import InstanceType

ELASTIC_IPS_REACHED = "the account's limit of Elastic IPs in this region is reached"
NICS_REACHED = "the instance type's limit of NICs is reached"
NIC_ADDRESSES_REACHED = "the instance type's limit of addresses per NIC is reached"


@dataclass(frozen=True)
class Limits:
    """What the account and the type of the machine allow, and what is used of it."""

    instance_type: InstanceType
    family: tuple[InstanceType, ...]
    """Every type of the same family."""
    elastic_ips: int | None
    """Quota of Elastic IPs in the region; None where the account does not tell."""
    elastic_ips_used: int
    """Everybody's in the region, ours included."""


def ways_to_elastic_ips(needed: int | None = None, room: int | None = None) -> str:
    """What to do about the limit of Elastic IPs.

    `needed` is the quota that would do, and `room` the number of floating IPs that there is room
    for, where they are known. [Service Quotas, Amazon EC2, "EC2-VPC Elastic IPs"]
    """
    fewer = "fewer" if room is None else f"at most {room}" if room > 0 else "no"
    return (
        f"have {fewer} floating IPs (`floating_ips`, `pileus floating-ip remove`), release Elastic "
        "IPs that nothing uses, or raise the quota: Service Quotas, code L-0263D0A3; in the "
        f"simulated region `pileus sim quota elastic-ips {needed or 'N'}`"
    )


def ways_to_nics(room: int, larger: InstanceType | None) -> str:
    """What to do about the limit of NICs on a machine.

    `room` is the number of provider networks beside the first that there is room for, and `larger`
    a type that takes enough.
    """
    such = f", such as {larger.name} ({larger.max_nics})" if larger else ""
    return (
        f"have at most {room} in underlay.more_providers, or set underlay.instance_type to one "
        f"that takes more{such}"
    )


def ways_to_nic_addresses(room: int | None = None, larger: InstanceType | None = None) -> str:
    """What to do about the limit of addresses on a NIC.

    `room` is the number of floating IPs that there is room for, and `larger` a type that has
    enough, where they are known.
    """
    fewer = "fewer" if room is None else f"at most {room}"
    such = f", such as {larger.name} ({larger.addresses_per_nic})" if larger else ""
    return (
        f"have {fewer} floating IPs (`floating_ips`, `pileus floating-ip remove`), or set "
        f"underlay.instance_type to one that takes more{such}"
    )
