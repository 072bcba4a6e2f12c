"""What both deploys use: an operation that looks before it acts, and a place for uploads."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterable, Sequence

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation

TOOLS = "/usr/lib/pileus"
UPLOADS = "/run/pileus-uploads"
"""On the node: only the login's user may look in, and it is gone with the next boot."""


class Prints(FactBase[list[str]]):  # type: ignore[misc]  # pyinfra is untyped to mypy
    """The lines that a command prints, and one more when it fails."""

    def command(self, argv: Sequence[str]) -> StringCommand:
        return StringCommand(*map(shlex.quote, argv), "2>/dev/null", "||", "echo failed")

    def process(self, output: Iterable[str]) -> list[str]:
        return list(output)


@operation(is_idempotent=True)  # type: ignore[untyped-decorator]
def ensure(check: Sequence[str], make: Sequence[str]) -> Generator[StringCommand, None, None]:
    """Run `make` unless `check` prints nothing."""
    if host.get_fact(Prints, argv=check):
        yield StringCommand(*map(shlex.quote, make))
    else:
        host.noop(f"{make[0]} has nothing to do")


def uploads(user: str) -> None:
    """A place for pyinfra's uploads that only the login's user may look into."""
    ensure(
        ["test", "-d", UPLOADS],
        ["install", "--directory", f"--owner={user}", "--mode=700", UPLOADS],
        name="Private directory for uploads",
    )
