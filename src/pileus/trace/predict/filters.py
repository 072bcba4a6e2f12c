"""What security groups and network ACLs let through. Pure.

Groups only allow, and know connections; an ACL takes the first entry that matches, and knows none.
[AWS VPC user guide, "Security groups", "Network ACLs"; Neutron's groups are alike]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from pileus.model.path import Protocol
from pileus.model.scene import ANY, AclEntry, Permit

Members = Callable[[str], frozenset[IPv4Address]]
EPHEMERAL = (32768, 60999)
"""Ports that Linux sends from. [ip-sysctl, ip_local_port_range]"""


@dataclass(frozen=True)
class Flow:
    """A packet as filters see it, on its way out of a NIC or port, or into it."""

    outwards: bool
    protocol: Protocol
    source: IPv4Address
    destination: IPv4Address
    number: int | None
    """The destination's port, or the type of ICMP; None for any port that is sent from."""

    @property
    def far(self) -> IPv4Address:
        return self.destination if self.outwards else self.source


def permitted(rules: Iterable[Permit], flow: Flow, members: Members) -> Permit | None:
    """The rule of a group that lets a connection begin."""
    return next((rule for rule in rules if _about(rule, flow, members)), None)


def decided(entries: Iterable[AclEntry], flow: Flow) -> AclEntry | None:
    """The entry of an ACL that decides; None is the rule that denies what no entry names.

    Of an answer nobody knows the port beforehand: one entry has to allow all that it may be.
    """
    ordered = sorted(entries, key=lambda entry: entry.number)
    return next((one for one in ordered if _about(one.about, flow, _nobody)), None)


def _nobody(_: str) -> frozenset[IPv4Address]:
    return frozenset()


def _about(rule: Permit, flow: Flow, members: Members) -> bool:
    return (
        rule.outwards == flow.outwards
        and rule.protocol in (ANY, flow.protocol)
        and _has(rule, flow.number)
        and (rule.far is None or flow.far in rule.far)
        and (rule.group is None or flow.far in members(rule.group))
    )


def _has(rule: Permit, number: int | None) -> bool:
    if rule.ports is None:
        return True
    first, last = rule.ports
    asked = EPHEMERAL if number is None else (number, number)
    return first <= asked[0] and asked[1] <= last


def text(rule: Permit) -> str:
    """A rule as a few words: `tcp/22 from 0.0.0.0/0`."""
    ports = "" if rule.ports is None else "/" + "-".join(map(str, dict.fromkeys(rule.ports)))
    far = rule.group or rule.far or "anywhere"
    return f"{rule.protocol}{ports} {'to' if rule.outwards else 'from'} {far}"
