"""The baked image: one builds it at a time, and who comes second finds it there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pileus.api import images
from pileus.system import files


@pytest.fixture
def elsewhere() -> Iterator[ExitStack]:
    """What another command holds."""
    with ExitStack() as held:
        yield held


def test_who_meets_another_build_waits_says_so_and_takes_what_that_one_baked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: ExitStack
) -> None:
    monkeypatch.setenv("PILEUS_DATA", str(tmp_path))
    image = images.controller_image()
    elsewhere.enter_context(files.lock(tmp_path / "images/lock", what="the image store"))
    told: list[str] = []

    class Told:
        def note(self, text: str) -> None:
            """The other one is done as soon as we have said that we wait."""
            told.append(text)
            image.root.mkdir(parents=True)
            elsewhere.close()

    images.bake(image, Told(), tmp_path / "log")
    (waiting,) = told
    assert waiting.startswith("waiting: the image store is held by pid ")
    assert not (tmp_path / "log").exists(), "nothing was built"
