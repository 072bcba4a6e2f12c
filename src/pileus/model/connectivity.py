"""What `pileus check connectivity` tried: one case for each way that must be open, or closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pileus.model.path import Asked, Trace
from pileus.model.verdict import EXPLANATIONS, Code


@dataclass(frozen=True)
class Tried:
    """One case, as it came out."""

    name: str
    """Stable, and unique in a cloud: `web-reaches-internet`."""
    sentence: str
    """What must be true."""
    ok: bool | None
    """None where it could not be tried, or cannot be told from here."""
    detail: str
    """What was seen."""
    asked: Asked | None = None
    """Of what a trace tells more."""
    trace: Trace | None = None
    """Where the packet dies; only of a case that failed."""
    code: Code | None = None
    """Why it failed, where the case itself tells; else its trace may."""
    untraced: str | None = None
    """Why there is no trace of a case that failed, and has one."""

    @property
    def codes(self) -> tuple[Code, ...]:
        """Why it failed: what the case itself tells, and then what its trace does."""
        traced = self.trace.codes if self.trace and self.trace.failing else ()
        return tuple(dict.fromkeys((*([self.code] if self.code else ()), *traced)))

    def to_json(self) -> dict[str, Any]:
        code = self.codes[0] if self.codes else None
        return {
            "name": self.name,
            "sentence": self.sentence,
            "ok": self.ok,
            "detail": self.detail,
            "code": code.value if code else None,
            "hint": EXPLANATIONS[code].hint if code else None,
            "asked": self.asked.to_json() if self.asked else None,
            "trace": self.trace.to_json() if self.trace else None,
            "untraced": self.untraced,
        }


@dataclass(frozen=True)
class ConnectivityReport:
    """Everything that one run tried."""

    cloud: str
    cases: tuple[Tried, ...]
    seconds: float

    @property
    def failed(self) -> tuple[Tried, ...]:
        return tuple(case for case in self.cases if case.ok is False)

    @property
    def ok(self) -> bool:
        """No case failed."""
        return not self.failed

    def to_json(self) -> dict[str, Any]:
        """The document of `pileus check connectivity --json`."""
        return {
            "cloud": self.cloud,
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "cases": [case.to_json() for case in self.cases],
        }
