"""Starts a deploy in its own process and reads its result."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pileus.model.node import Login, NodeReport
from pileus.system import process

UPLOADS = "/run/pileus-uploads"
PACKAGES = Path(__file__).parents[2]
"""Where the package `pileus` lies: the child must run the same one, however we were started."""
PREPARE_SECONDS = 1200


def over_ssh(login: Login, job: Mapping[str, Any]) -> dict[str, Any]:
    """A job for a machine reached by SSH, as a user who may become root."""
    data = {
        "ssh_user": login.user,
        "ssh_port": login.port,
        "ssh_key": str(login.private_key),
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
        "ssh_config_file": "/dev/null",
        "ssh_known_hosts_file": str(login.known_hosts),
        "ssh_strict_host_key_checking": "accept-new",
    }
    return {**job, "host": str(login.address), "data": data, "sudo": True, "uploads": UPLOADS}


def in_chroot(root: Path, job: Mapping[str, Any]) -> dict[str, Any]:
    """A job for the file system of an image, which the deploy's process furnishes for itself."""
    place = {"host": f"@chroot/{root}", "furnish": str(root)}
    return {**job, **place, "data": {}, "sudo": False, "uploads": None}


def run(job: Mapping[str, Any], *, log: Path) -> NodeReport:
    """Run a deploy to its end; what it prints goes to `log` at once.

    Raises CommandFailed, with the log's tail, when a step fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pileus-") as directory:
        result = Path(directory) / "result.json"
        process.run(
            [sys.executable, "-m", "pileus.node.deploy"],
            stdin=json.dumps({**job, "result": str(result)}),
            timeout=PREPARE_SECONDS,
            env={"PYTHONPATH": str(PACKAGES), "PYTHONUNBUFFERED": "1"},
            log=log,
            tied=True,
        )
        answer = json.loads(result.read_text())
    return NodeReport(changed=tuple(answer["changed"]), unchanged=answer["unchanged"])
