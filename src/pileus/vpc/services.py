"""What a VPC itself serves to its machines: instance metadata, DHCP and DNS."""

from __future__ import annotations

import threading
from collections import Counter
from ipaddress import IPv4Address
from pathlib import Path

from pileus.model.addresses import METADATA_SERVICE
from pileus.system import files
from pileus.vpc import dhcp, faults, metadata
from pileus.vpc.internet import NAMES, listen
from pileus.vpc.lateness import History
from pileus.vpc.settings import RegionPlaces
from pileus.vpc.state import RegionState


class MetadataDesk:
    """What all metadata servers of a region share: what is known, what is wrong, who asked."""

    def __init__(self, places: RegionPlaces, history: History) -> None:
        self._places = places
        self._history = history
        self._turn = threading.Lock()
        found = files.read_json(places.metadata_requests) or {}
        self._requests = {nic: Counter(kinds) for nic, kinds in found.items()}
        self._key = files.secret(places.metadata_key)

    def of(self, vpc: str) -> metadata.Desk:
        """The desk of one VPC's server."""
        return metadata.Desk(
            lambda source: self._asker(vpc, source), self._away, self._count, self._key
        )

    def note(self, state: RegionState) -> None:
        """Take a new state of the region."""
        self._history.note(state, self._faults().metadata_delay)

    def _asker(self, vpc: str, source: IPv4Address) -> metadata.Asker | None:
        """The wire knows an address at once, its instance's metadata only when it has arrived."""
        asking = metadata.asker(self._history.state, vpc, source)
        if asking is None:
            return None
        seen = self._history.seen_by(asking.instance.id, self._faults().metadata_delay)
        return metadata.Asker(seen, asking.instance, asking.nic)

    def _away(self) -> bool:
        return self._faults().metadata_away

    def _count(self, nic: str, kind: str) -> None:
        with self._turn:
            self._requests.setdefault(nic, Counter())[kind] += 1
            files.write_json(self._places.metadata_requests, self._requests)

    def _faults(self) -> faults.Faults:
        return faults.read(self._places.faults)


class VpcServices:
    """The services of one VPC. Its namespace must be configured: they bind to its addresses."""

    def __init__(self, vpc: str, namespace: str, runtime: Path, desk: metadata.Desk) -> None:
        self._dhcp = dhcp.Dhcp(vpc, namespace, runtime / vpc, NAMES)
        listener = listen(namespace, METADATA_SERVICE, 80)
        self._metadata = metadata.serve(listener, desk)

    def follow(self, state: RegionState) -> None:
        """Serve what the state says; metadata asks its desk for each request."""
        self._dhcp.follow(state)

    def stop(self) -> None:
        self._metadata.stop()
        self._dhcp.stop()
