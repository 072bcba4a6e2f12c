"""The reference pages, generated from the code: `python -m pileus.cli.reference DIRECTORY`.

A test fails when a page in docs/reference is not what this module writes.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.core import TyperGroup
from typer.main import get_command

from pileus.cli.app import app, run
from pileus.cli.session import Session
from pileus.model.verdict import EXPLANATIONS, FAMILIES
from pileus.spec import OpenStack, Provider, Server, Spec, TenantNetwork, Underlay, load

NOTE = "<!-- Generated from the code by `make docs`. -->"
_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("", Spec),
    ("underlay", Underlay),
    ("underlay.more_providers[]", Provider),
    ("openstack", OpenStack),
    ("networks[]", TenantNetwork),
    ("servers[]", Server),
)


def pages() -> dict[str, str]:
    """Each reference page's text by its file name."""
    return {
        "cli.md": "\n".join(_cli()) + "\n",
        "pileus.yaml.md": "\n".join(_schema()) + "\n",
        "codes.md": "\n".join(_codes()) + "\n",
    }


def commands() -> list[list[str]]:
    """The words of every command, groups that do nothing left out: [["up"], …, ["sim", "wire"]]."""
    return list(_commands(get_command(app)))


def _commands(command: object) -> Iterator[list[str]]:
    if not isinstance(command, TyperGroup):
        yield []
        return
    if command.invoke_without_command:
        yield []
    for name, inner in command.commands.items():
        yield from ([name, *words] for words in _commands(inner))


def undocumented() -> list[str]:
    """Keys of pileus.yaml without a description."""
    return [
        f"{section}.{key}"
        for section, model in _SECTIONS
        for key, field in model.model_fields.items()
        if not field.description
    ]


def _cli() -> Iterator[str]:
    yield from ("# Commands", "", NOTE, "")
    yield from (
        "Data goes to stdout, progress and errors to stderr. Exit codes: 0 done, 1 you can mend it",
        "(the `hint:` line says how), 2 a fault of Pileus or of its surroundings, 130 interrupted,",
        "129 ended by SIGHUP, 143 by SIGTERM. What was done until then stays; the next command",
        "goes on from there.",
    )
    for words in commands():
        yield from ("", f"## pileus {' '.join(words)}", "", "```", _help(words), "```")


def _help(words: list[str]) -> str:
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        run([*words, "--help"], Session())
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


def _schema() -> Iterator[str]:
    spec = load(None)
    built: dict[str, BaseModel] = {
        "": spec,
        "underlay": spec.underlay,
        "openstack": spec.openstack,
    }
    yield from ("# pileus.yaml", "", NOTE, "")
    yield from (
        "Every key may be left out, but `name` and `cidr`. Without a file, this is what is built:",
        "",
        "```yaml",
        yaml.safe_dump(_written(spec), sort_keys=False).rstrip(),
        "```",
    )
    for section, model in _SECTIONS:
        heading = f"`{section}`" if section else "The cloud"
        about = " ".join((model.__doc__ or "").split())
        yield from ("", f"## {heading}", "", about, "", "| key | meaning | default |")
        yield "| --- | --- | --- |"
        for key, field in model.model_fields.items():
            default = _default(field, getattr(built.get(section), key, None))
            yield f"| `{key}` | {field.description} | {default} |"


def _default(field: FieldInfo, built: object) -> str:
    """A key's default; `built` is its value in the default cloud, None inside lists."""
    if field.is_required():
        return "required"
    if "Default:" in (field.description or ""):
        return "see there"
    value = _written(field.default if built is None else built)
    if isinstance(value, list | dict):
        return "see above" if value else "none"
    return f"`{value}`"


def _written(value: object) -> object:
    """A spec as one would write it."""
    if isinstance(value, BaseModel):
        return {key: _written(getattr(value, key)) for key in type(value).model_fields}
    if isinstance(value, tuple) and value and all(hasattr(item, "packed") for item in value):
        return "-".join(map(str, value))
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    return value if isinstance(value, int) else str(value)


def _codes() -> Iterator[str]:
    yield from ("# Codes", "", NOTE, "")
    yield from (
        "Why a packet was dropped, or would be: drop counters, checks and traces tell the same",
        "codes. They are stable. The first word is the family:",
        "",
    )
    yield from (f"- `{family}_…`: {about}" for family, about in FAMILIES.items())
    for code, meaning in EXPLANATIONS.items():
        yield from ("", f"## {code.value}", "", meaning.sentence, "")
        yield from (f"- where: {meaning.component}", f"- what to do: {meaning.hint}")


def write(directory: Path) -> None:
    """Write all pages into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
