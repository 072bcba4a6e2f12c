"""Times `trace`, the preflight and the connectivity check, and counts what they say wrongly.

All is held against the limits, on a cloud that is well: one of its own, or with `--running` the
one that ./pileus.yaml (or the default) names.
The exit code says whether it ran, not how fast it was. Run it on an idle machine.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from bench_up import verdict

from pileus.api import check, connectivity, down, sim, status, trace, up
from pileus.model.path import Asked
from pileus.spec import Spec, load, loads
from pileus.system.progress import PlainFace, Progress
from pileus.system.workspace import Workspace

PREFLIGHT_SECONDS = 3.0
TRACE_SECONDS = 5.0
RUNS = 5
HEALTHY_RUNS = 20
SILENT = Asked("router", "203.0.113.9", "icmp", None)
"""Where nobody answers: the longest that a trace waits. [RFC 5737: no host has the address]"""


def healthy(spec: Spec, workspace: Workspace) -> tuple[Asked, ...]:
    """What arrives and is answered."""
    (server, *_) = status.status(spec, workspace).servers
    (port, *_) = [one.public for one in server.published if one.public]
    return (
        Asked("web", "8.8.8.8", "icmp", None),
        Asked("router", "8.8.8.8", "icmp", None),
        Asked("internet", str(port.address), "tcp", port.port),
        Asked("web", "169.254.169.254", "tcp", 80),
    )


def times(act: Callable[[], object]) -> list[float]:
    """Seconds of each run; the first one, with its imports, is left out."""
    act()
    found = []
    for _ in range(RUNS):
        start = time.monotonic()
        act()
        found.append(time.monotonic() - start)
    return found


def tell(what: str, act: Callable[[], object], limit: float) -> None:
    found = times(act)
    verdict(f"{what}, median of {RUNS}", statistics.median(found), limit, "s")
    print(f"        {'  '.join(f'{seconds:.2f}' for seconds in sorted(found))}")


def alarms(spec: Spec, workspace: Workspace, asked: Iterable[Asked]) -> Iterator[str]:
    """What is said to be wrong with a cloud that is well: nothing is tried twice."""
    for finding in check.check(spec, workspace).failed:
        yield f"check: {finding.code} of {finding.subject}: {finding.detail}"
    report = connectivity.check_connectivity(spec, workspace, again=False)
    yield from (f"{one.name}: {one.detail}" for one in report.failed)
    for one in asked:
        answer = trace.trace(spec, workspace, one)
        if answer.failing:
            yield f"trace {one}: {answer.failing.code} at {answer.failing.place.stage}"
        rows = (row for row in answer.rows if row.code and row is not answer.failing)
        yield from (f"trace {one}: {row.code} at {row.place.stage}, passed" for row in rows)


def measure(spec: Spec, workspace: Workspace) -> None:
    tell("check (preflight)", lambda: check.check(spec, workspace), PREFLIGHT_SECONDS)
    answered = healthy(spec, workspace)
    for asked in (*answered, SILENT):
        tell(f"trace {asked}", partial(trace.trace, spec, workspace, asked), TRACE_SECONDS)
    found = times(lambda: connectivity.check_connectivity(spec, workspace))
    print(f"        check connectivity, median of {RUNS}: {statistics.median(found):.1f} s")
    said = [text for _ in range(HEALTHY_RUNS) for text in alarms(spec, workspace, answered)]
    verdict(f"false alarms in {HEALTHY_RUNS} runs", len(said), 0, "of them")
    for text in said:
        print(f"        {text}")


def main() -> None:
    if "--running" in sys.argv[1:]:
        spec = load(file if (file := Path("pileus.yaml")).exists() else None)
        measure(spec, Workspace(spec.cloud))
        return
    spec = loads(b"cloud: bench", name="bench")
    workspace = Workspace(spec.cloud)
    quiet = Progress(PlainFace(sys.stderr))
    sim.image_build(spec, workspace, quiet)
    down.down(spec, workspace, quiet)
    try:
        up.up(spec, workspace, quiet)
        measure(spec, workspace)
    finally:
        down.down(spec, workspace, quiet)


if __name__ == "__main__":
    main()
