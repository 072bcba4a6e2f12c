"""The commands that cases of connectivity run at their places, in real shells."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pileus.model.addresses import Mac, Socket
from pileus.system import netns, process
from pileus.system.process import Done
from pileus.trace import batch, connectivity
from pileus.trace.checks import Judged, Nic
from pileus.trace.connectivity import Case, Scene, Server

SHELLS = {"dash": [], "busybox": ["busybox"]}
INSTANCE = "i-0123456789abcdef0"
NAMESPACE = f"pileus-t{os.getpid()}-metadata"
SCENE = Scene(
    router="router",
    namespace=NAMESPACE,
    instance_id=INSTANCE,
    provider=Nic("eth1", Mac("02:00:00:00:20:01"), IPv4Address("172.16.20.101")),
    unregistered=IPv4Address("172.16.20.254"),
    closed=Socket(IPv4Address("127.0.0.1"), 9),
    servers=(Server("web", IPv4Address("192.168.20.5")),),
)


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_run_side_by_side_and_keep_their_answers_apart(shell: str) -> None:
    commands = [
        ["sh", "-c", "echo one; echo two >&2; exit 3"],
        ["printf", "%s", "0 0 AAAA\n1 0 a 'quoted' $(word)"],
        ["cat"],
        ["no-such-program"],
        ["sleep", "0.5"],
        ["sleep", "0.5"],
    ]
    start = os.times().elapsed
    done = batch.run_all(_runner(SHELLS[shell]), commands)
    assert os.times().elapsed - start < 1, "the two sleeps overlap"
    assert [one.code for one in done] == [3, 0, 0, 127, 0, 0]
    assert done[0].stdout == "one\ntwo\n"
    assert done[1].stdout == "0 0 AAAA\n1 0 a 'quoted' $(word)"
    assert done[2].stdout == "", "nobody reads the script"


def _runner(prefix: Sequence[str], *, inside: str | None = None) -> partial[Done]:
    enter = ["ip", "netns", "exec", inside] if inside else []

    def run(argv: Sequence[str], **options: object) -> Done:
        return process.run([*enter, *prefix, *argv], **options)  # type: ignore[arg-type]

    return partial(run)


class Metadata(http.server.BaseHTTPRequestHandler):
    """The instance metadata of a cloud below, as it answers with tokens."""

    tokens = True

    id = INSTANCE

    def do_PUT(self) -> None:
        self._answer(200 if self.tokens else 404, b"AQAEtoken")

    def do_GET(self) -> None:
        self._answer(200, self.id.encode())

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class OpenStackMetadata(Metadata):
    """Nova's: it knows the paths of EC2's, and no tokens."""

    tokens, id = False, "i-00000001"


class Tokens(Metadata):
    """Tells no id; its answers end without a new line."""

    id = "who are you?"


@pytest.fixture(params=[80, 8080])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    netns.ensure(NAMESPACE)
    netns.batch(NAMESPACE, ["addr add 169.254.169.254/32 dev lo"])
    yield request.param
    netns.remove(NAMESPACE)


@pytest.mark.parametrize("handler", [Metadata, Tokens, OpenStackMetadata])
def test_any_answer_from_below_is_found_and_openstacks_is_none(
    port: int, handler: type[Metadata], tmp_path: Path
) -> None:
    (tmp_path / "nc").symlink_to("/usr/bin/busybox")
    make = partial(http.server.ThreadingHTTPServer, ("169.254.169.254", port), handler)
    with netns.run_inside(NAMESPACE, make) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, judged in _no_metadata_below(tmp_path):
            assert judged.ok is (handler is OpenStackMetadata), (name, judged.detail)
        server.shutdown()


def _no_metadata_below(busybox: Path) -> Iterator[tuple[str, Judged]]:
    """By busybox' nc, as in a guest, and by curl, as on the machine."""
    path = ["env", f"PATH={busybox}:{os.environ['PATH']}"]
    cases = {case.name: case for case in connectivity.cases(SCENE)}
    for name in ("web-no-underlay-metadata", "router-no-underlay-metadata"):
        case: Case = cases[name]
        inside = NAMESPACE if name.startswith("web") else None
        yield name, case.judge(batch.run_all(_runner(path, inside=inside), [case.argv])[0])


def test_a_port_is_tried_from_the_internet() -> None:
    (closed,) = [case for case in connectivity.cases(SCENE) if case.name == "closed-port"]
    assert closed.judge(process.run(closed.argv)).detail == "connection refused"
