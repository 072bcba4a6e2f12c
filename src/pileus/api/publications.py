"""Which ports are published: what pileus.yaml says, changed by what commands recorded.

Commands are recorded as additions and removals, so that the file and the commands can both go on
changing. Pure, but for the workspace that keeps the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pileus.model.addresses import Socket
from pileus.model.errors import Refused
from pileus.model.publishing import Publication, Published
from pileus.spec import Server, Spec

Pair = tuple[str, Publication]
"""A server's name and a port of it."""


@dataclass(frozen=True)
class Record:
    """What commands changed: ports added, and ports of the file taken back."""

    added: frozenset[Pair] = frozenset()
    removed: frozenset[Pair] = frozenset()

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Record:
        """From the workspace's wanted.json."""
        return cls(_pairs(document.get("published", [])), _pairs(document.get("unpublished", [])))

    def document(self) -> dict[str, Any]:
        """For the workspace's wanted.json."""
        return {
            "published": sorted(f"{name} {port}" for name, port in self.added),
            "unpublished": sorted(f"{name} {port}" for name, port in self.removed),
        }

    def publish(self, pair: Pair, spec: Spec) -> Record:
        """The record after `publish`."""
        added = self.added if pair in _in_file(spec) else self.added | {pair}
        return Record(added, self.removed - {pair})

    def unpublish(self, pair: Pair, spec: Spec) -> Record:
        """The record after `unpublish`."""
        removed = self.removed | {pair} if pair in _in_file(spec) else self.removed
        return Record(self.added - {pair}, removed)


def _pairs(lines: list[str]) -> frozenset[Pair]:
    split = [line.split(" ", 1) for line in lines]
    return frozenset((name, Publication.parse(port)) for name, port in split)


def _in_file(spec: Spec) -> frozenset[Pair]:
    return frozenset((server.name, port) for server in spec.servers for port in server.publish)


def wanted_pairs(spec: Spec, record: Record) -> frozenset[Pair]:
    """What is to be published, of servers that exist."""
    names = {server.name for server in spec.servers}
    pairs = (_in_file(spec) | record.added) - record.removed
    return frozenset(pair for pair in pairs if pair[0] in names)


def published(spec: Spec, record: Record) -> frozenset[Published]:
    """The published ports with their addresses. Raises Refused when two want the same port."""
    servers = {server.name: server for server in spec.servers}
    found: dict[tuple[str, int], Published] = {}
    for name, port in sorted(wanted_pairs(spec, record), key=str):
        item = _resolve(spec, servers[name], port)
        other = found.setdefault((port.protocol, port.port), item)
        if other != item:
            raise Refused(
                f"port {port.port} is published already, to {other.private}",
                hint="choose another port, or `pileus unpublish` that one first",
            )
    return frozenset(found.values())


def _resolve(spec: Spec, server: Server, port: Publication) -> Published:
    return Published(
        port.protocol,
        Socket(spec.underlay.registered_address, port.port),
        Socket(server.fixed_ip, port.target),
    )


def parse_pair(spec: Spec, server: str, port: str) -> Pair:
    """A server and a port as the user typed them. Raises Refused for what cannot be."""
    names = sorted(known.name for known in spec.servers)
    if server not in names:
        raise Refused(
            f"there is no server `{server}`", hint=f"servers are: {', '.join(names) or 'none'}"
        )
    try:
        return server, Publication.parse(port)
    except ValueError as error:
        raise Refused(str(error), hint="write it as 522:22, or 53:53/udp") from error
