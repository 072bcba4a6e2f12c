"""What `pileus check connectivity` tried: one case for each way that must be open, or closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pileus.model.path import Asked, Trace


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

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "sentence": self.sentence,
            "ok": self.ok,
            "detail": self.detail,
            "asked": self.asked.to_json() if self.asked else None,
            "trace": self.trace.to_json() if self.trace else None,
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
