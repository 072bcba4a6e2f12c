"""The agent's passes: cut off anywhere and finished by the next, awaited, and on an old Python."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uplink_node
from uplink_node import ADDRESS, FAR, NIC, ROUTER, SECOND, THIRD, Node

from pileus.model.addresses import Mac, Socket
from pileus.model.errors import Fault
from pileus.model.publishing import Published
from pileus.system import process
from pileus.uplink import on_node

pytestmark = pytest.mark.netns

INNER, TWIN = Mac("fa:16:3e:00:00:01"), Mac("fa:16:3e:00:00:02")
OTHER = "22222222-2222-3333-4444-555555555555"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that is prepared, with a router; no daemon."""
    with uplink_node.node(f"sync{os.getpid()}", tmp_path) as made:
        made.agent("prepare")
        uplink_node.connect(made)
        made.router(ADDRESS, mac=str(INNER))
        yield made


# Cut off anywhere

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pileus.system import files, process
from pileus.uplink import agent
left = int(sys.argv[2])
def counted(deed):
    def do(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return deed(*arguments, **named)
    return do
process.run, files.write_json = counted(process.run), counted(files.write_json)
raise SystemExit(agent.main(["sync"]))
"""


@dataclass(frozen=True)
class State:
    """What is wanted of the node."""

    answer: str
    port: Published

    def wish(self, node: Node) -> None:
        node.metadata.answer = self.answer
        node.publish(self.port)


STATES = (
    State(f"{ADDRESS}\n{SECOND}", Published("tcp", Socket(ADDRESS, 522), Socket(ADDRESS, 22))),
    State(f"{ADDRESS}\n{THIRD}", Published("tcp", Socket(ADDRESS, 8080), Socket(ADDRESS, 80))),
)


def in_force(node: Node) -> list[str]:
    """The rules on the NIC and in the router, and what is written down; sets have no order."""
    listed = [
        node(["nft", "--stateless", "list", "table", "netdev", "pileus_eth1"]),
        node.inside(f"qrouter-{ROUTER}", "nft", "list", "table", "ip", "pileus_publish"),
        node(["cat", "/var/lib/pileus/uplink-state.json"]),
    ]
    return [" ".join(sorted(re.split(r"[,\s]+", done.stdout))) for done in listed]


def test_a_pass_that_is_killed_before_any_of_its_deeds_is_finished_by_the_next(
    node: Node,
) -> None:
    """Deeds are programs that run and files that are written: all that leaves the process."""
    right = []
    for state in STATES:
        state.wish(node)
        node.agent("sync")
        right.append(in_force(node))
    program = [sys.executable, "-c", KILLED, str(node.agent_file)]
    for deeds in itertools.count():
        wanted = deeds % 2
        STATES[wanted].wish(node)
        code = node([*program, str(deeds)], check=False).code
        assert node.table(), "rules are changed in one transaction"
        node.agent("sync")
        assert in_force(node) == right[wanted], deeds
        assert json.loads(node.agent("sync").stdout) == {"changed": [], "problems": []}, deeds
        if code == 0:
            break
        assert code in (-signal.SIGKILL, 128 + signal.SIGKILL), code
    assert deeds > 10
    assert node.foreign() == 0


# Addresses that the machine is told of late


def test_addresses_are_awaited_until_the_machine_was_told_of_them(node: Node) -> None:
    node.start()
    both = frozenset({ADDRESS, SECOND})
    with pytest.raises(Fault, match=f"not learned the addresses of the NIC {NIC}") as late:
        on_node.awaited(node, NIC, both, timeout=0.1)
    assert "instance metadata may be late: repeat the command" in late.value.hint
    assert late.value.retryable
    told = threading.Timer(0.7, setattr, (node.metadata, "answer", f"{ADDRESS}\n{SECOND}"))
    told.start()
    on_node.awaited(node, NIC, both, timeout=uplink_node.SECONDS)
    told.join()
    listed = node(["nft", "list", "set", "netdev", "pileus_eth1", "registered"]).stdout
    assert str(SECOND) in listed, "they are in force"


# Two claimants

JUDGED = """
import sys
sys.path.insert(0, sys.argv[1])
from ipaddress import IPv4Address
from pileus.uplink import report
for seconds in (report.LASTING - 1, report.LASTING):
    status = report.gather(report.View(disputed={IPv4Address(sys.argv[2]): seconds}))
    print(status.health, *status.problems)
"""


def test_an_address_that_two_have_for_long_is_a_problem(node: Node) -> None:
    node.router(ADDRESS, identity=OTHER, mac=str(TWIN))
    for router in (ROUTER, OTHER):
        asks = ["ping", "-c", "1", "-W", "0.2", str(FAR)]
        node.inside(f"qrouter-{router}", *asks, check=False)
    done = node([sys.executable, "-c", JUDGED, str(node.agent_file), str(ADDRESS)])
    assert done.stdout.splitlines() == [
        "ok",
        f"degraded {ADDRESS} is claimed by {INNER} and {TWIN}; only one device may have it",
    ]


# The oldest Python


def oldest() -> str:
    """The oldest Python from 3.9 on that this host has by name."""
    for minor in range(9, sys.version_info.minor):
        python = shutil.which(f"python3.{minor}")
        if python and process.run([python, "--version"], check=False).code == 0:
            return python
    return sys.executable


def test_all_of_it_runs_on_the_oldest_python_of_this_host(node: Node) -> None:
    """That the agent is written in Python 3.9's language: tests/unit/test_rules_python39.py."""
    node.python = oldest()
    node(["ip", "netns", "delete", "uplink0-resolver"])
    assert node.agent("prepare").stderr
    assert on_node.published(node, {ROUTER: frozenset({STATES[0].port})})
    node.metadata.answer = STATES[0].answer
    node.start()
    on_node.awaited(node, NIC, frozenset({ADDRESS, SECOND}), timeout=uplink_node.SECONDS)
    assert node.ping(ADDRESS) == 1
    assert "pileus_uplink_healthy 1\n" in node.agent("metrics").stdout
    assert on_node.published(node, {})
