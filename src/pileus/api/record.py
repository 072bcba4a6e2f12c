"""What commands changed of what pileus.yaml says.

Ports and addresses are recorded as additions and removals, so that the file and the commands can
both go on changing. Pure; the workspace keeps the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any

from pileus.model.publishing import Publication
from pileus.plan.addresses import asked_beside, floating_addresses
from pileus.spec import Spec

Pair = tuple[str, Publication]
"""A server's name and a port of it."""
Holder = tuple[str, IPv4Address]
"""A server's name and the floating IP that was added for it, by its registered address."""


@dataclass(frozen=True)
class Record:
    """What commands changed: ports published and taken back, floating IPs added and given back."""

    added: frozenset[Pair] = frozenset()
    removed: frozenset[Pair] = frozenset()
    floating: frozenset[Holder] = frozenset()
    released: Mapping[IPv4Address, int] = field(default_factory=dict)
    """Addresses given back that the file's pass over; each with the number that the file asked for
    when it was one of them, and 0 for one that had been added."""

    @property
    def addresses(self) -> frozenset[IPv4Address]:
        """Those that were added, whatever became of their servers."""
        return frozenset(address for _, address in self.floating)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Record:
        """From the workspace's wanted.json."""
        return cls(
            _pairs(document.get("published", [])),
            _pairs(document.get("unpublished", [])),
            frozenset(
                (name, IPv4Address(address))
                for name, address in (line.split(" ", 1) for line in document.get("floating", []))
            ),
            {
                IPv4Address(address): int(then or 0)
                for address, _, then in (
                    line.partition(" ") for line in document.get("released", [])
                )
            },
        )

    def document(self) -> dict[str, Any]:
        """For the workspace's wanted.json."""
        return {
            "published": sorted(f"{name} {port}" for name, port in self.added),
            "unpublished": sorted(f"{name} {port}" for name, port in self.removed),
            "floating": [f"{name} {address}" for name, address in sorted(self.floating)],
            "released": [f"{address} {then}" for address, then in sorted(self.released.items())],
        }

    def publish(self, pair: Pair, spec: Spec) -> Record:
        """The record after `publish`."""
        added = self.added if pair in ports_in_file(spec) else self.added | {pair}
        return replace(self, added=added, removed=self.removed - {pair})

    def unpublish(self, pair: Pair, spec: Spec) -> Record:
        """The record after `unpublish`."""
        removed = self.removed | {pair} if pair in ports_in_file(spec) else self.removed
        return replace(self, added=self.added - {pair}, removed=removed)

    def float(self, server: str, address: IPv4Address) -> Record:
        """The record after `floating-ip add`."""
        return replace(self, floating=self.floating | {(server, address)})

    def release(self, address: IPv4Address, spec: Spec) -> Record:
        """The record after `floating-ip remove` of one of `in_file` or of those that were added."""
        kept = frozenset(holder for holder in self.floating if holder[1] != address)
        without = replace(self, floating=kept)
        then = 0 if address in self.addresses else asked_beside(spec, address)
        if not then and in_file(spec, without) == in_file(spec, self):
            return without
        then = then or self.released.get(address, 0)
        return replace(without, released={**self.released, address: then})


def in_file(spec: Spec, record: Record) -> tuple[IPv4Address, ...]:
    """The floating addresses that pileus.yaml asks for, beside those that were added."""
    return floating_addresses(spec, record.addresses, record.released)


def _pairs(lines: list[str]) -> frozenset[Pair]:
    split = [line.split(" ", 1) for line in lines]
    return frozenset((name, Publication.parse(port)) for name, port in split)


def ports_in_file(spec: Spec) -> frozenset[Pair]:
    """The ports that pileus.yaml publishes."""
    return frozenset((server.name, port) for server in spec.servers for port in server.publish)
