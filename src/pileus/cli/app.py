"""The commands. Each reads its arguments, calls one function of `pileus.api` and shows the answer.

Heavy imports are inside the commands: `pileus --help` has to be quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pileus import __version__
from pileus.cli.arguments import (
    REST,
    Command,
    File,
    Json,
    Ports,
    ServerName,
    Verbose,
    Yes,
    confirm,
    print_json,
    tell,
    words,
)
from pileus.cli.check import check
from pileus.cli.graph import graph
from pileus.cli.session import Session
from pileus.cli.sim import sim
from pileus.cli.trace import trace

app = typer.Typer(
    name="pileus",
    help="OpenStack on rented cloud machines, with addresses that the cloud below accepts.",
    rich_markup_mode=None,
    add_completion=False,
)
image = typer.Typer(help="The baked machine image.", rich_markup_mode=None)
floating_ip = typer.Typer(help="Registered addresses for servers.", rich_markup_mode=None)
agent = typer.Typer(help="The agent that keeps the uplink on the machine.", rich_markup_mode=None)
app.add_typer(floating_ip, name="floating-ip")
app.add_typer(agent, name="agent")
app.add_typer(sim, name="sim")
app.add_typer(image, name="image")
app.add_typer(check, name="check")


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
    """Bring the cloud up, or to what the file says now. Then check that it works."""
    _up(context, file, as_json=as_json, verbose=verbose, start=False)


def _up(
    context: typer.Context, file: Path | None, *, as_json: bool, verbose: bool, start: bool
) -> None:
    from pileus.api import power, up
    from pileus.cli import render

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("start" if start else "up", workspace, verbose=verbose)
    result = (power.start if start else up.up)(spec, workspace, progress)
    session.quiet()
    if as_json:
        print_json(result.to_json())
    else:
        render.up(result, workspace, progress.durations)


@app.command()
def plan(context: typer.Context, file: File = None, as_json: Json = False) -> None:
    """Say what `up` would change, and change nothing."""
    from pileus.api import plan as api
    from pileus.cli import render

    spec, workspace = context.obj.load(file)
    result = api.plan(spec, workspace)
    if as_json:
        print_json(result.to_json())
    else:
        render.plan(result)


@app.command()
def status(context: typer.Context, file: File = None, as_json: Json = False) -> None:
    """Show machines, addresses, routers, servers and ports."""
    from pileus.api import status as api
    from pileus.cli import render

    spec, workspace = context.obj.load(file)
    result = api.status(spec, workspace)
    if as_json:
        print_json(result.to_json())
    else:
        render.status(result)


@app.command()
def publish(
    context: typer.Context,
    server: ServerName,
    ports: Ports,
    file: File = None,
    verbose: Verbose = False,
) -> None:
    """Make a server's port reachable on an Elastic IP."""
    from pileus.api import changes as api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("publish", workspace, verbose=verbose)
    tell(api.publish(spec, workspace, progress, server, ports), session)


@app.command()
def unpublish(
    context: typer.Context,
    server: ServerName,
    ports: Ports,
    file: File = None,
    verbose: Verbose = False,
) -> None:
    """Take back what `publish` did."""
    from pileus.api import changes as api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("unpublish", workspace, verbose=verbose)
    tell(api.unpublish(spec, workspace, progress, server, ports), session)


@floating_ip.command("add")
def floating_ip_add(
    context: typer.Context, server: ServerName, file: File = None, verbose: Verbose = False
) -> None:
    """Register one address more, with an Elastic IP, for a server.

    It becomes the server's floating IP.
    """
    from pileus.api import changes as api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("floating-ip", workspace, verbose=verbose)
    tell(api.add_floating_ip(spec, workspace, progress, server), session)


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
    from pileus.api import changes as api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("floating-ip", workspace, verbose=verbose)
    tell(api.remove_floating_ip(spec, workspace, progress, address), session)


@agent.command("status")
def agent_status(context: typer.Context, file: File = None, as_json: Json = False) -> None:
    """Show the uplink's health, its addresses, and what it dropped."""
    from pileus.api import agent as api
    from pileus.cli import render

    answer = api.agent_status(*context.obj.load(file))
    if as_json:
        print_json(answer.to_json())
    else:
        render.agent(answer)


@agent.command("metrics")
def agent_metrics(context: typer.Context, file: File = None) -> None:
    """Print the same as Prometheus text."""
    from pileus.api import agent as api

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
    from pileus.api import access as api
    from pileus.system.terminal import become

    spec, workspace = context.obj.load(file)
    become(api.ssh_command(spec, workspace, target, words(command)))


@app.command()
def stop(context: typer.Context, file: File = None, verbose: Verbose = False) -> None:
    """Shut the machine down. Its disk, addresses and Elastic IPs stay, and go on costing."""
    from pileus.api import power as api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("stop", workspace, verbose=verbose)
    tell(api.stop(spec, workspace, progress), session)


@app.command()
def start(
    context: typer.Context, file: File = None, as_json: Json = False, verbose: Verbose = False
) -> None:
    """Start the machine again. Then check that all of the cloud is there."""
    _up(context, file, as_json=as_json, verbose=verbose, start=True)


@app.command()
def down(
    context: typer.Context, yes: Yes = False, file: File = None, verbose: Verbose = False
) -> None:
    """Take back all that was made for the cloud. Disks and servers, too."""
    from pileus.api import down as api

    session: Session = context.obj
    spec, workspace = session.load(file)
    if not yes:
        confirm(f"Remove cloud `{spec.cloud}` with its machines, disks and servers?")
    progress = session.begin("down", workspace, verbose=verbose)
    tell(api.down(spec, workspace, progress), session)


@image.command("build")
def image_build(context: typer.Context, file: File = None, verbose: Verbose = False) -> None:
    """Bake the machine image; does nothing when it is there."""
    from pileus.api import sim as api

    session: Session = context.obj
    spec, workspace = session.load(file)
    progress = session.begin("image", workspace, verbose=verbose)
    print(api.image_build(spec, workspace, progress))


@image.command("exists")
def image_exists(context: typer.Context, file: File = None) -> None:
    """Say whether the machine image is baked. Exit code 1 if it is not."""
    from pileus.api import sim as api

    there = api.image_exists(*context.obj.load(file))
    print("yes" if there else "no")
    raise typer.Exit(0 if there else 1)


app.command("trace")(trace)
app.command("graph")(graph)
