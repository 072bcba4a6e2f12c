"""What a wire has made in a VPC's namespace, to compare it with another's."""

from __future__ import annotations

import json
import re
from typing import Any

from pileus.system import process

_CHANGING = re.compile(r"^\d+: |@if\d+|valid_lft.*| linkdown")
"""Numbers of things, and whether machines have taken their NICs into use."""


def content(namespace: str) -> dict[str, list[str]]:
    """All that a wire makes there, but for what changes by itself or by traffic."""
    command = ["ip", "netns", "exec", namespace, "nft", "--json", "list", "ruleset"]
    rules_there = json.loads(process.run(command).stdout, object_hook=_without_traffic)
    found = {"rules": sorted(map(str, rules_there["nftables"]))}
    for words in ("addr", "neigh show nud permanent", "route show table all", "rule"):
        told = process.run(["ip", "-n", namespace, "-4", "-oneline", *words.split()]).stdout
        found[words] = sorted(_CHANGING.sub("", line) for line in told.splitlines())
    return found


def _without_traffic(item: dict[str, Any]) -> dict[str, Any]:
    left_by_traffic = ("handle", "packets", "bytes", *(("elem",) if "size" in item else ()))
    if isinstance(item.get("elem"), list):
        item["elem"] = sorted(map(str, item["elem"]))
    return {key: item[key] for key in item if key not in left_by_traffic}
