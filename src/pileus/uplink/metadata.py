"""What the cloud below says is registered: instance metadata, version 2, without credentials.

A token is fetched by PUT and sent with every question; 401 asks for a new one. A NIC is asked for
by its MAC, never by its device number, which is 0 for a while after it was attached. [EC2 user
guide, "Instance metadata and user data"; amazonlinux/amazon-ec2-net-utils]
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pileus.model.addresses import METADATA_SERVICE, Mac
from pileus.model.errors import Fault
from pileus.system import clock
from pileus.uplink.registered import Addresses, addresses

INTERVAL = 2.0
"""Seconds between two questions."""
_TIMEOUT = 1.0
_LIFETIME = 21600
"""Seconds: the longest that the service grants."""
_TOKEN = "/latest/api/token"  # noqa: S105 - a path
_HEADER = "X-aws-ec2-metadata-token"
_LIMIT = 65536


class Away(Fault):
    """No answer, or one that is none."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"instance metadata: {why}",
            hint="see whether the node can reach http://169.254.169.254; nothing is changed until "
            "it answers",
            retryable=True,
        )


class Metadata:
    """Instance metadata of this machine, with a token that is kept."""

    def __init__(self, host: str = str(METADATA_SERVICE), port: int = 80) -> None:
        self._server = host, port
        self._token: str | None = None

    def registered(self, mac: Mac) -> Addresses:
        """The addresses registered on the NIC with this MAC, primary first.

        Raises Away when there is no answer, and for an empty one.
        """
        path = f"/latest/meta-data/network/interfaces/macs/{mac}/local-ipv4s"
        try:
            found = addresses(self._get(path).split("\n"))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Away(f"{type(error).__name__}: {error}") from error
        if not found:
            raise Away(f"no address of the NIC {mac}")
        return found

    def _get(self, path: str) -> str:
        for fresh in (False, True):
            if self._token is None or fresh:
                self._token = self._new_token()
            status, body = self._ask("GET", path, {_HEADER: self._token})
            if status == http.client.OK:
                return body
            if status != http.client.UNAUTHORIZED:
                break
        raise Away(f"status {status} for {path}")

    def _new_token(self) -> str:
        wanted = {f"{_HEADER}-ttl-seconds": str(_LIFETIME)}
        status, token = self._ask("PUT", _TOKEN, wanted)
        if status != http.client.OK or not (token.isascii() and token.isprintable()):
            raise Away(f"status {status} for a token")
        return token

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self._server, timeout=_TIMEOUT)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(_LIMIT).decode("ascii")
        finally:
            connection.close()


@dataclass(frozen=True)
class Heard:
    """What was heard of the NICs, and since when metadata has been away (monotonic seconds)."""

    addresses: dict[Mac, Addresses] = field(default_factory=dict)
    away_since: float | None = None
    why: str = ""


def ask(metadata: Metadata, macs: Iterable[Mac], before: Heard) -> Heard:
    """Ask for each NIC; one that gets no answer is left out."""
    found: dict[Mac, Addresses] = {}
    why = ""
    for mac in macs:
        try:
            found[mac] = metadata.registered(mac)
        except Away as error:
            why = error.message
    if not why:
        return Heard(found)
    return Heard(found, before.away_since or clock.seconds(), why)


class Listener(threading.Thread):
    """Asks every two seconds, and tells when what it heard is news."""

    def __init__(self, macs: Callable[[], Iterable[Mac]], tell: Callable[[], None]) -> None:
        super().__init__(name="metadata", daemon=True)
        self.heard = Heard()
        """The last; replaced as a whole."""
        self._macs, self._tell = macs, tell
        self._now = threading.Event()

    def hurry(self) -> None:
        """Ask at once."""
        self._now.set()

    def run(self) -> None:
        metadata = Metadata()
        while True:
            heard = ask(metadata, self._macs(), self.heard)
            news = heard.addresses != self.heard.addresses or bool(heard.why) != bool(
                self.heard.why
            )
            self.heard = heard
            if news:
                self._tell()
            self._now.wait(INTERVAL)
            self._now.clear()
