"""Answers as tables on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pileus.model.agent import AgentStatus
from pileus.model.finding import CheckReport
from pileus.model.status import PlanResult, ServerStatus, Status, UpResult, WireReport
from pileus.model.verdict import FAMILIES

if TYPE_CHECKING:
    from pileus.system.progress import Duration
    from pileus.system.workspace import Workspace

_SEEN = {True: "ok", False: "FAILED", None: "not known"}
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
    print(f"log in:     pileus ssh controller, pileus ssh {_first(result.status.servers)}")
    print(f"openstack:  source {workspace.openrc}")


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
    nics = [
        (node.name, nic.device, nic.role, str(nic.mac), str(one.private), str(one.public or "-"))
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
        print(f"\n{one.code} ({one.subject}: {one.detail})\n  {one.sentence}\n  hint: {one.hint}")
    count = len(report.failed)
    wrong = f"{count} of them wrong" if count else "nothing wrong"
    print(f"\n{len(report.findings)} things looked at in {report.seconds:.1f} s, {wrong}")


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
    """Print a table without lines; nothing when it has no rows."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for heading in headings:
        table.add_column(heading, header_style="bold", overflow="fold")
    for row in rows:
        # Text, since a cell may hold brackets that would be read as markup.
        table.add_row(*(Text(cell) for cell in row))
    if table.row_count:
        print()
        _console().print(table)
