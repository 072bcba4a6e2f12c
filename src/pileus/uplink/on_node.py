"""The operator's side of the agent: asking it, and telling it what to publish, over SSH."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from pileus.model.addresses import Mac
from pileus.model.agent import AgentStatus
from pileus.model.errors import CommandFailed, Fault
from pileus.model.node import Login
from pileus.model.publishing import Published
from pileus.system.clock import poll
from pileus.system.process import Done
from pileus.system.runner import Runner, root_on
from pileus.uplink import places
from pileus.uplink.config import published_document, validate

__all__ = ["AgentStatus", "await_registered", "metrics", "publish", "status"]

_LOOK = "see `journalctl -u pileus-agent` on the controller (`pileus ssh controller`)"


def publish(login: Login, routers: Mapping[str, frozenset[Published]]) -> tuple[str, ...]:
    """Make exactly these ports published, by the id of their router; what was changed.

    A router without a namespace on the node gets its ports as soon as it has one. Connections
    through ports that are taken away are cut. Raises Refused before anything is touched for a port
    that is taken twice, CommandFailed when the agent fails, and Fault when what is in force then
    differs.
    """
    wanted = {router: validate(ports) for router, ports in routers.items()}
    return published(root_on(login), wanted)


def published(node: Runner, wanted: Mapping[str, frozenset[Published]]) -> tuple[str, ...]:
    """`publish`, on a node where `node` runs programs as root."""
    done = _agent(node, "publish", stdin=json.dumps(published_document(wanted)))
    answer = _document(done)
    for router, ports in asked(node).published.items():
        if ports != wanted.get(router, frozenset()):
            raise Fault(
                f"the ports of router {router} are not those that were asked for: "
                + "; ".join(answer["problems"]),
                hint=f"repeat the command; if it persists, {_LOOK}",
                retryable=True,
            )
    return tuple(str(text) for text in answer["changed"])


def status(login: Login) -> AgentStatus:
    """How the uplink is. Raises CommandFailed when the node or its agent cannot be asked."""
    return asked(root_on(login))


def asked(node: Runner) -> AgentStatus:
    """`status`, on a node where `node` runs programs as root."""
    done = _agent(node, "status")
    try:
        return AgentStatus.from_json(_document(done))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Fault(
            f"the agent's status cannot be read: {error}",
            hint="run `pileus up`, which puts this version's agent on the node",
        ) from error


def metrics(login: Login) -> str:
    """The same as Prometheus text."""
    return _agent(root_on(login), "metrics").stdout


def await_registered(
    login: Login, mac: Mac, addresses: frozenset[IPv4Address], timeout: float
) -> None:
    """Wait until exactly these addresses are in force on the NIC with this MAC.

    The cloud tells a machine of a change some time after it tells us. `timeout` is in seconds.
    Raises Fault when they are not in time.
    """
    awaited(root_on(login), mac, addresses, timeout)


def awaited(node: Runner, mac: Mac, addresses: frozenset[IPv4Address], timeout: float) -> None:
    """`await_registered`, on a node where `node` runs programs as root."""

    def look() -> bool | None:
        nics = asked(node).nics
        return (
            any(nic.mac == mac and frozenset(nic.registered) == addresses for nic in nics) or None
        )

    poll(
        look,
        what=f"the uplink has not learned the addresses of the NIC {mac}",
        hint=f"instance metadata may be late: repeat the command; if it persists, {_LOOK}",
        timeout=timeout,
        interval=0.5,
    )


def _agent(node: Runner, command: str, stdin: str | None = None) -> Done:
    done = node([places.PROGRAM, command], stdin=stdin, timeout=120, check=False)
    if done.code != 0:
        raise CommandFailed(
            done.argv,
            done.code,
            done.stderr,
            hint=f"run `pileus up`, which puts the agent in place; if it persists, {_LOOK}",
        )
    return done


def _document(done: Done) -> Any:
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise Fault(f"the agent's answer cannot be read: {error}", hint=_LOOK) from error
