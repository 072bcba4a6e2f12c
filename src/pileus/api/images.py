"""The machine image that controllers of the simulated region boot from, baked once per content."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pileus import node
from pileus.model.errors import Busy
from pileus.model.report import Stage
from pileus.system import files
from pileus.vpc.base_image import build_base

RELEASE = "2025.1"


@dataclass(frozen=True)
class MachineImage:
    """An image by the name it has in the region's catalogue, and its root directory here."""

    name: str
    directory: Path

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def baked(self) -> bool:
        return self.root.is_dir()


def controller_image() -> MachineImage:
    """The image for controllers; its name changes with everything that it is made of."""
    key = node.image_key()
    return MachineImage(f"pileus-openstack-{RELEASE}-{key}", images_directory() / key)


def images_directory() -> Path:
    """Where images are kept; $PILEUS_DATA moves it."""
    return Path(os.environ.get("PILEUS_DATA", "/var/lib/pileus")) / "images"


def bake(image: MachineImage, stage: Stage, log: Path) -> None:
    """Build the image unless it is there. Takes some 4 minutes and 4 GB.

    Waits for another that builds. What an interrupted build left is built anew. Raises
    CommandFailed when a package cannot be had.
    """
    with _store(stage):
        if image.baked:
            return
        unfinished = image.directory / "unfinished"
        image.directory.mkdir(parents=True, exist_ok=True)
        stage.note("Debian 13 (a minute)")
        build_base(unfinished, log=log)
        stage.note("OpenStack and its schemas (three minutes)")
        node.bake(unfinished, log=log)
        unfinished.rename(image.root)
        _remove_others(image)


@contextmanager
def _store(stage: Stage) -> Iterator[None]:
    """Hold the place of all images; who has to wait is told for whom."""
    lock, what = images_directory() / "lock", "the image store"
    with ExitStack() as held:
        try:
            held.enter_context(files.lock(lock, what=what))
        except Busy as busy:
            stage.note(f"waiting: {busy.message}")
            held.enter_context(files.lock(lock, what=what, wait=True))
        yield


def _remove_others(image: MachineImage) -> None:
    """Delete images that match nothing any more, but for those that a machine's disk lies on."""
    mounts = Path("/proc/mounts").read_text()
    for path in images_directory().glob("*/"):
        if path != image.directory and f"{path}/" not in mounts:
            shutil.rmtree(path)
