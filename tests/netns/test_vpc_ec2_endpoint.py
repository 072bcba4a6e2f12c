"""The EC2 endpoint on its socket: loopback only, callers at once, waiters as users have them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from pileus.model.errors import UserError
from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings
from pileus.vpc.faults import Faults
from pileus.vpc.state import RegionState

pytestmark = pytest.mark.netns

SETTINGS = Ec2Settings(images=(CatalogueImage("debian-13"),))


class Follower:
    """Takes states one at a time, as the wire does; two at once would be a fault."""

    def __init__(self) -> None:
        self.states: list[RegionState] = []
        self.inside = 0

    def __call__(self, state: RegionState) -> None:
        self.inside += 1
        assert self.inside == 1
        self.states.append(state)
        self.inside -= 1


@pytest.fixture
def follower() -> Follower:
    return Follower()


@pytest.fixture
def server(follower: Follower) -> Iterator[Ec2Server]:
    made = Ec2Server(SETTINGS, follower)
    made.start()
    yield made
    made.stop()


def client(server: Ec2Server, **config: Any) -> Any:
    return boto3.client(
        "ec2",
        region_name="us-east-1",
        endpoint_url=server.url,
        aws_access_key_id="AKIASIMULATED",
        aws_secret_access_key="none",
        config=Config(**config),
    )


def subnet(ec2: Any) -> str:
    vpc = ec2.create_vpc(CidrBlock="172.16.0.0/16")["Vpc"]["VpcId"]
    return str(ec2.create_subnet(VpcId=vpc, CidrBlock="172.16.10.0/24")["Subnet"]["SubnetId"])


def test_it_listens_on_one_loopback_address_alone(server: Ec2Server) -> None:
    address = urlsplit(server.url)
    assert address.hostname == "127.0.0.1"
    assert address.port

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", address.port), timeout=2)


def test_a_taken_port_is_the_users_to_free(server: Ec2Server, follower: Follower) -> None:
    port = urlsplit(server.url).port
    assert port

    with pytest.raises(UserError, match="in use"):
        Ec2Server(replace(SETTINGS, port=port), follower).start()


def test_callers_at_once_take_turns(server: Ec2Server, follower: Follower) -> None:
    ec2 = client(server)
    where = subnet(ec2)

    def create(_: int) -> str:
        made = ec2.create_network_interface(SubnetId=where)["NetworkInterface"]
        return str(made["PrivateIpAddress"])

    with ThreadPoolExecutor(8) as pool:
        addresses = list(pool.map(create, range(40)))

    assert len(set(addresses)) == 40
    assert [len(state.enis) for state in follower.states[-40:]] == list(range(1, 41))


def test_waiters_see_the_machine_come_and_go(server: Ec2Server) -> None:
    ec2 = client(server)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    made = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, InstanceType="m5.large", SubnetId=subnet(ec2)
    )
    instance = made["Instances"][0]["InstanceId"]
    often = {"Delay": 0.05, "MaxAttempts": 100}

    Thread(target=server.settle_instance, args=(instance, "running")).start()
    ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig=often)
    ec2.terminate_instances(InstanceIds=[instance])
    Thread(target=server.settle_instance, args=(instance, "terminated")).start()
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance], WaiterConfig=often)

    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_an_answer_that_is_lost_does_not_make_a_repeated_launch_a_second_one(
    follower: Follower,
) -> None:
    wrong = Faults()
    server = Ec2Server(SETTINGS, follower, lambda: wrong)
    server.start()
    try:
        ec2 = client(server, retries={"total_max_attempts": 3}, read_timeout=0.5)
        image, where = ec2.describe_images()["Images"][0]["ImageId"], subnet(ec2)
        wrong = Faults(api_lost=0.5)
        for _ in range(2):
            ec2.run_instances(
                ImageId=image, MinCount=1, MaxCount=1, InstanceType="m5.large", SubnetId=where
            )
        assert len(server.state().instances) == 2
        wrong = Faults(api_lost=1)
        with pytest.raises(ReadTimeoutError):
            ec2.describe_vpcs()
    finally:
        server.stop()


def test_it_stops_once_and_for_all(follower: Follower) -> None:
    server = Ec2Server(SETTINGS, follower)
    server.start()
    address = urlsplit(server.url)
    server.stop()
    server.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", address.port or 0), timeout=2)
