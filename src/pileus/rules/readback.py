"""What the kernel has, from `nft --json list table`. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pileus.model.errors import Fault
from pileus.rules.nft import Declared, InKernel
from pileus.rules.ruleset import Hook

_PRIORITIES = {
    ("nat", "prerouting", -100): "dstnat",
    ("nat", "postrouting", 100): "srcnat",
}


def parse(document: str) -> InKernel:
    """Read nft's JSON listing of one table. Raises Fault for a listing we cannot read."""
    try:
        objects = json.loads(document)["nftables"]
    except (ValueError, KeyError) as error:
        raise Fault(
            f"nft printed a listing that cannot be read: {error}",
            hint="nft 1.0.6 or newer with JSON support is needed",
        ) from error
    hooks: dict[str, Hook | None] = {}
    comments: dict[str, list[str]] = {}
    sets: dict[str, frozenset[str]] = {}
    maps: dict[str, dict[str, str]] = {}
    counters: dict[str, int] = {}
    declared: dict[str, Declared] = {}
    counted: dict[str, Mapping[str, int]] = {}
    for entry in objects:
        ((kind, body),) = entry.items()
        if kind == "chain":
            hooks[body["name"]] = _hook(body)
            comments.setdefault(body["name"], [])
        elif kind == "rule":
            comments.setdefault(body["chain"], []).append(body.get("comment", ""))
        elif kind == "set":
            sets[body["name"]] = frozenset(_text(item) for item in body.get("elem", []))
            counted[body["name"]] = dict(_counts(body.get("elem", [])))
        elif kind == "map":
            maps[body["name"]] = {_text(k): _text(v) for k, v in body.get("elem", [])}
        elif kind == "counter":
            counters[body["name"]] = body["packets"]
        if kind in ("set", "map"):
            declared[body["name"]] = _declared(body)
    chains = {name: tuple(items) for name, items in comments.items()}
    return InKernel(hooks, chains, sets, maps, counters, declared, counted)


def _counts(elements: Iterable[Any]) -> Iterator[tuple[str, int]]:
    """Packets of those elements that have a counter."""
    for item in elements:
        inner = item.get("elem", {}) if isinstance(item, dict) else {}
        if "counter" in inner:
            yield _text(inner["val"]), inner["counter"]["packets"]


def _declared(body: dict[str, Any]) -> Declared:
    """Of a dynamic one also size and timeout in seconds; nft 1.0.6 does not print that flag, but a
    size is printed of those alone that were declared with one."""
    kinds = body["type"] if isinstance(body["type"], list) else [body["type"]]
    value = f" : {body['map']}" if "map" in body else ""
    interval = "interval" in body.get("flags", [])
    return Declared(" . ".join(kinds) + value, interval, body.get("size"), body.get("timeout"))


def _hook(body: dict[str, Any]) -> Hook | None:
    if "hook" not in body:
        return None
    priority = _PRIORITIES.get((body["type"], body["hook"], body["prio"]), str(body["prio"]))
    device = body.get("dev")
    if isinstance(device, list):
        device = device[0] if device else None
    return Hook(body["type"], body["hook"], priority, body["policy"], device)


def _text(item: Any) -> str:
    """An element in the form of `nft.atom_text`."""
    if not isinstance(item, dict):
        return str(item)
    ((kind, value),) = item.items()
    return _FORMS[kind](value)


_FORMS: Mapping[str, Callable[[Any], str]] = {
    "prefix": lambda value: f"{value['addr']}/{value['len']}",
    "range": lambda value: f"{value[0]}-{value[1]}",
    "elem": lambda value: _text(value["val"]),
    "jump": lambda value: f"jump {value['target']}",
    "goto": lambda value: f"goto {value['target']}",
    "concat": lambda value: " . ".join(map(_text, value)),
}
