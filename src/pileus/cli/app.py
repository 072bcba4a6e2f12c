"""The commands. Each reads its arguments, calls one function of `pileus.api` and shows the answer.

Heavy imports are inside the commands: `pileus --help` has to be quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pileus import __version__
from pileus.cli.session import Session
from pileus.model.errors import UserError

REST = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""For commands that hand the rest of the line to a program, its options included."""

app = typer.Typer(
    name="pileus",
    help="OpenStack on rented cloud machines, with addresses that the cloud below accepts.",
    rich_markup_mode=None,
    add_completion=False,
)
sim = typer.Typer(help="The simulated region on its own.", rich_markup_mode=None)
image = typer.Typer(help="The baked machine image.", rich_markup_mode=None)
floating_ip = typer.Typer(help="Registered addresses for servers.", rich_markup_mode=None)
agent = typer.Typer(help="The agent that keeps the uplink on the machine.", rich_markup_mode=None)
app.add_typer(floating_ip, name="floating-ip")
app.add_typer(agent, name="agent")
app.add_typer(sim, name="sim")
app.add_typer(image, name="image")

File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        help="What the cloud is to be. Default: ./pileus.yaml if there is one, "
        "else the default cloud.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print the log on stderr too.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
ServerName = Annotated[str, typer.Argument(metavar="SERVER", help="Name of the server.")]
Ports = Annotated[
    str,
    typer.Argument(
        metavar="[ADDRESS:]PORT:SERVER_PORT",
        help="Port of the router's Elastic IP, or of that of a floating ADDRESS, and the "
        "server's; /udp for UDP.",
    ),
]
Command = Annotated[
    list[str] | None, typer.Argument(metavar="[-- COMMAND…]", help="Program and its arguments.")
]


def run(argv: Sequence[str], session: Session) -> int:
    """Run one command line and return its exit code. Errors are raised, not shown."""
    code = app(list(argv) or ["--help"], prog_name="pileus", standalone_mode=False, obj=session)
    return code if isinstance(code, int) else 0


def _version(wanted: bool) -> None:
    if wanted:
        print(f"pileus {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
def up(
    context: typer.Context, file: File = None, as_json: Json = False, verbose: Verbose = False
) -> None:
    """Bring the cloud up, or to what the file says now; then check that it works."""
    _up(context, file, as_json=as_json, verbose=verbose, start=False)


def _up(
    context: typer.Context, file: Path | None, *, as_json: bool, verbose: bool, start: bool
) -> None:
    from pileus import api
    from pileus.cli import render

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("start" if start else "up", workspace, verbose=verbose)
    result = (api.start if start else api.up)(spec, workspace, progress)
    session.quiet()
    if as_json:
        _print_json(result.to_json())
    else:
        render.up(result, workspace, progress.durations)


@app.command()
def plan(context: typer.Context, file: File = None, as_json: Json = False) -> None:
    """Say what `up` would change, and change nothing."""
    from pileus import api
    from pileus.cli import render

    spec, workspace = context.obj.load(file)
    result = api.plan(spec, workspace)
    if as_json:
        _print_json(result.to_json())
    else:
        render.plan(result)


@app.command()
def status(context: typer.Context, file: File = None, as_json: Json = False) -> None:
    """Show what is there: machines, addresses, routers, servers, published ports."""
    from pileus import api
    from pileus.cli import render

    spec, workspace = context.obj.load(file)
    result = api.status(spec, workspace)
    if as_json:
        _print_json(result.to_json())
    else:
        render.status(result)


@app.command()
def check(
    context: typer.Context,
    file: File = None,
    as_json: Json = False,
    junit_xml: Annotated[
        Path | None,
        typer.Option("--junit-xml", metavar="PATH", help="Write the findings as JUnit XML too."),
    ] = None,
) -> None:
    """Look at the cloud below and the machine, changing nothing: exit code 1 if one is not fit.

    Before `up`, what is to carry the cloud is looked at: this host, or the account.
    """
    from pileus import api
    from pileus.cli import junit, render

    report = api.check(*context.obj.load(file))
    if junit_xml is not None:
        junit.write(junit_xml, report)
    if as_json:
        _print_json(report.to_json())
    else:
        render.check(report)
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def publish(
    context: typer.Context,
    server: ServerName,
    ports: Ports,
    file: File = None,
    verbose: Verbose = False,
) -> None:
    """Make a server's port reachable on an Elastic IP of the provider NIC."""
    from pileus import api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("publish", workspace, verbose=verbose)
    _tell(api.publish(spec, workspace, progress, server, ports), session)


@app.command()
def unpublish(
    context: typer.Context,
    server: ServerName,
    ports: Ports,
    file: File = None,
    verbose: Verbose = False,
) -> None:
    """Take back what `publish` did."""
    from pileus import api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("unpublish", workspace, verbose=verbose)
    _tell(api.unpublish(spec, workspace, progress, server, ports), session)


@floating_ip.command("add")
def floating_ip_add(
    context: typer.Context, server: ServerName, file: File = None, verbose: Verbose = False
) -> None:
    """Register one address more, with an Elastic IP, and make it the server's floating IP."""
    from pileus import api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("floating-ip", workspace, verbose=verbose)
    _tell(api.add_floating_ip(spec, workspace, progress, server), session)


@floating_ip.command("remove")
def floating_ip_remove(
    context: typer.Context,
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="The registered address, or its Elastic IP.")
    ],
    file: File = None,
    verbose: Verbose = False,
) -> None:
    """Give back a floating address and its Elastic IP."""
    from pileus import api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("floating-ip", workspace, verbose=verbose)
    _tell(api.remove_floating_ip(spec, workspace, progress, address), session)


