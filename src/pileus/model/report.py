"""How a long command tells what it is doing, without knowing who shows it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Stage(Protocol):
    """A stage that is running."""

    def note(self, text: str) -> None:
        """Say in a few words what happens now."""


class Progress(Protocol):
    """Shows and times the stages of a command."""

    def stage(self, name: str) -> AbstractContextManager[Stage]:
        """Run the body as a stage."""
