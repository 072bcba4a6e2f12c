"""Answers as tables on stdout."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pileus.cli import called
from pileus.cli.called import pasteable
from pileus.model.agent import AgentStatus
from pileus.model.connectivity import ConnectivityReport
from pileus.model.finding import CheckReport
from pileus.model.path import Fate, Hop, Row, Trace, Way
from pileus.model.status import (
    PlanResult,
    RegionStatus,
    ServerStatus,
    Status,
    UpResult,
    WireReport,
)
from pileus.model.verdict import EXPLANATIONS, FAMILIES

if TYPE_CHECKING:
    from pileus.system.progress import Duration
    from pileus.system.workspace import Workspace

_SEEN = {True: "ok", False: "FAILED", None: "not known"}
_FATES = {Fate.PASSES: "passes", Fate.DIES: "DIES", Fate.UNKNOWN: "not known"}
_WIDE = 160
"""Columns where stdout is no terminal: lines are not to be broken then."""


def up(result: UpResult, workspace: Workspace, durations: Sequence[Duration]) -> None:
    """What `up` did, what it checked, and how to get in."""
    seconds = sum(duration.seconds for duration in durations)
    cloud = result.status.cloud
    _console().print(Text(f"cloud {cloud} is {result.status.state} after {seconds:.0f} s"))
    if not result.changed:
        print("nothing had to change")
    _table(
        ("checked", "", "seen"),
        [(check.name, "ok" if check.passed else "FAILED", check.detail) for check in result.checks],
    )
    print()
    _body(result.status)
    print()
    server = _first(result.status.servers)
    print(f"log in:     {called.name()} ssh controller, {called.name()} ssh {server}")
    print(f"openstack:  source {shlex.quote(str(workspace.openrc))}")


def plan(result: PlanResult) -> None:
    """What `up` would do, a line each."""
    for change in result.changes:
        print(change)
    if not result.changes:
        print("nothing to change")


def status(answer: Status) -> None:
    """The cloud: where it is, who it is to the cloud below, and what is reachable."""
    print(f"{answer.cloud}: {answer.state}")
    _body(answer)


def _body(answer: Status) -> None:
    below = answer.underlay
    api = answer.openstack.auth_url or "-"
    print(f"underlay:   {below.kind} {below.region} {below.vpc_id or '-'} {below.endpoint or '-'}")
    print(f"openstack:  {answer.openstack.release} {api}")
    print(f"dashboard:  {answer.openstack.dashboard_url or '-'}")
    nics = [
        (
            node.name,
            nic.device or "-",
            nic.role,
            str(nic.mac),
            str(one.private),
            str(one.public or "-"),
        )
        for node in answer.nodes
        for nic in node.nics
        for one in nic.addresses
    ]
    _table(("machine", "device", "role", "MAC", "registered", "public"), nics)
    _table(
        ("router", "gateway", "gateway MAC"),
        [(r.name, str(r.gateway_ip or "-"), str(r.gateway_mac or "-")) for r in answer.routers],
    )
    _table(
        ("server", "address", "floating IP", "published"),
        [
            (s.name, str(s.fixed_ip or "-"), str(s.floating_ip or "-"), _published(s))
            for s in answer.servers
        ],
    )


def check(report: CheckReport) -> None:
    """What was looked at, family by family, and of what is wrong why, and what to do."""
    for family, about in FAMILIES.items():
        findings = [one for one in report.findings if one.code.family == family]
        if findings:
            print(f"\n{about}")
            _table(
                ("checked", "", "seen"),
                [(one.subject, _SEEN[one.ok], one.detail) for one in findings],
            )
    for one in report.failed:
        hint = pasteable(one.hint)
        print(f"\n{one.code} ({one.subject}: {one.detail})\n  {one.sentence}\n  hint: {hint}")
    count = len(report.failed)
    wrong = f"{count} of them wrong" if count else "nothing wrong"
    print(f"\n{len(report.findings)} things looked at in {report.seconds:.1f} s, {wrong}")


def connectivity(report: ConnectivityReport) -> None:
    """What was tried, a sentence each."""
    _table(
        ("tried", "", "seen"),
        [(case.sentence, _SEEN[case.ok], case.detail) for case in report.cases],
    )
    for case in report.failed:
        print(f"\n{case.name}: {case.sentence}\n  seen: {case.detail}")
        if case.code:
            meaning = EXPLANATIONS[case.code]
            print(f"  {case.code}: {meaning.sentence}\n  hint: {meaning.hint}")
        if case.untraced:
            print(f"  no trace of {case.asked}: {case.untraced}")
    told = {one.asked: one for case in report.failed if (one := case.trace)}
    for one in told.values():
        print()
        trace(one)
    count = len(report.failed)
    wrong = f"{count} of them failed" if count else "nothing wrong"
    print(f"\n{len(report.cases)} cases tried in {report.seconds:.1f} s, {wrong}")


_NARROW = 110
"""Columns, below which hops do not tell by what, but for the one where the packet dies: behind
them."""


def trace(answer: Trace) -> None:
    """Both halves of a packet's way side by side, as far as it goes, and why it goes no further."""
    print(answer.asked)
    seen = any(row.observed for row in answer.rows)
    columns = -1 if _console().width < _NARROW else None
    for way in Way:
        rows = [row for row in answer.rows if row.place.way is way and row.told]
        heading = (way.value, "", "predicted", *(["observed"] if seen else []), "packet", "by")
        hops = [_hop(row, answer.failing, seen=seen) for row in rows]
        _table(heading[:columns], [hop[:columns] for hop in hops])
    print()
    for note in answer.notes:
        print(note)
    if columns and answer.failing:
        print(_hop(answer.failing, None, seen=seen)[-1])
    print(f"{_verdict(answer)}, after {answer.seconds:.1f} s")
    if answer.hint and not answer.codes:
        print(f"  hint: {pasteable(answer.hint)}")
    for code in answer.codes:
        meaning = EXPLANATIONS[code]
        print(f"{code}: {meaning.sentence}\n  hint: {pasteable(meaning.hint)}")


