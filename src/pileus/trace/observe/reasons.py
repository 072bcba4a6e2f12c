"""Why a packet was lost, as far as it can be known from observation alone. Pure.

Each hop has its own signs: a device that is down, a counter that rose, a neighbour that does not
answer. They are looked for in the order of the hops; the first that is found is told.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from pileus.model.addresses import Mac
from pileus.model.ends import Ends, Interface, Network, Router, Server
from pileus.model.path import Headers, Place, Stage, Way
from pileus.model.uplink import resolver_mac
from pileus.model.verdict import EXPLANATIONS, Code
from pileus.trace.observe.facts import INTEGRATION, Facts, providers, routers, servers
from pileus.trace.observe.gaps import Gap
from pileus.trace.observe.sights import Seen
from pileus.trace.observe.stations import OUTSIDE, At, Point, points
from pileus.trace.route import PROVIDER_BRIDGE
from pileus.uplink import pipeline

_ARP = frozenset(
    {
        Code.UPLINK_ARP_SENDER,
        Code.UPLINK_ARP_NOT_OURS,
        Code.UPLINK_ARP_NOT_ASKED,
        Code.UPLINK_ARP_PROBE,
        Code.UPLINK_STAYS_INSIDE,
        Code.ARP_SENDER,
        Code.ARP_SILENT,
    }
)
"""Codes of questions for a neighbour. They rise by themselves, too, and count only for one that was
asked for in vain."""
_NOISE = frozenset(
    {
        Code.UPLINK_IPV6,
        Code.UPLINK_MULTICAST,
        Code.UPLINK_VLAN,
        Code.UPLINK_DHCP,
        Code.UPLINK_CLAIMED_TWICE,
        Code.NOT_CARRIED,
    }
)
"""Codes that devices raise by announcing themselves."""
_STAGES = {
    Code.GROUP_INGRESS: Stage.GROUPS,
    Code.GROUP_EGRESS: Stage.GROUPS,
    Code.ACL_INGRESS: Stage.ACL,
    Code.ACL_EGRESS: Stage.ACL,
    Code.NO_ROUTE: Stage.ROUTE,
    Code.NO_PUBLIC_ADDRESS: Stage.ELASTIC_IP,
    Code.PRIVATE_DESTINATION: Stage.ELASTIC_IP,
}
"""The hop at which the cloud below drops for a reason; at the NIC for all others."""
_CLOUD = (Stage.NIC, Stage.GROUPS, Stage.ACL, Stage.ROUTE, Stage.ELASTIC_IP)
_UPLINK = re.compile(r"uplink\d+-ex")
_NO_NEIGHBOUR = ("FAILED", "INCOMPLETE")


@dataclass(frozen=True)
class Reason:
    """The hop where a packet died, and why; without a code where nobody knows."""

    place: Place
    code: Code | None
    detail: str


@dataclass(frozen=True)
class Reasons:
    """What was read on the machine and of the cloud's counters, asked for the ends of a trace."""

    ends: Ends
    facts: Facts

    def why(self, gap: Gap, seen: Seen) -> Reason:
        """Why a packet was lost in a gap."""
        if astray := self._astray(gap, seen):
            return astray
        for sign in self._signs(gap, seen):
            if sign and sign.place in gap.beyond:
                return sign
        return self._nobody_knows(gap, seen)

    def _signs(self, gap: Gap, seen: Seen) -> Iterator[Reason | None]:
        yield self._device(gap, gap.next, seen)
        yield self._not_sent(gap, seen)
        for place in gap.places:
            yield from self._of(place, gap, seen)
        yield from self._stuck(gap, seen)

    def _of(self, place: Place, gap: Gap, seen: Seen) -> Iterator[Reason | None]:
        match place.stage:
            case Stage.PORT:
                yield self._port(place)
            case Stage.SWITCH:
                yield self._switch(place)
            case Stage.ROUTER | Stage.NAT:
                yield from self._router(place, gap, seen)
            case Stage.GATEWAY:
                yield self._gateway(place)
            case Stage.UPLINK:
                yield self._uplink(place, _ARP | _NOISE)
            case _ if place.stage in _CLOUD:
                yield self._cloud(place, _ARP | _NOISE)

    # MACs.

    def _astray(self, gap: Gap, seen: Seen) -> Reason | None:
        """The uplink knows another machine by the address than the router that has it."""
        point, owner = gap.from_point, seen.told(gap.next).mac
        if point is None or point.eye.kind is not At.VETH or gap.next.eye.kind is not At.OUTER:
            return None
        sight = seen.at(point, gap.way)
        if sight is None or owner is None or sight.to in map(str, (owner, *self._nobodys())):
            return None
        detail = f"handed to {sight.to}, and {gap.next.eye} has {owner}"
        return Reason(point.owner, Code.UPLINK_CLAIMED_TWICE, detail)

    def _nobodys(self) -> Iterator[Mac]:
        """MACs of no machine inside: the NICs', and who asks for what nobody has spoken from."""
        for nic in self.ends.below.nics.values():
            yield from (nic.mac, resolver_mac(nic.mac))

    # Devices.

    def _device(self, gap: Gap, point: Point, seen: Seen) -> Reason | None:
        """A device is not there, or down."""
        told = seen.told(point)
        if not told.broken:
            return None
        if told.state == "no namespace":
            detail = f"there is no namespace {point.eye.namespace}{self._agent('neutron-l3-agent')}"
            return Reason(_first_of(gap, point), Code.NEUTRON_DEVICE_MISSING, detail)
        how = told.state if told.state != "up" else "without a carrier"
        match point.eye.kind:
            case At.TAP:
                return self._tap(point, how)
            case At.INNER | At.OUTER:
                gone = told.state == "absent"
                code = Code.NEUTRON_DEVICE_MISSING if gone else Code.NEUTRON_DEVICE_DOWN
                agent = self._agent("neutron-l3-agent") if gone else ""
                return Reason(point.owner, code, f"{point.eye} is {how}{agent}")
            case At.VETH:
                return Reason(point.owner, Code.UPLINK_WIRING, f"{point.eye} is {how}")
            case At.NIC:
                gone = told.state == "absent"
                code = Code.NODE_NIC_MISSING if gone else Code.NODE_NIC_DOWN
                return Reason(point.owner, code, f"{point.eye} is {how}")
        return None

    def _tap(self, point: Point, how: str) -> Reason:
        """A server that does not run has no device."""
        server = self._server(point.owner.subject)
        state = self.facts.guest_state(server) if server else None
        off = server is not None and state not in (None, "running")
        code = Code.GUEST_OFF if off else Code.NEUTRON_PORT_DOWN
        said = f"; the hypervisor says {state}" if state else ""
        return Reason(point.owner, code, f"{point.eye} is {how}{said}")

    def _agent(self, name: str) -> str:
        return f"; {name} does not run" if name in self.facts.dead_agents else ""

    def _server(self, name: str) -> Server | None:
        return next((one for one in servers(self.ends) if one.name == name), None)

    def _not_sent(self, gap: Gap, seen: Seen) -> Reason | None:
        """The sender itself could not send: it has no route, or its switch does not take it."""
        if not seen.errors or any(True for _ in seen.of(Way.THERE)):
            return None
        source = gap.line[0]
        assert isinstance(source, Place)  # noqa: S101 - for the type checker: a way begins with it
        match source.stage:
            case Stage.INTERNET if seen.eyes.get(OUTSIDE.key) and len(gap.beyond) > 1:
                # The simulated internet has routes to what is associated, and to nothing else.
                return Reason(gap.beyond[1], Code.NO_PUBLIC_ADDRESS, seen.errors[0])
            case Stage.ROUTER:
                return Reason(source, Code.NEUTRON_NO_ROUTE, seen.errors[0])
            case Stage.SERVER:
                place = next((p for p in gap.places if p.stage is Stage.SWITCH), source)
                return Reason(place, Code.NEUTRON_SWITCH_SILENT, seen.errors[0])
        return Reason(source, None, seen.errors[0])

    # Hops.

    def _port(self, place: Place) -> Reason | None:
        """What the flows of the port's security groups counted. [neutron, openvswitch firewall]"""
        server = self._server(place.subject)
        if server is None:
            return None
        if how := self.facts.dead.get(server.tap):
            detail = f"{server.tap} {how}{self._agent(_OVS_AGENT)}"
            return Reason(place, Code.NEUTRON_PORT_DEAD, detail)
        ofport = self.facts.ofports.get(server.tap)
        if self.facts.ofports and (ofport is None or ofport < 0):
            detail = f"{server.tap} is no port of {INTEGRATION}"
            return Reason(place, Code.NEUTRON_PORT_DOWN, detail)
        if ofport is None:
            return None
        for table, match in self.facts.flows_rose(ofport):
            code = _refusal(table, match)
            if code:
                return Reason(place, code, f"{INTEGRATION} dropped it by table {table}: {match}")
        return None

    def _switch(self, place: Place) -> Reason | None:
        if place.subject == PROVIDER_BRIDGE:
            return self._provider(place)
        if not self.facts.switch_answers:
            detail = f"`ovs-ofctl dump-flows {INTEGRATION}` gets no answer"
            return Reason(place, Code.NEUTRON_SWITCH_SILENT, detail)
        near = [one for one in servers(self.ends) if one.network.name == place.subject]
        for server in near:
            ofport = self.facts.ofports.get(server.tap)
            if ofport is not None and not self.facts.has_flows(ofport):
                detail = f"{INTEGRATION} has no flow for {server.tap}{self._agent(_OVS_AGENT)}"
                return Reason(place, Code.NEUTRON_FLOWS_MISSING, detail)
        inner = [_inner(router, {one.network for one in near}) for router in self._routers]
        return self._dead(place, [device for some in inner for device in some])

    @property
    def _routers(self) -> Sequence[Router]:
        return [*routers(self.ends).values()]

    def _dead(self, place: Place, devices: Sequence[str]) -> Reason | None:
        """A router's device that the agent has not wired."""
        for device in devices:
            if how := self.facts.dead.get(device):
                detail = f"{device} {how}{self._agent(_OVS_AGENT)}"
                return Reason(place, Code.NEUTRON_PORT_DEAD, detail)
        return None

    def _router(self, place: Place, gap: Gap, seen: Seen) -> Iterator[Reason | None]:
        router = next((one for one in self._routers if one.name == place.subject), None)
        if router is None:
            return
        space, facts = router.namespace, self.facts
        rule = facts.filter_rose(space)
        inwards = gap.from_point is not None and gap.from_point.eye.kind is At.OUTER
        if place.stage is Stage.NAT:
            if inwards and gap.way is Way.THERE:
                yield self._untranslated(place, space)
            return
        if not facts.forwards(space):
            yield Reason(place, Code.NEUTRON_NOT_FORWARDING, f"ip_forward is 0 in {space}")
        if facts.reverse_path_rose(space):
            yield Reason(place, Code.NODE_REVERSE_PATH_FILTER, f"it dropped a packet in {space}")
        if rule:
            yield Reason(place, Code.NEUTRON_ROUTER_FILTER, rule)
        foreign = facts.foreign_filter(space)
        if foreign:
            detail = f"table {foreign} in {space} is not Neutron's, and drops"
            yield Reason(place, Code.NEUTRON_ROUTER_FILTER, detail)
        yield self._unrouted(place, gap, seen, space)

    def _untranslated(self, place: Place, space: str) -> Reason | None:
        at, port = self.ends.at, self.ends.first.destination_port
        if at is None or self.facts.translates(space, at, port) is not False:
            return None
        return Reason(place, Code.NEUTRON_NOT_PUBLISHED, f"no rule there is for {at}")

    def _unrouted(self, place: Place, gap: Gap, seen: Seen, space: str) -> Reason | None:
        to = self._to(gap, seen)
        if self.facts.knows_routes(space) and self.facts.next_hop(space, to) is None:
            return Reason(place, Code.NEUTRON_NO_ROUTE, f"no route to {to} in {space}")
        return None

    def _to(self, gap: Gap, seen: Seen) -> IPv4Address:
        """Where a packet is to go once a router has translated its destination."""
        inner = gap.next.eye.kind is At.INNER
        end = self.ends.destination if gap.way is Way.THERE else self.ends.source
        if inner and isinstance(end, Server):
            return end.address
        point = gap.from_point
        sight = seen.at(point, gap.way) if point else None
        return sight.headers.destination if sight else self.ends.first.destination

    def _gateway(self, place: Place) -> Reason | None:
        """The way from the router's device to the NIC leads over two bridges."""
        near = [one.gateway for one in self._routers if one.name == place.subject]
        return self._provider(place) or self._dead(place, [one.device for one in near if one])

    def _provider(self, place: Place) -> Reason | None:
        nic = self._nic_behind(place)
        bridge = self.facts.bridge(nic) if nic else ""
        if nic is None or not self.facts.ran(f"ports {bridge}"):
            return None
        ports = self.facts.bridge_ports(bridge)
        if ports is None:
            return Reason(place, Code.NEUTRON_BRIDGE_PORT, f"there is no bridge {bridge}")
        if not any(port == nic.device or _UPLINK.fullmatch(port) for port in ports):
            return Reason(place, Code.NEUTRON_BRIDGE_PORT, f"{bridge} has no port to {nic.device}")
        if f"phy-{bridge}" not in ports:
            return Reason(place, Code.NEUTRON_BRIDGE_PORT, f"{bridge} has no port to {INTEGRATION}")
        flows = self.facts.printed(f"flows {bridge}")
        if flows is not None and "actions=" not in flows.replace("actions=drop", ""):
            detail = f"{bridge} has no flows{self._agent(_OVS_AGENT)}"
            return Reason(place, Code.NEUTRON_FLOWS_MISSING, detail)
        return None

    def _nic_behind(self, place: Place) -> Interface | None:
        """The provider NIC that a router's gateway leads to."""
        named = [one for one in self._routers if one.name == place.subject]
        gateways = [one.gateway.address for one in named if one.gateway]
        below = self.ends.below
        return below.nics.get(below.provider_of(gateways[0] if gateways else self.ends.at))

    def _uplink(self, place: Place, without: frozenset[Code]) -> Reason | None:
        device = place.subject
        if self.facts.without_rules(device):
            detail = f"there is no table {pipeline.table_name(device)}"
            return Reason(place, Code.UPLINK_RULES_MISSING, detail + self._agent(_OWN_AGENT))
        way = pipeline.OUT if place.outwards else pipeline.IN
        rose = self.facts.pipeline_rose(device, way)
        for code in sorted(set(rose) - without):
            return Reason(place, code, f"counted {rose[code]} times meanwhile")
        lost = self.facts.belt_rose(device) if place.outwards else 0
        if lost > 0:
            detail = f"the filter behind the pipeline dropped {lost} meanwhile"
            return Reason(place, Code.UPLINK_SOURCE_MAC, detail)
        foreign = self.facts.foreign_nic_filter(device)
        if foreign:
            return Reason(place, Code.NODE_FOREIGN_RULES, f"table {foreign} on {device} drops")
        return None

    def _cloud(self, place: Place, without: frozenset[Code]) -> Reason | None:
        for nic in self.ends.below.nics.values():
            rose = self.facts.wire_rose(nic.mac)
            for code in sorted(set(rose) - without):
                stage = _STAGES.get(code, Stage.NIC)
                names = (nic.eni, nic.role, place.subject if stage is Stage.ELASTIC_IP else "")
                if place.stage is stage and place.subject in names:
                    return Reason(place, code, f"counted {rose[code]} times meanwhile")
        return None

    # Neighbours.

    def _stuck(self, gap: Gap, seen: Seen) -> Iterator[Reason | None]:
        """A router keeps a packet until somebody answers for its next hop."""
        router = self._asking(gap)
        if router is None:
            return
        hop = self.facts.next_hop(router.namespace, self._to(gap, seen))
        state = self.facts.neighbour(router.namespace, hop) if hop else None
        if state not in _NO_NEIGHBOUR:
            return
        for point in points(gap.line[gap.at :]):
            yield self._device(gap, point, seen)
        for place in gap.beyond:
            match place.stage:
                case Stage.SWITCH:
                    yield self._switch(place)
                case Stage.PORT:
                    yield self._port(place)
                case Stage.GATEWAY:
                    yield self._gateway(place)
                case Stage.UPLINK:
                    yield self._uplink(place, _NOISE)
                case _ if place.stage in _CLOUD:
                    yield self._cloud(place, _NOISE)
        yield self._unanswered(gap, router, f"{hop} does not answer ARP ({state})")

    def _unanswered(self, gap: Gap, router: Router, detail: str) -> Reason | None:
        for place in gap.beyond:
            if gap.next.eye.kind is At.INNER and place.stage is Stage.SERVER:
                return self._deaf(place, detail)
            if gap.next.eye.kind is At.OUTER and place.stage is Stage.GATEWAY:
                return Reason(place, Code.NEUTRON_NO_NEIGHBOUR, f"{detail} in {router.namespace}")
        return None

    def _deaf(self, place: Place, detail: str) -> Reason:
        server = self._server(place.subject)
        state = self.facts.guest_state(server) if server else None
        if state not in (None, "running"):
            return Reason(place, Code.GUEST_OFF, f"{detail}; the hypervisor says {state}")
        return Reason(place, Code.GUEST_NO_NEIGHBOUR, detail)

    def _asking(self, gap: Gap) -> Router | None:
        """The router that has the packet, and is to send it by a device of its own."""
        if gap.next.eye.kind not in (At.INNER, At.OUTER) or not gap.next.out:
            return None
        spaces = routers(self.ends)
        return spaces.get(gap.next.eye.namespace or "")

    # The end of the way.

    def silence(self, places: Sequence[Place]) -> Reason | None:
        """Why nothing came back of a packet that arrived; None where nothing is owed."""
        if self.ends.asked.protocol == "udp":
            return None
        place = _end(places)
        server = self._server(place.subject) if place.stage is Stage.SERVER else None
        if server:
            state = self.facts.guest_state(server)
            if state not in (None, "running"):
                return Reason(place, Code.GUEST_OFF, f"the hypervisor says {state}")
            return Reason(place, Code.GUEST_NO_ANSWER, f"seen at {server.tap}; nothing came back")
        if place.stage is Stage.METADATA:
            return self._metadata(place) or Reason(place, None, "nothing came back")
        return Reason(place, None, "it got there; nothing came back")

    def at_the_end(self, places: Sequence[Place], seen: Seen) -> Reason | None:
        """What is wrong although there was an answer."""
        place = _end(places)
        if place.stage is Stage.METADATA and place.subject == "openstack":
            return self._metadata(place)
        refused = seen.refused
        if refused and place.stage is Stage.SERVER:
            return Reason(place, Code.GUEST_REFUSED, "it answers that nothing listens there")
        if refused:
            code = Code.NEUTRON_NOT_PUBLISHED if place.stage is Stage.ROUTER else None
            return Reason(place, code, "it answers that nothing listens there")
        return None

    def _metadata(self, place: Place) -> Reason | None:
        """The proxy answers for itself; 404 is what a stranger is told by what stands behind."""
        status = self.facts.metadata_status
        if status is None or status == "404":
            return None
        dead = [one for one in self.facts.dead_agents if one == "neutron-metadata-agent"]
        code = Code.NEUTRON_AGENT_DEAD if dead else Code.NEUTRON_METADATA
        said = "does not listen" if status == "refused" else f"gives HTTP {status}"
        return Reason(place, code, f"its proxy {said}{self._agent('neutron-metadata-agent')}")

    # What is told of a hop that was passed.

    def tracked(self, place: Place, headers: Headers | None) -> str:
        """What a router remembers to have made of a packet that came to it."""
        router = next((one for one in self._routers if one.name == place.subject), None)
        if router is None or headers is None:
            return ""
        return self.facts.tracked(router.namespace, headers) or ""

    # Size.

    def too_big(self, gap: Gap, full: Seen) -> Reason:
        """Why packets of full size die where small ones pass."""
        point = gap.next
        told = full.told(point)
        said = [str(one.headers.source) for one in full.problems("3/4")]
        heard = f"; {said[0]} says so, and is not heard" if said else ""
        mtu = f" (MTU {told.mtu})" if told.mtu else ""
        place = point.owner if point.owner in gap.line else gap.places[-1]
        size = max((one.size for one in full.sights), default=0)
        detail = f"packets of {size} bytes do not get to {point.eye}{mtu}, small ones do{heard}"
        return Reason(place, Code.NODE_MTU, detail)

    # The rest.

    def _nobody_knows(self, gap: Gap, seen: Seen) -> Reason:
        places = gap.places or (gap.next.owner,)
        told = [place for place in places if place.stage is not Stage.NAT] or places
        before = f"seen {gap.from_point}" if gap.from_point else "sent"
        errors = "; ".join(f"{e.headers.source}: ICMP {e.icmp}" for e in seen.problems())
        return Reason(
            told[-1], None, f"{before}, not {gap.next}" + (f"; {errors}" if errors else "")
        )

    def unkept(self, place: Place) -> Reason | None:
        """Without the agents that keep a hop, packets pass it as long as nothing changes."""
        if place.subject == PROVIDER_BRIDGE:
            return None
        dead = [one for one in _KEEPERS.get(place.stage, ()) if one in self.facts.dead_agents]
        if not dead:
            return None
        code = Code.UPLINK_AGENT_DEAD if _OWN_AGENT in dead else Code.NEUTRON_AGENT_DEAD
        return Reason(place, code, " and ".join(dead) + " does not run")

    def notes(self, places: Sequence[Place]) -> Iterator[str]:
        """What is wrong, and lets packets pass, or lets them die further on."""
        for nic in providers(self.ends):
            if self.facts.without_rules(nic.device):
                code = Code.UPLINK_RULES_MISSING
                yield f"{code} {nic.device}: {EXPLANATIONS[code].sentence}"
        kept = {name for place in places for name in _KEEPERS.get(place.stage, ())}
        for name in self.facts.dead_agents:
            if name not in kept:
                code = Code.UPLINK_AGENT_DEAD if name == _OWN_AGENT else Code.NEUTRON_AGENT_DEAD
                yield f"{code} {name}: {EXPLANATIONS[code].sentence}"


