"""The state directory of one cloud: everything Pileus keeps on the user's machine.

Layout, all of it private (directory 0700, secrets 0600):

    secrets.json    random passwords, made once
    id_ed25519      SSH key of the cloud, and id_ed25519.pub
    known_hosts     host keys of its machines
    wanted.json     what commands such as `publish` added to pileus.yaml
    journal.jsonl   when which stage started and ended
    clouds.yaml     for the `openstack` command, likewise openrc
    logs/           one file per run

The lock of the cloud lies beside its directory, since the directory goes while the lock is held.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from pileus.model.errors import Fault, UserError
from pileus.model.node import SECRET_NAMES, Secrets
from pileus.system import files, process

_LENGTH = 24
"""Bytes of randomness in a secret."""


def state_root() -> Path:
    """Where the state of all clouds is: $PILEUS_STATE, else the XDG state directory."""
    if own := os.environ.get("PILEUS_STATE"):
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "pileus"


def clouds() -> list[str]:
    """Names of the clouds that have a state directory."""
    root = state_root()
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


@dataclass(frozen=True)
class Workspace:
    """Paths and small documents of one cloud. Nothing is on disk before something is written."""

    cloud: str

    @property
    def directory(self) -> Path:
        return state_root() / self.cloud

    @property
    def private_key(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def clouds_yaml(self) -> Path:
        return self.directory / "clouds.yaml"

    @property
    def openrc(self) -> Path:
        return self.directory / "openrc"

    @property
    def wanted_file(self) -> Path:
        return self.directory / "wanted.json"

    @property
    def journal_file(self) -> Path:
        return self.directory / "journal.jsonl"

    def exists(self) -> bool:
        """Whether anything was ever written for this cloud."""
        return self.directory.is_dir()

    def prepare(self) -> None:
        """Make the directory, readable by its owner only. Raises UserError where that fails."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.directory.chmod(0o700)
        except OSError as error:
            raise UserError(
                f"{self.directory} cannot be made: {error.strerror}",
                hint="set PILEUS_STATE to a directory that you may write to",
            ) from error

    def lock(self) -> AbstractContextManager[None]:
        """Hold the cloud while the body runs. Raises Busy, naming the holder."""
        state_root().mkdir(parents=True, exist_ok=True, mode=0o700)
        return files.lock(state_root() / f"{self.cloud}.lock", what=f"cloud `{self.cloud}`")

    def make_credentials(self) -> None:
        """Make the cloud's SSH key and its passwords; what is there already stays.

        The key has no passphrase, since unattended commands use it. Raises CommandFailed.
        """
        self.prepare()
        known = self._known_secrets()
        missing = {
            name: secrets.token_urlsafe(_LENGTH) for name in SECRET_NAMES if name not in known
        }
        if missing:
            files.write_json(self._secrets_file, {**known, **missing}, mode=files.PRIVATE)
        if not (self.private_key.exists() and self._public_key.exists()):
            for half in (self.private_key, self._public_key):
                half.unlink(missing_ok=True)
            comment = f"pileus-{self.cloud}"
            name = str(self.private_key)
            process.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", name])

    def secrets(self) -> Secrets:
        """The cloud's passwords. Raises UserError where one is not there."""
        known = self._known_secrets()
        if not known.keys() >= set(SECRET_NAMES):
            raise self._without("passwords")
        return Secrets(known)

    def public_key(self) -> str:
        """The cloud's SSH public key line. Raises UserError where it is not there."""
        try:
            return self._public_key.read_text().strip()
        except FileNotFoundError:
            raise self._without("SSH key") from None

    @property
    def _secrets_file(self) -> Path:
        return self.directory / "secrets.json"

    @property
    def _public_key(self) -> Path:
        return self.private_key.with_suffix(".pub")

    def _known_secrets(self) -> dict[str, str]:
        known: dict[str, str] = files.read_json(self._secrets_file) or {}
        return known

    def _without(self, what: str) -> UserError:
        return UserError(
            f"{self.directory} lacks the {what} of cloud `{self.cloud}`",
            hint="be the user who brought it up, with the same PILEUS_STATE, or run `pileus up`",
        )

    def wanted(self) -> dict[str, Any]:
        """What commands added to the wanted state; empty when none did."""
        document: dict[str, Any] = files.read_json(self.wanted_file) or {}
        return document

    def record_wanted(self, document: dict[str, Any]) -> None:
        """Replace what commands added to the wanted state."""
        self.prepare()
        files.write_json(self.wanted_file, document, mode=files.PRIVATE)

    def note(self, stage: str, event: str, *, now: Callable[[], float] = time.time) -> None:
        """Append to the journal: `event` is started, ended or failed. `now` is in Unix seconds."""
        self.prepare()
        entry = {"time": round(now(), 3), "stage": stage, "event": event}
        self._append(self.journal_file, json.dumps(entry) + "\n")

    def journal(self) -> list[dict[str, Any]]:
        """The journal's entries, oldest first. A last line cut off by a crash is left out."""
        if not self.journal_file.exists():
            return []
        return list(_entries(self.journal_file.read_text()))

    def new_log(self, command: str, *, now: Callable[[], float] = time.time) -> Path:
        """An empty log for a run of `command`, named by its time in UTC."""
        self.prepare()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now()))
        path = self.directory / "logs" / f"{stamp}-{command}.log"
        path.parent.mkdir(exist_ok=True, mode=0o700)
        self._append(path, "")
        return path

    def write_client_files(self, *, auth_url: str, password: str, region: str) -> None:
        """Write clouds.yaml and openrc, with which the `openstack` command works."""
        self.prepare()
        auth = {
            "auth_url": auth_url,
            "username": "admin",
            "password": password,
            "project_name": "admin",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        cloud = {"auth": auth, "region_name": region, "identity_api_version": 3}
        document = yaml.safe_dump({"clouds": {self.cloud: cloud}}, sort_keys=False)
        files.write(self.clouds_yaml, document, mode=files.PRIVATE)
        variables = {f"OS_{key.upper()}": value for key, value in auth.items()}
        variables |= {"OS_REGION_NAME": region, "OS_IDENTITY_API_VERSION": "3"}
        # A cloud chosen in the shell before would win over the variables.
        lines = ["unset OS_CLOUD"]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        lines += _past_proxies(urlsplit(auth_url).hostname or "")
        lines += _with_our_tools(Path(sys.executable).parent)
        files.write(self.openrc, "\n".join(lines) + "\n", mode=files.PRIVATE)

    def remove(self) -> None:
        """Remove the directory and all that is in it. Safe to repeat.

        Raises Fault when something stays, naming it.
        """
        if not self.directory.exists():
            return
        try:
            shutil.rmtree(self.directory)
        except OSError as error:
            raise Fault(
                f"{error.filename} cannot be removed: {error.strerror}",
                hint="unmount or close what is below it, then run `pileus down --yes` again",
            ) from error

    @staticmethod
    def _append(path: Path, text: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, files.PRIVATE)
        with os.fdopen(descriptor, "a") as stream:
            stream.write(text)


def _past_proxies(host: str) -> list[str]:
    """Lines of a shell: whatever proxy is set, calls to this host go to it directly."""
    return [
        "no_proxy=${no_proxy:-${NO_PROXY:-}}",
        f'case ",$no_proxy," in ,\\*,|*,{host},*) ;;'
        f' *) no_proxy="${{no_proxy:+$no_proxy,}}{host}" ;; esac',
        'export no_proxy NO_PROXY="$no_proxy"',
    ]


def _with_our_tools(directory: Path) -> list[str]:
    """Lines of a shell: where there is no `openstack` command, it is the one beside our Python."""
    if not (directory / "openstack").exists():
        return []
    return [f"command -v openstack >/dev/null || PATH=$PATH:{shlex.quote(str(directory))}"]


def _entries(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with suppress(ValueError):
            yield json.loads(line)
