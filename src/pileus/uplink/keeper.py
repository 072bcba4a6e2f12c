"""One pass of the agent: whatever is there, make it what the files and the cloud below say.

Everything is kept by the kernel, and each change is one transaction or one step that is whole in
itself: an agent that was killed is finished by the next one's first pass.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.errors import Fault, PileusError, UserError
from pileus.model.publishing import Published
from pileus.model.uplink import UplinkNic, resolver_mac
from pileus.rules import apply as rules
from pileus.rules.nft import InKernel
from pileus.rules.ruleset import Table
from pileus.system import files, iproute, process
from pileus.system.runner import here, inside
from pileus.uplink import nodewiring, pipeline, places, publish, wiring
from pileus.uplink.config import (
    Config,
    Datapath,
    NicConfig,
    Ports,
    published_document,
    read_config,
    read_published,
)
from pileus.uplink.registered import Addresses, decide
from pileus.uplink.state import State
from pileus.uplink.wiring import Links, Names, Wire

_PREFIX = "pileus_"
ROUTERS = "qrouter-"
"""How the namespaces of Neutron's routers begin. [neutron/agent/l3/namespaces.py]"""


@dataclass(frozen=True)
class Outcome:
    """What a pass changed, and what it could not mend; a sentence each."""

    changed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"changed": list(self.changed), "problems": list(self.problems)}


@dataclass(frozen=True)
class Doubt:
    """What may have changed since the last pass, other than by our files."""

    links: bool = True
    rules: bool = True
    routers: bool = True


ALL = Doubt()


