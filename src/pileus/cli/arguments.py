"""Arguments and answers that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pileus.cli.session import Session
from pileus.model.errors import UserError

REST = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""For commands that hand the rest of the line to a program, its options included."""

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


def tell(changes: Sequence[str], session: Session) -> None:
    """What a command changed, a line each."""
    session.quiet()
    for change in changes or ["nothing had to change"]:
        print(change)


def words(command: list[str] | None) -> list[str]:
    """The program and its arguments, without the dashes before them."""
    given = list(command or [])
    return given[1:] if given[:1] == ["--"] else given


def confirm(question: str) -> None:
    """Ask on the terminal. Raises UserError where nobody can be asked or the answer is no."""
    if not sys.stdin.isatty():
        raise UserError("this removes a cloud, and nobody can be asked", hint="add --yes")
    if not typer.confirm(question, err=True):
        raise UserError("nothing was removed", hint="answer y, or add --yes, to go on")


def print_json(document: dict[str, Any]) -> None:
    """The answer for programs."""
    print(json.dumps(document, indent=2))
