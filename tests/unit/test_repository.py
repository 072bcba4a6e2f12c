"""The repository holds to its own rules: README, docs, reference pages and the code agree."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pileus.cli import reference

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "src" / "pileus"
NOT_OURS = {".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", "build"}
HOSTS = ("example", "example.com", "example.net", "example.org", "amazonaws.com", "w3.org")
"""Of documentation, of AWS itself, and of a format's name: other hosts are the user's choice."""
LICENSE_HOST = "apache.org"
SOMEBODYS_PATH = re.compile(r"/(?:home|Users)/(?!user\b)\w+")
"""`/home/user` stands for any."""


def texts() -> Iterator[tuple[str, str]]:
    """All text files of the checkout that are not made by tools: name and content."""
    for directory, below, files in os.walk(TOP):
        below[:] = [name for name in below if name not in NOT_OURS | {"__pycache__"}]
        below[:] = [name for name in below if not name.endswith((".egg-info", "_cache"))]
        for path in (Path(directory) / name for name in files):
            with suppress(UnicodeDecodeError):
                yield str(path.relative_to(TOP)), path.read_text(encoding="utf-8")


def hosts(text: str) -> set[str]:
    """The names of hosts in a text's web addresses; numbers, and what a program fills in, are
    none."""
    return set(re.findall(r"\bhttps?://((?:[\w-]+\.)*[a-z][\w-]*)(?![\w{.-])", text))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (TOP / "Makefile").read_text(), re.MULTILINE))


def documents() -> list[Path]:
    return [TOP / "README.md", TOP / "CHANGELOG.md", *sorted((TOP / "docs").rglob("*.md"))]


def test_no_file_names_a_place_that_packages_or_programs_come_from() -> None:
    told = {
        f"{name}: {host}"
        for name, text in texts()
        for host in hosts(text)
        if "." in host and not f".{host}".endswith(tuple(f".{allowed}" for allowed in HOSTS))
    }
    assert told == {f"LICENSE: www.{LICENSE_HOST}"}


def test_no_file_names_a_path_of_one_machine() -> None:
    told = [
        f"{name}: {found}"
        for name, text in texts()
        for found in [*SOMEBODYS_PATH.findall(text), *re.findall(rf"{re.escape(str(TOP))}/", text)]
    ]
    assert not told


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(TOP))
        for directory in (PACKAGE, TOP / "tests")
        for path in directory.rglob("*.py")
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


@pytest.mark.parametrize("name", sorted(reference.pages()))
def test_the_reference_is_what_the_code_says(name: str) -> None:
    page = TOP / "docs" / "reference" / name
    assert page.read_text() == reference.pages()[name], "run `make docs`"


def test_every_key_of_pileus_yaml_is_documented() -> None:
    assert not reference.undocumented()


def test_every_command_is_in_the_reference() -> None:
    page = (TOP / "docs" / "reference" / "cli.md").read_text()
    commands = [" ".join(words) for words in reference.commands()]
    assert {"up", "plan", "status", "publish", "unpublish", "ssh", "down"} <= set(commands)
    assert {"sim endpoint", "sim exec", "sim wire", "image build"} <= set(commands)
    assert [name for name in commands if f"\n## pileus {name}\n" not in page] == []


def test_commands_that_documents_tell_the_reader_to_run_exist() -> None:
    known = {words[0] for words in reference.commands()} | {"--help", "--version"}
    wrong = []
    for document in documents():
        text = document.read_text()
        wrong += [
            f"{document.name}: make {target}"
            for target in re.findall(r"(?:^|`|&& )make ([a-z-]+)", text, re.MULTILINE)
            if target not in make_targets()
        ]
        wrong += [
            f"{document.name}: pileus {command}"
            for command in re.findall(r"(?:^|`|\./)pileus ([a-z-]+)\b", text, re.MULTILINE)
            if command not in known and command != "is"
        ]
    assert not wrong


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "make test" in (TOP / "README.md").read_text()
    assert (TOP / ".ci" / "run").read_text().rstrip().endswith("\nexec make test")


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in documents():
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            target, _, anchor = link.partition("#")
            if "://" in target:
                continue
            path = (document.parent / target) if target else document
            if not path.exists() or (anchor and anchor not in anchors(path)):
                broken.append(f"{document.name}: {link}")
    assert not broken


def anchors(document: Path) -> set[str]:
    """The headings of a page, spelt as links to them are."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_tests_that_documents_name_exist() -> None:
    """A claim names the test that shows it, as `tests/…/test_x.py::test_y`; so it must be there."""
    missing = []
    for document in documents():
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", document.read_text())
        for file, test in named:
            path = TOP / file
            if not path.exists() or (test and f"def {test}(" not in path.read_text()):
                missing.append(f"{document.name}: {file}::{test}")
    assert not missing


def test_the_lock_can_be_installed_from_anywhere_and_holds_every_dependency() -> None:
    lock = (TOP / "requirements.lock").read_text()
    assert "--index-url" not in lock
    assert "://" not in lock
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    project = (TOP / "pyproject.toml").read_text()
    section = project[project.index("dependencies = [") : project.index("[project.scripts]")]
    wanted = {
        re.split(r"[\[><=]", name)[0].lower()
        for name in re.findall(r'"([\w\-\[\],><=.]+)"', section)
    }
    assert {"boto3", "moto", "pytest"} <= wanted
    assert wanted <= locked


def test_programs_of_the_checkout_can_be_run() -> None:
    programs = [p for p in (TOP / "scripts").iterdir() if not p.suffix]
    for name in (TOP / "pileus", TOP / ".ci" / "run", *programs):
        assert os.access(name, os.X_OK), name
