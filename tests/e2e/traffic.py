"""Traffic that flows while something is broken: how much of it was lost, and for how long."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType

from cloud_under_test import CloudUnderTest

INTERVAL = 0.1
"""Seconds between two echo requests."""
_ANSWERED = re.compile(r"icmp_seq=(\d+) ttl=")


@dataclass(frozen=True)
class Outage:
    """What a flow of echo requests lost. `longest` is in seconds."""

    sent: int
    lost: int
    longest: float

    def __str__(self) -> str:
        return f"{self.lost} of {self.sent} packets lost, {self.longest:.1f} s at most in a row"


def outage(answered: list[int], sent: int) -> Outage:
    """Judge a flow by the sequence numbers, from 1 on, that were answered."""
    edges = [0, *sorted(set(answered)), sent + 1]
    longest = max(after - before - 1 for before, after in pairwise(edges))
    return Outage(sent, sent - len(set(answered)), longest * INTERVAL)


class Traffic:
    """Echo requests from the internet to an address, ten a second, while the body runs."""

    def __init__(self, cloud: CloudUnderTest, address: str, limit: float = 600) -> None:
        ping = ["ping", "-n", "-i", str(INTERVAL), "-W", "1", "-w", str(int(limit)), address]
        self._command = cloud.command("sim", "exec", "internet", "--", *ping)
        self._environment = cloud.environment
        self._running: subprocess.Popen[str] | None = None
        self.outage: Outage | None = None

    def __enter__(self) -> Traffic:
        self._running = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **self._environment},
            text=True,
        )
        self._lines = [self._await_first()]
        return self

    def _await_first(self) -> str:
        assert self._running
        assert self._running.stdout
        for line in self._running.stdout:
            if _ANSWERED.search(line):
                return line
        raise AssertionError("no echo request was answered before anything was broken")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._running
        self._running.send_signal(2)  # SIGINT: ping then prints what it counted
        output, _ = self._running.communicate(timeout=30)
        if kind is not None:
            return
        answered = [int(number) for number in _ANSWERED.findall(self._lines[0] + output)]
        counted = re.search(r"(\d+) packets transmitted", output)
        assert counted, output
        self.outage = outage(answered, int(counted[1]))
