"""Nothing leaves a router's gateway with a source address that is not the gateway's own.

Neutron translates only what conntrack can place: a packet in state INVALID, such as a FIN sent
again after its flow was forgotten, leaves with the server's private address. The cloud below
drops it and counts it against us; so it is dropped, and counted, before.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from pileus.model.errors import Fault
from pileus.rules.nft import InKernel, difference
from pileus.rules.readback import parse
from pileus.rules.ruleset import Chain, Count, Drop, Field, Hook, Match, Rule, Table
from pileus.system.runner import Runner
from pileus.uplink.namespace import list_table

COUNTER = "source_unregistered"


def table(gateway: IPv4Address) -> Table:
    """The guard as rules: after all translation (priority 100), on gateway devices only."""
    foreign = Rule(
        COUNTER,
        (
            Match(Field.OUT_INTERFACE, "qg-*"),
            Match(Field.IP_SOURCE, gateway, negate=True),
            Count(COUNTER),
            Drop(),
        ),
    )
    hook = Hook("filter", "postrouting", "300", "accept")
    return Table("ip", "pileus_source", (Chain("leaving", (foreign,), hook),))


def apply(router: Runner, gateway: IPv4Address) -> bool:
    """Put the guard into a router's namespace; whether anything changed.

    Raises Fault when there is no namespace, or when what is read back differs.
    """
    wanted = table(gateway)
    commands = difference(wanted, _read(router, wanted))
    if not commands:
        return False
    router(["nft", "-f", "-"], stdin="\n".join(commands) + "\n")
    if difference(wanted, _read(router, wanted)):
        raise Fault(
            "the router's source guard differs from what was just set",
            hint="another program may be changing it; repeat the command",
            retryable=True,
        )
    return True


def dropped(router: Runner, gateway: IPv4Address) -> int:
    """How many packets the guard has dropped; 0 where there is none."""
    current = _read(router, table(gateway))
    return current.counters.get(COUNTER, 0) if current else 0


def _read(router: Runner, wanted: Table) -> InKernel | None:
    listing = list_table(router, wanted.family, wanted.name)
    return parse(listing) if listing else None
