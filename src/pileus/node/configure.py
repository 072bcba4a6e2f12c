"""Make a machine that we can log in to an OpenStack controller."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

from pileus.model.errors import CommandFailed, Fault
from pileus.model.node import ControllerSettings, Login, NodeReport, Secrets
from pileus.node import runner
from pileus.node.bake import image_key
from pileus.node.settings import Probed, controller_files
from pileus.system import ssh

STAMP = "/usr/share/pileus/prepared"
PROBE = "/usr/lib/pileus/probe"


def configure(
    login: Login, settings: ControllerSettings, secrets: Secrets, *, agent: bytes, log: Path
) -> NodeReport:
    """Make the machine behind `login` the controller that `settings` describe.

    Safe to repeat: what is right already is left alone, and the report says so. A machine that was
    not made from a baked image is prepared first, which takes minutes and needs package mirrors.
    `agent` is the uplink's agent, a Python zipapp. What the tools print goes to `log`; no secret
    does.

    Raises CommandFailed when a step fails or the machine cannot be reached.
    """
    if not _prepared(login):
        prepare = {"deploy": "prepare", "stamp": image_key(), "user": login.user}
        runner.run(runner.over_ssh(login, prepare), log=log)
    probed = _probe(login, settings)
    files = [dataclasses.asdict(f) for f in controller_files(settings, secrets, probed)]
    archive = base64.b64encode(agent).decode()
    job = {"deploy": "controller", "files": files, "agent": archive, "user": login.user}
    return runner.run(runner.over_ssh(login, job), log=log)


def _prepared(login: Login) -> bool:
    found = ssh.run(login, ["cat", STAMP], check=False)
    if found.code > 1:
        raise CommandFailed(found.argv, found.code, found.stderr)
    return found.stdout.strip() == image_key()


def _probe(login: Login, settings: ControllerSettings) -> Probed:
    done = ssh.run(login, ["sudo", PROBE, settings.hypervisor], timeout=60)
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
        return Probed(datapath=answer["datapath"], emulator=answer["emulator"])
    except (ValueError, KeyError) as error:
        raise Fault(
            f"the machine's probe said {done.stdout!r}", hint="see its journal; then repeat"
        ) from error
