"""Which events of the kernel concern the uplink: messages as the kernel sends them."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from pileus.system.kernel import changed_files
from pileus.uplink.events import LinkEvent, changed_tables, link_events, loosened

NEW_LINK = 16
NEW_TABLE, DELETE_TABLE, NEW_RULE, NEW_GENERATION = (0x0A00 + n for n in (0, 2, 6, 15))


def attribute(kind: int, value: bytes) -> bytes:
    padding = -len(value) % 4
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(padding)


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def link(name: str, mac: str) -> bytes:
    address = attribute(1, bytes.fromhex(mac.replace(":", "")))
    return message(NEW_LINK, bytes(16) + attribute(3, name.encode() + b"\0") + address)


def rules(kind: int, table: str) -> bytes:
    return message(kind, bytes(4) + attribute(1, table.encode() + b"\0") + attribute(2, b"\1\2"))


def test_devices_by_name_and_mac() -> None:
    data = link("uplink0-in", "02:00:00:00:20:01") + link("tap1", "")
    assert list(link_events(data)) == [
        LinkEvent("uplink0-in", "02:00:00:00:20:01"),
        LinkEvent("tap1", ""),
    ]


def test_traffic_control_that_was_removed_by_device() -> None:
    def queue(kind: int, index: int) -> bytes:
        return message(kind, struct.pack("=B3xiIII", 0, index, 0xFFFF0000, 0xFFFFFFF1, 0))

    new_queue, delete_queue, delete_filter = 36, 37, 45
    data = queue(new_queue, 5) + queue(delete_queue, 6) + link("eth1", "") + queue(delete_filter, 7)
    assert list(loosened(data)) == [6, 7]
    assert list(link_events(data)) == [LinkEvent("eth1", "")]


def test_tables_whatever_happened_to_them_but_not_the_end_of_a_change() -> None:
    data = rules(DELETE_TABLE, "pileus_eth1") + rules(NEW_RULE, "users")
    end = message(NEW_GENERATION, bytes(4) + attribute(1, struct.pack("!I", 7)))
    assert list(changed_tables(data + end)) == ["pileus_eth1", "users"]


def test_files_by_name() -> None:
    def event(name: bytes) -> bytes:
        return struct.pack("iIII", 1, 8, 0, 16) + name.ljust(16, b"\0")

    data = event(b"uplink.json") + event(b"published.json")
    assert list(changed_files(data)) == ["uplink.json", "published.json"]


@given(st.binary(max_size=200))
def test_anything_at_all_is_read_to_its_end(data: bytes) -> None:
    list(link_events(data))
    list(changed_tables(data))
    list(loosened(data))
    list(changed_files(data))
