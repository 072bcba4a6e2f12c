"""Thin machines behind the real API: what the documentation says of them, tried."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus import testing
from pileus.api import sim as api
from pileus.model.verdict import Code
from pileus.system import clock, netns
from pileus.testing import Instance, Region, Vpc
from pileus.vpc import control
from pileus.vpc.wire.names import machine_namespace, router_mac

pytestmark = pytest.mark.netns

NAME = f"thin{os.getpid()}"
WAIT = {"Delay": 0.05, "MaxAttempts": 200}
PING = ("ping", "-q", "-c", "1", "-W", "1")


@pytest.fixture(scope="module")
def region() -> Iterator[Region]:
    with (
        tempfile.TemporaryDirectory(prefix="pileus-thin-") as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(directory).chmod(0o755)  # for the name server, which is no longer root
        patch.setenv("PILEUS_RUN", f"{directory}/run")
        patch.setenv("PILEUS_DATA", f"{directory}/data")
        with testing.region(NAME) as made:
            yield made


@pytest.fixture
def vpc(region: Region) -> Iterator[Vpc]:
    with testing.vpc(region) as made:
        yield made


def pings(source: Instance, address: str, *options: str) -> bool:
    return source.run(*PING, *options, address, check=False).code == 0


def settle(instance: Instance, state: str) -> None:
    instance.region.ec2.get_waiter(f"instance_{state}").wait(
        InstanceIds=[instance.id], WaiterConfig=WAIT
    )


def test_a_launch_is_up_when_the_call_returns_and_neighbours_reach_each_other(vpc: Vpc) -> None:
    alice, bob = vpc.launch(2)
    assert alice.state == "running"
    assert pings(alice, bob.address)
    assert alice.run("hostname").stdout.strip() == f"ip-{alice.address.replace('.', '-')}"
    assert "8.8.8.8" in alice.run("getent", "ahosts", "dns.google").stdout
    assert not alice.dropped


def test_what_is_forged_is_dropped_and_counted_once(vpc: Vpc) -> None:
    alice, bob = vpc.launch(2)
    inside = machine_namespace(vpc.region.name, alice.id)
    assert pings(alice, bob.address)
    netns.batch(inside, ["addr add 10.0.1.200/24 dev eth0"])
    assert not pings(alice, bob.address, "-I", "10.0.1.200")
    # Linux first asks for its neighbour's MAC, in its forged name.
    assert set(alice.dropped) <= {Code.ARP_SENDER.value, Code.SOURCE_IP.value}
    assert alice.dropped
    netns.batch(
        inside,
        [
            "link set eth0 address 02:00:00:00:00:99",
            f"neigh replace {bob.address} lladdr {router_mac(vpc.id)} dev eth0",
        ],
    )
    before = alice.dropped.get(Code.SOURCE_MAC.value, 0)
    assert not pings(alice, bob.address)
    assert alice.dropped[Code.SOURCE_MAC.value] == before + 1


def test_a_tag_makes_an_instance_of_any_image_thin(vpc: Vpc) -> None:
    tag = {"Key": "pileus:machine", "Value": "thin"}
    tags = [{"ResourceType": "instance", "Tags": [tag]}]
    (other,) = vpc.launch(TagSpecifications=tags)
    instances = api.sim_status(vpc.region.name).contents["instances"]
    (shown,) = [one for one in instances if one["id"] == other.id]
    assert (shown["kind"], shown["state"]) == ("thin", "running")


def test_user_data_that_is_a_script_runs_once(vpc: Vpc) -> None:
    script = "#!/bin/sh\necho ran on $(hostname); sleep 600 &\n"
    (one,) = vpc.launch(UserData=script)
    console = control.console(vpc.region.name, one.id)
    name = f"ip-{one.address.replace('.', '-')}"

    def said() -> str | None:
        return console.read_text() if console.exists() and "ran" in console.read_text() else None

    assert clock.poll(said, what="no script", hint="", timeout=20) == f"ran on {name}\n"
    inside = machine_namespace(vpc.region.name, one.id)
    assert netns.processes(inside)
    vpc.region.ec2.reboot_instances(InstanceIds=[one.id])
    clock.poll(lambda: not netns.processes(inside) or None, what="no reboot", hint="", timeout=20)
    alice = vpc.launch()[0]
    clock.poll(lambda: pings(alice, one.address) or None, what="no machine", hint="", timeout=20)
    assert one.state == "running"
    assert console.read_text() == f"ran on {name}\n"
    assert vpc.region.ec2.get_console_output(InstanceId=one.id)["Output"] == f"ran on {name}\n"


def two_nics(vpc: Vpc) -> dict[str, Any]:
    subnet = vpc.region.ec2.create_subnet(VpcId=vpc.id, CidrBlock="10.0.2.0/24")["Subnet"]
    return {
        "NetworkInterfaces": [
            {"DeviceIndex": 0, "SubnetId": vpc.subnet, "Groups": [vpc.group]},
            {"DeviceIndex": 1, "SubnetId": subnet["SubnetId"], "Groups": [vpc.group]},
        ]
    }


def second_address(instance: Instance) -> str:
    nics = instance.describe()["NetworkInterfaces"]
    (found,) = [nic for nic in nics if nic["Attachment"]["DeviceIndex"] == 1]
    return str(found["PrivateIpAddress"])


def test_each_of_two_nics_answers_by_itself_and_fails_where_routing_is_wrong(vpc: Vpc) -> None:
    (alice,) = vpc.launch()
    (both,) = vpc.launch(**two_nics(vpc))
    second = second_address(both)
    assert pings(alice, both.address)
    assert pings(alice, second)
    assert not both.dropped
    # Without its own table the second NIC's answers leave by the first, in the wrong name.
    table = "10001"
    netns.batch(machine_namespace(vpc.region.name, both.id), [f"rule del table {table}"])
    assert not pings(alice, second)
    assert both.dropped == {Code.SOURCE_IP.value: 1}


def test_a_nic_that_is_attached_to_a_running_machine_is_taken_into_use(vpc: Vpc) -> None:
    ec2 = vpc.region.ec2
    alice, bob = vpc.launch(2)
    made = ec2.create_network_interface(SubnetId=vpc.subnet, Groups=[vpc.group])
    nic = made["NetworkInterface"]
    attached = ec2.attach_network_interface(
        InstanceId=bob.id, NetworkInterfaceId=nic["NetworkInterfaceId"], DeviceIndex=1
    )
    assert pings(alice, nic["PrivateIpAddress"])
    ec2.detach_network_interface(AttachmentId=attached["AttachmentId"], Force=True)
    assert not pings(alice, nic["PrivateIpAddress"])
    assert pings(alice, bob.address)


def test_a_machine_that_is_off_answers_nobody_and_comes_back_as_it_was(vpc: Vpc) -> None:
    ec2 = vpc.region.ec2
    alice, bob = vpc.launch(2)
    address = bob.address
    assert pings(alice, address)
    ec2.stop_instances(InstanceIds=[bob.id])
    settle(bob, "stopped")
    assert not pings(alice, address)
    refused = pytest.raises(Exception, match=f"no instance `{bob.id}` runs here")
    with refused:
        bob.run("true")
    ec2.start_instances(InstanceIds=[bob.id])
    settle(bob, "running")
    assert bob.address == address
    assert pings(alice, address)


def test_an_elastic_ip_leads_in_and_out_as_far_as_the_group_lets_it(vpc: Vpc) -> None:
    (web,) = vpc.launch(UserData="#!/bin/sh\nexec python3 -m http.server 80\n")
    outside = testing.Internet(vpc.region)
    assert not pings(web, "8.8.8.8")
    assert web.dropped == {Code.NO_PUBLIC_ADDRESS.value: 1}
    public = vpc.elastic_ip(web)
    assert pings(web, "8.8.8.8")
    fetch = ("curl", "-s", "-o", "/dev/null", "--max-time", "5", f"http://{public}/")
    before = web.dropped.get(Code.GROUP_INGRESS.value, 0)
    assert outside.run(*fetch[:5], "0.3", fetch[-1], check=False).code != 0
    assert web.dropped[Code.GROUP_INGRESS.value] > before
    vpc.allow("tcp", 80)
    clock.poll(
        lambda: outside.run(*fetch, check=False).code == 0 or None,
        what="no page",
        hint="",
        timeout=20,
    )


def test_termination_leaves_nothing(vpc: Vpc) -> None:
    (one,) = vpc.launch(UserData="#!/bin/sh\nexec sleep 600\n")
    name = vpc.region.name
    inside = machine_namespace(name, one.id)
    clock.poll(lambda: netns.processes(inside) or None, what="no script", hint="", timeout=20)
    (process,) = netns.processes(inside)
    vpc.region.ec2.terminate_instances(InstanceIds=[one.id])
    settle(one, "terminated")
    assert not netns.existing(inside)
    assert not (control.places(name).disks / one.id).exists()
    assert not Path(f"/proc/{process.pid}").exists()
