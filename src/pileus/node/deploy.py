"""Runs one deploy in a process of its own: `python -m pileus.node.deploy`, the job on stdin.

pyinfra patches the standard library for its green threads and keeps its state in globals, so it
gets a process to itself. The job comes by stdin, as it holds secrets; the result is left as JSON in
the file that the job names; what pyinfra and the commands that fail print is the log.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.deploy import add_deploy
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_ops

from pileus.model.errors import PileusError
from pileus.node.controller import controller
from pileus.node.furnish import furnish
from pileus.node.prepare import prepare
from pileus.node.settings import NodeFile


def main() -> int:
    """Do the job on stdin; 0 when every operation succeeded."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("pyinfra").setLevel(logging.INFO)
    # Programs in an image run as other users, who may not even look whether our packages are there.
    os.environ.pop("PYTHONPATH", None)
    job = json.load(sys.stdin)
    state = _state(job)
    try:
        if "furnish" in job:
            furnish(Path(job["furnish"]))
        connect_all(state)
        if job["deploy"] == "prepare":
            add_deploy(state, prepare, job["stamp"], job["user"])
        else:
            wanted = [
                NodeFile(**{**file, "readers": tuple(file["readers"])}) for file in job["files"]
            ]
            agent = base64.b64decode(job["agent"])
            add_deploy(state, controller, wanted, agent, job["user"])
        run_ops(state)
    except (PyinfraError, PileusError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    Path(job["result"]).write_text(json.dumps(_result(state)))
    return 0


def _state(job: Mapping[str, Any]) -> State:
    inventory = Inventory(([job["host"]], job["data"]))
    config = Config(SUDO=job["sudo"], TEMP_DIR=job["uploads"], CONNECT_TIMEOUT=10)
    return State(inventory, config, check_for_changes=False)


def _result(state: State) -> dict[str, Any]:
    changed, unchanged = [], 0
    for host in state.inventory:
        for op_hash in state.get_op_order():
            data = state.get_op_data_for_host(host, op_hash)
            if data.operation_meta.did_change():
                changed += sorted(state.get_op_meta(op_hash).names)
            else:
                unchanged += 1
    return {"changed": changed, "unchanged": unchanged}


if __name__ == "__main__":
    sys.exit(main())
