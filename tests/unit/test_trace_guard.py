"""Frames made by hand, and how their passage is judged."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest

from pileus.model.addresses import Mac
from pileus.trace.forge import udp_frame
from pileus.trace.guard import Passage, parse


def test_a_frame_by_hand_is_what_a_kernel_would_send() -> None:
    frame = udp_frame(
        (Mac("02:66:6f:72:67:65"), IPv4Address("172.16.20.101")),
        (Mac("02:00:00:00:00:01"), IPv4Address("8.8.8.8")),
        9,
    )
    assert frame[:14].hex() == "02000000000102666f7267650800"
    header = frame[14:34]
    words = [int.from_bytes(header[at : at + 2]) for at in range(0, 20, 2)]
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF  # RFC 791: the sum with its checksum
    assert frame[34:].hex() == "0009000900080000"


@pytest.mark.parametrize(
    ("passage", "ok"),
    [
        (Passage(sent=3, arrived=3, in_stack=0, left=0), True),
        (Passage(sent=3, arrived=3, in_stack=1, left=0), False),
        (Passage(sent=3, arrived=3, in_stack=0, left=1), False),
        (Passage(sent=3, arrived=2, in_stack=0, left=0), False),
        (Passage(sent=0, arrived=0, in_stack=0, left=0), False),
    ],
)
def test_zeros_count_only_when_all_frames_arrived(passage: Passage, ok: bool) -> None:
    assert passage.ok is ok


def test_counters_are_read_per_chain() -> None:
    counted = {"counter": {"packets": 2, "bytes": 56}}
    rules = [{"rule": {"chain": name, "expr": [{"match": {}}, counted]}} for name in ("a", "b")]
    assert parse(json.dumps({"nftables": [{"table": {}}, *rules]})) == {"a": 2, "b": 2}
