"""Machines that are switched on and off, reboot and end, with a tiny image and a real region."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from tiny_machine import TinyMachine, build

from pileus.system import clock, files, netns, process
from pileus.vpc import control, machines, whole
from pileus.vpc.control import Offer, RunningRegion
from pileus.vpc.disks import Disk
from pileus.vpc.machines import Machines
from pileus.vpc.state import Instance, RegionState
from pileus.vpc.wire.names import machine_namespace

pytestmark = pytest.mark.netns

NAME = f"m{os.getpid()}"
QUICKLY = {"Delay": 0.1, "MaxAttempts": 200}


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="pileus-machines-"))
    directory.chmod(0o755)
    try:
        yield build(directory / "tiny")
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def running(image: Path) -> Iterator[RunningRegion]:
    """A region with the tiny image, and one whose files are lost."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILEUS_RUN", str(image.parent / "run"))
        patch.setenv("PILEUS_DATA", str(image.parent / "data"))
        images = {"tiny": image, "lost": image.parent / "lost"}
        try:
            yield control.start(NAME, Offer(images))
        finally:
            control.remove(NAME)


class Cloud:
    """The region's API, with one subnet."""

    def __init__(self, running: RunningRegion) -> None:
        self.ec2: Any = boto3.client(
            "ec2",
            endpoint_url=running.url,
            region_name="us-east-1",
            aws_access_key_id="simulated",
            aws_secret_access_key="simulated",
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )
        vpc = self.ec2.create_vpc(CidrBlock="172.16.0.0/16")["Vpc"]["VpcId"]
        made = self.ec2.create_subnet(VpcId=vpc, CidrBlock="172.16.20.0/24")
        self.subnet = made["Subnet"]["SubnetId"]

    def launch(self, image: str = "tiny", **wanted: Any) -> str:
        names = [{"Name": "name", "Values": [image]}]
        (found,) = self.ec2.describe_images(Filters=names)["Images"]
        made = self.ec2.run_instances(
            ImageId=found["ImageId"],
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.subnet,
            **wanted,
        )
        return str(made["Instances"][0]["InstanceId"])

    def look(self, instance: str) -> Any:
        found = self.ec2.describe_instances(InstanceIds=[instance])
        return found["Reservations"][0]["Instances"][0]

    def state(self, instance: str) -> str:
        return str(self.look(instance)["State"]["Name"])

    def await_state(self, instance: str, state: str) -> None:
        waiter = self.ec2.get_waiter(f"instance_{state}")
        waiter.wait(InstanceIds=[instance], WaiterConfig=QUICKLY)


@pytest.fixture(scope="module")
def cloud(running: RunningRegion) -> Cloud:
    return Cloud(running)


@pytest.fixture
def instance(cloud: Cloud) -> Iterator[str]:
    """An instance that is up for its first time."""
    made = cloud.launch()
    tiny(made).boots(1)
    yield made
    cloud.ec2.terminate_instances(InstanceIds=[made])


def tiny(instance: str) -> TinyMachine:
    return TinyMachine(Disk(control.places(NAME).disks / instance))


def nic(instance: str) -> str:
    inside = machine_namespace(NAME, instance)
    return str(netns.links(inside)["eth0"]["address"])


def by_api(cloud: Cloud, instance: str) -> None:
    cloud.ec2.reboot_instances(InstanceIds=[instance])


def by_itself(cloud: Cloud, instance: str) -> None:
    tiny(instance).tell("busybox reboot -f")


def by_stop_and_start(cloud: Cloud, instance: str) -> None:
    cloud.ec2.stop_instances(InstanceIds=[instance])
    cloud.await_state(instance, "stopped")
    assert len(cloud.look(instance)["NetworkInterfaces"]) == 1
    cloud.ec2.start_instances(InstanceIds=[instance])


@pytest.mark.parametrize("reboot", [by_api, by_itself, by_stop_and_start])
def test_a_reboot_keeps_disk_name_and_nics_and_nothing_that_was_made_of_them(
    cloud: Cloud, instance: str, reboot: Callable[[Cloud, str], None]
) -> None:
    before, mac = cloud.look(instance), nic(instance)
    machine = tiny(instance)
    found = machine.boots(1)
    assert found.split() == [f"{before['PrivateDnsName'].split('.')[0]}:", "eth0", "lo"]
    machine.do("busybox touch /kept")
    netns.batch(machine_namespace(NAME, instance), ["link add made type bridge"])

    reboot(cloud, instance)

    assert machine.boots(2) == found, "and no bridge of the last boot"
    machine.do("busybox ls /kept")
    assert nic(instance) == mac
    machine.do("busybox ip link set eth0 up")
    machine.do("busybox udhcpc -i eth0 -n -q -t 3 -T 1")
    assert machine.said(f"lease of {before['PrivateIpAddress']} obtained")
    cloud.await_state(instance, "running")
    after = cloud.look(instance)
    for same in ("PrivateIpAddress", "PrivateDnsName", "InstanceId"):
        assert after[same] == before[same]
    assert [report.nic.instance for report in control.counters(NAME)] == [instance]


