"""The agent as one file that runs wherever Python 3.9 or newer is: a zip archive of its modules.

The same sources give the same bytes, so that a node can tell whether it has this agent already.
"""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pileus

START = "pileus.uplink.agent"
_SHEBANG = b"#!/usr/bin/python3 -IS\n"
"""Isolated: neither the environment nor what is installed on the node changes what runs."""
_MAIN = f"from {START} import main\n\nraise SystemExit(main())\n"
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16


def build() -> bytes:
    """The archive, ready to be written as an executable file."""
    held = io.BytesIO()
    held.write(_SHEBANG)
    with zipfile.ZipFile(held, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted({"__main__.py": _MAIN, **sources()}.items()):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _PLAIN_FILE
            archive.writestr(entry, text)
    return held.getvalue()


def sources() -> dict[str, str]:
    """The agent's module and whatever of ours it imports, by path in the archive."""
    top = Path(pileus.__file__).parents[1]
    found: dict[str, str] = {}
    waiting = [START]
    while waiting:
        path = _path(top, waiting.pop())
        if path is None or str(path.relative_to(top)) in found:
            continue
        text = path.read_text()
        found[str(path.relative_to(top))] = text
        waiting += modules(text)
        waiting += _packages(path.relative_to(top))
    return found


def _path(top: Path, module: str) -> Path | None:
    place = top / module.replace(".", "/")
    return next(filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py")), None)


def modules(text: str) -> Iterator[str]:
    """What a module imports; of `from pileus.A import B`, A.B too, which may be a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module.partition(".")[0] == pileus.__name__:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _packages(path: Path) -> Iterator[str]:
    yield from (".".join(parent.parts) for parent in path.parents if parent.parts)
