"""The errors a caller can meet, in one small tree.

PileusError
├── UserError          exit 1: the user can mend it
│   ├── InvalidSpec    pileus.yaml is wrong; carries every problem found
│   ├── Refused        the request contradicts the mode or a rule; nothing was touched
│   └── Busy           another Pileus command holds this cloud
└── Fault              exit 2: Pileus, the host or a cloud failed
    ├── CommandFailed  a program ended with a non-zero code or not in time
    └── CloudFault     an API refused or failed a call

Every error carries a hint that says what to do next, and whether trying the same again can help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class PileusError(Exception):
    """Base of all errors that Pileus raises on purpose."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable


class UserError(PileusError):
    """The user can mend this: exit code 1."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a configuration file."""

    where: str
    """File and line, as `pileus.yaml:12`."""
    what: str
    hint: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n  hint: {self.hint}"


class InvalidSpec(UserError):
    """The configuration is wrong; `problems` lists everything found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        count = len(problems)
        super().__init__(
            f"{count} problem{'s' if count != 1 else ''} in the configuration",
            hint="mend the lines named above; nothing was touched",
        )
        self.problems = tuple(problems)


class Refused(UserError):
    """The request cannot be granted in this mode or state; nothing was touched."""


class Busy(UserError):
    """Another command holds the lock of this cloud."""


class Fault(PileusError):
    """Pileus, the host or a cloud failed: exit code 2."""


class CommandFailed(Fault):
    """A program failed. `output` is the tail of what it printed."""

    def __init__(
        self, argv: Sequence[str], code: int | None, output: str, *, hint: str | None = None
    ) -> None:
        how = "did not end in time" if code is None else f"ended with code {code}"
        tail = output.strip()[-2000:]
        super().__init__(
            f"`{' '.join(argv)}` {how}" + (f": {tail}" if tail else ""),
            hint=hint or "run the same command again; if it persists, see the log",
            retryable=code is None,
        )
        self.argv = tuple(argv)
        self.code = code
        self.output = output


class CloudFault(Fault):
    """An API call failed. `code` is the API's own error code, as InvalidIPAddress.InUse."""

    def __init__(self, call: str, code: str, message: str, *, hint: str, retryable: bool) -> None:
        super().__init__(f"{call}: {code}: {message}", hint=hint, retryable=retryable)
        self.call = call
        self.code = code
