"""The process of a simulated region: `python -m pileus.vpc.daemon SETTINGS DISKS`."""

from __future__ import annotations

import os
import signal
import sys
from ipaddress import IPv4Network
from pathlib import Path

from pileus.model.errors import PileusError
from pileus.system import files
from pileus.vpc.region import Region
from pileus.vpc.settings import RegionPlaces, RegionSettings


def main(settings_file: Path, disks: Path) -> None:
    """Run a region until SIGTERM. Where it cannot start, the log's last line says why."""
    places = RegionPlaces(settings_file.parent, disks)
    asked = _requests_to_end()
    try:
        region = Region(read_settings(settings_file), places)
        region.start()
    except PileusError as error:
        sys.exit(" ".join(f"{error.message} (hint: {error.hint})".split()))
    os.read(asked, 1)
    region.stop()


def _requests_to_end() -> int:
    """A descriptor that can be read once SIGTERM or SIGINT has come.

    Python runs handlers in the main thread only, and a main thread that waits for a lock may never
    get there: the kernel may deliver the signal to any other thread.
    [Python library reference, signal.set_wakeup_fd]
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reader


def read_settings(path: Path) -> RegionSettings:
    """The settings that `control.start` wrote."""
    document = files.read_json(path) or {}
    return RegionSettings(
        name=document["name"],
        api_region=document["api_region"],
        port=document["port"],
        pool=IPv4Network(document["pool"]),
        device=document["device"],
        images={name: Path(root) for name, root in document["images"].items()},
        elastic_quota=document["elastic_quota"],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
