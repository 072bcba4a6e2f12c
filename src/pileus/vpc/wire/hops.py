"""The VPC's router takes nothing off a packet's TTL; the kernel that forwards for it does. Pure.

"TTL is not decremented inside the VPC" [notes on Nitro; traceroute between instances shows no hop].
So each packet gets one more before it is routed. There is no sum in nftables: one rule for each
value, the usual ones first. Nothing is more than 255: such a packet arrives with 254.
"""

from __future__ import annotations

from itertools import pairwise

from pileus.rules.ruleset import Accept, Chain, Field, Hook, Match, Rewrite, Rule, Table

HOPS_TABLE = "hops"
_USUAL = (64, 128, 254)
"""Where systems begin to count, and 255 after one router."""


def hops_table() -> Table:
    """The table of a VPC's namespace; it depends on nothing and never changes."""
    spans = pairwise([0, *_USUAL])
    values = [ttl for below, top in spans for ttl in range(top, below, -1)]
    hook = Hook("filter", "prerouting", "-300", "accept")
    return Table("ip", HOPS_TABLE, (Chain("kept", tuple(map(_one_more, values)), hook),))


def _one_more(ttl: int) -> Rule:
    return Rule("kept", (Match(Field.IP_TTL, ttl), Rewrite(Field.IP_TTL, ttl + 1), Accept()))
