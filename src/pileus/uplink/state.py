"""What the agent remembers from one start to the next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.model.addresses import Mac
from pileus.uplink.config import Ports, published_document, read_published
from pileus.uplink.registered import Addresses, addresses


@dataclass(frozen=True)
class State:
    registered: Mapping[Mac, Addresses] = field(default_factory=dict)
    closing: Ports = field(default_factory=dict)
    """Ports that are being taken away, by router, until their connections are cut."""

    def to_json(self) -> dict[str, Any]:
        registered = {str(mac): list(map(str, known)) for mac, known in self.registered.items()}
        return {"registered": registered, "closing": published_document(self.closing)}

    @classmethod
    def from_json(cls, document: Any) -> State:
        """Raises PileusError, KeyError, TypeError or ValueError for what is damaged."""
        registered = {Mac(mac): addresses(known) for mac, known in document["registered"].items()}
        return cls(registered, read_published(document["closing"]))
