"""What a VPC itself serves to its machines: instance metadata, DHCP and DNS."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from pileus.model.addresses import METADATA_SERVICE
from pileus.vpc import dhcp, metadata
from pileus.vpc.internet import NAMES, listen
from pileus.vpc.state import RegionState


class VpcServices:
    """The services of one VPC. Its namespace must be configured: they bind to its addresses."""

    def __init__(
        self, vpc: str, namespace: str, runtime: Path, state: Callable[[], RegionState]
    ) -> None:
        self._vpc = vpc
        self._state = state
        self._dhcp = dhcp.Dhcp(vpc, namespace, runtime / vpc, NAMES)
        listener = listen(namespace, METADATA_SERVICE, 80)
        self._metadata = metadata.serve(listener, self._asker)

    def follow(self, state: RegionState) -> None:
        """Serve what the state says; metadata reads it afresh for each request."""
        self._dhcp.follow(state)

    def stop(self) -> None:
        self._metadata.stop()
        self._dhcp.stop()

    def _asker(self, source: IPv4Address) -> metadata.Asker | None:
        return metadata.asker(self._state(), self._vpc, source)
