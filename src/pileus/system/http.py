"""One HTTP GET."""

from __future__ import annotations

import urllib.request

_LIMIT = 64 * 1024


def get(url: str, *, direct: bool, timeout: float = 10.0) -> str:
    """The body of a page, 64 KiB at most. `direct` goes past any proxy; `timeout` in seconds.

    Raises OSError (urllib's URLError is one) when there is no answer, ValueError for a scheme
    other than HTTP.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"not an HTTP address: {url}")
    handlers = [urllib.request.ProxyHandler({})] if direct else []
    with urllib.request.build_opener(*handlers).open(url, timeout=timeout) as answer:
        body: bytes = answer.read(_LIMIT)
    return body.decode(errors="replace")
