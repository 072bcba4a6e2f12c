"""The deploy `controller`: a prepared machine's files, and the units that read them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pyinfra.operations import files, server

from pileus.node.operations import TOOLS, ensure, uploads
from pileus.node.settings import NodeFile
from pileus.node.units import CONTROLLER


def controller(wanted: Sequence[NodeFile], user: str) -> None:
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
    server.shell(
        name="Provider NIC",
        commands=[
            "systemctl enable --quiet pileus-provider pileus-openstack.target",
            "systemctl restart pileus-provider",
        ],
        _if=lambda: changed("/etc/pileus/node.json"),
    )
    ensure(
        [f"{TOOLS}/provider-bridge", "--check"],
        [f"{TOOLS}/provider-bridge"],
        name="Provider bridge",
    )
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
