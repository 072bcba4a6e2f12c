"""What the host must have before a region is started: each refusal says how to mend it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pileus.api import preflight
from pileus.model.errors import UserError
from pileus.trace.on_host import BAKE_GIB, DISK_GIB, Host
from pileus.trace.on_machine import GIB, MEMORY_GIB

ENOUGH = Host(True, (), BAKE_GIB * GIB, MEMORY_GIB * GIB, 18 * GIB)


def test_a_host_that_has_it_all_is_taken() -> None:
    preflight.require(ENOUGH, baked=False)
    preflight.require(replace(ENOUGH, free_disk=DISK_GIB * GIB), baked=True)


@pytest.mark.parametrize(
    ("host", "baked", "message", "hint"),
    [
        (replace(ENOUGH, is_root=False), True, "needs root", "sudo"),
        (replace(ENOUGH, missing=("nft", "ip")), True, "missing on this host: nft, ip", "install"),
        (replace(ENOUGH, free_disk=DISK_GIB * GIB - 1), True, "4 GiB are needed", "PILEUS_DATA"),
        (replace(ENOUGH, free_disk=BAKE_GIB * GIB - 1), False, "10 GiB are needed", "PILEUS_DATA"),
        (replace(ENOUGH, disk=18 * GIB - 1), True, "18 GiB are needed", "PILEUS_DATA"),
        (replace(ENOUGH, free_memory=MEMORY_GIB * GIB - 1), True, "6 GiB are needed", "larger"),
    ],
)
def test_what_is_missing_is_named_with_a_way_out(
    host: Host, baked: bool, message: str, hint: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        preflight.require(host, baked=baked)
    assert hint in refused.value.hint
    assert refused.value.exit_code == 1


def test_who_is_not_root_hears_that_first() -> None:
    with pytest.raises(UserError, match="needs root"):
        preflight.require(Host(False, ("nft",), 0, 0, 0), baked=False)


def test_memory_that_can_be_had_is_what_counts() -> None:
    meminfo = "MemTotal:       24000000 kB\nMemFree: 1 kB\nMemAvailable:    6291456 kB\n"
    assert preflight._available_memory(meminfo) == 6 * GIB
