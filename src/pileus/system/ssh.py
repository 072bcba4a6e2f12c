"""Commands on a node over OpenSSH."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pileus.model.node import Login
from pileus.system import process

UNREACHABLE = 255
"""How ssh ends when there is no connection; else it ends as the program there did. [ssh(1)]"""


def command(
    login: Login,
    argv: Sequence[str] = (),
    *,
    tty: bool = False,
    through: Sequence[str] = (),
) -> list[str]:
    """The argument list that runs `argv` on the node (an interactive shell when empty).

    `through` is a command whose stdin and stdout lead to the node's SSH port. The remote side, and
    ssh for `through`, join their arguments with blanks and hand them to a shell: each is quoted.
    """
    proxy = shlex.join(through).replace("%", "%%")
    return [
        "ssh",
        *options(login),
        *(["-o", f"ProxyCommand={proxy}"] if through else []),
        *(["-t"] if tty else []),
        "-p",
        str(login.port),
        f"{login.user}@{login.address}",
        *(["--", shlex.join(argv)] if argv else []),
    ]


def options(login: Login) -> list[str]:
    """Options for the cloud's own key and host keys, with nothing of the user's configuration."""
    settings = {
        "IdentityFile": str(login.private_key),
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(login.known_hosts),
        "StrictHostKeyChecking": "accept-new",
        "HashKnownHosts": "no",
        "BatchMode": "yes",
        "ConnectTimeout": str(login.patience),
        "ServerAliveInterval": "10",
        "LogLevel": "ERROR",
    }
    words = ["-F", "/dev/null"]
    for name, value in settings.items():
        words += ["-o", f"{name}={value}"]
    return words


def run(
    login: Login,
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float = 60.0,
    check: bool = True,
) -> process.Done:
    """Run a program on the node to its end. Raises CommandFailed as `process.run` does."""
    return process.run(command(login, argv), stdin=stdin, timeout=timeout, check=check)
