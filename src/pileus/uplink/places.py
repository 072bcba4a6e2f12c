"""Where the agent's files are on a node."""

from __future__ import annotations

from pathlib import Path

SETTINGS = Path("/etc/pileus")
CONFIG = SETTINGS / "uplink.json"
PUBLISHED = SETTINGS / "published.json"
STATE = Path("/var/lib/pileus/uplink-state.json")
RUN = Path("/run/pileus")
LOCK = RUN / "uplink.lock"
CONTROL = RUN / "agent.sock"
PROGRAM = "/usr/lib/pileus/agent.pyz"
METRICS = ("127.0.0.1", 9479)
