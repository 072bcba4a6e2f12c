"""The one place that changes nftables: whole desired tables in, differences out, read back."""

from __future__ import annotations

from collections.abc import Sequence

from pileus.model.errors import CommandFailed, Fault
from pileus.rules.nft import InKernel, difference
from pileus.rules.readback import parse
from pileus.rules.ruleset import Table
from pileus.system import process


def apply(table: Table, *, namespace: str | None = None) -> bool:
    """Make the kernel's table equal to `table` in one transaction; whether anything changed.

    `namespace` is the name of a network namespace, None for our own. Rules of other tables are
    never touched. Raises CommandFailed when nft refuses the change (then nothing has changed) and
    Fault when what is read back afterwards still differs.
    """
    commands = difference(table, read(table.family, table.name, namespace=namespace))
    if not commands:
        return False
    _nft(["-f", "-"], namespace, stdin="\n".join(commands) + "\n")
    left = difference(table, read(table.family, table.name, namespace=namespace))
    if left:
        raise Fault(
            f"table {table.family} {table.name} differs after it was applied: {left[0]}",
            hint="another program may be changing it; run the same command again",
            retryable=True,
        )
    return True


def read(family: str, name: str, *, namespace: str | None = None) -> InKernel | None:
    """A table as the kernel has it, None when there is none."""
    try:
        done = _nft(["--json", "list", "table", family, name], namespace)
    except CommandFailed as error:
        if "No such file or directory" in error.output:
            return None
        raise
    return parse(done.stdout)


def remove(family: str, name: str, *, namespace: str | None = None) -> None:
    """Delete a table of ours; does nothing when there is none."""
    if read(family, name, namespace=namespace) is not None:
        _nft(["delete", "table", family, name], namespace)


def _nft(arguments: Sequence[str], namespace: str | None, stdin: str | None = None) -> process.Done:
    prefix = ["ip", "netns", "exec", namespace] if namespace else []
    return process.run([*prefix, "nft", *arguments], stdin=stdin, timeout=30)
