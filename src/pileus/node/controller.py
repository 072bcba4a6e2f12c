"""The deploy `controller`: a prepared machine's files, and the units that read them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from pyinfra.operations import files, server

from pileus.node.operations import TOOLS, ensure, uploads
from pileus.node.settings import UPLINK, NodeFile
from pileus.node.units import CONTROLLER

AGENT = f"{TOOLS}/agent.pyz"
UNITS = Path(__file__).parent / "uplink"
UPLINK_UNITS = ("pileus-uplink.service", "pileus-agent.service")


def controller(wanted: Sequence[NodeFile], agent: bytes, user: str) -> None:
    """Make a prepared machine a controller: its files, and the units that read them."""
    uploads(user)
    put = {
        file.path: files.put(
            name=file.path,
            src=io.StringIO(file.text),
            dest=file.path,
            user="root",
            group=file.group,
            mode=file.mode,
        )
        for file in wanted
    }

    def changed(*paths: str) -> bool:
        return any(put[path].did_change() for path in paths)

    server.shell(
        name="Host name",
        commands=["hostname --file /etc/hostname"],
        _if=lambda: changed("/etc/hostname"),
    )
    server.shell(
        name="RabbitMQ's user",
        commands=[
            "systemctl start rabbitmq-server",
            "rabbitmqctl --quiet import_definitions /etc/rabbitmq/definitions.json",
        ],
        _if=lambda: changed("/etc/rabbitmq/definitions.json"),
    )
    uplink(agent)
    server.shell(
        name="Uplink's NICs",
        # The switch's bridges need what the daemon makes of the new file.
        commands=[f"{AGENT} sync"],
        _if=lambda: changed(UPLINK),
    )
    ensure([AGENT, "bridge", "--check"], [AGENT, "bridge"], name="Provider bridges")
    for path in (file.path for file in wanted if file.readers):
        readers = next(file.readers for file in wanted if file.path == path)
        server.shell(
            name=f"Readers of {path}",
            commands=["systemctl try-restart " + " ".join(readers)],
            _if=lambda path=path: changed(path),
        )
    units = ["pileus-openstack.target", *(f"{unit}.service" for unit in CONTROLLER)]
    ensure(
        ["sh", "-c", f"systemctl is-active {' '.join(units)} | grep -vx active || true"],
        ["timeout", "240", "systemctl", "start", *units],
        name="Services",
    )
    ensure(
        [f"{TOOLS}/identity", "--check"],
        [f"{TOOLS}/identity"],
        name="Administrator, service users, catalogue",
    )
    ensure([f"{TOOLS}/cloud", "--check"], [f"{TOOLS}/cloud"], name="Flavor, image, agents")


def uplink(agent: bytes) -> None:
    """The agent and its units: the pipeline is in place before anything is sent.

    They are put here and not in the image, so that a newer agent reaches a machine at once.
    """
    program = files.put(
        name="The uplink's agent",
        src=io.BytesIO(agent),
        dest=AGENT,
        user="root",
        group="root",
        mode="755",
    )
    units = [
        files.put(
            name=unit,
            src=str(UNITS / unit),
            dest=f"/etc/systemd/system/{unit}",
            user="root",
            group="root",
            mode="644",
        )
        for unit in UPLINK_UNITS
    ]

    def renewed() -> bool:
        return any(put.did_change() for put in (program, *units))

    server.shell(
        name="Uplink",
        commands=[
            "systemctl daemon-reload",
            "systemctl enable --quiet pileus-openstack.target " + " ".join(UPLINK_UNITS),
            "systemctl restart " + " ".join(UPLINK_UNITS),
        ],
        _if=renewed,
    )
