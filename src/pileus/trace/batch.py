"""Many commands at one place, side by side in one session: logging in costs more than they do."""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Sequence

from pileus.model.errors import CommandFailed
from pileus.system.process import Done
from pileus.system.runner import Runner

COMMAND_SECONDS = 8
"""After which a command is ended."""
_SESSION_SECONDS = 45.0
_ENDED = re.compile(r"^(\d{1,6}) (\d{1,3}) ?([A-Za-z0-9+/=]*)$", re.MULTILINE)


def run_all(shell: Runner, commands: Sequence[Sequence[str]]) -> list[Done]:
    """Run all commands where `shell` runs `sh`, at once; both outputs of each are in `stdout`.

    Raises CommandFailed when there is no getting in.
    """
    if not commands:
        return []
    done = shell(["sh", "-s"], stdin=script(commands), timeout=_SESSION_SECONDS, check=False)
    ended = parse(done.stdout)
    if not ended:
        raise CommandFailed(done.argv, done.code, done.stderr or done.stdout)
    return [
        Done(tuple(argv), *ended.get(number, (255, "it did not end")), "")
        for number, argv in enumerate(commands)
    ]


def script(commands: Sequence[Sequence[str]]) -> str:
    """A program for any POSIX shell, busybox' included. [POSIX.1-2024, Shell Command Language]"""
    started = (
        f"(timeout {COMMAND_SECONDS} {shlex.join(argv)} >$d/{number} 2>&1 </dev/null; "
        f"echo $? >$d/{number}.code) &"
        for number, argv in enumerate(commands)
    )
    lines = ("d=$(mktemp -d) || exit 1", "trap 'rm -rf $d' EXIT", *started, "wait")
    told = (
        f"echo {number} $(cat $d/{number}.code) $(base64 $d/{number} | tr -d '\\n')"
        for number in range(len(commands))
    )
    return "\n".join((*lines, *told)) + "\n"


def parse(output: str) -> dict[int, tuple[int, str]]:
    """Exit code and output of each command by its number; whatever else was printed is skipped."""
    return {int(number): (int(code), _text(data)) for number, code, data in _ENDED.findall(output)}


def _text(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode(errors="replace")
    except binascii.Error:
        return ""
