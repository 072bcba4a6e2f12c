"""`pileus graph`: both clouds as a picture."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from pileus.cli.arguments import File, Json, print_json
from pileus.cli.trace import Kind, NoProbe, Number, question
from pileus.model.errors import Refused, UserError

if TYPE_CHECKING:
    from pileus.graph.text import Style

_DRAWN = "┌─┴│→✗…"
_NARROWEST = 40
Way = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--trace",
        metavar="SOURCE DESTINATION",
        help="Draw a packet's way too, and in red where it dies, as `pileus trace` tells it.",
    ),
]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write SVG; - is stdout.")]
Ascii = Annotated[bool, typer.Option("--ascii", help="Draw with plain ASCII characters.")]


def graph(
    context: typer.Context,
    trace: Way = None,
    protocol: Kind = None,
    port: Number = None,
    no_probe: NoProbe = False,
    svg: Svg = None,
    ascii_: Ascii = False,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Draw both clouds as a picture.

    Internet, Elastic IPs, NICs, bridges, routers, networks and servers. With `--trace`, a packet's
    way too, as `pileus trace` tells it.
    """
    from pileus.api import graph as api
    from pileus.graph import svg as as_svg
    from pileus.graph import text

    if trace is None and (protocol, port) != (None, None):
        raise Refused("--protocol and --port are a packet's", hint="add --trace SOURCE DESTINATION")
    asked = question(*trace, protocol, port) if trace else None
    spec, workspace = context.obj.load(file)
    picture = api.graph(spec, workspace, asked, probe=not no_probe)
    if as_json:
        print_json(picture.to_json())
    elif svg is None:
        print(text.render(picture, _style(sys.stdout, ascii_=ascii_)), end="")
    elif str(svg) == "-":
        print(as_svg.render(picture), end="")
    else:
        _write(svg, as_svg.render(picture))


def _style(stream: TextIO, *, ascii_: bool) -> Style:
    """As a terminal wants it; what is no terminal gets no colours."""
    from pileus.graph.text import WIDEST, Style

    plain = ascii_ or not _draws(stream)
    if not stream.isatty():
        return Style(ascii=plain)
    widest = min(WIDEST, max(shutil.get_terminal_size().columns, _NARROWEST))
    return Style(ascii=plain, colour=not os.environ.get("NO_COLOR"), widest=widest)


def _draws(stream: TextIO) -> bool:
    """Whether a stream's encoding has the characters that boxes are drawn with."""
    try:
        _DRAWN.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _write(path: Path, document: str) -> None:
    from pileus.system import files

    try:
        files.write(path, document)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}", hint="name another file"
        ) from error
