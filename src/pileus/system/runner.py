"""Where a program runs, as a value: here, on a node as root, inside one of its namespaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pileus.model.node import Login
from pileus.system import process, ssh
from pileus.system.process import Done


class Runner(Protocol):
    """Runs a program to its end. Raises CommandFailed as `process.run` does."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done: ...


def here() -> Runner:
    """Programs on this host."""
    return process.run


def root_on(login: Login) -> Runner:
    """Programs on a node as root, over SSH."""

    def run(
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        return ssh.run(login, ["sudo", *argv], stdin=stdin, timeout=timeout, check=check)

    return run


def inside(runner: Runner, namespace: str) -> Runner:
    """Programs inside a network namespace of where `runner` runs them."""

    def run(
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        command = ["ip", "netns", "exec", namespace, *argv]
        return runner(command, stdin=stdin, timeout=timeout, check=check)

    return run
