"""What the kernel has, from `nft --json list table`. Pure."""

from __future__ import annotations

import json
from typing import Any

from pileus.model.errors import Fault
from pileus.rules.nft import InKernel
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
    for entry in objects:
        ((kind, body),) = entry.items()
        match kind:
            case "chain":
                hooks[body["name"]] = _hook(body)
                comments.setdefault(body["name"], [])
            case "rule":
                comments.setdefault(body["chain"], []).append(body.get("comment", ""))
            case "set":
                sets[body["name"]] = frozenset(_text(item) for item in body.get("elem", []))
            case "map":
                maps[body["name"]] = {_text(k): _text(v) for k, v in body.get("elem", [])}
            case "counter":
                counters[body["name"]] = body["packets"]
    chains = {name: tuple(items) for name, items in comments.items()}
    return InKernel(hooks, chains, sets, maps, counters)


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
    match item:
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"range": [first, last]}:
            return f"{first}-{last}"
        case {"elem": {"val": value}}:
            return _text(value)
        case {"jump": {"target": chain}}:
            return f"jump {chain}"
        case {"goto": {"target": chain}}:
            return f"goto {chain}"
        case {"concat": parts}:
            return " . ".join(_text(part) for part in parts)
        case _:
            return str(item)
