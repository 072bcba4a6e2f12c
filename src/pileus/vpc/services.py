"""What a VPC itself serves to its machines: instance metadata, DHCP and DNS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pileus.model.addresses import METADATA_SERVICE
from pileus.vpc import dhcp, metadata
from pileus.vpc.internet import NAMES, listen
from pileus.vpc.state import RegionState


class VpcServices:
    """The services of one VPC, whose namespace must exist before the first `follow`."""

    def __init__(
        self, vpc: str, namespace: str, runtime: Path, state: Callable[[], RegionState]
    ) -> None:
        self._vpc = vpc
        self._namespace = namespace
        self._state = state
        self._runtime = runtime / vpc
