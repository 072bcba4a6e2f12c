"""A region whose process is killed comes back as it was, with its machines still running."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_machine import TinyMachine, build

from pileus import testing
from pileus.api import sim as api
from pileus.model.errors import Fault, Refused
from pileus.model.status import DroppedFrame
from pileus.system import clock, netns, process
from pileus.system.progress import progress
from pileus.testing import Instance, Region
from pileus.vpc import control
from pileus.vpc.control import Offer
from pileus.vpc.disks import Disk
from pileus.vpc.wire.names import machine_namespace, vpc_namespace

pytestmark = pytest.mark.netns

NAME = f"back{os.getpid()}"
PING = ("ping", "-q", "-c", "1", "-W", "1")
WAIT = {"Delay": 0.1, "MaxAttempts": 200}


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with (
        tempfile.TemporaryDirectory(prefix="pileus-back-") as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(directory).chmod(0o755)  # for the name server, which is no longer root
        patch.setenv("PILEUS_RUN", f"{directory}/run")
        patch.setenv("PILEUS_DATA", f"{directory}/data")
        image = build(Path(directory) / "tiny")
        try:
            control.start(NAME, Offer({"tiny": image}))
            made = Region(api.sim_endpoint(NAME), None)
            yield Region(made.endpoint, made.client("ec2"))
        finally:
            control.remove(NAME)
            shutil.rmtree(image)


def kill() -> None:
    owner = process.recorded(control.places(NAME).process)
    assert owner
    process.end(owner, first=signal.SIGKILL)
    assert control.find(NAME) is None


def everything(ec2: Any) -> list[Any]:
    """All that the API tells of itself, requests' own numbers aside."""
    answers = [
        ec2.describe_vpcs(),
        ec2.describe_subnets(),
        ec2.describe_network_interfaces(),
        ec2.describe_instances(),
        ec2.describe_addresses(),
        ec2.describe_security_groups(),
        ec2.describe_network_acls(),
        ec2.describe_route_tables(),
        ec2.describe_tags(),
        ec2.describe_images(),
    ]
    for answer in answers:
        del answer["ResponseMetadata"]
    return answers


def test_all_is_as_it_was_and_machines_never_stopped(region: Region) -> None:
    with testing.vpc(region) as vpc:
        (alice, bob), ec2 = vpc.launch(2), region.ec2
        images = ec2.describe_images(Filters=[{"Name": "name", "Values": ["tiny"]}])["Images"]
        (whole,) = vpc.launch(ImageId=images[0]["ImageId"], InstanceType="m5.large")
        tiny = TinyMachine(Disk(control.places(NAME).disks / whole.id))
        tiny.boots(1)
        vpc.elastic_ip(alice)
        ec2.create_tags(Resources=[bob.id], Tags=[{"Key": "kept", "Value": "yes"}])
        api.sim_quota(NAME, "elastic-ips", 9)
        api.sim_fault(NAME, "metadata-delay", "0")
        token = ec2.run_instances(
            ImageId=testing.thin_image(ec2),
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            SubnetId=vpc.subnet,
            ClientToken="again",
        )
        sleeping = process.spawn(
            api.sim_exec(NAME, bob.id, ["sleep", "600"]), log=control.places(NAME).log
        )
        before = everything(ec2)
        dropped = alice.dropped

        kill()
        # The wire is the kernel's: it goes on without the process.
        assert netns.existing(vpc_namespace(NAME, vpc.id))
        assert api.sim_status(NAME).state == "up"

        assert api.sim_endpoint(NAME) == region.endpoint
        assert everything(ec2) == before
        assert process.alive(sleeping)
        assert alice.run(*PING, bob.address, check=False).code == 0
        assert alice.run(*PING, "8.8.8.8", check=False).code == 0
        assert "8.8.8.8" in alice.run("getent", "ahosts", "dns.google").stdout
        assert alice.dropped == dropped
        repeated = ec2.run_instances(
            ImageId=testing.thin_image(ec2),
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            SubnetId=vpc.subnet,
            ClientToken="again",
        )
        assert repeated["Instances"][0]["InstanceId"] == token["Instances"][0]["InstanceId"]
        assert api.sim_quota(NAME, "elastic-ips", 9) == []
        reboots_by_itself_and_ends(region, whole, tiny)


def reboots_by_itself_and_ends(region: Region, whole: Instance, tiny: TinyMachine) -> None:
    """The new process knows how a machine ended that the old one had started."""
    tiny.tell("busybox reboot -f")
    tiny.boots(2)
    kill()
    assert control.reach(NAME)
    tiny.tell("busybox poweroff -f")
    region.ec2.get_waiter("instance_stopped").wait(InstanceIds=[whole.id], WaiterConfig=WAIT)
    reason = whole.describe()["StateReason"]["Code"]
    assert reason == "Client.InstanceInitiatedShutdown"


def test_frames_that_were_dropped_before_are_still_told(region: Region) -> None:
    with testing.vpc(region) as vpc:
        (alice,) = vpc.launch()
        assert alice.run(*PING, "8.8.8.8", check=False).code != 0
        before = told(1)
        kill()
        assert control.reach(NAME)
        assert alice.run(*PING, "8.8.8.8", check=False).code != 0
        assert told(len(before) + 1)[: len(before)] == before


def told(count: int) -> tuple[DroppedFrame, ...]:
    """The dropped frames, once there are so many: the file follows the wire a little later."""

    def look() -> tuple[DroppedFrame, ...] | None:
        found = api.sim_wire(NAME).drops
        return found if len(found) >= count else None

    return clock.poll(look, what="nothing was told", hint="-", timeout=20, interval=0.05)


def test_what_was_just_being_made_or_removed_goes(region: Region) -> None:
    with testing.vpc(region) as vpc:
        (alice,) = vpc.launch()
        kept = control.places(NAME).state.read_bytes()
        (bob,) = vpc.launch()
        kill()
        control.places(NAME).state.write_bytes(kept)  # as if killed before it was written
        assert control.reach(NAME)
        ids = [one["id"] for one in api.sim_status(NAME).contents["instances"]]
        assert alice.id in ids
        assert bob.id not in ids
        assert not netns.existing(machine_namespace(NAME, bob.id))
        assert not (control.places(NAME).disks / bob.id).exists()
        assert alice.state == "running"


@pytest.mark.parametrize("damage", ["is damaged", "was written by another version"])
def test_a_state_that_cannot_be_read_is_told_and_can_be_reset(region: Region, damage: str) -> None:
    path = control.places(NAME).state
    kill()
    content = path.read_bytes()
    path.write_bytes(content[:-1] if "damaged" in damage else b"x" + content)
    with pytest.raises(Fault, match=rf"state {damage}.*pileus sim reset"):
        control.reach(NAME)
    with pytest.raises(Fault, match=damage):
        api.sim_status(NAME)
    control.reset(NAME)
    assert api.sim_endpoint(NAME) == region.endpoint
    assert api.sim_status(NAME).contents["vpcs"] == []


def test_a_region_that_carries_a_cloud_is_not_reset_nor_removed(region: Region) -> None:
    settings = control.places(NAME).settings
    text = settings.read_text()
    settings.write_text(text.replace('"cloud": false', '"cloud": true'))
    try:
        with pytest.raises(Refused, match="carries the cloud"):
            api.sim_down(NAME, progress())
        with pytest.raises(Refused, match="carries the cloud"):
            api.sim_reset(NAME, progress())
    finally:
        settings.write_text(text)
