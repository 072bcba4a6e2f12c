"""The agent as one file: the same bytes each time, and nothing in it that a node lacks."""

from __future__ import annotations

import io
import sys
import zipfile

import pytest

from pileus.uplink import archive


@pytest.fixture(scope="module")
def names() -> list[str]:
    with zipfile.ZipFile(io.BytesIO(archive.build())) as opened:
        assert opened.testzip() is None
        return opened.namelist()


def test_it_is_the_same_each_time() -> None:
    assert archive.build() == archive.build()


def test_it_is_a_program_that_ignores_what_is_installed() -> None:
    assert archive.build().startswith(b"#!/usr/bin/python3 -IS\n")


def test_it_has_what_it_imports_and_not_the_operators_side(names: list[str]) -> None:
    assert {"__main__.py", "pileus/__init__.py", "pileus/uplink/pipeline.py"} <= set(names)
    assert {"pileus/rules/apply.py", "pileus/system/kernel.py"} <= set(names)
    assert not [name for name in names if name.split("/")[1:2] in (["api"], ["node"], ["vpc"])]
    assert not {"pileus/uplink/on_node.py", "pileus/system/netns.py"} & set(names)


def test_it_imports_nothing_else(names: list[str]) -> None:
    ours = {name[: -len(".py")].replace("/", ".") for name in names}
    ours |= {name[: -len(".__init__")] for name in ours if name.endswith(".__init__")}
    for text in archive.sources().values():
        for module in archive.modules(text):
            top = module.partition(".")[0]
            assert top in sys.stdlib_module_names or module.rpartition(".")[0] in ours, module
