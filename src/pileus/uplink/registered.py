"""Which addresses the cloud below has registered on each NIC, as far as we know. Pure.

Instance metadata is told of a change a while after the API, and can be away or incomplete for a
time. [EC2 user guide, "Multiple IP addresses": confirm through `local-ipv4s`; amazonlinux/
amazon-ec2-net-utils: never unconfigure on one empty answer]
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

Addresses = tuple[IPv4Address, ...]
"""Of one NIC, primary first, as metadata lists them."""


def decide(known: Addresses, answer: Addresses | None, subnet: IPv4Network) -> Addresses:
    """The registered addresses of a NIC after an answer, None for no answer.

    What is known stays unless the answer has its primary address, which no NIC ever loses: an
    answer without it is of a NIC that is not known there yet, or not of ours. An answer that has
    it counts as a whole, be it smaller. Addresses outside of the NIC's subnet are not its own.
    """
    within = tuple(address for address in answer or () if address in subnet)
    if not known or not within:
        return within or known
    primary = known[0]
    if primary not in within:
        return known
    return (primary, *(address for address in within if address != primary))


def addresses(texts: Iterable[str]) -> Addresses:
    """Raises ValueError for what is no IPv4 address."""
    return tuple(IPv4Address(text.strip()) for text in texts if text.strip())
