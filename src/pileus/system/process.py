"""Running programs. Commands are argument lists; secrets go in by stdin or file."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pileus.model.errors import CommandFailed, Fault, UserError
from pileus.system import files

_TIED = ("setpriv", "--pdeathsig", "KILL", "--")
"""The kernel kills the program when the thread that started it ends. [prctl(2), PDEATHSIG]"""
_ENCLOSED = (
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--"),
    *("sh", "-c", '"$@"; exit $?', "sh"),
)
"""All that the program starts, and mounts, is gone when it is. The shell is the first process of
the namespace, which has to collect those whose parents have ended. [pid_namespaces(7)]"""


@dataclass(frozen=True)
class Done:
    """What a program left behind."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float = 60.0,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    tied: bool = False,
) -> Done:
    """Run a program to its end and return what it printed.

    `timeout` is in seconds. `env` is added to the caller's environment. With `log`, both outputs
    are appended to that file instead of being returned. A `tied` program dies with us however we
    end, so that a repeated command does not meet the work of the one that was cut off; as root, all
    that it started dies with it, and what it mounted was never seen outside.

    Raises CommandFailed when it exits non-zero (unless `check` is false) or takes too long, and
    UserError when the program is not installed.
    """
    environment = {**os.environ, **env} if env else None
    stream = log.open("ab") if log else None
    try:
        finished = subprocess.run(
            [*(_tie() if tied else ()), *argv],
            input=stdin.encode() if stdin is not None else None,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=stream or subprocess.PIPE,
            stderr=subprocess.STDOUT if stream else subprocess.PIPE,
            timeout=timeout,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise UserError(
            f"the program `{argv[0]}` is not installed", hint="run `make install` as root"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(argv, None, _text(error.stderr) or _text(error.stdout)) from error
    finally:
        if stream:
            stream.close()
    done = Done(tuple(argv), finished.returncode, _text(finished.stdout), _text(finished.stderr))
    if check and done.code != 0:
        raise CommandFailed(argv, done.code, done.stderr or done.stdout or _tail(log))
    return done


def _tie() -> Sequence[str]:
    """Words before a program that is tied to us; namespaces take root."""
    return (*_TIED, *_ENCLOSED) if os.geteuid() == 0 else _TIED


def _text(raw: bytes | None) -> str:
    return raw.decode(errors="replace") if raw else ""


def _tail(log: Path | None, size: int = 2000) -> str:
    return log.read_text(errors="replace")[-size:] if log and log.exists() else ""


@dataclass(frozen=True)
class ProcessId:
    """A process that we started; its start time tells it from a later one with the same number."""

    pid: int
    started: int
    """Clock ticks after boot, field 22 of /proc/PID/stat. [proc(5)]"""


def identify(pid: int) -> ProcessId | None:
    """The identity of a running process, or None when there is none (or it is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] == "Z":
        return None
    return ProcessId(pid, int(fields[19]))


def alive(process: ProcessId) -> bool:
    """Whether exactly this process still runs."""
    return identify(process.pid) == process


def record(path: Path, process: ProcessId) -> None:
    """Write down a process that may outlive us."""
    files.write_json(path, vars(process))


def recorded(path: Path) -> ProcessId | None:
    """The process that was written down, whether or not it still runs; None where none was."""
    document = files.read_json(path)
    return ProcessId(document["pid"], document["started"]) if document else None


def spawn(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> ProcessId:
    """Start a program that outlives us, in a session of its own, its output appended to `log`.

    Raises UserError when it is not installed and Fault when it is gone at once.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as stream:
            child = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **env} if env else None,
            )
    except FileNotFoundError as error:
        raise UserError(
            f"the program `{argv[0]}` is not installed", hint="run `make install` as root"
        ) from error
    process = identify(child.pid)
    if process is None:
        raise Fault(f"`{argv[0]}` ended at once", hint=f"see {log}")
    return process


def end(process: ProcessId, *, grace: float = 10.0, first: int = signal.SIGTERM) -> None:
    """End a process that we started: first politely, after `grace` seconds for good. Idempotent."""
    for number, wait in ((first, grace), (signal.SIGKILL, 10.0)):
        with _handle(process) as descriptor:
            if descriptor is None:
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
        if wait_for_exit(process, timeout=wait):
            return


def wait_for_exit(process: ProcessId, *, timeout: float | None) -> bool:
    """Wait until a process has ended, at most `timeout` seconds (None: forever); whether it has."""
    with _handle(process) as descriptor:
        if descriptor is None:
            return True
        ended = bool(select.select([descriptor], [], [], timeout)[0])
    if ended:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
    return ended


@contextlib.contextmanager
def _handle(process: ProcessId) -> Iterator[int | None]:
    """A pidfd of exactly this process, None when it is gone; readable once it has ended."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor if alive(process) else None
    finally:
        os.close(descriptor)


def missing_programs(names: Sequence[str]) -> list[str]:
    """Those of `names` that are not on PATH (sbin included, as root's PATH may lack it)."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [name for name in names if shutil.which(name, path=path) is None]
