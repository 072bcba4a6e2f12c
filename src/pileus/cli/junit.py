"""Findings as JUnit XML, which continuous integration shows as tests."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from pileus.model.errors import UserError
from pileus.model.finding import CheckReport, Finding
from pileus.system import files

_HEAD = '<?xml version="1.0" encoding="utf-8"?>'


def document(report: CheckReport) -> str:
    """One test suite: a case for each finding, failed where it is wrong, skipped where unknown."""
    unknown = sum(finding.ok is None for finding in report.findings)
    suite = ElementTree.Element(
        "testsuite",
        name=f"pileus check {report.cloud}",
        tests=str(len(report.findings)),
        failures=str(len(report.failed)),
        errors="0",
        skipped=str(unknown),
        time=f"{report.seconds:.3f}",
    )
    for finding in report.findings:
        suite.append(_case(finding))
    ElementTree.indent(suite)
    return f"{_HEAD}\n{ElementTree.tostring(suite, 'unicode')}\n"


def _case(finding: Finding) -> ElementTree.Element:
    name = _text(f"{finding.code}: {finding.subject}")
    case = ElementTree.Element("testcase", classname=f"pileus.{finding.code.family}", name=name)
    if finding.ok is False:
        failure = ElementTree.SubElement(
            case, "failure", type=finding.code.value, message=_text(finding.detail)
        )
        failure.text = f"{finding.sentence}\nhint: {finding.hint}"
    elif finding.ok is None:
        ElementTree.SubElement(case, "skipped", message=_text(finding.detail))
    else:
        ElementTree.SubElement(case, "system-out").text = _text(finding.detail)
    return case


def _text(seen: str) -> str:
    """Without control characters, which XML cannot hold; a machine may have said anything."""
    return "".join(letter if letter.isprintable() else " " for letter in seen)


def write(path: Path, report: CheckReport) -> None:
    """Write the document to a file. Raises UserError where that cannot be."""
    try:
        files.write(path, document(report))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}", hint="name another file"
        ) from error
