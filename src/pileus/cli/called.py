"""How the user calls us, so that what we tell can be pasted."""

from __future__ import annotations

import os
import re
import shlex
import shutil

PROGRAM = "pileus"
_COMMAND = re.compile(rf"(?:(?<=`)|(?<=: )){PROGRAM}(?= )")
"""In a hint, at the beginning of a quotation or of an example."""


def name() -> str:
    """The word that starts us from the user's shell; $PILEUS_CALLED is what the wrapper was."""
    called = os.environ.get("PILEUS_CALLED") or PROGRAM
    return PROGRAM if shutil.which(PROGRAM) == called else shlex.quote(called)


def pasteable(hint: str) -> str:
    """A hint whose commands the user's shell finds."""
    return _COMMAND.sub(lambda _: name(), hint)
