"""The published ports of a router: one nft table of ours in its namespace, as a whole wanted set.

The table outlives Neutron's own changes of its rules and a restart of the L3 agent; it goes with
the namespace when the router goes down or the node restarts, and is put back by applying again.
Neutron's iptables rules let these flows through as they are: its forward chain filters by address
scope alone, and what came in by the gateway is marked and so not translated to the gateway's
address on its way to the server, which sees the true source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from pileus.model.addresses import Socket
from pileus.model.errors import CommandFailed, Fault, Refused
from pileus.model.publishing import Published
from pileus.system.runner import Runner
from pileus.uplink.namespace import list_table, on_node

__all__ = ["Outcome", "apply", "on_node", "parse", "read", "render", "validate"]

TABLE = "pileus_publish"
_CHAIN = {"type": "nat", "hook": "prerouting", "prio": -105, "policy": "accept"}
"""Just before Neutron's own destination NAT (priority -100)."""


@dataclass(frozen=True)
class Outcome:
    """What applying changed; nothing when the namespace already had the wanted set."""

    added: frozenset[Published]
    removed: frozenset[Published]


def validate(published: Iterable[Published]) -> frozenset[Published]:
    """The set, if it can be published. Raises Refused for a port that is taken twice or is none."""
    taken: dict[tuple[str, Socket], Published] = {}
    for item in published:
        if item.protocol not in ("tcp", "udp"):
            raise Refused(f"{item.protocol} has no ports", hint="publish a tcp or udp port")
        for port in (item.registered.port, item.private.port):
            if not 1 <= port <= 65535:
                raise Refused(f"{port} is not a port", hint="ports are 1 to 65535")
        other = taken.setdefault((item.protocol, item.registered), item)
        if other.private != item.private:
            raise Refused(
                f"{item.protocol} port {item.registered} is published already, to {other.private}",
                hint="choose another port, or unpublish that one first",
            )
    return frozenset(taken.values())


def render(published: frozenset[Published]) -> str:
    """The nft script that makes our table hold exactly this set, in one transaction.

    `add` then `delete` removes a table whether or not it is there, on every nft since 0.5.
    """
    lines = [f"add table ip {TABLE}", f"delete table ip {TABLE}"]
    if published:
        lines += [
            f"table ip {TABLE} {{",
            "  chain prerouting {",
            f"    type nat hook prerouting priority {_CHAIN['prio']}; policy accept;",
            *(f"    {_rule(item)}" for item in sorted(published)),
            "  }",
            "}",
        ]
    return "\n".join(lines) + "\n"


def _rule(item: Published) -> str:
    at, to = item.registered, item.private
    return f"ip daddr {at.address} {item.protocol} dport {at.port} dnat to {to}"


def parse(listing: str) -> frozenset[Published] | None:
    """The set that a table of ours holds, from nft's JSON; None when it is not as we write it."""
    objects = json.loads(listing)["nftables"]
    chains = [entry["chain"] for entry in objects if "chain" in entry]
    if len(chains) != 1 or {key: chains[0].get(key) for key in _CHAIN} != _CHAIN:
        return None
    try:
        return frozenset(_published(entry["rule"]["expr"]) for entry in objects if "rule" in entry)
    except (KeyError, ValueError, TypeError):
        return None


def _published(expressions: Sequence[dict[str, Any]]) -> Published:
    address, port, translate = expressions
    protocol = port["match"]["left"]["payload"]["protocol"]
    to = translate["dnat"]
    return Published(
        protocol,
        Socket(IPv4Address(address["match"]["right"]), int(port["match"]["right"])),
        Socket(IPv4Address(to["addr"]), int(to["port"])),
    )


def read(router: Runner) -> frozenset[Published] | None:
    """What is published now; None when the table is there but was changed by someone else.

    Raises Fault when the router has no namespace on the node.
    """
    listing = list_table(router, "ip", TABLE)
    return parse(listing) if listing else frozenset()


def apply(router: Runner, published: Iterable[Published]) -> Outcome:
    """Make exactly this set published; an empty one leaves no table.

    Connections through a port that is taken away are cut. Raises Refused before anything is
    touched, CommandFailed when nft refuses (nothing has changed then), and Fault when what is
    read back differs.
    """
    wanted = validate(published)
    have = read(router)
    if have == wanted:
        return Outcome(frozenset(), frozenset())
    router(["nft", "-f", "-"], stdin=render(wanted))
    if read(router) != wanted:
        raise Fault(
            "the published ports differ from what was just set",
            hint="another program may be changing them; repeat the command",
            retryable=True,
        )
    removed = (have or frozenset()) - wanted
    for item in sorted(removed):
        _cut(router, item)
    return Outcome(wanted - (have or frozenset()), removed)


def _cut(router: Runner, item: Published) -> None:
    """Forget the flows of a port: translations already made outlive the rule that made them."""
    at = item.registered
    flows = ["-p", item.protocol, "--orig-dst", str(at.address), "--orig-port-dst", str(at.port)]
    done = router(["conntrack", "-D", *flows], check=False)
    if done.code not in (0, 1):  # 1: there was none
        raise CommandFailed(done.argv, done.code, done.stderr)
