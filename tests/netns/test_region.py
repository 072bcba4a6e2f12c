"""Whole regions as another process starts and removes them: what the API makes is in the kernel,
and nothing of it is left afterwards, however the region ended.

No machine image is needed: the one here is an empty directory, so machines never come up, but
their NICs are plugged into the wire like any other's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from pileus.model.errors import Fault, Refused, UserError
from pileus.model.status import DroppedFrame
from pileus.model.verdict import Code
from pileus.rules import apply as rules
from pileus.system import clock, files, netns, process
from pileus.system.process import ProcessId
from pileus.underlay.aws import AwsEndpoint
from pileus.underlay.aws.quotas import raise_quota
from pileus.vpc import control
from pileus.vpc.control import Offer, RunningRegion
from pileus.vpc.internet import RESOLVER, WEB
from pileus.vpc.metadata import CANARY
from pileus.vpc.wire.names import device as device_of
from pileus.vpc.wire.names import internet_namespace, machine_namespace, vpc_namespace

pytestmark = pytest.mark.netns

NAME = f"r{os.getpid()}"
OTHER = f"{NAME}-2"
"""Its name begins with the first one's."""
QUICKLY = {"Delay": 1, "MaxAttempts": 30}


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """Directories that the name server may read when it is no longer root, and all cleaned up."""
    directory = Path(tempfile.mkdtemp(prefix="pileus-region-"))
    directory.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILEUS_RUN", str(directory / "run"))
        patch.setenv("PILEUS_DATA", str(directory / "data"))
        try:
            yield directory
        finally:
            for name in (NAME, OTHER):
                control.remove(name)
            shutil.rmtree(directory)


@pytest.fixture(scope="module")
def neighbour(scratch: Path) -> RunningRegion:
    """A region that runs all the time, beside those that come and go."""
    return start(scratch, OTHER)


def start(scratch: Path, name: str = NAME) -> RunningRegion:
    empty = scratch / "image"
    empty.mkdir(exist_ok=True)
    return control.start(name, Offer({"empty": empty}))


def connect(region: RunningRegion) -> Any:
    return boto3.client(
        "ec2",
        endpoint_url=region.url,
        region_name="us-east-1",
        aws_access_key_id="simulated",
        aws_secret_access_key="simulated",
        config=Config(retries={"total_max_attempts": 1}, proxies={}),
    )


def make_network(ec2: Any) -> tuple[str, str]:
    """The guide's VPC with one subnet that has a way to the internet; their ids."""
    vpc: str = ec2.create_vpc(CidrBlock="172.16.0.0/16")["Vpc"]["VpcId"]
    subnet: str = ec2.create_subnet(VpcId=vpc, CidrBlock="172.16.20.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])[
        "RouteTables"
    ]
    ec2.create_route(
        RouteTableId=table["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
    )
    return vpc, subnet


def make_machine(ec2: Any, subnet: str) -> tuple[str, str]:
    """A machine with one NIC, 172.16.20.101; ids of both."""
    eni = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="172.16.20.101")
    eni_id: str = eni["NetworkInterface"]["NetworkInterfaceId"]
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["empty"]}])["Images"]
    machines = ec2.run_instances(
        ImageId=image["ImageId"],
        InstanceType="m5.xlarge",
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": eni_id}],
    )
    return machines["Instances"][0]["InstanceId"], eni_id


def routes(namespace: str) -> str:
    return process.run(["ip", "-n", namespace, "route", "show", "table", "all"]).stdout


def left_behind(name: str, scratch: Path) -> dict[str, object]:
    """Everything of a region that is still there, by kind."""
    device = control.host_device(name)
    spaces = [one for one in netns.existing(f"pileus-{name}") if OTHER not in one]
    table = f"pileus_{name.replace('-', '_')}"
    found = {
        "namespaces": spaces,
        "links": [one for one in netns.links(None) if one == device],
        "routes": [
            line
            for line in process.run(["ip", "route", "show", "table", "all"]).stdout.splitlines()
            if device in line
        ],
        "tables": [table] if rules.read("inet", table) else [],
        "processes": [line for line in command_lines() if f"{scratch}/run/{name}/" in line],
        "machines": [
            line for line in command_lines() if f"{scratch}/data/machines/{name}/" in line
        ],
        "mounts": [
            line
            for line in Path("/proc/self/mounts").read_text().splitlines()
            if f"{scratch}/data/machines/{name}/" in line
        ],
        "files": [
            path
            for path in (scratch / "run" / name, scratch / "data" / "machines" / name)
            if path.exists()
        ],
    }
    return {kind: items for kind, items in found.items() if items}


