"""`pileus check` and what stands under it: is what there is fit, and does it work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pileus.cli.arguments import File, Json, print_json

check = typer.Typer(invoke_without_command=True, rich_markup_mode=None)

JunitXml = Annotated[
    Path | None,
    typer.Option("--junit-xml", metavar="PATH", help="Write what was found as JUnit XML too."),
]
Cases = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CASE…]", help="Only these cases, by the names that --json tells."),
]


@check.callback()
def _check(
    context: typer.Context, file: File = None, as_json: Json = False, junit_xml: JunitXml = None
) -> None:
    """Say whether the cloud below and the machine are fit.

    Changes nothing. Exit code 1 if one is not.

    Before `up`, what is to carry the cloud is looked at: this host, or the account.
    """
    if context.invoked_subcommand is not None:
        return
    from pileus.api import check as api
    from pileus.cli import junit, render

    report = api.check(*context.obj.load(file))
    if junit_xml is not None:
        junit.write(junit_xml, junit.findings(report))
    if as_json:
        print_json(report.to_json())
    else:
        render.check(report)
    raise typer.Exit(0 if report.ok else 1)


@check.command("connectivity")
def connectivity(
    context: typer.Context,
    cases: Cases = None,
    file: File = None,
    as_json: Json = False,
    junit_xml: JunitXml = None,
) -> None:
    """Try each way through the cloud that must be open, or closed.

    Exit code 1 if one is not.

    From the internet, the machine, its router and the servers that have the cloud's key.
    """
    from pileus.api import connectivity as api
    from pileus.cli import junit, render

    before = context.parent.params if context.parent else {}
    spec, workspace = context.obj.load(file or before.get("file"))
    report = api.check_connectivity(spec, workspace, cases or ())
    path: Any = junit_xml or before.get("junit_xml")
    if path is not None:
        junit.write(path, junit.connectivity(report))
    if as_json or before.get("as_json"):
        print_json(report.to_json())
    else:
        render.connectivity(report)
    raise typer.Exit(0 if report.ok else 1)
