"""The guard of unit tests is itself tested: each kind of side effect is refused."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OUTSIDE = Path(__file__).parent / "written-by-a-test"


@pytest.mark.parametrize(
    "effect",
    [
        lambda: subprocess.run(["true"], check=True),
        lambda: os.system("true"),  # noqa: S605
        lambda: os.execvp("true", ["true"]),  # noqa: S606
        socket.socket,
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: time.sleep(0),
        lambda: OUTSIDE.write_text("x"),
        lambda: OUTSIDE.open("a"),
        OUTSIDE.mkdir,
        lambda: os.open(OUTSIDE, os.O_CREAT | os.O_WRONLY),
        lambda: os.rename(OUTSIDE, OUTSIDE.with_suffix(".new")),
        lambda: Path(__file__).chmod(0o644),
    ],
)
def test_a_unit_test_cannot_have_a_side_effect(effect: Callable[[], Any]) -> None:
    with pytest.raises(AssertionError, match="in a unit test"):
        effect()
    assert not OUTSIDE.exists()


def test_a_unit_test_may_read_and_may_use_its_own_directory(tmp_path: Path) -> None:
    assert Path(__file__).read_text()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").write_text("x")
