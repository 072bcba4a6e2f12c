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
from ipaddress import IPv4Address
from typing import Any

from pileus.model.addresses import Socket
from pileus.model.errors import CommandFailed, Fault
from pileus.model.publishing import Published
from pileus.system.runner import Runner

TABLE = "pileus_publish"
_CHAIN = {"type": "nat", "hook": "prerouting", "prio": -105, "policy": "accept"}
"""Just before Neutron's own destination NAT (priority -100)."""


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

    Raises CommandFailed when the namespace is gone.
    """
    done = router(["nft", "--json", "list", "table", "ip", TABLE], check=False)
    if done.code == 0:
        return parse(done.stdout)
    if "No such file or directory" in done.stderr and "namespace" not in done.stderr:
        return frozenset()
    raise CommandFailed(done.argv, done.code, done.stderr)


def load(router: Runner, wanted: frozenset[Published]) -> None:
    """Make exactly this set published, in one transaction; an empty one leaves no table.

    Connections through a port that was taken away go on: see `cut`. Raises CommandFailed when nft
    refuses (nothing has changed then), and Fault when what is read back differs.
    """
    router(["nft", "-f", "-"], stdin=render(wanted))
    if read(router) != wanted:
        raise Fault(
            "the published ports differ from what was just set",
            hint="another program may be changing them; repeat the command",
            retryable=True,
        )


def cut(router: Runner, ports: Iterable[Published]) -> None:
    """Forget the flows of ports: translations already made outlive the rule that made them."""
    for at, protocol in sorted((port.registered, port.protocol) for port in ports):
        flows = ["-p", protocol, "--orig-dst", str(at.address), "--orig-port-dst", str(at.port)]
        done = router(["conntrack", "-D", *flows], check=False)
        if done.code not in (0, 1):  # 1: there was none
            raise CommandFailed(done.argv, done.code, done.stderr)
