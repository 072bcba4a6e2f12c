"""`pileus sim …`: a simulated region, on its own or below a cloud."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pileus.cli.arguments import (
    REST,
    Command,
    File,
    Json,
    Yes,
    confirm,
    print_json,
    tell,
    words,
)
from pileus.cli.session import Session
from pileus.model.errors import UserError
from pileus.model.status import SimEndpoint

sim = typer.Typer(help="The simulated region on its own.", rich_markup_mode=None)

Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        "-n",
        metavar="NAME",
        help="Which region, where several run side by side. Default: that of the cloud in "
        "pileus.yaml, else of the default cloud.",
    ),
]


@sim.command("up")
def sim_up(
    context: typer.Context,
    name: Name = None,
    api_region: Annotated[
        str, typer.Option("--region", metavar="REGION", help="The AWS region that it is.")
    ] = "us-east-1",
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65535, metavar="PORT", help="Of the API; 0 takes a free one."
        ),
    ] = 0,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            metavar="NAME=DIRECTORY",
            help="Offer a machine image, whose root directory this is; may be repeated.",
        ),
    ] = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Start a region without OpenStack. Print how boto3 and the aws command use it.

    A region that runs goes on; one whose process has died comes back as it was.
    """
    from pileus.api import sim as api

    session: Session = context.obj
    region = session.region(name, file)
    options = api.SimOptions(api_region, port, tuple(images or ()))
    _tell_region(api.sim_up(region, options, session.watch()), as_json, session)


@sim.command("down")
def sim_down(
    context: typer.Context, name: Name = None, yes: Yes = False, file: File = None
) -> None:
    """Remove a region with its machines, namespaces and rules."""
    from pileus.api import sim as api

    session: Session = context.obj
    region = session.region(name, file)
    if not yes:
        confirm(f"Remove the simulated region `{region}` with all that is in it?")
    tell(api.sim_down(region, session.watch()), session)


@sim.command("reset")
def sim_reset(
    context: typer.Context, name: Name = None, yes: Yes = False, file: File = None
) -> None:
    """Empty a region. Its API goes on at the same address and knows nothing any more."""
    from pileus.api import sim as api

    session: Session = context.obj
    region = session.region(name, file)
    if not yes:
        confirm(f"Remove everything in the simulated region `{region}`?")
    tell(api.sim_reset(region, session.watch()), session)


@sim.command("status")
def sim_status(
    context: typer.Context, name: Name = None, file: File = None, as_json: Json = False
) -> None:
    """Show a region's VPCs, instances, NICs, addresses and faults."""
    from pileus.api import sim as api
    from pileus.cli import render

    status = api.sim_status(context.obj.region(name, file))
    if as_json:
        print_json(status.to_json())
    else:
        render.region(status)


@sim.command("list")
def sim_list(as_json: Json = False) -> None:
    """Show the regions of this host."""
    from pileus.api import sim as api
    from pileus.cli import render

    regions = api.sim_list()
    if as_json:
        print_json({"regions": [one.to_json() for one in regions]})
    else:
        render.regions(regions)


@sim.command("endpoint")
def sim_endpoint(
    context: typer.Context,
    name: Name = None,
    environment: Annotated[
        bool,
        typer.Option("--env", help="Print the variables for a shell that let others use it."),
    ] = False,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Print the URL of the region's EC2 API."""
    from pileus.api import sim as api

    session: Session = context.obj
    found = api.sim_endpoint(session.region(name, file))
    if environment or as_json:
        _tell_region(found, as_json, session)
    else:
        print(found.url)


@sim.command("exec", context_settings=REST)
def sim_exec(
    context: typer.Context,
    host: Annotated[
        str,
        typer.Argument(metavar="HOST", help="An instance's id, or `internet`."),
    ],
    command: Command = None,
    name: Name = None,
    file: File = None,
) -> None:
    """Run a command on an instance, or on a host of the internet."""
    from pileus.api import sim as api
    from pileus.system.terminal import become

    wanted = words(command)
    if not wanted:
        raise UserError(
            "there is no command to run",
            hint=f"for example: pileus sim exec {host} -- ping -c 1 8.8.8.8",
        )
    become(api.sim_exec(context.obj.region(name, file), host, wanted))


@sim.command("wire")
def sim_wire(
    context: typer.Context, name: Name = None, file: File = None, as_json: Json = False
) -> None:
    """Show what the wire passed and dropped per NIC. The last dropped frames, too."""
    from pileus.api import sim as api
    from pileus.cli import render

    report = api.sim_wire(context.obj.region(name, file))
    if as_json:
        print_json(report.to_json())
    else:
        render.wire(report)


@sim.command("capture")
def sim_capture(
    context: typer.Context,
    eni: Annotated[str, typer.Argument(metavar="ENI", help="A NIC's id, as `sim wire` shows it.")],
    count: Annotated[
        int | None, typer.Option("--count", min=1, metavar="N", help="End after N frames.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.0, metavar="S", help="End after S seconds.")
    ] = None,
    name: Name = None,
    file: File = None,
) -> None:
    """Write a NIC's frames to stdout, as pcap. Until it is interrupted."""
    from pileus.api import sim as api

    if sys.stdout.isatty():
        raise UserError(
            "a capture is no text",
            hint=f"for example: pileus sim capture {eni} | tcpdump -nr -, or > FILE.pcap",
        )
    for part in api.sim_capture(context.obj.region(name, file), eni, count, seconds):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


@sim.command("quota")
def sim_quota(
    context: typer.Context,
    quota: Annotated[str, typer.Argument(metavar="QUOTA", help="elastic-ips or vpcs.")],
    value: Annotated[int, typer.Argument(metavar="NUMBER", help="How many there may be.")],
    name: Name = None,
    file: File = None,
) -> None:
    """Raise a quota of the account. By the call that asks AWS for it."""
    from pileus.api import sim as api

    session: Session = context.obj
    tell(api.sim_quota(session.region(name, file), quota, value), session)


@sim.command("fault")
def sim_fault(
    context: typer.Context,
    fault: Annotated[
        str,
        typer.Argument(
            metavar="FAULT",
            help="metadata-delay or api-delay (seconds), metadata-away (on or off), or the share "
            "of calls that it strikes, from 0 to 1: api-throttle, api-unavailable, api-lost.",
        ),
    ],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="How much of it.")],
    name: Name = None,
    file: File = None,
) -> None:
    """Let the region be late, or fail, from now on.

    As a real cloud may; 0 or off ends it. `pileus sim status` shows what is switched on.
    """
    from pileus.api import sim as api

    api.sim_fault(context.obj.region(name, file), fault, value)


def _tell_region(found: SimEndpoint, as_json: bool, session: Session) -> None:
    session.quiet()
    if as_json:
        print_json(found.to_json())
    else:
        print("\n".join(found.exports()))
