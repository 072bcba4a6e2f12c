"""Where the files of an instance are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Disk:
    """An instance's directory. A whole machine's root is an overlay on its image; a thin one has
    only what it printed and what was written in the directory itself."""

    directory: Path

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def upper(self) -> Path:
        return self.directory / "upper"

    @property
    def work(self) -> Path:
        return self.directory / "work"

    @property
    def record(self) -> Path:
        """What a later run has to know of the machine: that it is thin, or its process."""
        return self.directory / "machine.json"

    @property
    def exit(self) -> Path:
        """The code with which a whole machine has ended; absent until then."""
        return self.directory / "exit"

    @property
    def console(self) -> Path:
        return self.directory / "console.log"

    @property
    def resolver(self) -> Path:
        """A thin machine's resolv.conf."""
        return self.directory / "resolv.conf"

    @property
    def user_data(self) -> Path:
        """A thin machine's script."""
        return self.directory / "user-data"
