"""What AWS documents of a VPC, as one function of the API's state: the wire's judge in tests.

It shares nothing with the wire but the state's nouns and the codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from pileus.model.verdict import Code
from pileus.vpc.state import AclEntry, Eni, Permission, RegionState, Subnet

INTERNET = "internet"


@dataclass(frozen=True)
class Probe:
    """The first packet of a connection, or the one that `answers` it.

    `to` is the NIC whose MAC it is for, None for the router; `sender` None means a host on the
    internet; `protocol` is tcp, udp or icmp, of which `port` is the type and `from_port` the
    identifier.
    """

    sender: Eni | None
    source: IPv4Address
    destination: IPv4Address
    protocol: str
    port: int
    to: Eni | None = None
    from_port: int = 40000
    answers: bool = False


def answer(probe: Probe, receiver: Eni | None) -> Probe:
    """What the receiver of a probe sends back, by its router."""
    port, from_port = probe.from_port, probe.port
    if probe.protocol == "icmp":
        port, from_port = {8: 0, 13: 14}[probe.port], probe.from_port
    ends = (probe.destination, probe.source)
    return Probe(receiver, *ends, probe.protocol, port, from_port=from_port, answers=True)


@dataclass(frozen=True)
class Fate:
    """Where a packet ends: delivered to a NIC or the internet, or dropped there with a code."""

    at: str
    code: Code | None = None


class Model:
    """One VPC of a state."""

    def __init__(self, state: RegionState, vpc: str) -> None:
        self.state, self.vpc = state, state.vpcs[vpc]
        self.nics = [one for one in state.enis.values() if one.vpc == vpc and one.instance]
        self._owner = {address: nic for nic in self.nics for address in nic.registered}
        self.public = {
            elastic.private: elastic.public
            for elastic in state.elastic_ips.values()
            if elastic.private in self._owner and self._owner[elastic.private].id == elastic.eni
        }

    def fate(self, probe: Probe) -> Fate:
        if probe.sender is None:
            return self._arrive(probe, self._owner[probe.destination], None)
        return self._sent(probe, probe.sender)

    def answer(self, probe: Probe, fate: Fate) -> Probe | None:
        """The answer to a packet that arrived; None where nobody would know whom to answer."""
        named = probe.sender is None or probe.source in probe.sender.registered
        if fate.code is not None or not named:
            return None
        return answer(probe, None if fate.at == INTERNET else self.state.enis[fate.at])

    def _sent(self, probe: Probe, sender: Eni) -> Fate:
        here = self._subnet(sender)
        if sender.source_dest_check and probe.source not in sender.registered:
            return Fate(sender.id, Code.SOURCE_IP)
        if probe.to is not None:
            if probe.to not in self.nics or probe.to.subnet != sender.subnet:
                return Fate(sender.id, Code.NOT_CARRIED)
            if probe.to.source_dest_check and probe.destination not in probe.to.registered:
                return Fate(sender.id, Code.NO_SUCH_ADDRESS)
        if not self._allowed(sender, "egress", probe, probe.destination):
            return Fate(sender.id, Code.GROUP_EGRESS)
        target = probe.to or self._routed(probe.destination, here)
        inside = isinstance(target, Eni) and target.subnet == sender.subnet
        if not inside and not self._lets_pass(here, "egress", probe, probe.destination):
            return Fate(sender.id, Code.ACL_EGRESS)
        if isinstance(target, Code):
            return Fate(sender.id, target)
        if isinstance(target, Eni):
            return self._arrive(probe, target, sender)
        if probe.source not in self.public and not probe.answers:
            return Fate(sender.id, Code.NO_PUBLIC_ADDRESS)
        return Fate(INTERNET)

    def _routed(self, to: IPv4Address, here: Subnet) -> Eni | Code | str:
        if to in self._owner:
            return self._owner[to]
        if any(to in network for network in self.vpc.networks):
            return Code.NO_SUCH_ADDRESS
        routes = [one for one in self.state.route_table_of(here).routes if to in one.destination]
        best = max(routes, key=lambda one: one.destination.prefixlen, default=None)
        if best is None:
            return Code.NO_ROUTE
        if best.target == "igw":
            return INTERNET if self.vpc.has_internet_gateway else Code.NO_ROUTE
        alive = [nic for nic in self.nics if nic.id == best.target]
        return alive[0] if alive else Code.NO_ROUTE

    def _arrive(self, probe: Probe, target: Eni, sender: Eni | None) -> Fate:
        there = self._subnet(target)
        enters = sender is None or sender.subnet != target.subnet
        if enters and not self._lets_pass(there, "ingress", probe, probe.source):
            return Fate(target.id, Code.ACL_INGRESS)
        if target.source_dest_check and probe.destination not in target.registered:
            return Fate(target.id, Code.NO_SUCH_ADDRESS)
        if not self._allowed(target, "ingress", probe, probe.source):
            return Fate(target.id, Code.GROUP_INGRESS)
        return Fate(target.id)

    def _subnet(self, nic: Eni) -> Subnet:
        return self.state.subnets[nic.subnet]

    def _allowed(self, nic: Eni, direction: str, probe: Probe, far: IPv4Address) -> bool:
        if probe.answers:
            return True
        groups = [self.state.groups[id] for id in nic.groups]
        permissions: Iterable[Permission] = (
            one for group in groups for one in getattr(group, direction)
        )
        return any(_fits(one, probe) and self._is_far_end(one, far) for one in permissions)

    def _is_far_end(self, permission: Permission, far: IPv4Address) -> bool:
        member_of = self._owner[far].groups if far in self._owner else ()
        return any(far in network for network in permission.networks) or bool(
            permission.groups & set(member_of)
        )

    def _lets_pass(self, subnet: Subnet, way: str, probe: Probe, far: IPv4Address) -> bool:
        acls = [one for one in self.state.network_acls.values() if subnet.id in one.subnets]
        for acl in acls:
            for entry in getattr(acl, way):
                if _fits(entry, probe) and far in entry.network:
                    return bool(entry.allow)
            return False
        return True


def _fits(what: Permission | AclEntry, probe: Probe) -> bool:
    if what.protocol == "-1":
        return True
    if what.protocol != probe.protocol:
        return False
    if what.ports is None:
        return True
    if probe.protocol == "icmp":
        return what.ports[0] == probe.port and what.ports[1] in (-1, 0)
    return what.ports[0] <= probe.port <= what.ports[1]
