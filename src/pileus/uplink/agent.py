"""The agent's commands, as it runs on a node: `agent.pyz COMMAND`.

prepare          wire the provider NICs and load their rules, before anything can send
run              keep them so, and the published ports; the daemon
sync             make one pass now, and say what it changed
publish          make the ports on stdin the published ones, and say what that changed
bridge [--check] Open vSwitch's part of the wiring
status, metrics  how things are
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from pileus.model.errors import PileusError
from pileus.system import iproute
from pileus.uplink import bridge, control, daemon, keeper, report
from pileus.uplink.config import Ports, read_published
from pileus.uplink.keeper import Keeper, Outcome
from pileus.uplink.metadata import Heard, Metadata, ask
from pileus.uplink.report import View


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Errors go to stderr, with what to do."""
    parser = argparse.ArgumentParser(
        prog="agent.pyz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=sorted(_COMMANDS))
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if not right")
    given = parser.parse_args(arguments)
    if given.check and given.command != "bridge":
        parser.error("only `bridge` has --check")
    try:
        if given.check:
            return 0 if bridge.is_right() else 1
        return _COMMANDS[given.command]()
    except PileusError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code


def _prepare() -> int:
    outcome = Keeper().sync()
    for text in (*outcome.changed, *outcome.problems):
        print(text, file=sys.stderr)
    return 2 if outcome.problems else 0


def _run() -> int:
    daemon.run()


def _sync() -> int:
    _print(synced().to_json())
    return 0


def synced() -> Outcome:
    """One pass, by the daemon if it runs, and else by this process."""
    answer = control.ask("sync")
    if answer is not None:
        return Outcome(tuple(answer["changed"]), tuple(answer["problems"]))
    macs = [nic.mac for nic in keeper.configuration().nics]
    return Keeper().sync(heard=ask(Metadata(), macs, Heard()).addresses)


def _publish() -> int:
    """Routers that are no longer named lose their ports; they are kept until theirs are gone."""
    ports = read_published(_stdin())
    named: Ports = {
        router: ports.get(router, frozenset())
        for router in {**keeper.published(), **ports}
        if router in ports or iproute.identity(keeper.ROUTERS + router)
    }
    _print(Keeper().sync(ports=named).to_json())
    return 0


def _stdin() -> Any:
    try:
        return json.load(sys.stdin)
    except ValueError:
        return None


def _bridge() -> int:
    bridge.make()
    synced()
    return 0


def _status() -> int:
    _print(report.gather(_view()).to_json())
    return 0


def _metrics() -> int:
    print(report.metrics(report.gather(_view())), end="")
    return 0


def _view() -> View | None:
    answer = control.ask("view")
    return None if answer is None else View.from_json(answer)


def _print(document: Any) -> None:
    print(json.dumps(document, indent=1))


_COMMANDS = {
    "bridge": _bridge,
    "metrics": _metrics,
    "prepare": _prepare,
    "publish": _publish,
    "run": _run,
    "status": _status,
    "sync": _sync,
}