@dataclass
class Keeper:
    """What one process knows from its passes before; nothing of it is needed to go on."""

    restored: int = 0
    """How often rules that somebody else had changed were put back."""
    indexes: frozenset[int] = frozenset()
    """The kernel's numbers of the provider NICs."""
    _links: Links | None = None
    _known: dict[str, tuple[Table, InKernel]] = field(default_factory=dict)
    _in_force: dict[str, tuple[iproute.Identity, frozenset[Published]]] = field(
        default_factory=dict
    )
    _tidied: frozenset[str] | None = None

    def sync(
        self,
        doubt: Doubt = ALL,
        heard: Mapping[Mac, Addresses] | None = None,
        ports: Ports | None = None,
    ) -> Outcome:
        """Make everything right. `heard` is what instance metadata just said.

        `ports` are to be published from now on, where they are given: then nobody else's pass
        comes between writing that down and doing it. Raises UserError when there is no
        configuration; what goes wrong with one NIC or router is told in the outcome, and does not
        keep the others from being kept.
        """
        with files.lock(places.LOCK, what="the uplink", wait=True):
            config, state = configuration(), memory()
            if ports is not None:
                files.write_json(places.PUBLISHED, published_document(ports))
            changed: list[str] = []
            problems: list[str] = []
            problems += _unbelieved(config, state, heard or {})
            state = _learn(config, state, heard or {})
            for text in self._nics(config, state, doubt, problems):
                changed.append(text)
            for text in self._routers(state, doubt, problems):
                changed.append(text)
            return Outcome(tuple(changed), tuple(problems))

    def tables(self) -> list[InKernel]:
        """Our tables as they were last read back."""
        return [known for _, known in self._known.values()]

    def _nics(
        self, config: Config, state: State, doubt: Doubt, problems: list[str]
    ) -> Iterator[str]:
        looked = self._links is None or doubt.links
        links = nodewiring.links() if self._links is None or doubt.links else self._links
        tables: set[str] = set()
        indexes: set[int] = set()
        for number, nic in enumerate(config.nics):
            try:
                wire = found(Names(number), nic, config.datapath, links)
                indexes.add(links[wire.device]["ifindex"])
                tables |= {pipeline.table_name(wire.device), wiring.rules(wire).name}
                yield from self._nic(wire, registered(nic, state), links if looked else None, doubt)
            except (PileusError, OSError, ValueError) as error:
                problems.append(told(error))
        self._links, self.indexes = links, frozenset(indexes)
        if not problems:
            yield from self._tidy(frozenset(tables), links, len(config.nics))

    def _nic(
        self, wire: Wire, addresses: Addresses, links: Links | None, doubt: Doubt
    ) -> Iterator[str]:
        """The rules first of all, which need the NIC alone; `links` is None where none changed."""
        yield from self._rules(wire, addresses, doubt)
        steps = wiring.lay(wire, nodewiring.look(wire, links)) if links is not None else []
        nodewiring.do(steps)
        if steps:
            yield f"wiring of {wire.device}: {len(steps)} steps"
        # Before Linux 6.16 a device that goes takes the chains on it along, and tells nobody.
        yield from self._apply(wiring.rules(wire), ALL if steps else doubt)
        if links is not None:
            yield from self._raise(wire, nodewiring.links() if steps else links)

    def _rules(self, wire: Wire, addresses: Addresses, doubt: Doubt) -> Iterator[str]:
        nic = UplinkNic(
            wire.device, wire.config.mac, wire.config.mode, resolver_mac(wire.config.mac)
        )
        table = pipeline.table(nic, frozenset(addresses))
        try:
            yield from self._apply(table, doubt)
        except PileusError as error:
            if not _in_force(table):
                nodewiring.do([wiring.take_down(wire.device)])
                raise explained(error, wire.device) from error
            raise

    def _apply(self, table: Table, doubt: Doubt) -> Iterator[str]:
        before = self._known.pop(table.name, None)
        known = before[1] if before and not doubt.rules else None
        applied = rules.apply(table, known=known)
        self._known[table.name] = table, applied.kernel
        if applied:
            again = before is not None and before[0] == table
            self.restored += again
            yield f"rules {table.name}: {'put back' if again else 'brought up to date'}"

    def _raise(self, wire: Wire, links: Links) -> Iterator[str]:
        """The NIC last, when all that holds frames back is there."""
        loose: PileusError | None = None
        try:
            if nodewiring.fasten(wire.device, wire.config.mac):
                yield f"{wire.device}: belt fastened"
        except PileusError as error:
            loose = error
        up = wiring.raise_up(wire, links)
        nodewiring.do(up)
        if up:
            yield f"{wire.device}: up"
        if loose:
            raise Fault(
                f"nothing stands behind the rules of {wire.device} while they are changed by "
                f"others: {loose.message}",
                hint="let the kernel have sch_ingress and cls_bpf",
            )

    def _tidy(self, tables: frozenset[str], links: Links, count: int) -> Iterator[str]:
        """Remove what belongs to NICs that are no longer ours, which then must not be open."""
        if tables == self._tidied:
            return
        nodewiring.do(wiring.abandoned(links, count))
        for name in sorted(_tables() - tables):
            device = name[len(_PREFIX) :]
            if device in links:
                nodewiring.do([wiring.take_down(device)])
            rules.remove(pipeline.FAMILY, name)
            yield f"rules {name}: removed"
        self._tidied = tables

    def _routers(self, state: State, doubt: Doubt, problems: list[str]) -> Iterator[str]:
        try:
            wanted = published()
        except PileusError as error:
            problems.append(told(error))
            return
        for router in {**wanted, **state.closing}:
            namespace = ROUTERS + router
            identity = iproute.identity(namespace)
            ports = wanted.get(router, frozenset())
            closing = state.closing.get(router, frozenset()) - ports
            if identity is None:
                self._in_force.pop(router, None)
                if router in state.closing:
                    _note(router, frozenset())  # its connections went with its namespace
                continue
            if not (doubt.routers or closing) and self._in_force.get(router) == (identity, ports):
                continue
            try:
                yield from self._publish(router, ports, closing)
                self._in_force[router] = identity, ports
            except PileusError as error:
                self._in_force.pop(router, None)
                if iproute.identity(namespace) == identity:
                    problems.append(f"router {router}: {told(error)}")

    def _publish(
        self, router: str, ports: frozenset[Published], closing: frozenset[Published]
    ) -> Iterator[str]:
        """Ports that go are noted first, so that their connections end whenever we are killed."""
        runner = inside(here(), ROUTERS + router)
        have = publish.read(runner)
        gone = (have or frozenset()) - ports
        if gone:
            _note(router, gone | closing)
        if have != ports:
            publish.load(runner, ports)
        if gone | closing:
            publish.cut(runner, gone | closing)
            _note(router, frozenset())
        for port in sorted(ports - (have or frozenset())):
            yield f"router {router}: {port} published"
        for port in sorted(gone):
            yield f"router {router}: {port} closed"


