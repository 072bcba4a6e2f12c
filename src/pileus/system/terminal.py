"""Handing the terminal over to another program."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from pileus.model.errors import UserError


def become(argv: Sequence[str]) -> NoReturn:
    """Replace this process by a program. Raises UserError when it is not installed."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606 - no shell is what we want
    except FileNotFoundError as error:
        raise UserError(
            f"the program `{argv[0]}` is not installed", hint="run `make install` as root"
        ) from error
