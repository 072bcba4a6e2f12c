"""The `aws` command, unchanged, makes the guide's whole environment and removes it.

Its commands are run in one process, which has read its model of EC2 once: a program each would take
a minute. That the program itself reaches the region is tried with one of them.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from awscli.clidriver import create_clidriver
from vpc_ec2 import DEBIAN, KEY

from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import Ec2Settings
from pileus.vpc.state import RegionState

TAGS = "ResourceType={},Tags=[{{Key=cloud,Value=guide}}]"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ec2Server]:
    """A region, and the variables that `pileus sim endpoint --env` gives for it."""
    settings = Ec2Settings(images=(DEBIAN,), settle_at_once=True)
    server = Ec2Server(settings, lambda _: None)
    server.start()
    variables = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_ACCESS_KEY_ID": "simulated",
        "AWS_SECRET_ACCESS_KEY": "simulated",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_PAGER": "",
        "HOME": str(tmp_path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


class Aws:
    """`aws ec2`, command by command."""

    def __init__(self) -> None:
        self._driver = create_clidriver()

    def __call__(self, command: str, *arguments: str) -> Any:
        """What a command prints. `command` is divided at spaces, `arguments` are not."""
        printed, wrong = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with redirect_stdout(printed), redirect_stderr(wrong):
            code = self._driver.main(["ec2", *command.split(), *arguments])
        assert code == 0, f"{command}: {_text(wrong)}"
        text = _text(printed)
        return json.loads(text) if text else None

    def made(self, command: str, query: str, kind: str | None = None) -> str:
        """The id of what a command makes, tagged where its kind is named."""
        tags = ["--tag-specifications", TAGS.format(kind)] if kind else []
        return str(self(command, *tags, "--query", query))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode().strip()


def guide(aws: Aws, key: Path) -> list[str]:
    """Make the guide's environment; the commands that remove it, last things first."""
    key.write_text(KEY)
    vpc = aws.made("create-vpc --cidr-block 172.16.0.0/16", "Vpc.VpcId", "vpc")
    subnets = [
        aws.made(
            f"create-subnet --vpc-id {vpc} --cidr-block 172.16.{net}.0/24",
            "Subnet.SubnetId",
            "subnet",
        )
        for net in (10, 20)
    ]
    gateway = aws.made("create-internet-gateway", "InternetGateway.InternetGatewayId")
    aws(f"attach-internet-gateway --internet-gateway-id {gateway} --vpc-id {vpc}")
    table = aws.made(f"create-route-table --vpc-id {vpc}", "RouteTable.RouteTableId")
    to = f"--destination-cidr-block 0.0.0.0/0 --gateway-id {gateway}"
    aws(f"create-route --route-table-id {table} {to}")
    ways = [
        aws.made(
            f"associate-route-table --route-table-id {table} --subnet-id {subnet}",
            "AssociationId",
        )
        for subnet in subnets
    ]
    group = aws.made(
        f"create-security-group --group-name guide --description guide --vpc-id {vpc}", "GroupId"
    )
    for protocol, port in (("tcp", 22), ("tcp", 522), ("icmp", -1)):
        rule = f"--protocol {protocol} --port {port} --cidr 192.0.2.0/24"
        aws(f"authorize-security-group-ingress --group-id {group} {rule}")
    aws(f"import-key-pair --key-name guide --public-key-material fileb://{key}")
    enis = [
        aws.made(
            f"create-network-interface --subnet-id {subnet} --groups {group} "
            f"--private-ip-address 172.16.{net}.101",
            "NetworkInterface.NetworkInterfaceId",
        )
        for subnet, net in zip(subnets, (10, 20), strict=True)
    ]
    allocations = [aws.made("allocate-address --domain vpc", "AllocationId") for _ in enis]
    ties = [
        aws.made(
            f"associate-address --allocation-id {allocation} --network-interface-id {eni}",
            "AssociationId",
        )
        for allocation, eni in zip(allocations, enis, strict=True)
    ]
    image = aws(f"describe-images --owners {DEBIAN.owner}", "--query", "Images[0].ImageId")
    nics = [f"DeviceIndex={index},NetworkInterfaceId={eni}" for index, eni in enumerate(enis)]
    instance = aws(
        f"run-instances --image-id {image} --instance-type m5.large --key-name guide",
        "--network-interfaces",
        *nics,
        "--block-device-mappings",
        '[{"DeviceName":"/dev/xvda","Ebs":{"VolumeSize":20}}]',
        "--metadata-options",
        "HttpTokens=required,HttpPutResponseHopLimit=1",
        "--tag-specifications",
        TAGS.format("instance"),
        "--query",
        "Instances[0].InstanceId",
    )
    aws(f"wait instance-running --instance-ids {instance}")
    lift = f"--network-interface-id {enis[1]} --no-source-dest-check"
    aws(f"modify-network-interface-attribute {lift}")
    return [
        f"terminate-instances --instance-ids {instance}",
        f"wait instance-terminated --instance-ids {instance}",
        *(f"disassociate-address --association-id {tie}" for tie in ties),
        *(f"release-address --allocation-id {one}" for one in allocations),
        *(f"delete-network-interface --network-interface-id {eni}" for eni in enis),
        "delete-key-pair --key-name guide",
        f"delete-security-group --group-id {group}",
        *(f"disassociate-route-table --association-id {way}" for way in ways),
        f"delete-route-table --route-table-id {table}",
        f"detach-internet-gateway --internet-gateway-id {gateway} --vpc-id {vpc}",
        f"delete-internet-gateway --internet-gateway-id {gateway}",
        *(f"delete-subnet --subnet-id {subnet}" for subnet in subnets),
        f"delete-vpc --vpc-id {vpc}",
    ]


