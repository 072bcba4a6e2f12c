"""What iproute2's programs say of devices, with nothing but the standard library around them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pileus.system import process

NAMESPACES = Path("/run/netns")
Entry = dict[str, Any]
Identity = tuple[int, int]


def ip(*words: str, namespace: str | None = None) -> list[Entry]:
    """What `ip -details -json WORDS` prints, in a network namespace (None: our own)."""
    where = ["-netns", namespace] if namespace else []
    return _parsed(["ip", *where, "-details", "-json", *words])


def forwarding(bridge: str) -> list[Entry]:
    """The forwarding database of a kernel bridge, as `bridge -json` prints it."""
    return _parsed(["bridge", "-json", "fdb", "show", "br", bridge])


def traffic_control(*words: str) -> list[Entry]:
    """What `tc -json WORDS` prints."""
    return _parsed(["tc", "-json", *words])


def features(device: str) -> dict[str, bool]:
    """A device's offloads by ethtool's names, and whether each is on."""
    lines = process.run(["ethtool", "--show-features", device]).stdout.splitlines()[1:]
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): state.split()[:1] == ["on"] for name, _, state in pairs}


def identity(namespace: str) -> Identity | None:
    """What tells a namespace from a later one with its name; None while there is none.

    The name is there a moment before the namespace is mounted on it; it counts from then on.
    """
    try:
        found, directory = (NAMESPACES / namespace).stat(), NAMESPACES.stat()
    except OSError:
        return None
    return None if found.st_dev == directory.st_dev else (found.st_dev, found.st_ino)


def _parsed(argv: list[str]) -> list[Entry]:
    documents: list[Entry] = json.loads(process.run(argv).stdout or "[]")
    return [entry for entry in documents if entry]