def test_rebooting_does_not_look_like_stopping(cloud: Cloud, instance: str) -> None:
    for boots in (2, 3):
        cloud.ec2.reboot_instances(InstanceIds=[instance])
        assert cloud.state(instance) == "running"
        tiny(instance).boots(boots)
        assert cloud.state(instance) == "running"


def test_a_machine_that_powers_itself_off_is_stopped_and_can_be_started(
    cloud: Cloud, instance: str
) -> None:
    tiny(instance).tell("busybox poweroff -f")
    cloud.await_state(instance, "stopped")
    assert cloud.look(instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    cloud.ec2.start_instances(InstanceIds=[instance])
    tiny(instance).boots(2)
    assert "StateReason" not in cloud.look(instance)


def test_or_is_terminated_where_it_was_launched_so(cloud: Cloud) -> None:
    instance = cloud.launch(InstanceInitiatedShutdownBehavior="terminate")
    tiny(instance).boots(1)
    tiny(instance).tell("busybox poweroff -f")
    cloud.await_state(instance, "terminated")
    assert cloud.look(instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert not (control.places(NAME).disks / instance).exists()


def test_an_instance_that_cannot_boot_is_terminated_with_a_reason_and_harms_no_other(
    cloud: Cloud, instance: str
) -> None:
    broken = cloud.launch("lost")
    assert cloud.state(broken) == "terminated"
    assert cloud.look(broken)["StateReason"]["Code"] == "Server.InternalError"
    cloud.ec2.create_tags(Resources=[instance], Tags=[{"Key": "after", "Value": "it"}])
    assert cloud.state(instance) == "running"


class Power:
    """Machines without a region around them: what they report, and one instance."""

    def __init__(self, directory: Path, image: Path) -> None:
        self.reports: list[tuple[str, str | None]] = []
        self.over = threading.Event()
        self.directory = directory
        self.machines = Machines(NAME, directory, {"tiny": image}, self._report, self.over.set)
        self.instance = Instance(
            "i-0fedcba9876543210", "m5.large", "tiny", "pending", "tiny-1", None, None, None
        )
        netns.ensure(machine_namespace(NAME, self.instance.id))

    def _report(self, instance: str, state: str, reason: str | None) -> None:
        self.reports.append((state, reason))

    def become(self, **changes: Any) -> None:
        self.instance = replace(self.instance, **changes)
        self.machines.follow(RegionState(instances={self.instance.id: self.instance}))

    @property
    def disk(self) -> Disk:
        return Disk(self.directory / self.instance.id)


@pytest.fixture
def power(image: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Power]:
    monkeypatch.setattr(whole, "STOP_SECONDS", 0.5)
    made = Power(Path(tempfile.mkdtemp(dir=image.parent)), image)
    try:
        yield made
    finally:
        machines.remove_machines(made.directory)
        netns.remove(machine_namespace(NAME, made.instance.id))


def test_a_machine_that_does_not_listen_is_cut_off_and_boots_again(power: Power) -> None:
    power.become()
    machine = TinyMachine(power.disk)
    machine.boots(1)
    machine.do("trap : INT")
    power.become(state="running", reboots=1)
    assert power.over.wait(20)
    power.become()
    machine.boots(2)
    assert power.reports == [("running", None), ("running", None)]


def test_what_cannot_start_any_more_is_stopped(power: Power) -> None:
    power.become()
    TinyMachine(power.disk).boots(1)
    power.become(state="stopping")
    clock.poll(lambda: power.reports[1:] or None, what="no stop", hint="", timeout=20)
    assert power.reports[1:] == [("stopped", None)]
    power.become(state="stopped")
    process.run(["umount", str(power.disk.root)])
    power.become(state="pending", image="lost")
    assert power.reports[-1] == ("stopped", machines.INTERNAL_ERROR)


def test_a_machine_that_was_killed_says_so(power: Power) -> None:
    power.become()
    TinyMachine(power.disk).boots(1)
    record = files.read_json(power.disk.record)
    assert record
    os.kill(record["pid"], signal.SIGKILL)
    clock.poll(lambda: power.reports[1:] or None, what="no report", hint="", timeout=20)
    state, reason = power.reports[1]
    assert state == "stopped"
    assert reason
    assert reason.startswith("Server.InternalError: ")
