"""The agent as a daemon: it waits for events, and makes a pass when one concerns the uplink."""

from __future__ import annotations

import contextlib
import errno
import http.server
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from typing import NoReturn

from pileus.model.addresses import Mac
from pileus.model.errors import PileusError
from pileus.system import clock, files, kernel
from pileus.system.notify import notify
from pileus.uplink import control, events, keeper, pipeline, places, report
from pileus.uplink.keeper import ALL, Doubt, Keeper, Outcome
from pileus.uplink.metadata import Listener
from pileus.uplink.report import View

READ_BACK = 30.0
"""Seconds after which everything is looked at, events or not."""
_RETRY = 0.5
"""Seconds until the first new attempt after one that failed; each waits twice as long."""
_SETTLE = 0.01
"""Seconds: what happens to devices comes in bursts, and one pass answers them all."""
_SIZE = 1 << 18


class Daemon:
    """One thread keeps the uplink; another asks metadata, and others serve metrics."""

    def __init__(self) -> None:
        self._keeper = Keeper()
        self._links, self._rules = kernel.link_events(), kernel.rule_events()
        places.SETTINGS.mkdir(parents=True, exist_ok=True)
        self._files = kernel.file_events(places.SETTINGS)
        self._mounts = kernel.mount_events()
        self._wake, self._woken = socket.socketpair()
        self._control = control.listen()
        self._listener = Listener(self._macs, lambda: _ring(self._wake))
        self._metrics_problem: str | None = None
        self._problems: tuple[str, ...] = ()
        self._disputed: dict[IPv4Address, float] = {}
        self._read_back = 0.0
        self._retry = _RETRY

    def run(self) -> NoReturn:
        """Keep the uplink until the process is ended; what is in the kernel then stays."""
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        poll = self._poll()
        self._pass(ALL)
        self._listener.start()
        self._metrics_problem = _serve_metrics(self.view)
        notify("READY=1")
        while True:
            left = self._read_back - clock.seconds()
            ready = dict(poll.poll(max(left, 0.0)))
            doubt = self._doubt(ready)
            if clock.seconds() >= self._read_back:
                doubt = ALL
            if doubt is not None:
                self._pass(doubt)
            if self._control.fileno() in ready:
                self._answer()
            notify("WATCHDOG=1")

    def view(self) -> View:
        """What only the daemon knows; safe to ask for from any thread."""
        heard, now = self._listener.heard, clock.seconds()
        return View(
            problems=(*self._problems, *filter(None, [self._metrics_problem])),
            restored=self._keeper.restored,
            metadata_away=None if heard.away_since is None else now - heard.away_since,
            metadata_why=heard.why,
            disputed={address: now - since for address, since in self._disputed.items()},
        )

    def _poll(self) -> select.epoll:
        poll = select.epoll()
        for readable in (self._links, self._rules, self._files, self._woken, self._control):
            poll.register(readable, select.EPOLLIN)
        poll.register(self._mounts, select.EPOLLPRI)
        return poll

    def _doubt(self, ready: Mapping[int, int]) -> Doubt | None:
        """What may have changed; None when nothing that concerns us did."""
        if not ready or set(ready) == {self._control.fileno()}:
            return None
        links = self._links.fileno() in ready and self._links_changed()
        changed = self._rules.fileno() in ready and self._rules_changed()
        files_changed = self._files in ready and self._files_changed()
        woken = self._woken.fileno() in ready and bool(self._woken.recv(_SIZE))
        if links or changed or files_changed or woken or self._mounts in ready:
            return ALL if self._problems else Doubt(links, changed, routers=False)
        return None

    def _links_changed(self) -> bool:
        clock.sleep(_SETTLE)
        macs, indexes = {str(mac) for mac in self._macs()}, self._keeper.indexes
        return any(
            not data
            or not indexes.isdisjoint(events.loosened(data))
            or any(
                event.name.startswith("uplink") or event.address in macs
                for event in events.link_events(data)
            )
            for data in _drained(self._links)
        )

    def _rules_changed(self) -> bool:
        return any(
            not data or any(name.startswith("pileus_") for name in events.changed_tables(data))
            for data in _drained(self._rules)
        )

    def _files_changed(self) -> bool:
        ours = {places.CONFIG.name, places.PUBLISHED.name}
        return bool(ours & set(kernel.changed_files(os.read(self._files, _SIZE))))

    def _pass(self, doubt: Doubt) -> Outcome:
        try:
            outcome = self._keeper.sync(doubt, self._listener.heard.addresses)
            self._disputed = self._disputes() if doubt.rules else self._disputed
        except (PileusError, OSError) as error:
            outcome = Outcome((), (keeper.told(error),))
        for text in (*outcome.changed, *sorted(set(outcome.problems) - set(self._problems))):
            print(text, flush=True)
        # Only a pass that looked at everything knows that something is mended.
        before = () if doubt == ALL else self._problems
        self._problems = tuple(dict.fromkeys((*before, *outcome.problems)))
        self._plan_next(doubt)
        return outcome

    def _plan_next(self, doubt: Doubt) -> None:
        """What failed is tried again soon, and then less and less often."""
        if self._problems:
            self._read_back = clock.seconds() + self._retry
            self._retry = min(2 * self._retry, READ_BACK)
        elif doubt == ALL:
            self._read_back = clock.seconds() + READ_BACK
            self._retry = _RETRY

    def _disputes(self) -> dict[IPv4Address, float]:
        claimed = [pipeline.claimed_twice(table) for table in self._keeper.tables()]
        addresses = frozenset(address for some in claimed for address in some)
        return report.disputes(self._disputed, addresses, clock.seconds())

    def _answer(self) -> None:
        with contextlib.suppress(OSError), control.accept(self._control) as caller:
            if caller.asks == "sync":
                self._listener.hurry()
                caller.reply(self._pass(ALL).to_json())
            else:
                caller.reply(self.view().to_json())

    @staticmethod
    def _macs() -> list[Mac]:
        try:
            return [nic.mac for nic in keeper.configuration().nics]
        except (PileusError, OSError):
            return []


def _ring(wake: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        wake.send(b".", socket.MSG_DONTWAIT)


def _drained(source: socket.socket) -> list[bytes]:
    """All that waits in a netlink socket; an empty piece stands for messages that were lost."""
    pieces: list[bytes] = []
    while True:
        try:
            pieces.append(source.recv(_SIZE))
        except BlockingIOError:
            return pieces
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            pieces.append(b"")


class _Metrics(http.server.BaseHTTPRequestHandler):
    """Answers GET /metrics."""

    server: _Server
    timeout = 10.0

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(http.HTTPStatus.NOT_FOUND)
            return
        try:
            body = report.metrics(report.gather(self.server.view())).encode()
        except (PileusError, OSError) as error:
            self.send_error(http.HTTPStatus.SERVICE_UNAVAILABLE, explain=keeper.told(error))
            return
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: whoever collects metrics asks often."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, view: Callable[[], View]) -> None:
        super().__init__(places.METRICS, _Metrics)
        self.view = view

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nobody's fault."""


def _serve_metrics(view: Callable[[], View]) -> str | None:
    """Serve on loopback from now on; the sentence that says why not."""
    try:
        server = _Server(view)
    except OSError as error:
        return f"metrics cannot be served on {places.METRICS[0]}:{places.METRICS[1]}: {error}"
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return None


def run() -> NoReturn:
    """Be the daemon. Raises Busy when there is one already."""
    with files.lock(places.RUN / "agent.lock", what="the uplink's agent"):
        Daemon().run()
