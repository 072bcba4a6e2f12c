"""What holds when the rules are gone: a filter behind them, that no `nft flush ruleset` removes.

Between somebody's deleting our table and the agent's putting it back are some milliseconds, in
which the NIC would send the inner side's frames as they are. Traffic control looks at a frame
after nftables has; a classic BPF program there lets out what has the NIC's own MAC, as all frames
have that the rules translated, and nothing to link-local addresses. Pure.

Sources: linux/filter.h (instructions), pkt_cls.h (verdicts), tc-bpf(8) (`direct-action`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pileus.model.addresses import LINK_LOCAL, Mac

Instruction = tuple[int, int, int, int]
"""Code, how many to skip if true, and if false, and a constant."""
Document = list[dict[str, Any]]

_LOAD_WORD, _LOAD_HALF, _IF_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06
_PASS, _DROP = 0, 2
"""TC_ACT_OK and TC_ACT_SHOT."""
_SOURCE_MAC, _ETHER_TYPE, _IP_DESTINATION = 6, 12, 30
"""Offsets in a frame."""
_IPV4 = 0x0800


def program(mac: Mac) -> tuple[Instruction, ...]:
    """The program for a NIC with this MAC."""
    first, last = int.from_bytes(mac.packed[:4], "big"), int.from_bytes(mac.packed[4:], "big")
    link_local = int.from_bytes(LINK_LOCAL.network_address.packed[:2], "big")
    return (
        (_LOAD_WORD, 0, 0, _SOURCE_MAC),
        (_IF_EQUAL, 0, 6, first),
        (_LOAD_HALF, 0, 0, _SOURCE_MAC + 4),
        (_IF_EQUAL, 0, 4, last),
        (_LOAD_HALF, 0, 0, _ETHER_TYPE),
        (_IF_EQUAL, 0, 3, _IPV4),
        (_LOAD_HALF, 0, 0, _IP_DESTINATION),
        (_IF_EQUAL, 0, 1, link_local),
        (_RETURN, 0, 0, _DROP),
        (_RETURN, 0, 0, _PASS),
    )


def missing(device: str, mac: Mac, queues: Document, filters: Document) -> Iterator[list[str]]:
    """The arguments of `tc` that put the program on a device, none where it is already.

    `queues` and `filters` are what `tc -json` shows of the device and of what it sends.
    """
    if not any(queue.get("kind") == "clsact" for queue in queues):
        yield ["qdisc", "add", "dev", device, "clsact"]
    wanted = program(mac)
    if not any(_is(entry, wanted) for entry in filters):
        codes = [" ".join(map(str, instruction)) for instruction in wanted]
        place = ["dev", device, "egress", "pref", "1", "handle", "1", "protocol", "all"]
        text = ",".join([str(len(codes)), *codes])
        yield ["filter", "replace", *place, "bpf", "direct-action", "bytecode", text]


def _is(entry: dict[str, Any], wanted: tuple[Instruction, ...]) -> bool:
    options = entry.get("options", {})
    found = options.get("bytecode", {}).get("insns", [])
    return (
        entry.get("pref") == 1
        and bool(options.get("direct-action"))
        and tuple((one["code"], one["jt"], one["jf"], one["k"]) for one in found) == wanted
    )
