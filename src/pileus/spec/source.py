"""YAML text as plain data that knows its lines.

The text is untrusted. Only mappings, lists and scalars are accepted: no aliases (which can grow
without bound), no tags (which can make objects), one document, limited size and depth. Scalars
stay text, so that `522:22` is not read as the sexagesimal 31342 nor `2025.1` as a float; the
schema gives them types.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml
from yaml import events

from pileus.model.errors import Problem

Path: TypeAlias = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""
Value: TypeAlias = "str | list[Value] | dict[str, Value] | None"

MAX_SIZE = 64 * 1024
MAX_DEPTH = 10
_NULL = ("", "~", "null")


@dataclass(frozen=True)
class Source:
    """A parsed file: its data, and the line of each value (of its key, in a mapping)."""

    name: str
    data: Mapping[str, Value] = field(default_factory=dict)
    lines: Mapping[Path, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def where(self, path: Path) -> str:
        """`file:line` of a value, or of the nearest thing around it that the file has."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}"


class _Refusal(Exception):
    """The text cannot be read any further."""

    def __init__(self, line: int, what: str, hint: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what
        self.hint = hint


def parse(name: str, raw: bytes) -> Source:
    """Read the text of a file called `name`. Faults become `problems`, nothing is raised."""
    reader = _Reader(name)
    try:
        data = reader.document(raw)
    except _Refusal as refusal:
        return Source(
            name, problems=(Problem(f"{name}:{refusal.line}", refusal.what, refusal.hint),)
        )
    return Source(name, data, reader.lines, tuple(reader.problems))


class _Reader:
    """Walks the parser's events once; `lines` and `problems` grow on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []

    def document(self, raw: bytes) -> Mapping[str, Value]:
        if len(raw) > MAX_SIZE:
            raise _Refusal(1, f"the file is larger than {MAX_SIZE // 1024} KiB", "shorten it")
        try:
            self._events = list(_shallow(yaml.parse(raw.decode(), Loader=yaml.SafeLoader)))
        except UnicodeDecodeError:
            raise _Refusal(1, "the file is not UTF-8 text", "save it as UTF-8") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = error.problem or "not YAML"
            raise _Refusal(mark.line + 1 if mark else 1, what, "mend the YAML syntax") from None
        except yaml.YAMLError as error:
            raise _Refusal(1, f"not YAML: {error}", "remove control characters") from None
        self._at = 0
        starts = [e for e in self._events if isinstance(e, events.DocumentStartEvent)]
        if not starts:
            return {}
        if len(starts) > 1:
            line = _line(starts[1])
            raise _Refusal(line, "a second document begins here", "keep one document in the file")
        self._at = self._events.index(starts[0]) + 1
        value = self._value(())
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise _Refusal(1, "the file is not a mapping", "write `key: value` lines")
        return value

    def _next(self) -> events.Event:
        event = self._events[self._at]
        self._at += 1
        return event

    def _ends(self, kind: type[events.Event]) -> bool:
        return isinstance(self._events[self._at], kind)

    def _value(self, path: Path) -> Value:
        event = self._next()
        line = _line(event)
        self.lines.setdefault(path, line)
        if isinstance(event, events.AliasEvent):
            raise _Refusal(line, "aliases (`*name`) are not allowed", "write the value out")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise _Refusal(line, f"tags ({tag}) are not allowed", "remove the tag")
        if isinstance(event, events.ScalarEvent):
            plain_null = event.style is None and event.value.lower() in _NULL
            return None if plain_null else str(event.value)
        if isinstance(event, events.SequenceStartEvent):
            return self._list(path)
        return self._mapping(path)

    def _list(self, path: Path) -> list[Value]:
        items: list[Value] = []
        while not self._ends(events.SequenceEndEvent):
            items.append(self._value((*path, len(items))))
        self._next()
        return items

    def _mapping(self, path: Path) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while not self._ends(events.MappingEndEvent):
            event = self._next()
            line = _line(event)
            if not isinstance(event, events.ScalarEvent):
                raise _Refusal(line, "a key is not plain text", "write `key: value` lines")
            key = str(event.value)
            if key in found:
                first = self.lines[(*path, key)]
                self.problems.append(
                    Problem(
                        f"{self.name}:{line}",
                        f"`{key}` is given twice; the first is on line {first}",
                        "keep one of them",
                    )
                )
                self._value((*path, f"{key} again"))
                continue
            self.lines[(*path, key)] = line
            found[key] = self._value((*path, key))
        self._next()
        return found


def _shallow(stream: Iterable[events.Event]) -> Iterator[events.Event]:
    """The events, as long as they do not nest too deeply.

    The parser's time grows with the square of the depth, so it must not get any further.
    """
    depth = 0
    for event in stream:
        if isinstance(event, events.CollectionStartEvent):
            depth += 1
        if isinstance(event, events.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _Refusal(
                _line(event), "the file is nested too deeply", "see docs/reference/pileus.yaml.md"
            )
        yield event


def _line(event: events.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
