"""The rules of the wire and the uplink as nft text, to be read and to show what a change means.

After a wanted change, renew the files and read what `git diff` shows:
`.venv/bin/python tests/golden/test_golden_wire.py`.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "unit"))  # for renewing; pytest has it already

from uplink_frames import CLONE, NIC, REGISTERED  # noqa: E402
from vpc_states import GUIDE, VPC  # noqa: E402

from pileus.rules.nft import (  # noqa: E402
    atom_text,
    declaration,
    hook_text,
    map_text,
    rule_text,
)
from pileus.rules.ruleset import Table  # noqa: E402
from pileus.uplink import pipeline  # noqa: E402
from pileus.vpc.internet import HostLink, host_guard  # noqa: E402
from pileus.vpc.wire.frames import frames_table  # noqa: E402
from pileus.vpc.wire.packets import packets_table  # noqa: E402

LINK = HostLink("pileus-00000000", IPv4Network("198.51.100.0/24"))
TABLES = {
    "frames": frames_table(GUIDE, VPC),
    "packets": packets_table(GUIDE, VPC),
    "host-guard": host_guard("pileus_demo", LINK),
    "uplink-mac-nat": pipeline.table(NIC, REGISTERED),
    "uplink-mac-clone": pipeline.table(CLONE, REGISTERED),
}


def readable(table: Table) -> str:
    """The table as `nft list table` would lay it out, each rule's name in front of it."""
    lines = [f"table {table.family} {table.name} {{"]
    for named in table.sets:
        if named.dynamic:
            lines.append(f"  set {named.name} {{ {declaration(named)} }}")
            continue
        elements = ", ".join(sorted(atom_text(element) for element in named.elements))
        lines.append(f"  set {named.name} {{ type {named.kind}; elements = {{ {elements} }} }}")
    for mapping in table.maps:
        if mapping.dynamic:
            lines.append(f"  map {mapping.name} {{ {declaration(mapping)} }}")
            continue
        pairs = ", ".join(f"{key} : {value}" for key, value in sorted(map_text(mapping).items()))
        kinds = f"{mapping.key_kind} : {mapping.value_kind}"
        lines.append(f"  map {mapping.name} {{ type {kinds}; elements = {{ {pairs} }} }}")
    for chain in table.chains:
        lines += ["", f"  chain {chain.name} {{"]
        if chain.hook:
            lines.append(f"    {hook_text(chain.hook)}")
        for rule in chain.rules:
            lines += [f"    # {rule.name}", f"    {rule_text(rule)}"]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


@pytest.mark.parametrize("name", TABLES)
def test_the_rules_are_the_ones_that_were_read(name: str) -> None:
    assert (HERE / f"{name}.nft").read_text() == readable(TABLES[name])


def test_every_file_has_a_table() -> None:
    assert {path.stem for path in HERE.glob("*.nft")} == set(TABLES)


if __name__ == "__main__":
    for stem, table in TABLES.items():
        (HERE / f"{stem}.nft").write_text(readable(table))