def _hop(row: Row, failing: Row | None, *, seen: bool) -> tuple[str, ...]:
    mark = "✗ " if row is failing else "! " if row.code else ""
    halves = (row.predicted, row.observed) if seen else (row.predicted,)
    told = next((hop for hop in reversed(halves) if hop and hop.headers), None)
    by = dict.fromkeys(hop.detail for hop in halves if hop and hop.detail)
    return (
        f"{mark}{row.place.stage}",
        row.place.subject,
        *map(_fate, halves),
        str(told.headers) if told else "",
        "; ".join(by),
    )


def _fate(hop: Hop | None) -> str:
    return _FATES[hop.fate] if hop else "-"


def _verdict(answer: Trace) -> str:
    failing = answer.failing
    if failing is None:
        return answer.arrival
    at = f"{failing.place.stage} {failing.place.subject}, on its way {failing.place.way}"
    if not failing.differs:
        return f"it dies at {at}"
    if failing.observed and failing.observed.fate is Fate.DIES:
        return f"it dies at {at}, though by the APIs it should {_elsewhere(answer)}"
    return f"it passes {at}, though by the APIs it should die"


def _elsewhere(answer: Trace) -> str:
    for row in answer.rows:
        if row.predicted and row.predicted.fate is Fate.DIES:
            return f"die at {row.place.stage} {row.place.subject}"
    return "pass"