def command_lines() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return lines


def kill(name: str) -> None:
    """End the region's process without a chance to clean up."""
    document = files.read_json(control.places(name).runtime / "process.json")
    assert document
    process.end(ProcessId(document["pid"], document["started"]), first=signal.SIGKILL)


def pool_of(name: str) -> IPv4Network:
    return IPv4Network(json.loads(control.places(name).settings.read_text())["pool"])


def test_what_the_api_makes_is_on_the_wire_and_goes_with_it(neighbour: RunningRegion) -> None:
    ec2 = connect(neighbour)
    vpc, subnet = make_network(ec2)
    inside = vpc_namespace(OTHER, vpc)
    assert "igw" in netns.links(inside)
    assert rules.read("inet", "vpc", namespace=inside)

    machine, eni = make_machine(ec2, subnet)
    assert device_of(eni) in netns.links(inside)
    assert "eth0" in netns.links(machine_namespace(OTHER, machine))
    assert f"172.16.20.101 dev {device_of(eni)}" in routes(inside)
    assert "default via 169.254.0.1 dev igw table" in routes(inside)
    (nic,) = control.counters(OTHER)
    assert (nic.nic.eni, nic.nic.instance, nic.nic.device) == (eni, machine, "eth0")

    elastic = ec2.allocate_address(Domain="vpc")
    public, allocation = elastic["PublicIp"], elastic["AllocationId"]
    tied = ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni)
    table = rules.read("inet", "vpc", namespace=inside)
    assert table
    assert table.maps["to_private"] == {public: "172.16.20.101"}
    assert public in routes(internet_namespace(OTHER))
    ec2.disassociate_address(AssociationId=tied["AssociationId"])
    assert public not in routes(internet_namespace(OTHER))

    terminate(ec2, machine)
    assert control.counters(OTHER) == ()
    assert device_of(eni) not in netns.links(inside)
    assert not (netns.DIRECTORY / machine_namespace(OTHER, machine)).exists()
    assert not (control.places(OTHER).disks / machine).exists()


def make_idle_machine(ec2: Any) -> tuple[str, str]:
    """One that could not boot, so that nobody else touches its NIC; ids of both."""
    machine, eni = make_machine(ec2, make_network(ec2)[1])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine], WaiterConfig=QUICKLY)
    return machine, eni


def terminate(ec2: Any, machine: str) -> None:
    ec2.terminate_instances(InstanceIds=[machine])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[machine], WaiterConfig=QUICKLY)


def test_a_machine_that_does_not_come_up_is_stopped_and_can_be_terminated(
    neighbour: RunningRegion,
) -> None:
    ec2 = connect(neighbour)
    machine, _ = make_machine(ec2, make_network(ec2)[1])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine], WaiterConfig=QUICKLY)
    assert "OS" in control.console(OTHER, machine).read_text()  # what nspawn says of the directory
    terminate(ec2, machine)


def test_what_the_wire_drops_is_told_and_a_nic_can_be_listened_to(
    neighbour: RunningRegion,
) -> None:
    ec2 = connect(neighbour)
    machine, eni = make_idle_machine(ec2)
    inside = machine_namespace(OTHER, machine)
    commands = ["addr add 172.16.20.99/24 dev eth0", "link set eth0 up"]
    netns.batch(inside, [*commands, "neigh add 172.16.20.1 lladdr 02:00:00:00:00:01 dev eth0"])
    stream = control.capture(OTHER, eni, seconds=5)
    next(stream)
    process.run(
        ["ip", "netns", "exec", inside, "ping", "-c", "1", "-W", "1", "172.16.20.1"], check=False
    )
    wrong = IPv4Address("172.16.20.99").packed
    seen = list(stream)
    assert any(record[16 + 26 : 16 + 30] == wrong for record in seen), [r.hex() for r in seen]

    def told() -> DroppedFrame | None:
        found = [one for one in control.drops(OTHER) if one.code is Code.SOURCE_IP]
        return found[-1] if found else None

    drop = clock.poll(told, what="nothing was told", hint="-", timeout=20, interval=0.05)
    assert (drop.eni, drop.instance, drop.device) == (eni, machine, "eth0")
    assert drop.fields["source"] == "172.16.20.99"
    with pytest.raises(Refused, match="eni-none"):
        control.capture(OTHER, "eni-none")
    terminate(ec2, machine)


