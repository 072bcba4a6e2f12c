"""The EC2 endpoint of a simulated region: HTTP on loopback, one call at a time.

A changing call is done as a whole or not at all. moto changes its store step by step and may refuse
or fail at each of them; so whatever ends a call, a refusal too, the store becomes what was kept
last. That is one rule for all calls, those to come too, and costs no more than to keep a change.

A changing call and what follows from it (the wire, the machines) are one: the call returns when
`on_change` has taken the new state, as a whole. When `on_change` fails, the caller gets AWS's
InternalError, the traceback goes to the log, and the next call brings the state again.
"""

from __future__ import annotations

import itertools
import json
import logging
import re
import select
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape

from moto.core.exceptions import ServiceException
from moto.core.request import Request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

from pileus.model.errors import UserError
from pileus.system import clock
from pileus.vpc import store
from pileus.vpc.ec2 import errors, quotas
from pileus.vpc.ec2.actions import Actions, Answer, refusal
from pileus.vpc.ec2.backend import Backend
from pileus.vpc.ec2.offered import CHANGING
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings
from pileus.vpc.ec2.snapshot import snapshot
from pileus.vpc.faults import Faults, strikes
from pileus.vpc.state import InstanceState, RegionState

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
"""The only address this ever listens on: whoever reaches it starts machines as root."""

MAX_BODY = 1 << 20
PATIENCE = 120.0
"""Seconds that a call without an answer is kept, unless the caller gives it up."""
TARGET, JSON = "HTTP_X_AMZ_TARGET", "application/x-amz-json-1.1"
"""The header that tells AWS's JSON protocol from the query API, and the type of its answers."""
_SCOPE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[\w./-]+/\d{8}/"
    r"(?P<region>[\w-]+)/(?P<service>[\w-]+)/aws4_request"
)

OnChange = Callable[[RegionState], None]