def configuration() -> Config:
    """What is to be kept. Raises UserError when there is no such file, or when it is wrong."""
    document = files.read_json(places.CONFIG)
    if document is None:
        raise UserError(
            f"there is no {places.CONFIG}", hint="run `pileus up` to configure the node"
        )
    return read_config(document)


def published() -> Ports:
    """The ports that are to be published. Raises UserError for a file that is wrong."""
    return read_published(files.read_json(places.PUBLISHED))


def memory() -> State:
    """What was written down; a damaged file is as good as none, as all can be asked for again."""
    try:
        return State.from_json(files.read_json(places.STATE))
    except (PileusError, AttributeError, KeyError, TypeError, ValueError):
        return State()


def registered(nic: NicConfig, state: State) -> Addresses:
    """The addresses of a NIC, as far as they are known."""
    return state.registered.get(nic.mac) or nic.fallback


def found(names: Names, nic: NicConfig, datapath: Datapath, links: Links) -> Wire:
    """The NIC among the node's devices. Raises Fault where it is not there."""
    device = wiring.find(links, nic.mac)
    if device is None:
        raise Fault(
            f"there is no NIC with the MAC {nic.mac} on this machine",
            hint="attach it, or see `pileus plan`",
        )
    return Wire(names, nic, datapath, device, int(links[device]["mtu"]))


def _unbelieved(config: Config, state: State, heard: Mapping[Mac, Addresses]) -> Iterator[str]:
    """Answers that count for nothing, as they lack the one address that a NIC never loses."""
    for nic in config.nics:
        known, answer = registered(nic, state), heard.get(nic.mac)
        if answer and known and known[0] not in answer:
            yield (
                f"instance metadata lists {', '.join(map(str, answer))} for the NIC {nic.mac}, but "
                f"not its primary address {known[0]}; what was registered before stays in force"
            )


def _learn(config: Config, state: State, heard: Mapping[Mac, Addresses]) -> State:
    """Written down before it is in force, so that a restart knows no less."""
    known = {
        nic.mac: decide(registered(nic, state), heard.get(nic.mac), nic.subnet)
        for nic in config.nics
    }
    fresh = {
        nic.mac: known[nic.mac] for nic in config.nics if known[nic.mac] != registered(nic, state)
    }
    if not fresh:
        return state
    learned = replace(state, registered={**state.registered, **fresh})
    _remember(learned)
    return learned


def _note(router: str, closing: frozenset[Published]) -> None:
    state = memory()
    others = {name: ports for name, ports in state.closing.items() if name != router}
    _remember(replace(state, closing={**others, router: closing} if closing else others))


def _remember(state: State) -> None:
    files.write_json(places.STATE, state.to_json(), mode=files.PRIVATE)


def _in_force(table: Table) -> bool:
    """Whether some version of a table filters both ways."""
    with contextlib.suppress(PileusError):
        kernel = rules.read(table.family, table.name)
        bases = [chain.name for chain in table.chains if chain.hook]
        return kernel is not None and all(kernel.hooks.get(name) for name in bases)
    return False


def _tables() -> set[str]:
    """Our tables of this family."""
    listing = process.run(["nft", "list", "tables", pipeline.FAMILY]).stdout
    names = {line.split()[-1] for line in listing.splitlines()}
    return {name for name in names if name.startswith(_PREFIX)}


_PROBE = """\
add table netdev pileus_probe
add chain netdev pileus_probe out {
 type filter hook egress device "lo" priority 0; policy accept; }
"""


def has_egress_hook() -> bool:
    """Whether the kernel filters what a device sends. Nothing is changed by asking."""
    return process.run(["nft", "--check", "-f", "-"], stdin=_PROBE, check=False).code == 0


def explained(error: PileusError, device: str) -> PileusError:
    """The error that says what to do when the pipeline could not be loaded."""
    if has_egress_hook():
        return Fault(
            f"the rules of {device} could not be loaded, so it is down: {error.message}",
            hint=error.hint,
        )
    return Fault(
        f"this kernel, {os.uname().release}, cannot filter what {device} sends, so it is down",
        hint="boot Linux 5.16 or newer with CONFIG_NETFILTER_EGRESS=y",
    )


def told(error: Exception) -> str:
    """An error as one line."""
    return f"{error.message}; {error.hint}" if isinstance(error, PileusError) else str(error)
