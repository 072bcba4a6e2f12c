"""What was checked as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from pileus.model.connectivity import ConnectivityReport, Tried
from pileus.model.errors import UserError
from pileus.model.finding import CheckReport, Finding
from pileus.model.verdict import EXPLANATIONS
from pileus.system import files

_HEAD = '<?xml version="1.0" encoding="utf-8"?>'


@dataclass(frozen=True)
class Case:
    """A test: failed where `ok` is false, skipped where it is unknown."""

    family: str
    name: str
    ok: bool | None
    detail: str
    kind: str = ""
    """The type of its failure."""
    text: str = ""
    """What else there is to say of its failure."""


@dataclass(frozen=True)
class Suite:
    """What one run of a command looked at."""

    name: str
    cases: Sequence[Case]
    seconds: float


def findings(report: CheckReport) -> Suite:
    """A case for each finding."""
    return Suite(
        f"pileus check {report.cloud}", [_finding(one) for one in report.findings], report.seconds
    )


def _finding(finding: Finding) -> Case:
    return Case(
        finding.code.family,
        f"{finding.code}: {finding.subject}",
        finding.ok,
        finding.detail,
        finding.code.value,
        f"{finding.sentence}\nhint: {finding.hint}",
    )


def connectivity(report: ConnectivityReport) -> Suite:
    """A case for each case."""
    return Suite(
        f"pileus check connectivity {report.cloud}",
        [_tried(one) for one in report.cases],
        report.seconds,
    )


def _tried(tried: Tried) -> Case:
    told = [
        f"{code}: {EXPLANATIONS[code].sentence}\nhint: {EXPLANATIONS[code].hint}"
        for code in tried.codes
    ]
    if tried.untraced:
        told.append(f"no trace of {tried.asked}: {tried.untraced}")
    kind = tried.codes[0].value if tried.codes else tried.name
    text = "\n".join((tried.sentence, *told))
    return Case("connectivity", tried.name, tried.ok, tried.detail, kind, text)


def document(suite: Suite) -> str:
    """The suite as a document."""
    element = ElementTree.Element(
        "testsuite",
        name=suite.name,
        tests=str(len(suite.cases)),
        failures=str(sum(case.ok is False for case in suite.cases)),
        errors="0",
        skipped=str(sum(case.ok is None for case in suite.cases)),
        time=f"{suite.seconds:.3f}",
    )
    for case in suite.cases:
        element.append(_element(case))
    ElementTree.indent(element)
    return f"{_HEAD}\n{ElementTree.tostring(element, 'unicode')}\n"


def _element(case: Case) -> ElementTree.Element:
    element = ElementTree.Element(
        "testcase", classname=f"pileus.{case.family}", name=_text(case.name)
    )
    if case.ok is False:
        failure = ElementTree.SubElement(
            element, "failure", type=case.kind, message=_text(case.detail)
        )
        failure.text = "\n".join(map(_text, case.text.splitlines()))
    elif case.ok is None:
        ElementTree.SubElement(element, "skipped", message=_text(case.detail))
    else:
        ElementTree.SubElement(element, "system-out").text = _text(case.detail)
    return element


def _text(seen: str) -> str:
    """Without control characters, which XML cannot hold; a machine may have said anything."""
    return "".join(letter if letter.isprintable() else " " for letter in seen)


def write(path: Path, suite: Suite) -> None:
    """Write the document to a file. Raises UserError where that cannot be."""
    try:
        files.write(path, document(suite))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}", hint="name another file"
        ) from error
