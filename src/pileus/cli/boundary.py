"""The one place where errors become sentences and exit codes.

0 done · 1 the user can mend it · 2 a fault of Pileus or the environment · 130 interrupted ·
129, 143 ended by SIGHUP, SIGTERM
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

import typer

from pileus.cli.called import pasteable
from pileus.cli.session import Session
from pileus.model.errors import InvalidSpec, PileusError
from pileus.system import signals
from pileus.system.signals import Ended

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
RESUME = "`pileus up` goes on where it was; `pileus down --yes` takes everything back"
AGAIN = "run it again"
"""Of a command that keeps no log: it changes no cloud, or ends what it began."""
REPORT = "the log has the traceback; `pileus up` can be repeated, and `pileus down --yes` works"


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the `pileus` command with `argv` (the process's own when None) and exit."""
    from pileus.cli.app import run

    words = sys.argv[1:] if argv is None else list(argv)
    session = Session()
    with signals.raised():
        code = guarded(lambda: run(words, session), session)
    sys.exit(code)


def guarded(action: Callable[[], int], session: Session) -> int:
    """Run a command and return its exit code; errors are told on stderr."""
    try:
        code = action()
        if code == INTERRUPTED:  # Typer turns Ctrl-C into this
            raise KeyboardInterrupt
        sys.stdout.flush()
        return code
    except BaseException as error:
        session.quiet()
        return _told(error, session)
    finally:
        session.close()


def _told(error: BaseException, session: Session) -> int:
    """Tell an error on stderr; the exit code that goes with it."""
    match error:
        case typer.TyperException():
            return _say(1, error.format_message(), f"see `{_command(error)} --help`")
        case typer.Abort() | KeyboardInterrupt():
            return _say(INTERRUPTED, "interrupted", RESUME if session.log else AGAIN, session)
        case Ended():
            session.failed()
            code = 128 + error.number
            return _say(code, str(error), RESUME if session.log else AGAIN, session)
        case BrokenPipeError():
            # The reader of stdout has gone: keep the interpreter from complaining at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case InvalidSpec():
            for problem in error.problems:
                print(pasteable(str(problem)), file=sys.stderr)
            return _say(error.exit_code, error.message, error.hint)
        case PileusError():
            session.failed()
            return _say(error.exit_code, error.message, error.hint, session)
        case Exception():
            session.crashed()
            return _say(2, f"an unexpected {type(error).__name__} stopped Pileus", REPORT, session)
    raise error


def _command(error: typer.TyperException) -> str:
    """The one that was given wrong words; `pileus` where there is none."""
    context = getattr(error, "ctx", None)
    return str(context.command_path) if context else "pileus"


def _say(code: int, message: str, hint: str, session: Session | None = None) -> int:
    print(f"{_red('error:')} {message}\nhint: {pasteable(hint)}", file=sys.stderr)
    if session is not None and session.log is not None and session.log.exists():
        print(f"log: {session.log}", file=sys.stderr)
    return code


def _red(word: str) -> str:
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return f"\x1b[31m{word}\x1b[0m" if colour else word