def wire(report: WireReport) -> None:
    """What the wire did with each NIC's frames; drops by code, zeros left out."""
    _table(
        ("NIC", "instance", "MAC", "registered", "out", "in", "dropped"),
        [
            (
                nic.eni,
                nic.instance,
                str(nic.mac),
                "\n".join(map(str, nic.registered)),
                str(nic.passed_out),
                str(nic.passed_in),
                "\n".join(f"{code.value} {n}" for code, n in nic.dropped.items() if n) or "-",
            )
            for nic in report.nics
        ],
    )
    _table(
        ("dropped at", "NIC", "code", "for", "why"),
        [
            (
                one.time,
                f"{one.way} {one.eni or '-'}",
                one.code.value,
                "\n".join(f"{name} {one.fields[name]}" for name in one.offending) or "-",
                one.sentence,
            )
            for one in report.drops
        ],
    )


def region(status: RegionStatus) -> None:
    """A simulated region: its faults, VPCs, instances and network interfaces."""
    where = status.endpoint
    print(f"{status.name}: {status.state}" + (f", {where.region}, {where.url}" if where else ""))
    contents = status.contents
    _table(("fault", "value"), [*status.faults.items()])
    _table(
        ("VPC", "network", "internet gateway"),
        [
            (vpc["id"], vpc["cidr"], "yes" if vpc["internet_gateway"] else "no")
            for vpc in contents.get("vpcs", ())
        ],
    )
    _table(
        ("instance", "type", "kind", "state"),
        [
            (one["id"], one["type"], one["kind"], one["state"])
            for one in contents.get("instances", ())
        ],
    )
    _table(
        ("NIC", "VPC", "instance", "device", "MAC", "private", "public"),
        [
            (
                nic["id"],
                nic["vpc"],
                nic["instance"] or "-",
                nic["device"] or "-",
                nic["mac"],
                "\n".join(one["private"] for one in nic["addresses"]),
                "\n".join(one["public"] or "-" for one in nic["addresses"]),
            )
            for nic in contents.get("nics", ())
        ],
    )


def regions(found: Sequence[RegionStatus]) -> None:
    """The regions of a host, a line each."""
    _table(
        ("region", "", "AWS region", "endpoint", "faults"),
        [
            (
                one.name,
                one.state,
                *((at.region, at.url) if (at := one.endpoint) else ("-", "-")),
                "\n".join(f"{name} {value}" for name, value in one.faults.items()) or "-",
            )
            for one in found
        ],
    )


def agent(answer: AgentStatus) -> None:
    """The uplink: how it is, who is behind each registered address, and what was dropped."""
    print(f"uplink: {answer.health}" + ("" if answer.running else ", the agent does not run"))
    for sentence in (*answer.problems, *answer.notes):
        print(sentence)
    _table(
        ("NIC", "mode", "registered", "inner MAC"),
        [
            (nic.device or "-", nic.mode, str(address), str(nic.learned.get(address, "-")))
            for nic in answer.nics
            for address in nic.registered
        ],
    )
    _table(
        ("NIC", "direction", "seen", "packets"),
        [
            (nic.device or "-", direction, code, str(count))
            for nic in answer.nics
            for direction, counted in (("out", nic.out), ("in", nic.into))
            for code, count in counted.items()
            if count
        ],
    )


def _published(server: ServerStatus) -> str:
    return "\n".join(f"{p.public or '-'} → {p.registered} → {p.private}" for p in server.published)


def _first(servers: Sequence[ServerStatus]) -> str:
    return servers[0].name if servers else "SERVER"


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table without lines; nothing when it has no rows.

    On a narrow terminal the last column gives way first: addresses are not broken.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    cells = [*rows]
    for number, heading in enumerate(headings):
        words = [word for row in cells for word in row[number].split()]
        last = number == len(headings) - 1
        longest = None if last else max(map(cell_len, words), default=0)
        table.add_column(heading, header_style="bold", overflow="fold", min_width=longest)
    for row in cells:
        # Text, since a cell may hold brackets that would be read as markup.
        table.add_row(*(Text(cell) for cell in row))
    if table.row_count:
        print()
        _console().print(table)
