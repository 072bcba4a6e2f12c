"""Published ports as text and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from pileus.model.addresses import Socket
from pileus.model.errors import CommandFailed, Fault
from pileus.model.publishing import Published
from pileus.system.process import Done
from pileus.uplink import publish

GATEWAY = IPv4Address("172.16.20.101")
SSH = Published("tcp", Socket(GATEWAY, 522), Socket(IPv4Address("192.168.20.5"), 22))
DNS = Published("udp", Socket(GATEWAY, 53), Socket(IPv4Address("192.168.20.6"), 53))


def listing(*published: Published, priority: int = -105) -> str:
    """What `nft --json list table` prints, on 1.0.6 and 1.1 alike."""
    rules = [
        {
            "rule": {
                "chain": "prerouting",
                "expr": [
                    _match("ip", "daddr", str(item.registered.address)),
                    _match(item.protocol, "dport", item.registered.port),
                    {"dnat": {"addr": str(item.private.address), "port": item.private.port}},
                ],
            }
        }
        for item in published
    ]
    hook = {"type": "nat", "hook": "prerouting", "prio": priority, "policy": "accept"}
    chain = {"chain": {"name": "prerouting", **hook}}
    return json.dumps({"nftables": [{"table": {}}, chain, *rules]})


def _match(protocol: str, field: str, value: str | int) -> dict[str, object]:
    left = {"payload": {"protocol": protocol, "field": field}}
    return {"match": {"op": "==", "left": left, "right": value}}


class Namespace:
    """Answers `nft list` with the listings given, one after another; remembers the rest."""

    def __init__(self, *listings: str | None, error: str = "No such file or directory") -> None:
        self.listings = list(listings)
        self.error = error
        self.did: list[tuple[str, ...]] = []
        self.script = ""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        if "list" in argv:
            text = self.listings.pop(0)
            return Done(tuple(argv), int(text is None), text or "", self.error)
        self.did.append(tuple(argv))
        self.script += stdin or ""
        return Done(tuple(argv), 0, "", "")


def test_the_whole_set_is_one_script() -> None:
    assert publish.render(frozenset({SSH, DNS})) == (
        "add table ip pileus_publish\n"
        "delete table ip pileus_publish\n"
        "table ip pileus_publish {\n"
        "  chain prerouting {\n"
        "    type nat hook prerouting priority -105; policy accept;\n"
        "    ip daddr 172.16.20.101 tcp dport 522 dnat to 192.168.20.5:22\n"
        "    ip daddr 172.16.20.101 udp dport 53 dnat to 192.168.20.6:53\n"
        "  }\n"
        "}\n"
    )


def test_nothing_published_leaves_no_table() -> None:
    assert publish.render(frozenset()).splitlines()[-1] == "delete table ip pileus_publish"


def test_what_is_written_is_read_back() -> None:
    assert publish.parse(listing(SSH, DNS)) == frozenset({SSH, DNS})


def test_a_table_that_someone_changed_is_not_taken_for_ours() -> None:
    assert publish.parse(listing(SSH, priority=0)) is None
    assert publish.parse(listing(SSH).replace('"dnat"', '"redirect"')) is None


def test_no_table_is_nothing_published() -> None:
    assert publish.read(Namespace(None)) == frozenset()


def test_a_namespace_that_is_gone_is_not_taken_for_one_without_ports() -> None:
    gone = 'Cannot open network namespace "qrouter-1": No such file or directory'
    with pytest.raises(CommandFailed, match="Cannot open network namespace"):
        publish.read(Namespace(None, error=gone))


def test_loading_is_one_transaction_that_is_read_back() -> None:
    namespace = Namespace(listing(SSH))
    publish.load(namespace, frozenset({SSH}))
    assert namespace.did == [("nft", "-f", "-")]


def test_what_does_not_come_true_is_a_fault() -> None:
    with pytest.raises(Fault, match="differ from what was just set"):
        publish.load(Namespace(listing(DNS)), frozenset({SSH}))


def test_connections_of_a_port_are_cut_and_of_no_other() -> None:
    namespace = Namespace()
    publish.cut(namespace, {SSH})
    (cut,) = namespace.did
    assert cut[2:] == ("-p", "tcp", "--orig-dst", "172.16.20.101", "--orig-port-dst", "522")
