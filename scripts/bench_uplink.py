"""Holds mac-nat against its limits, in fresh network namespaces; needs root, and no cloud.

Prints each figure's median with its 95 % interval, its bar, and MET, or MISSED where the whole
interval lies beyond the bar. The exit code says whether it could measure, not how fast it was. Run
it on an idle machine: pairs are interleaved, and what others do meanwhile still widens intervals.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path as File
from statistics import median

import bench_uplink_paths as paths
from bench_figures import (
    GBIT,
    MICROSECONDS,
    MILLISECONDS,
    RATIO,
    SECONDS,
    Bar,
    Figure,
    Unit,
    interleaved,
    table,
)
from bench_uplink_paths import ADDRESS, GATEWAY, SUBNET, Path
from bench_uplink_traffic import Load, answered_after, echoing, load, receiving, round_trip

from pileus.model.errors import PileusError
from pileus.rules import apply as rules
from pileus.system import files, process

PAIRS, QUICK_PAIRS = 60, 3
SOME, MANY = 10, 1000
SECONDS_EACH_WAY, SECONDS_OF_PINGS = 0.15, 0.12
LOCK = File("/run/lock/bench-uplink")


class Bench:
    """What is measured, so many times each; `told` are absolute values, to judge the ratios by."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.told: list[str] = []

    def figures(self) -> Iterator[Figure]:
        yield from self._putting_in_place()
        yield self._coming_back()
        yield from self._traffic()

    def _traffic(self) -> Iterator[Figure]:
        nat, plain = paths.translated("nat", SOME), paths.bridged("plain")
        nat_cut = paths.translated("nat-cut", SOME, cut=True)
        plain_cut = paths.bridged("plain-cut", cut=True)
        many, others = paths.translated("many", MANY), paths.masqueraded("others")
        everything = [nat, plain, nat_cut, plain_cut, many, others]
        with load(SECONDS_EACH_WAY) as sender, receiving(everything):
            for path in everything:  # neighbours, and a first look that all of them work
                sender.throughput(path)
            yield self._ratio(sender, "mac-nat / bridged", nat, plain, 0.90)
            # Frame by frame, as Open vSwitch in userspace wants them. It is not in this path, and
            # the rules' share of what is left is no share of what the product does: no bar.
            yield self._ratio(sender, "mac-nat / bridged, no offloads", nat_cut, plain_cut, None)
            yield self._ratio(sender, "mac-nat / MASQUERADE + DNAT", nat, others, 1.0)
            paths.speak(many, MANY)  # claims are kept for a minute
            yield self._ratio(sender, f"{MANY} addresses / {SOME}", many, nat, 0.97)
        with echoing([nat, plain]):
            yield self._added("round trip added by mac-nat", nat, plain, 25e-6)

    def _ratio(
        self, sender: Load, name: str, path: Path, other: Path, limit: float | None
    ) -> Figure:
        pairs = self._pairs(GBIT, name, sender.throughput, path, other)
        values = tuple(one / two for one, two in pairs)
        bar = None if limit is None else Bar("at least", limit)
        return Figure(f"TCP, {name}", RATIO, values, bar)

    def _added(self, name: str, path: Path, other: Path, limit: float) -> Figure:
        pairs = self._pairs(
            MICROSECONDS, name, lambda of: round_trip(of, SECONDS_OF_PINGS), path, other
        )
        values = tuple(one - two for one, two in pairs)
        return Figure(name, MICROSECONDS, values, Bar("at most", limit))

    def _pairs(
        self, unit: Unit, name: str, measure: Callable[[Path], float], path: Path, other: Path
    ) -> tuple[tuple[float, float], ...]:
        _say(name)
        pairs = interleaved(self.count, lambda: measure(path), lambda: measure(other))
        one, two = (unit.text(median(values)) for values in zip(*pairs, strict=True))
        self.told.append(f"{name}: {one} against {two} {unit.name}")
        return pairs

    def _putting_in_place(self) -> Iterator[Figure]:
        _say("putting addresses in place")
        path, wanted = paths.translated("grown", MANY), paths.pipeline_of(MANY)
        whole, one_more = [], []
        for _ in range(self.count):
            rules.remove(wanted.family, wanted.name, namespace=path.node)
            began = time.perf_counter()
            paths.as_the_agent(path, wanted, None)
            whole.append(time.perf_counter() - began)
        paths.speak(path, MANY)
        known = paths.as_the_agent(path, wanted, None)
        for number in range(self.count):
            wanted = paths.pipeline_of(MANY + number + 1)
            began = time.perf_counter()
            known = paths.as_the_agent(path, wanted, known)
            one_more.append(time.perf_counter() - began)
        yield Figure(
            f"putting {MANY} addresses in place", SECONDS, tuple(whole), Bar("at most", 0.5)
        )
        yield Figure("adding one", MILLISECONDS, tuple(one_more), Bar("at most", 0.020))

    def _coming_back(self) -> Figure:
        _say("re-created router")
        path = paths.translated("again", SOME)
        values = tuple(_again(path, number) for number in range(self.count + 1))[1:]
        self.told.append(f"re-created router: {SECONDS.text(max(values))} s at worst")
        return Figure("re-created router: device up to ping", SECONDS, values, Bar("at most", 0.5))


def _again(path: Path, number: int) -> float:
    """A router that was made anew: another MAC, another port, and the address of the last one."""
    role, port, address, own = "again", f"port{number}", ADDRESS + 1, paths.mac(100 + number)
    subnet = IPv4Network((address, SUBNET.prefixlen), strict=False)
    path.plug(role, port, own)

    def begin(answered: threading.Event) -> None:
        path.batch(role, *paths.gateway_commands(address, GATEWAY, subnet))
        for _ in range(paths.ANNOUNCED):
            paths.announce(path, role, own, address)
            if answered.wait(paths.ANNOUNCED_EVERY):
                return

    try:
        return answered_after(path, address, begin)
    finally:
        path.unplug(role, port)


def _say(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    nft = process.run(["nft", "--version"]).stdout.split()[1]
    before = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"kernel {platform.release()}, {cores} cores, nft {nft}; load before: {before}"


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """A polite signal lets us clean up."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument(
        "--quick", action="store_true", help="three pairs: does it run, is it plausible"
    )
    bench = Bench(QUICK_PAIRS if words.parse_args().quick else PAIRS)
    if os.geteuid() != 0:
        sys.exit("error: only root can make network namespaces\nhint: run it with sudo")
    machine, began = _machine(), time.monotonic()
    try:
        with files.lock(LOCK, what="the benchmark"), _ending_in_order(), paths.fresh():
            figures = list(bench.figures())
    except PileusError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"error: {error}\nhint: run it again", file=sys.stderr)
        sys.exit(2)
    print(f"{table(figures)}\n")
    for text in bench.told:
        print(text)
    print(f"{machine}; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
