"""From a file to a Spec, or to every problem in it at once.

Values that are wrong by themselves are reported and then left out, so that what must hold between
the others can still be checked; a finding that depends on a value left out is not reported.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import count
from pathlib import Path as File
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pileus.model.errors import InvalidSpec, Problem, UserError
from pileus.spec import schema
from pileus.spec.checks import findings, kept_by_neutron
from pileus.spec.schema import UNSET, Spec
from pileus.spec.source import MAX_SIZE, Path, Source, Value, parse

_FIRST_SERVER = 5
"""Position in its network of the first server that names no address, as in the guide."""
_SECTIONS: dict[str, type[BaseModel]] = {
    "underlay": schema.Underlay,
    "more_providers": schema.Provider,
    "openstack": schema.OpenStack,
    "networks": schema.TenantNetwork,
    "servers": schema.Server,
}


def load(path: File | None) -> Spec:
    """The spec in a file; without one, the guide's topology on the simulated region.

    Raises InvalidSpec with every problem found, and UserError when the file cannot be read.
    """
    if path is None:
        return complete(Spec())
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_SIZE + 1)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}",
            hint="name another file with --file, or leave it out for the default cloud",
        ) from error
    return loads(raw, name=str(path))


def loads(raw: bytes, *, name: str) -> Spec:
    """Like `load`, for the content of a file called `name`."""
    source = parse(name, raw)
    if not source.lines and source.problems:
        raise InvalidSpec(source.problems)
    right = _validate(source.data)
    problems = [*source.problems, *(_problem(source, error) for error in right.errors)]
    completed = complete(right.spec)
    for finding in findings(completed):
        paths = [_original(path, right.kept) for path in (finding.at, *finding.about)]
        if not any(_related(one, other) for one in paths for other in right.unknown):
            problems.append(Problem(source.where(paths[0]), finding.what, finding.hint))
    if problems:
        raise InvalidSpec(
            sorted(problems, key=lambda problem: int(problem.where.rpartition(":")[2]))
        )
    return completed


def complete(spec: Spec) -> Spec:
    """Give each server the network and the address that it does not name."""
    default = spec.networks[0].name if spec.networks else ""
    networks = {network.name: network.cidr for network in spec.networks}
    named = [s.model_copy(update={"network": s.network or default}) for s in spec.servers]
    taken = {(server.network, server.fixed_ip) for server in named}
    servers = []
    for server in named:
        cidr = networks.get(server.network)
        if server.fixed_ip == UNSET and cidr is not None:
            for offset in count(_FIRST_SERVER):
                if offset >= cidr.num_addresses:
                    break
                address = cidr.network_address + offset
                if (server.network, address) in taken or address in kept_by_neutron(cidr):
                    continue
                taken.add((server.network, address))
                server = server.model_copy(update={"fixed_ip": address})
                break
        servers.append(server)
    return spec.model_copy(update={"servers": tuple(servers)})


Kept = dict[Path, list[int]]
"""For each list of the file, the positions that were kept."""


@dataclass(frozen=True)
class _Right:
    """What is right in the data by itself, and what is not.

    `unknown` are the paths whose values we cannot tell: left out, or given under a misspelt key.
    """

    spec: Spec
    kept: Kept
    errors: Sequence[ErrorDetails]
    unknown: Set[Path]


def _validate(data: Mapping[str, Value]) -> _Right:
    errors: list[ErrorDetails] = []
    broken: set[Path] = set()
    while True:
        kept: Kept = {}
        try:
            spec = Spec.model_validate(_without(dict(data), broken, (), kept))
            return _Right(spec, kept, errors, broken | _meant(errors))
        except ValidationError as error:
            found = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        # All errors come in the first round. Later ones follow from what was left out.
        errors = errors or found
        for detail in found:
            path = _original(detail["loc"], kept)
            # An entry that lacks something goes as a whole.
            broken.add(path[:-1] if detail["type"] == "missing" else path)


def _without(value: Value, broken: Set[Path], path: Path, kept: Kept) -> Value:
    """A copy of the data without what is at the paths `broken`."""
    if isinstance(value, dict):
        return {
            key: _without(item, broken, (*path, key), kept)
            for key, item in value.items()
            if (*path, key) not in broken
        }
    if isinstance(value, list):
        kept[path] = [i for i in range(len(value)) if (*path, i) not in broken]
        return [_without(value[i], broken, (*path, i), kept) for i in kept[path]]
    return value


def _original(path: Iterable[str | int], kept: Kept) -> Path:
    """Where in the file a path of the pruned data is."""
    found: Path = ()
    for part in path:
        if isinstance(part, int):
            positions = kept.get(found, [])
            part = positions[part] if part < len(positions) else part
        found = (*found, part)
    return found


def _related(one: Path, other: Path) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _known(path: Path) -> list[str]:
    """Keys that the section at a path may have."""
    section = next((part for part in reversed(path) if isinstance(part, str)), None)
    return list((_SECTIONS[section] if section else Spec).model_fields)


def _nearest(path: Path) -> str | None:
    close = difflib.get_close_matches(str(path[-1]), _known(path[:-1]), n=1)
    return close[0] if close else None


def _meant(errors: Iterable[ErrorDetails]) -> set[Path]:
    """The keys that unknown keys were probably meant to be: their values are not known either."""
    found: set[Path] = set()
    for error in errors:
        if error["type"] == "extra_forbidden" and (near := _nearest(error["loc"])):
            found.add((*error["loc"][:-1], near))
    return found


def _problem(source: Source, error: ErrorDetails) -> Problem:
    path = error["loc"]
    what, hint = _sentence(path, error)
    return Problem(source.where(path), what, hint)


def _sentence(path: Path, error: ErrorDetails) -> tuple[str, str]:
    key = next((part for part in reversed(path) if isinstance(part, str)), "file")
    context: dict[str, Any] = error.get("ctx") or {}
    given = error["input"]
    match error["type"]:
        case "value":
            return f"{key}: {context['what']}", context["hint"]
        case "extra_forbidden":
            near = _nearest(path)
            known = ", ".join(_known(path[:-1]))
            return (
                f"unknown key `{path[-1]}`",
                f"did you mean `{near}`?" if near else f"known keys: {known}",
            )
        case "missing":
            return f"`{path[-1]}` is missing", f"add `{path[-1]}: …`"
        case "literal_error":
            return f"{key}: `{given}` is not known", f"one of {context['expected']}"
        case "int_parsing" | "int_from_float" | "int_type":
            return f"{key}: {_shown(given)} is not a whole number", "write a number, such as 20"
        case "greater_than_equal":
            return f"{key}: {given} is too small", f"at least {context['ge']}"
    if given is None:
        return f"{key} is empty", "give it a value, or remove the key for the default"
    return f"{key}: {_shown(given)} stands where {_wanted(error)} belongs", _EXAMPLES


_EXAMPLES = "see docs/reference/pileus.yaml.md for what each key takes"


def _shown(given: Any) -> str:
    if given is None:
        return "nothing"
    if isinstance(given, str):
        return f"`{given[:60]}`"
    return "a list" if isinstance(given, list) else "a mapping"


def _wanted(error: ErrorDetails) -> str:
    kind = error["type"].partition("_")[0]
    return {"string": "text", "tuple": "a list", "model": "a mapping"}.get(kind, "a value")