def test_the_guides_environment_comes_and_goes(server: Ec2Server, tmp_path: Path) -> None:
    removal = guide(Aws(), tmp_path / "key.pub")
    check(server.state())
    aws = Aws()  # anew: after --no-source-dest-check one expects that option for ever
    tagged = aws("describe-tags --filters Name=tag:cloud,Values=guide")["Tags"]
    assert sorted(one["ResourceType"] for one in tagged) == ["instance", "subnet", "subnet", "vpc"]
    for command in removal:
        aws(command)
    left = server.state()
    kinds = ("vpcs", "subnets", "route_tables", "groups", "enis", "elastic_ips")
    assert [kind for kind in kinds if getattr(left, kind)] == []
    assert [one.state for one in left.instances.values()] == ["terminated"]


def check(state: RegionState) -> None:
    """The guide's machine: two NICs, each with its address and an Elastic IP."""
    (instance,) = state.instances.values()
    assert (instance.state, instance.key_name, instance.root_gib) == ("running", "guide", 20)
    management, provider = state.enis_of(instance.id)
    assert [str(one.addresses[0]) for one in (management, provider)] == [
        "172.16.10.101",
        "172.16.20.101",
    ]
    assert (management.source_dest_check, provider.source_dest_check) == (True, False)
    for nic in (management, provider):
        assert state.public_of(nic.addresses[0], nic.vpc)
        routes = state.route_table_of(state.subnets[nic.subnet]).routes
        assert {str(one.destination): one.target for one in routes} == {
            "172.16.0.0/16": "local",
            "0.0.0.0/0": "igw",
        }


def test_the_program_itself_reaches_a_region_and_is_refused_as_by_aws(server: Ec2Server) -> None:
    program = str(Path(sys.executable).with_name("aws"))
    wrong = [program, "ec2", "delete-vpc", "--vpc-id", "vpc-00000000000000000"]
    told = subprocess.run(wrong, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 255
    assert "(InvalidVpcID.NotFound) when calling the DeleteVpc operation" in told.stderr
