"""From where a trace looks: the machine, the internet, and the wire where it tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pileus.api import controller
from pileus.api.environment import Cloud
from pileus.api.outside import WireView
from pileus.model.underlay import Node
from pileus.system import ssh
from pileus.trace.observe import Eyes
from pileus.vpc import control

PATIENCE = 3
"""Seconds that a machine has to answer at all, so that a trace to one that cannot answers soon."""


def eyes(cloud: Cloud, machine: Node) -> Eyes:
    """Eyes on a cloud. Raises UserError when its machine has no public address."""
    login = replace(controller.login(cloud, machine), patience=PATIENCE)

    def on_node(argv: Sequence[str]) -> Sequence[str]:
        return ssh.command(login, ["sudo", *argv])

    def outside(argv: Sequence[str]) -> Sequence[str]:
        command = list(argv)
        return control.internet_command(cloud.region, command) if cloud.simulated else command

    return Eyes(on_node, outside, cloud.simulated, WireView(cloud, machine))