def test_metadata_lags_and_stays_away_as_told_and_counts_who_asked(
    neighbour: RunningRegion,
) -> None:
    ec2 = connect(neighbour)
    machine, eni = make_idle_machine(ec2)
    inside = machine_namespace(OTHER, machine)
    (nic,) = [one.nic for one in control.counters(OTHER) if one.nic.eni == eni]
    commands = ["addr add 172.16.20.101/24 dev eth0", "link set eth0 up"]
    netns.batch(inside, [*commands, "route add default via 172.16.20.1"])

    def told() -> list[str]:
        return ask_metadata(inside, f"network/interfaces/macs/{nic.mac}/local-ipv4s").split()

    assert told() == ["172.16.20.101"]
    control.set_fault(OTHER, "metadata-delay", "600")
    ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["172.16.20.102"])
    assert told() == ["172.16.20.101"]
    control.set_fault(OTHER, "metadata-delay", "0")
    assert told() == ["172.16.20.101", "172.16.20.102"]

    control.set_fault(OTHER, "metadata-away", "on")
    assert ask_metadata(inside, "mac", seconds=1) == ""
    control.set_fault(OTHER, "metadata-away", "off")
    assert ask_metadata(inside, "mac") == str(nic.mac)

    profile = {"Name": "node"}
    ec2.associate_iam_instance_profile(InstanceId=machine, IamInstanceProfile=profile)
    canary = ask_metadata(inside, "iam/security-credentials/node")
    assert json.loads(canary)["AccessKeyId"].startswith(CANARY)

    (report,) = [one for one in control.counters(OTHER) if one.nic.eni == eni]
    assert report.metadata_requests == {"token": 6, "meta-data": 4, "credentials": 1}
    terminate(ec2, machine)


def ask_metadata(namespace: str, path: str, seconds: int = 10) -> str:
    """What an instance reads in its metadata; nothing where it has no answer in so many seconds."""
    curl = ["ip", "netns", "exec", namespace, "curl", "-s", "--max-time", str(seconds)]
    url, header = "http://169.254.169.254/latest", "X-aws-ec2-metadata-token"
    put = [*curl, "-X", "PUT", f"{url}/api/token", "-H", f"{header}-ttl-seconds: 60"]
    token = process.run(put, check=False).stdout
    if not token:
        return ""
    get = [*curl, f"{url}/meta-data/{path}", "-H", f"{header}: {token}"]
    return process.run(get, check=False).stdout


def test_a_quota_is_raised_by_the_call_that_asks_aws(neighbour: RunningRegion) -> None:
    here = AwsEndpoint("us-east-1", neighbour.url, neighbour.check_ip_url, ("simulated",) * 2)
    ec2 = connect(neighbour)
    for left in ec2.describe_addresses()["Addresses"]:
        ec2.release_address(AllocationId=left["AllocationId"])
    allocations = [ec2.allocate_address()["AllocationId"] for _ in range(5)]
    with pytest.raises(ClientError, match="AddressLimitExceeded"):
        ec2.allocate_address()
    assert raise_quota(here, "elastic-ips", 6) == "raised the quota elastic-ips from 5 to 6"
    allocations.append(ec2.allocate_address()["AllocationId"])
    assert raise_quota(here, "elastic-ips", 6) is None
    with pytest.raises(Refused, match="cannot be lowered"):
        raise_quota(here, "elastic-ips", 5)
    with pytest.raises(Refused, match="no quota `nics`"):
        raise_quota(here, "nics", 5)
    for allocation in allocations:
        ec2.release_address(AllocationId=allocation)


def test_the_host_has_a_way_to_elastic_ips_and_to_nothing_else_simulated(
    neighbour: RunningRegion,
) -> None:
    inside = control.internet_command(OTHER, ["curl", "-s", "--max-time", "5", f"http://{WEB}/"])
    assert "Welcome" in process.run(inside).stdout
    for address in (RESOLVER, WEB):
        way = process.run(["ip", "route", "get", str(address)], check=False).stdout
        assert control.host_device(OTHER) not in way
    fetch = ["curl", "-s", "--noproxy", "*", "--max-time", "5", neighbour.check_ip_url]
    assert process.run(fetch).stdout.strip() == str(pool_of(OTHER).broadcast_address - 1)


