"""The one place that changes nftables: whole desired tables in, differences out, read back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pileus.model.errors import CommandFailed, Fault
from pileus.rules.nft import InKernel, difference, grown, settled
from pileus.rules.readback import parse
from pileus.rules.ruleset import Table
from pileus.system import process

_ATTEMPTS = 3
"""The kernel learns and forgets between a reading and the change that rests on it."""


@dataclass(frozen=True)
class Applied:
    """What applying led to; true where anything was changed."""

    changed: bool
    kernel: InKernel
    """As it was read back, for the next `apply`. What rules learn since then is not in it."""

    def __bool__(self) -> bool:
        return self.changed


def apply(table: Table, *, namespace: str | None = None, known: InKernel | None = None) -> Applied:
    """Make the kernel's table equal to `table`, in one transaction, and read it back.

    `namespace` is the name of a network namespace, None for our own. Rules of other tables are
    never touched. `known` is what an earlier `apply` led to: where that already is what is wanted,
    nothing is asked of the kernel, and where only elements are to be added, just their sets are
    read back. If it proves wrong then, the whole table is read after all.

    Raises CommandFailed when nft refuses the change (then nothing has changed) and Fault when what
    is read back afterwards still differs.
    """
    if known is not None:
        commands = difference(table, known)
        if not commands:
            return Applied(False, known)
        names = grown(commands)
        larger = _grow(table, commands, known, names, namespace) if names else None
        if larger:
            return Applied(True, larger)
    return _change(table, namespace)


def _grow(
    table: Table,
    commands: list[str],
    known: InKernel,
    names: Collection[str],
    namespace: str | None,
) -> InKernel | None:
    """Add elements and read back their sets and maps; None where what was known proves wrong."""
    sets = tuple(named for named in table.sets if named.name in names)
    maps = tuple(named for named in table.maps if named.name in names)
    found = InKernel()
    try:
        _load(commands, namespace)
        for kind, several in (("set", sets), ("map", maps)):
            for named in several:
                part = parse(_list([kind, table.family, table.name, named.name], namespace))
                found = InKernel(sets={**found.sets, **part.sets}, maps={**found.maps, **part.maps})
    except CommandFailed:
        return None
    if difference(replace(table, chains=(), sets=sets, maps=maps), found):
        return None
    return replace(known, sets={**known.sets, **found.sets}, maps={**known.maps, **found.maps})


def _change(table: Table, namespace: str | None) -> Applied:
    have, changed = read(table.family, table.name, namespace=namespace), False
    for _ in range(_ATTEMPTS):
        commands = difference(table, have)
        if not commands:
            break
        try:
            _load(commands, namespace)
        except CommandFailed:
            have = read(table.family, table.name, namespace=namespace)
            if difference(table, have) == commands:
                raise
        else:
            changed = True
            have = read(table.family, table.name, namespace=namespace)
    left = difference(table, have)
    if left or have is None:
        raise Fault(
            f"table {table.family} {table.name} differs after it was applied: {left[0]}",
            hint="another program may be changing it; run the same command again",
            retryable=True,
        )
    return Applied(changed, have)


def change(
    tables: Sequence[tuple[Table, InKernel]], *, namespace: str | None = None
) -> tuple[InKernel, ...]:
    """Make tables equal to what is wanted, all in one transaction, where what they are is known.

    Nothing is read, neither before nor after: the kernel does all of it or nothing. Returns what
    is known then, in the same order. Raises CommandFailed where the kernel refuses, as it does
    when what was known proves wrong; `apply` puts that right.
    """
    commands = [line for table, known in tables for line in difference(table, known)]
    if commands:
        _load(commands, namespace)
    return tuple(settled(table, known) for table, known in tables)


def read(family: str, name: str, *, namespace: str | None = None) -> InKernel | None:
    """A table as the kernel has it, None when there is none."""
    try:
        return parse(_list(["table", family, name], namespace))
    except CommandFailed as error:
        if "No such file or directory" in error.output:
            return None
        raise


def remove(family: str, name: str, *, namespace: str | None = None) -> None:
    """Delete a table of ours; does nothing when there is none."""
    if read(family, name, namespace=namespace) is not None:
        _nft(["delete", "table", family, name], namespace)


def _load(commands: Sequence[str], namespace: str | None) -> None:
    _nft(["-f", "-"], namespace, stdin="\n".join(commands) + "\n")


def _list(what: Sequence[str], namespace: str | None) -> str:
    return _nft(["--json", "list", *what], namespace).stdout


def _nft(arguments: Sequence[str], namespace: str | None, stdin: str | None = None) -> process.Done:
    prefix = ["ip", "netns", "exec", namespace] if namespace else []
    return process.run([*prefix, "nft", *arguments], stdin=stdin, timeout=30)
