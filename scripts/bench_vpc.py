"""Holds the simulated VPC against its limits, in a region of its own; needs root.

Prints each figure's median with its 95 % interval, its bar, and MET, or MISSED where the whole
interval lies beyond the bar. The exit code says whether it could measure, not how fast it was. Run
it on an idle machine: pairs are interleaved, and what others do meanwhile still widens intervals.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path as File
from statistics import median

import bench_vpc_ways as ways
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
from bench_uplink_traffic import Load, answered_after, echoing, load, receiving, round_trip
from bench_vpc_ways import Pair, Way

from pileus import testing
from pileus.model.errors import PileusError
from pileus.system import files, netns, process
from pileus.testing import Instance, Region, Vpc
from pileus.vpc.wire.names import machine_namespace

PAIRS, QUICK_PAIRS = 20, 3
LAUNCHES, QUICK_LAUNCHES = 6, 1
EFFECTS, QUICK_EFFECTS = 200, 10
CALLS, QUICK_CALLS = 200, 20
INSTANCES, NICS = 100, 2
SOME, MANY = 10, 1000
SECONDS_EACH_WAY, SECONDS_OF_PINGS = 0.5, 0.2
EVERY_SECOND = Unit("/s", digits=0)
LOCK = File("/run/lock/bench-vpc")
REGION = "bench-vpc"


class Bench:
    """What is measured; `told` are absolute values, to judge the ratios by."""

    def __init__(self, region: Region, *, quick: bool) -> None:
        self.region = region
        self.quick = quick
        self.told: list[str] = []

    def figures(self) -> Iterator[Figure]:
        with testing.vpc(self.region) as vpc:
            yield from self._many_machines(vpc)
        with testing.vpc(self.region) as vpc:
            pair = ways.pair(vpc, ways.subnet(vpc, ways.OTHER_SUBNET))
            yield from self._calls(vpc)
            yield from self._effect(pair)
            yield from self._traffic(vpc, pair)

    def _many_machines(self, vpc: Vpc) -> Iterator[Figure]:
        _say(f"{INSTANCES} thin instances with {INSTANCES * NICS} NICs")
        other = ways.subnet(vpc, ways.MANY_SUBNET)
        (first,) = vpc.launch()
        interfaces = [
            {"DeviceIndex": index, "SubnetId": other, "Groups": [vpc.group]}
            for index in range(NICS)
        ]
        up, down = [], []
        for _ in range(QUICK_LAUNCHES if self.quick else LAUNCHES):
            began = time.perf_counter()
            made = vpc.launch(INSTANCES, NetworkInterfaces=interfaces)
            _wait(vpc, made, "running")
            first.run("ping", "-q", "-c", "1", "-W", "5", made[-1].address)
            up.append(time.perf_counter() - began)
            began = time.perf_counter()
            ids = [one.id for one in made]
            vpc.region.ec2.terminate_instances(InstanceIds=ids)
            _wait(vpc, made, "terminated")
            left = [one for one in made if netns.existing(machine_namespace(REGION, one.id))]
            if left:
                raise RuntimeError(f"{len(left)} namespaces are still there")
            down.append(time.perf_counter() - began)
        name = f"{INSTANCES} thin instances with {INSTANCES * NICS} NICs"
        yield Figure(f"{name}: up", SECONDS, tuple(up), Bar("at most", 10.0))
        yield Figure(f"{name}: down", SECONDS, tuple(down), Bar("at most", 10.0))

    def _calls(self, vpc: Vpc) -> Iterator[Figure]:
        _say("calls")
        ec2 = self.region.ec2
        tags = ({"Key": "turn", "Value": str(number)} for number in range(1 << 30))
        actions: dict[str, Callable[[], object]] = {
            "DescribeVpcs": lambda: ec2.describe_vpcs(VpcIds=[vpc.id]),
            "DescribeNetworkInterfaces": ec2.describe_network_interfaces,
            "CreateTags": lambda: ec2.create_tags(Resources=[vpc.id], Tags=[next(tags)]),
        }
        for name, act in actions.items():
            seen = []
            for _ in range(QUICK_CALLS if self.quick else CALLS):
                began = time.perf_counter()
                act()
                seen.append(1 / (time.perf_counter() - began))
            yield Figure(f"calls of {name}, one after the other", EVERY_SECOND, tuple(seen), None)

    def _effect(self, pair: Pair) -> Iterator[Figure]:
        """The guest has the address all the time; the cloud knows it from the call on."""
        _say("a call's effect on the wire")
        ec2, eni = self.region.ec2, pair.host.eni
        address = _neighbour(pair.host.address)
        pair.host.run("ip", "addr", "add", f"{address}/32", "dev", "eth0")
        parameters = {"NetworkInterfaceId": eni, "PrivateIpAddresses": [str(address)]}

        def begin(_: threading.Event) -> None:
            ec2.assign_private_ip_addresses(**parameters)

        way, seen = pair.way, []
        for _ in range(QUICK_EFFECTS if self.quick else EFFECTS):
            seen.append(answered_after(way, address, begin))
            ec2.unassign_private_ip_addresses(**parameters)
        name = "an address's assignment: call to ping"
        yield Figure(name, MILLISECONDS, tuple(seen), Bar("at most", 0.050))
        yield Figure(name, MILLISECONDS, tuple(seen), Bar("never more than", 0.250))

    def _traffic(self, vpc: Vpc, pair: Pair) -> Iterator[Figure]:
        ways.register(vpc, SOME)
        with ExitStack() as stack:
            plain = stack.enter_context(ways.unruled(self.region))
            other = stack.enter_context(testing.vpc(self.region))
            full = ways.pair(other, ways.subnet(other, ways.OTHER_SUBNET))
            ways.register(other, MANY)
            some, many = pair.way, full.way
            with load(SECONDS_EACH_WAY) as sender, receiving([some, plain, many]):
                for way in (some, plain, many):  # a first look that all of them work
                    sender.throughput(way)
                yield self._ratio(sender, "enforced / routed without rules", some, plain, 0.85)
                yield self._ratio(sender, f"{MANY} registered pairs / {SOME}", many, some, 0.97)
            with echoing([some, plain]):
                yield self._added("round trip added by enforcement", some, plain, 25e-6)

    def _ratio(self, sender: Load, name: str, way: Way, other: Way, limit: float) -> Figure:
        pairs = self._pairs(GBIT, name, sender.throughput, way, other)
        return Figure(f"TCP, {name}", RATIO, tuple(a / b for a, b in pairs), Bar("at least", limit))

    def _added(self, name: str, way: Way, other: Way, limit: float) -> Figure:
        pairs = self._pairs(
            MICROSECONDS, name, lambda of: round_trip(of, SECONDS_OF_PINGS), way, other
        )
        return Figure(name, MICROSECONDS, tuple(a - b for a, b in pairs), Bar("at most", limit))

    def _pairs(
        self, unit: Unit, name: str, measure: Callable[[Way], float], way: Way, other: Way
    ) -> tuple[tuple[float, float], ...]:
        _say(name)
        count = QUICK_PAIRS if self.quick else PAIRS
        pairs = interleaved(count, lambda: measure(way), lambda: measure(other))
        one, two = (unit.text(median(values)) for values in zip(*pairs, strict=True))
        self.told.append(f"{name}: {one} against {two} {unit.name}")
        return pairs


def _wait(vpc: Vpc, instances: list[Instance], state: str) -> None:
    waiter = vpc.region.ec2.get_waiter(f"instance_{state}")
    ids = [one.id for one in instances]
    waiter.wait(InstanceIds=ids, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})


def _neighbour(address: str) -> IPv4Address:
    """An address of the same subnet that nobody has."""
    last = int(address.rpartition(".")[2])
    return IPv4Address(address) + (1 if last < 200 else -100)


def _say(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    nft = process.run(["nft", "--version"]).stdout.split()[1]
    before = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return f"kernel {platform.release()}, {cores} cores, nft {nft}; load before: {before}"


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("--quick", action="store_true", help="a few of each: is it plausible")
    quick = words.parse_args().quick
    if os.geteuid() != 0:
        sys.exit("error: only root can make network namespaces\nhint: run it with sudo")
    machine, began = _machine(), time.monotonic()
    try:
        with files.lock(LOCK, what="the benchmark"), testing.region(REGION) as region:
            bench = Bench(region, quick=quick)
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