def test_the_api_listens_on_loopback_alone(neighbour: RunningRegion) -> None:
    port = int(neighbour.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        pass
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((str(pool_of(OTHER).broadcast_address - 1), port), timeout=2)


def test_removal_leaves_nothing_is_safe_to_repeat_and_spares_the_neighbour(
    scratch: Path, neighbour: RunningRegion
) -> None:
    beside = make_network(connect(neighbour))[0]
    ec2 = connect(start(scratch))
    make_machine(ec2, make_network(ec2)[1])
    assert not pool_of(NAME).overlaps(pool_of(OTHER))
    assert control.find(NAME)
    assert control.find(OTHER)
    assert set(left_behind(NAME, scratch)) >= {"namespaces", "links", "tables", "files", "routes"}
    for _ in range(2):
        control.remove(NAME)
        assert left_behind(NAME, scratch) == {}
    assert control.find(NAME) is None
    with pytest.raises(UserError, match="not running"):
        control.counters(NAME)

    assert control.find(NAME) is None
    assert control.find(OTHER)
    assert beside in [vpc["VpcId"] for vpc in connect(neighbour).describe_vpcs()["Vpcs"]]
    assert "igw" in netns.links(vpc_namespace(OTHER, beside))
    page = control.internet_command(OTHER, ["curl", "-s", "--max-time", "5", f"http://{WEB}/"])
    assert "Welcome" in process.run(page).stdout


def test_removal_leaves_nothing_of_a_region_that_was_killed(scratch: Path) -> None:
    ec2 = connect(start(scratch))
    make_machine(ec2, make_network(ec2)[1])
    kill(NAME)
    assert control.find(NAME) is None
    assert left_behind(NAME, scratch)["processes"], "its name servers outlive it"
    # Something started just before the crash, of which there is no record.
    sleep = control.internet_command(NAME, ["sleep", "60"])
    stray = process.spawn(sleep, log=scratch / "stray.log")
    inside = internet_namespace(NAME)
    clock.poll(
        lambda: stray in netns.processes(inside) or None, what="no sleep", hint="", timeout=10
    )
    control.remove(NAME)
    assert left_behind(NAME, scratch) == {}
    assert process.wait_for_exit(stray, timeout=0)


def test_regions_that_start_at_the_same_instant_share_no_pool(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor do those whose files are kept apart: the host's routes are one."""
    places = {f"{NAME}-{number}": str(scratch / f"run-{number}") for number in (3, 4, 5)}
    begin = "import sys; from pileus.vpc.control import *; start(sys.argv[1], Offer({}))"

    def start_beside(name: str) -> None:
        argv = [sys.executable, "-c", begin, name]
        process.run(argv, env={"PILEUS_RUN": places[name]})

    pools = set()
    try:
        with ThreadPoolExecutor() as at_once:
            list(at_once.map(start_beside, places))
        for name, directory in places.items():
            monkeypatch.setenv("PILEUS_RUN", directory)
            pools.add(pool_of(name))
        assert len(pools) == len(places)
    finally:
        for name, directory in places.items():
            monkeypatch.setenv("PILEUS_RUN", directory)
            control.remove(name)


def test_a_second_start_clears_away_a_dead_region(scratch: Path) -> None:
    first = connect(start(scratch))
    vpc, subnet = make_network(first)
    make_machine(first, subnet)
    kill(NAME)
    second = connect(start(scratch))
    assert second.describe_vpcs()["Vpcs"] == []
    assert not (netns.DIRECTORY / vpc_namespace(NAME, vpc)).exists()
    make_machine(second, make_network(second)[1])
    control.remove(NAME)


def test_a_region_that_cannot_start_says_where_its_log_is(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its link is already there, with an end that is not in its internet."""
    device, remove = control.host_device(NAME), control.remove

    def remove_and_take_the_name(name: str) -> None:
        remove(name)
        netns.batch(None, [f"link add {device} type veth peer name {device[:-1]}"])

    monkeypatch.setattr(control, "remove", remove_and_take_the_name)
    with pytest.raises(Fault, match=f"region {NAME} ended at once") as failure:
        start(scratch)
    assert str(control.places(NAME).log) in failure.value.hint
    remove(NAME)
    assert left_behind(NAME, scratch) == {}
