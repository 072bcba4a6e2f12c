"""`pileus trace`: where a packet goes, and where it dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pileus.cli.arguments import File, Json, print_json
from pileus.model.errors import Refused

if TYPE_CHECKING:
    from pileus.model.path import Asked, Protocol

_ENDS = "A server or a router by name or id, `controller`, `internet`, `here`, or any address."
_PORTS = range(1, 65536)
Source = Annotated[str, typer.Argument(metavar="SOURCE", help=_ENDS)]
Destination = Annotated[str, typer.Argument(metavar="DESTINATION", help=_ENDS)]
Kind = Annotated[
    str | None,
    typer.Option("--protocol", help="tcp, udp or icmp. Default: tcp with --port, else icmp."),
]
Number = Annotated[int | None, typer.Option("--port", help="The destination's port.")]
NoProbe = Annotated[
    bool, typer.Option("--no-probe", help="Send nothing: only what the clouds' APIs say.")
]


def trace(
    context: typer.Context,
    source: Source,
    destination: Destination,
    protocol: Kind = None,
    port: Number = None,
    no_probe: NoProbe = False,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Follow a packet hop by hop, there and back. Exit code 1 if it dies.

    Predicted from the APIs of both clouds, and observed by marked packets that are sent.
    """
    from pileus.api import trace as api
    from pileus.cli import render

    asked = question(source, destination, protocol, port)
    spec, workspace = context.obj.load(file)
    answer = api.trace(spec, workspace, asked, probe=not no_probe)
    if as_json:
        print_json(answer.to_json())
    else:
        render.trace(answer)
    raise typer.Exit(0 if answer.ok else 1)


def question(source: str, destination: str, protocol: str | None, port: int | None) -> Asked:
    """What is to be traced. Raises Refused for what cannot be sent."""
    from pileus.model.path import Asked

    return Asked(source, destination, _protocol(protocol, port), port)


def _protocol(named: str | None, port: int | None) -> Protocol:
    """Raises Refused for what cannot be sent."""
    if port is not None and port not in _PORTS:
        raise Refused(f"{port} is not a port", hint="ports are 1 to 65535")
    match named.lower() if named else "icmp" if port is None else "tcp":
        case "icmp" if port is None:
            return "icmp"
        case "tcp" if port is not None:
            return "tcp"
        case "udp" if port is not None:
            return "udp"
        case "icmp":
            raise Refused("ICMP has no ports", hint="leave --port out, or name another protocol")
        case "tcp" | "udp":
            raise Refused(f"{named} needs a port", hint="for example: --port 22")
        case _:
            raise Refused(f"{named!r} cannot be traced", hint="protocols are tcp, udp and icmp")