_OVS_AGENT, _OWN_AGENT = "neutron-openvswitch-agent", "pileus-agent"
_KEEPERS = {
    Stage.SWITCH: (_OVS_AGENT, "neutron-dhcp-agent"),
    Stage.ROUTER: ("neutron-l3-agent",),
    Stage.METADATA: ("neutron-metadata-agent",),
    Stage.UPLINK: (_OWN_AGENT,),
}
"""Agents, by the hop that they keep."""


def _first_of(gap: Gap, point: Point) -> Place:
    """The first hop that needs the namespace of a router's device."""
    return next(place for place in gap.beyond if place.subject == point.owner.subject)


def _end(places: Sequence[Place]) -> Place:
    return [place for place in places if place.way is Way.THERE][-1]


def _inner(router: Router, networks: Collection[Network]) -> list[str]:
    """Its devices on some networks."""
    return [router.inner_device(one) for one in networks if one.id in router.inner]


def _refusal(table: int, match: str) -> Code | None:
    """What a flow of the firewall that drops says. [neutron, openvswitch_firewall/firewall.py]"""
    if table == 71 and match.startswith("priority=10,"):
        return Code.NEUTRON_PORT_SECURITY
    refuses = match.startswith("priority=40,") or "ct_mark=0x1" in match
    codes = {72: Code.NEUTRON_GROUP_EGRESS, 82: Code.NEUTRON_GROUP_INGRESS}
    return codes.get(table) if refuses else None
