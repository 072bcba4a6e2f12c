"""What a region is started with, and where its files are.

Apart from `region`, so that a command that only looks for a region does not load its API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path


@dataclass(frozen=True)
class RegionSettings:
    """What a region's process is started with. `images` maps a name to a root directory."""

    name: str
    api_region: str
    port: int
    """Of 127.0.0.1, for the EC2 API; 0 lets the kernel choose."""
    pool: IPv4Network
    device: str
    """The host's end of the link to the simulated internet."""
    images: Mapping[str, Path]
    elastic_quota: int = 5


@dataclass(frozen=True)
class RegionPlaces:
    """Where a region keeps its files: `runtime` is lost at a reboot, `disks` is large."""

    runtime: Path
    disks: Path

    @property
    def settings(self) -> Path:
        return self.runtime / "settings.json"

    @property
    def ready(self) -> Path:
        """Appears when the API answers: its URL and the process."""
        return self.runtime / "ready.json"

    @property
    def nics(self) -> Path:
        return self.runtime / "nics.json"

    @property
    def process(self) -> Path:
        """Of the API and all that follows from it."""
        return self.runtime / "process.json"

    @property
    def state(self) -> Path:
        """What the API knows; see `vpc.store`."""
        return self.runtime / "state"

    @property
    def metadata_key(self) -> Path:
        """Signs instance metadata's tokens."""
        return self.runtime / "metadata-key"

    @property
    def overview(self) -> Path:
        """What is in the region, for people; see `vpc.overview`."""
        return self.runtime / "overview.json"

    @property
    def faults(self) -> Path:
        """What is wrong on purpose; absent where nothing ever was."""
        return self.runtime / "faults.json"

    @property
    def metadata_requests(self) -> Path:
        """How often instance metadata was asked, by NIC and kind of request."""
        return self.runtime / "metadata-requests.json"

    @property
    def drops(self) -> Path:
        """The last frames that the wire dropped, oldest first."""
        return self.runtime / "drops.json"

    @property
    def log(self) -> Path:
        return self.runtime / "region.log"
