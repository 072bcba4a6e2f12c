"""The filter behind the rules: its program, run here instruction by instruction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.model.addresses import Mac
from pileus.uplink.belt import missing, program

NIC = Mac("02:00:00:00:20:01")
HOST = bytes.fromhex("0200000020fe")
PASS, DROP = 0, 2


def verdict(frame: bytes) -> int:
    """What the kernel's classic BPF would return. [linux/filter.h]"""
    at, value, instructions = 0, 0, program(NIC)
    while True:
        code, yes, no, constant = instructions[at]
        at += 1
        if code == 0x06:
            return constant
        if code == 0x15:
            at += yes if value == constant else no
            continue
        size = {0x20: 4, 0x28: 2}[code]
        if constant + size > len(frame):
            return 0  # a load beyond the end ends the program
        value = int.from_bytes(frame[constant : constant + size], "big")


def frame(source: bytes, kind: int = 0x0800, destination: str = "8.8.8.8") -> bytes:
    address = bytes(map(int, destination.split(".")))
    return HOST + source + kind.to_bytes(2, "big") + bytes(16) + address + bytes(8)


def test_frames_with_the_nics_own_mac_leave() -> None:
    assert verdict(frame(NIC.packed)) == PASS
    assert verdict(frame(NIC.packed, kind=0x0806)) == PASS


@pytest.mark.parametrize("digit", range(6))
def test_frames_with_another_mac_do_not(digit: int) -> None:
    other = bytearray(NIC.packed)
    other[digit] ^= 1
    assert verdict(frame(bytes(other))) == DROP
    assert verdict(frame(bytes(other), kind=0x0806)) == DROP


@given(st.binary(min_size=6, max_size=6))
def test_no_mac_but_the_nics_leaves(source: bytes) -> None:
    assert (verdict(frame(source)) == PASS) == (source == NIC.packed)


@pytest.mark.parametrize("address", ["169.254.169.254", "169.254.0.1"])
def test_nothing_reaches_link_local_addresses(address: str) -> None:
    assert verdict(frame(NIC.packed, destination=address)) == DROP


def test_it_is_put_where_it_is_missing_and_nowhere_else() -> None:
    first = list(missing("eth1", NIC, [], []))
    assert [words[0] for words in first] == ["qdisc", "filter"]
    place = [{"kind": "clsact"}]
    instructions = [dict(zip(("code", "jt", "jf", "k"), one, strict=True)) for one in program(NIC)]
    options = {"direct-action": True, "bytecode": {"insns": instructions}}
    there = [{"pref": 1, "kind": "bpf"}, {"pref": 1, "kind": "bpf", "options": options}]
    assert list(missing("eth1", NIC, place, there)) == []
    changed = [{**there[1], "options": {**options, "bytecode": {"insns": instructions[:-1]}}}]
    assert [words[0] for words in missing("eth1", NIC, place, changed)] == ["filter"]
