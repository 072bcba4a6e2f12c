"""Calls to OpenStack's APIs go to the machine itself, whatever proxy the environment names."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pileus.model.errors import CloudFault
from pileus.openstack.connection import calling, connect


class _Keystone(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(401, "it is Keystone that refuses")

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def keystone() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Keystone)
    answering = threading.Thread(target=server.serve_forever)
    answering.start()
    yield f"http://127.0.0.1:{server.server_port}/v3"
    server.shutdown()
    answering.join()
    server.server_close()


def test_openstack_is_reached_past_a_proxy(keystone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    connection = connect(auth_url=keystone, username="admin", password="-")
    with pytest.raises(CloudFault) as refused, calling("log in"):
        connection.authorize()
    assert refused.value.code == "401"
