"""What the cloud below does with a packet, and the pipeline in front of it. Pure.

Sources: AWS VPC and EC2 user guides (source check, security groups, network ACLs, route tables,
internet gateways: 1:1 translation of an associated Elastic IP).
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

from pileus.model.scene import VpcNic
from pileus.model.verdict import Code
from pileus.trace.predict.at import At, Said
from pileus.trace.predict.filters import decided, permitted, text
from pileus.trace.predict.uplink import passed

PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
"""Addresses that nothing on the internet leads to. [RFC 1918]"""
_RUNNING = "running"


def uplink(at: At) -> Said:
    """The pipeline's own rules are asked."""
    there = _nic(at)
    state = at.scene.uplinks.get(there.interface.role) if there else None
    if there is None or state is None:
        return Said("no provider NIC", Code.NIC_MISSING)
    sender = at.sender if at.outwards else None
    outcome = passed(there.interface, state, at.protocol, at.headers, sender)
    if outcome.verdict == "drop":
        stage = outcome.dropped.stage if outcome.dropped else "guard"
        return Said(f"dropped in {stage}", outcome.code or Code.UPLINK_NOT_CARRIED)
    if at.outwards:
        return Said(f"leaves as {there.interface.mac}")
    owner = state.learned.get(at.headers.destination)
    if state.mode == "mac-clone":
        return Said("as it is")
    return Said(f"to {owner}" if owner else "asks inside who has it")


def nic(at: At) -> Said:
    """Attached to a machine that runs, and the source check."""
    there = _nic(at)
    if there is None or not there.attached:
        return Said("not attached to the machine", Code.NIC_MISSING)
    if at.scene.vpc.machine != _RUNNING:
        return Said(f"the machine is {at.scene.vpc.machine}", Code.MACHINE_OFF)
    if not there.source_check:
        return Said("the source check is off", Code.SOURCE_DEST_CHECK, passes=True)
    address = at.headers.source if at.outwards else at.headers.destination
    if address in there.addresses:
        return Said(f"{address} is registered")
    return Said(f"{address} is not registered", _unregistered(at))


def _unregistered(at: At) -> Code:
    return Code.SOURCE_IP if at.outwards else Code.NO_SUCH_ADDRESS


def groups(at: At) -> Said:
    """The NIC's security groups: for the question alone, since they know connections."""
    there = _nic(at)
    if there is None or not at.begins:
        return Said("an answer")
    vpc = at.scene.vpc
    rules = [rule for group in there.groups for rule in vpc.groups.get(group, ())]
    rule = permitted(rules, at.flow, vpc.members)
    if rule:
        return Said(text(rule))
    code = Code.GROUP_EGRESS if at.outwards else Code.GROUP_INGRESS
    return Said(f"{len(rules)} rules, none of which allows it", code)


def acl(at: At) -> Said:
    """The subnet's network ACL, which knows no connections: the answer is judged as well."""
    there = _nic(at)
    if there is None or there.acl is None:
        return Said("not told")
    entry = decided(there.acl, at.flow)
    if entry and entry.allow:
        return Said(f"{entry.number}: {text(entry.about)}")
    code = Code.ACL_EGRESS if at.outwards else Code.ACL_INGRESS
    return Said(f"{entry.number}: {text(entry.about)}" if entry else "no entry allows it", code)


def route_table(at: At) -> Said:
    """The longest prefix of the subnet's route table; within the VPC, who is registered."""
    there, vpc, to = _nic(at), at.scene.vpc, at.headers.destination
    known = {address for nic in vpc.nics.values() for address in nic.addresses}
    if to in vpc.network and to not in known:
        return Said(f"{to} is not registered on any NIC", Code.NO_SUCH_ADDRESS)
    fitting = [one for one in (there.routes if there else ()) if to in one.destination]
    best = max(fitting, key=lambda one: one.destination.prefixlen, default=None)
    if best is None:
        return Said(f"no route to {to}", Code.NO_ROUTE)
    told = f"{best.destination} to {best.target}"
    gone = not best.active or (best.target.startswith("igw-") and best.target != vpc.gateway)
    return Said(f"{told}, which is not there" if gone else told, Code.NO_ROUTE if gone else None)


def elastic_ip(at: At) -> Said:
    """The internet gateway: there only with an Elastic IP, from the internet only to one."""
    if at.scene.vpc.gateway is None:
        return Said("no internet gateway is attached", Code.NO_ROUTE)
    return _from_inside(at) if at.outwards else _from_outside(at)


def _from_inside(at: At) -> Said:
    source = at.headers.source
    public = {private: public for public, private in at.scene.vpc.elastic.items()}.get(source)
    if public is None:
        return Said(f"{source} has no Elastic IP", Code.NO_PUBLIC_ADDRESS)
    return Said(f"from {public}", headers=replace(at.headers, source=public))


def _from_outside(at: At) -> Said:
    to = at.headers.destination
    private = at.scene.vpc.elastic.get(to)
    if private is None:
        return Said(f"{to} leads to no registered address", Code.NO_PUBLIC_ADDRESS)
    return Said(f"to {private}", headers=replace(at.headers, destination=private))


def internet(at: At) -> Said:
    """A host out there: it answers, for all that can be known, unless nothing leads to it."""
    if not at.outwards:
        return Said("sends" if at.begins else "answers")
    to = at.headers.destination
    if any(to in network for network in PRIVATE):
        return Said(f"{to} is a private address", Code.PRIVATE_DESTINATION)
    return Said("reached")


def node(at: At) -> Said:
    """The machine itself."""
    state = at.scene.vpc.machine
    return Said(state, None if state == _RUNNING else Code.MACHINE_OFF)


def _nic(at: At) -> VpcNic | None:
    """By its name: the NIC's id, the device's, or that of its subnet's role."""
    for role, there in at.scene.vpc.nics.items():
        if at.place.subject in (role, there.interface.eni, there.interface.device):
            return there
    return None
