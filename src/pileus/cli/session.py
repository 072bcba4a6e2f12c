"""One run of the command: its log, its progress, and the cloud it is about."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pileus.model.errors import PileusError

if TYPE_CHECKING:
    from pileus.spec import Spec
    from pileus.system.progress import Progress
    from pileus.system.workspace import Workspace

DEFAULT_FILE = Path("pileus.yaml")
_LOGGER = logging.getLogger("pileus")
"""Only our own records are kept: other libraries' may hold requests with credentials."""


@dataclass
class Session:
    """What lives from the start of a command to its exit."""

    log: Path | None = None
    _progress: Progress | None = None
    _handlers: list[logging.Handler] = field(default_factory=list)

    def load(self, file: Path | None) -> tuple[Spec, Workspace]:
        """The wanted cloud and its state directory; warnings about it go to stderr.

        Without `file`, ./pileus.yaml is read if it is there.
        """
        from pileus.spec import load, warnings
        from pileus.system.workspace import Workspace

        spec = load(file or (DEFAULT_FILE if DEFAULT_FILE.exists() else None))
        for sentence in warnings(spec):
            print(f"warning: {sentence}", file=sys.stderr)
        return spec, Workspace(spec.cloud)

    def region(self, name: str | None, file: Path | None) -> str:
        """The name of the simulated region that a command is about: `name`, or the cloud's."""
        from pileus.api import sim as api

        return api.sim_name(name) if name is not None else api.sim_name_of(*self.load(file))

    def watch(self) -> Progress:
        """Progress without a log, for what belongs to no cloud."""
        from pileus.system.progress import progress

        self._progress = progress()
        return self._progress

    def begin(self, command: str, workspace: Workspace, *, verbose: bool) -> Progress:
        """Open the log of a command that changes something, and its progress."""
        from pileus.system.progress import progress

        self._write_to(workspace.new_log(command))
        if verbose:
            self._add(logging.StreamHandler())
        self._progress = progress(journal=workspace.note)
        return self._progress

    def crashed(self) -> None:
        """Write the exception being handled into the log, or into one of its own."""
        from pileus.system.workspace import state_root

        with suppress(OSError, PileusError):
            if self.log is None:
                root = state_root()
                root.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._write_to(root / "crash.log")
            _LOGGER.critical("unexpected", exc_info=True)

    def failed(self) -> None:
        """Write the exception being handled into the log, where there is one."""
        if self.log is not None:
            _LOGGER.debug("failed", exc_info=True)

    def quiet(self) -> None:
        """Stop telling progress, so that an error can be told."""
        if self._progress is not None:
            self._progress.close()

    def close(self) -> None:
        self.quiet()
        for handler in self._handlers:
            _LOGGER.removeHandler(handler)
            handler.close()
        self._handlers = []

    def _write_to(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._add(logging.FileHandler(path))
        self.log = path

    def _add(self, handler: logging.Handler) -> None:
        form = logging.Formatter("%(asctime)sZ %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        form.converter = time.gmtime
        handler.setFormatter(form)
        _LOGGER.addHandler(handler)
        _LOGGER.setLevel(logging.DEBUG)
        self._handlers.append(handler)
