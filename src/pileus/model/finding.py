"""What `pileus check` found: one finding for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pileus.model.errors import Refused
from pileus.model.verdict import EXPLANATIONS, Code


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and the code that tells why a cloud fails where it is wrong."""

    code: Code
    subject: str
    """What was looked at: `memory`, `eth1`, `172.16.20.101`."""
    ok: bool | None
    """None where it cannot be told from here."""
    detail: str
    """What was seen."""

    @property
    def sentence(self) -> str:
        """What is wrong where it is not ok."""
        return EXPLANATIONS[self.code].sentence

    @property
    def hint(self) -> str:
        """What to do about it."""
        return EXPLANATIONS[self.code].hint

    def to_json(self) -> dict[str, Any]:
        wrong = self.ok is False
        return {
            "code": self.code.value,
            "family": self.code.family,
            "component": EXPLANATIONS[self.code].component,
            "subject": self.subject,
            "ok": self.ok,
            "detail": self.detail,
            "sentence": self.sentence if wrong else None,
            "hint": self.hint if wrong else None,
        }


@dataclass(frozen=True)
class CheckReport:
    """Everything that one run of `pileus check` looked at."""

    cloud: str
    findings: tuple[Finding, ...]
    seconds: float
    """How long the looking took."""

    @property
    def failed(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.ok is False)

    @property
    def ok(self) -> bool:
        """Nothing is wrong, as far as can be told."""
        return not self.failed

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus check --json`."""
        return {
            "cloud": self.cloud,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "findings": [finding.to_json() for finding in self.findings],
        }


def require(findings: Iterable[Finding]) -> None:
    """Raise Refused, with how to mend it, for the first finding that is wrong."""
    for finding in findings:
        if finding.ok is False:
            raise Refused(finding.detail, hint=finding.hint)
