"""The process of a simulated region: `python -m pileus.vpc.daemon SETTINGS DISKS`."""

from __future__ import annotations

import signal
import sys
import threading
from ipaddress import IPv4Network
from pathlib import Path

from pileus.system import files
from pileus.vpc.region import Region
from pileus.vpc.settings import RegionPlaces, RegionSettings


def main(settings_file: Path, disks: Path) -> None:
    """Run a region until SIGTERM."""
    places = RegionPlaces(settings_file.parent, disks)
    region = Region(read_settings(settings_file), places)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    region.start()
    ended.wait()
    region.stop()


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
