"""What is shipped to nodes runs on Python 3.9: rules, uplink, and all that they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
STARTS = ("pileus/rules", "pileus/uplink")
LATER = {
    "StrEnum": "enum, 3.11",
    "pairwise": "itertools, 3.10",
    "batched": "itertools, 3.12",
    "tomllib": "3.11",
    "Self": "typing, 3.11",
    "Never": "typing, 3.11",
    "assert_never": "typing, 3.11",
    "TypeAlias": "typing, 3.10",
    "ParamSpec": "typing, 3.10",
    "override": "typing, 3.12",
    "UTC": "datetime, 3.11",
    "ExceptionGroup": "3.11",
    "TaskGroup": "asyncio, 3.11",
    "file_digest": "hashlib, 3.11",
    "chdir": "contextlib, 3.11",
    "aclosing": "contextlib, 3.10",
    "anext": "3.10",
    "bit_count": "int, 3.10",
    "EllipsisType": "types, 3.10",
    "UnionType": "types, 3.10",
}
ARGUMENTS = {"slots": "dataclass", "kw_only": "dataclass", "strict": "zip", "weakref_slot": "field"}
TYPES = {"int", "str", "bytes", "bool", "float", "dict", "list", "tuple", "set", "frozenset"}


def shipped() -> dict[Path, ast.Module]:
    """The modules of the uplink and the rules, and whatever of ours they import."""
    waiting = [path for start in STARTS for path in (SOURCE / start).rglob("*.py")]
    found: dict[Path, ast.Module] = {}
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = ast.parse(path.read_text(), str(path))
            waiting += imported(found[path])
    return found


def imported(module: ast.Module) -> Iterator[Path]:
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pileus"):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module or ""]
            for name in names:
                place = SOURCE / name.replace(".", "/")
                yield from filter(Path.exists, (place.with_suffix(".py"), place / "__init__.py"))


def too_new(text: str) -> list[str]:
    """Why a module's text would not run on Python 3.9."""
    try:
        module = ast.parse(text, feature_version=(3, 9))
    except SyntaxError as error:
        return [f"line {error.lineno}: {error.msg}"]
    annotations = {id(inner) for outer in _annotations(module) for inner in ast.walk(outer)}
    return [
        f"line {getattr(node, 'lineno', 0)}: {why}"
        for node in ast.walk(module)
        if id(node) not in annotations
        for why in _reasons(node)
    ]


def _annotations(module: ast.Module) -> Iterator[ast.AST]:
    """Annotations are never evaluated where `from __future__ import annotations` stands."""
    lazy = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in module.body
    )
    for node in ast.walk(module) if lazy else ():
        for name in ("annotation", "returns"):
            if getattr(node, name, None):
                yield getattr(node, name)


def _reasons(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Match):
        yield "a match statement"
    names = [getattr(node, "id", None), getattr(node, "attr", None)]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names += [alias.name for alias in node.names]
    yield from (f"{name} ({LATER[name]})" for name in names if name in LATER)
    if isinstance(node, ast.Call):
        called = getattr(node.func, "id", getattr(node.func, "attr", ""))
        for keyword in node.keywords:
            if ARGUMENTS.get(keyword.arg or "") == called:
                yield f"{called}({keyword.arg}=…)"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from ["a union of types with |"] * (_is_type(node.left) and _is_type(node.right))


def _is_type(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return node.value is None
    if isinstance(node, ast.Subscript):
        return _is_type(node.value)
    if isinstance(node, ast.BinOp):
        return _is_type(node.left) or _is_type(node.right)
    name = getattr(node, "id", getattr(node, "attr", ""))
    return name in TYPES or (name[:1].isupper() and not name.isupper())


def test_what_is_shipped_runs_on_python_3_9() -> None:
    problems = [
        f"{path.relative_to(SOURCE)}: {problem}"
        for path in sorted(shipped())
        for problem in too_new(path.read_text())
    ]
    assert problems == []


def test_the_parts_that_must_be_shipped_are_looked_at() -> None:
    names = {str(path.relative_to(SOURCE / "pileus")) for path in shipped()}
    assert {"rules/nft.py", "rules/evaluator.py", "uplink/pipeline.py"} <= names
    assert {"model/verdict.py", "model/errors.py", "system/process.py"} <= names


@pytest.mark.parametrize(
    "text",
    [
        "match x:\n  case 1: pass",
        "from enum import StrEnum",
        "import enum\nclass C(enum.StrEnum): pass",
        "@dataclass(frozen=True, slots=True)\nclass C: pass",
        "zip(a, b, strict=True)",
        "A = int | None",
        "isinstance(x, Match | Count)",
        "def f(x: int | None): pass",
    ],
)
def test_what_python_3_9_lacks_is_seen(text: str) -> None:
    assert too_new(text)


def test_what_only_looks_new_is_let_be() -> None:
    assert not too_new("from __future__ import annotations\ndef f(x: int | None): return x | Y")
    assert not too_new("names = {*a} | b\nmask = FLAG | OTHER")