class Ec2Server:
    """A region and its endpoint. `on_change` runs in the thread of the call that caused it."""

    def __init__(
        self,
        settings: Ec2Settings,
        on_change: OnChange,
        wrong: Callable[[], Faults] = Faults,
        backend: Backend | None = None,
        keep: Callable[[bytes], None] = lambda _: None,
        console: Callable[[str], bytes] = lambda _: b"",
    ) -> None:
        """`wrong` tells the faults that are switched on, for each call afresh.

        `backend` is what an earlier process of the region knew, None for a new region; `keep` takes
        it after each change, packed, before anything follows from that. `console` tells what the
        machine of an instance has printed so far.
        """
        self._settings = settings
        self._wrong = wrong
        self._keep = keep
        self._console = console
        self._calls = itertools.count()
        self._backend = backend or Backend(settings)
        self._on_change = on_change
        self._turn = threading.RLock()
        self._state = snapshot(self._backend)
        self._kept = store.packed(self._backend)
        self._published: RegionState | None = self._state
        self._publishing = False
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    # Life

    def start(self) -> None:
        """Listen and serve in a thread. Raises UserError when the port is taken."""
        try:
            listener = socket.create_server((LOOPBACK, self._settings.port))
        except OSError as error:
            raise UserError(
                f"port {self._settings.port} of {LOOPBACK} is in use",
                hint="end the program that listens there, or choose another port",
            ) from error
        with listener:  # werkzeug makes a descriptor of its own
            self._server = make_server(
                LOOPBACK,
                0,
                self.wsgi,
                threaded=True,
                request_handler=_Quiet,
                fd=listener.fileno(),
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="ec2-endpoint", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop serving. Calls under way end first. Idempotent."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        with self._turn:
            self._server = self._thread = None

    @property
    def url(self) -> str:
        """For boto3's `endpoint_url`. Raises RuntimeError before `start`."""
        if self._server is None:
            raise RuntimeError("the endpoint is not started")
        return f"http://{LOOPBACK}:{self._server.port}"

    # What the rest of the simulated VPC asks for

    def state(self) -> RegionState:
        """What exists now. Never waits, so that `on_change` and what it starts may ask too."""
        return self._state

    def settle_instance(
        self, instance_id: str, state: InstanceState, reason: str | None = None
    ) -> None:
        """Report an instance's state: pending → running, stopping → stopped, and so on.

        `reason` is AWS's form "Code: message", for example "Server.InternalError: no boot in time".
        May be called from any thread, from within `on_change` too; then the change is published
        when that call of `on_change` has returned. Raises ServiceException for an unknown id, and
        what `on_change` raises.
        """
        with self._change():
            self._backend.settle(instance_id, state, reason)

    def refresh(self) -> None:
        """Keep the state and hand it on once more: what follows from it has changed by itself, or
        the region is new, and is to come back even if nothing was ever made in it.

        May be called from any thread. Raises what `on_change` raises.
        """
        with self._change():
            self._published = None

    def register_image(self, image: CatalogueImage) -> str:
        """Offer one more image; returns its id."""
        with self._change():
            return self._backend.register_catalogue_image(image)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """The block is a change, and what follows from it."""
        with self._turn:
            try:
                with self._all_or_nothing():
                    yield
            finally:
                self._publish()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """The block changes the store. A change that cannot be read or kept is none, either."""
        try:
            yield
            state, content = snapshot(self._backend), store.packed(self._backend)
            self._keep(content)
        except BaseException:
            self._backend = store.unpacked(self._kept)
            raise
        self._state, self._kept = state, content

    def _publish(self) -> None:
        """Hand on the state where it differs from what was taken last, until it does not."""
        if self._publishing:
            return
        self._publishing = True
        try:
            while (state := self._state) != self._published:
                self._published = None
                self._on_change(state)
                self._published = state
        finally:
            self._publishing = False

    # HTTP

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """The endpoint as a WSGI application, for tests without a socket too."""
        request_id = str(uuid.uuid4())
        call, wrong = next(self._calls), self._wrong()
        if wrong.api_delay:
            clock.sleep(wrong.api_delay)
        if strikes(call, wrong.api_throttle):
            status, body = _refused(environ, errors.throttled(), request_id)
        elif strikes(call, wrong.api_unavailable):
            status, body = _refused(environ, errors.unavailable(), request_id)
        else:
            status, body = self._handle(environ, request_id)
        if strikes(call, wrong.api_lost):
            _say_nothing(environ)
        json_spoken = TARGET in environ
        response = Response(body, status, mimetype=JSON if json_spoken else "text/xml")
        response.headers["x-amzn-RequestId"] = request_id
        return response(environ, start_response)

    def _handle(self, environ: dict[str, Any], request_id: str) -> Answer:
        try:
            return self._dispatch(Request(environ), request_id)
        except ServiceException as error:
            refused = error
        except NotImplementedError:
            log.exception("an action that is not there")
            refused = errors.unsupported("this combination of parameters")
        except HTTPException as error:
            message = "The request received was invalid"
            refused = errors.AwsError("InvalidRequest", message, int(error.code or 400))
        except Exception:
            log.exception("a call failed")
            refused = errors.internal()
        return _refused(environ, refused, request_id)

    def _dispatch(self, request: Request, request_id: str) -> Answer:
        self._check_origin(request)
        if (request.content_length or 0) > MAX_BODY:
            raise errors.AwsError("RequestEntityTooLarge", "The request is too large", 413)
        service = self._signed_for(request)
        if service == "sts":
            return self._sts(request, request_id)
        if service == "servicequotas":
            return self._quotas(request)
        with self._change() if request.values.get("Action") in CHANGING else self._turn:
            return Actions(self._backend, self._console).answer(request)

    def _check_origin(self, request: Request) -> None:
        """Only who means this endpoint gets in: no web page by a name that points to loopback."""
        host = request.host.rpartition(":")[0] or request.host
        if host not in (LOOPBACK, "localhost") or "Origin" in request.headers:
            raise errors.auth_failure("The request does not come from a program on this machine")

    def _signed_for(self, request: Request) -> str:
        """The service a request is signed for. Signatures are not verified: keys are the user's."""
        scope = _SCOPE.match(request.headers.get("Authorization", ""))
        if scope is None:
            raise errors.auth_failure(
                "AWS was not able to validate the provided access credentials"
            )
        if scope["region"] != self._settings.region:
            raise errors.auth_failure(
                f"Credential should be scoped to a valid region, not '{scope['region']}'."
            )
        if scope["service"] not in ("ec2", "sts", "servicequotas"):
            raise errors.unsupported(f"the service {scope['service']}")
        return scope["service"]

    def _quotas(self, request: Request) -> Answer:
        operation = request.headers.get("X-Amz-Target", "").removeprefix(quotas.TARGET_PREFIX)
        wanted = quotas.parse(request.get_data())
        with self._change():
            return 200, json.dumps(self._backend.quotas.answer(operation, wanted))

    def _sts(self, request: Request, request_id: str) -> Answer:
        if request.values.get("Action") != "GetCallerIdentity":
            raise errors.unsupported("other STS actions than GetCallerIdentity")
        account = escape(self._settings.account)
        return 200, (
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<GetCallerIdentityResult><Arn>arn:aws:iam::{account}:root</Arn>"
            f"<UserId>{account}</UserId><Account>{account}</Account></GetCallerIdentityResult>"
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
            "</GetCallerIdentityResponse>"
        )


def _refused(environ: Mapping[str, Any], error: ServiceException, request_id: str) -> Answer:
    status = int(getattr(error, "status", 400))
    if TARGET in environ:
        return status, quotas.refusal(error.code, error.message)
    return status, refusal(error.code, error.message, request_id)


def _say_nothing(environ: Mapping[str, Any]) -> None:
    """Until the caller has had enough."""
    connection = environ.get("werkzeug.socket")
    if connection is not None:
        select.select([connection], [], [], PATIENCE)
        connection.shutdown(socket.SHUT_RDWR)


class _Quiet(WSGIRequestHandler):
    """Requests are not logged: parameters may hold user data."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