@agent.command("status")
def agent_status(context: typer.Context, file: File = None, as_json: Json = False) -> None:
    """Show the uplink's health, its registered and learned addresses, and what it dropped."""
    from pileus import api
    from pileus.cli import render

    answer = api.agent_status(*context.obj.load(file))
    if as_json:
        _print_json(answer.to_json())
    else:
        render.agent(answer)


@agent.command("metrics")
def agent_metrics(context: typer.Context, file: File = None) -> None:
    """Print the same as Prometheus text."""
    from pileus import api

    print(api.agent_metrics(*context.obj.load(file)), end="")


@app.command(context_settings=REST)
def ssh(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="controller|SERVER", help="The machine, or one of the servers.")
    ],
    command: Command = None,
    file: File = None,
) -> None:
    """Log in to the machine or to a server, or run a command there."""
    from pileus import api
    from pileus.system.terminal import become

    spec, workspace = context.obj.load(file)
    become(api.ssh_command(spec, workspace, target, _words(command)))


@app.command()
def stop(context: typer.Context, file: File = None, verbose: Verbose = False) -> None:
    """Shut the machine down. Its disk, addresses and Elastic IPs stay, and go on costing."""
    from pileus import api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("stop", workspace, verbose=verbose)
    _tell(api.stop(spec, workspace, progress), session)


@app.command()
def start(
    context: typer.Context, file: File = None, as_json: Json = False, verbose: Verbose = False
) -> None:
    """Start the machine after `stop`; then check that all of the cloud is there again."""
    _up(context, file, as_json=as_json, verbose=verbose, start=True)


@app.command()
def down(
    context: typer.Context, yes: Yes = False, file: File = None, verbose: Verbose = False
) -> None:
    """Take everything back that was made for the cloud, disks and servers included."""
    from pileus import api

    session: Session = context.obj
    spec, workspace = session.load(file)
    if not yes:
        _confirm(f"Remove cloud `{spec.cloud}` with its machines, disks and servers?")
    progress = session.begin("down", workspace, verbose=verbose)
    _tell(api.down(spec, workspace, progress), session)


@sim.command("endpoint")
def sim_endpoint(context: typer.Context, file: File = None) -> None:
    """Print the URL of the region's EC2 API."""
    from pileus import api

    print(api.sim_endpoint(*context.obj.load(file)))


@sim.command("exec", context_settings=REST)
def sim_exec(
    context: typer.Context,
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="A host of the simulation, such as `internet`.")
    ],
    command: Command = None,
    file: File = None,
) -> None:
    """Run a command on a host of the simulation."""
    from pileus import api
    from pileus.system.terminal import become

    words = _words(command)
    if not words:
        raise UserError(
            "there is no command to run",
            hint=f"for example: pileus sim exec {host} -- ping -c 1 8.8.8.8",
        )
    spec, workspace = context.obj.load(file)
    become(api.sim_exec(spec, workspace, host, words))


@sim.command("wire")
def sim_wire(context: typer.Context, file: File = None, as_json: Json = False) -> None:
    """Show what the wire let through and dropped, per NIC, with the reasons."""
    from pileus import api
    from pileus.cli import render

    report = api.sim_wire(*context.obj.load(file))
    if as_json:
        _print_json(report.to_json())
    else:
        render.wire(report)


@sim.command("quota")
def sim_quota(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="QUOTA", help="elastic-ips or vpcs.")],
    value: Annotated[int, typer.Argument(metavar="NUMBER", help="How many there may be.")],
    file: File = None,
) -> None:
    """Raise a quota of the simulated account, by the call that asks AWS for it."""
    from pileus import api

    session: Session = context.obj
    spec, workspace = session.load(file)
    _tell(api.sim_quota(spec, workspace, name, value), session)


@sim.command("fault")
def sim_fault(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="FAULT",
            help="metadata-delay or api-delay (seconds), metadata-away (on or off), or the share "
            "of calls that it strikes, from 0 to 1: api-throttle, api-unavailable, api-lost.",
        ),
    ],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="How much of it.")],
    file: File = None,
) -> None:
    """Let the region be late or fail from now on, as a real cloud may; 0 or off ends it."""
    from pileus import api

    spec, workspace = context.obj.load(file)
    api.sim_fault(spec, workspace, name, value)


@image.command("build")
def image_build(context: typer.Context, file: File = None, verbose: Verbose = False) -> None:
    """Bake the machine image; does nothing when it is there."""
    from pileus import api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("image", workspace, verbose=verbose)
    print(api.image_build(spec, workspace, progress))


@image.command("exists")
def image_exists(context: typer.Context, file: File = None) -> None:
    """Say whether the machine image is baked: exit code 0 if it is, else 1."""
    from pileus import api

    there = api.image_exists(*context.obj.load(file))
    print("yes" if there else "no")
    raise typer.Exit(0 if there else 1)


def _tell(changes: Sequence[str], session: Session) -> None:
    """What a command changed, a line each."""
    session.quiet()
    for change in changes or ["nothing had to change"]:
        print(change)


def _words(command: list[str] | None) -> list[str]:
    words = list(command or [])
    return words[1:] if words[:1] == ["--"] else words


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise UserError("this removes a cloud, and nobody can be asked", hint="add --yes")
    if not typer.confirm(question, err=True):
        raise UserError("nothing was removed", hint="answer y, or add --yes, to go on")


def _print_json(document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=2))
