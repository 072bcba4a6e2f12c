"""A simulated region for tests: boto3 as a user has it, answered in the same process."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, cast

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ClientError
from werkzeug.test import Client

from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings
from pileus.vpc.faults import Faults
from pileus.vpc.state import RegionState

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIZAqcF0mP7yNwe9nk7zQ5lJdRmEgF7SwqgkJWqWbYqP me"
DEBIAN = CatalogueImage("debian-13-amd64-20250801")


def _nothing(_: RegionState) -> None:
    pass


def client(server: Ec2Server, service: str = "ec2", region: str = "us-east-1") -> Any:
    """A boto3 client whose requests reach the server without a socket."""
    # boto3's types want the service's name literally.
    made: Any = cast(Any, boto3).client(
        service,
        region_name=region,
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="AKIASIMULATED",
        aws_secret_access_key="none",
        config=Config(retries={"max_attempts": 0}),
    )

    def send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        headers = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in request.headers.items()
        }
        reply = Client(server.wsgi).post(
            "/", base_url="http://127.0.0.1:1", data=request.body, headers=headers
        )
        raw: Any = io.BytesIO(reply.data)
        raw.stream = lambda **_: iter([reply.data])
        return AWSResponse(
            request.url, reply.status_code, HTTPHeaders.from_pairs(reply.headers), raw
        )

    made.meta.events.register(f"before-send.{service}", send)
    return made


@dataclass
class Region:
    """The guide's network, and shortcuts to what tests make in it."""

    settings: Ec2Settings = Ec2Settings(images=(DEBIAN,), settle_at_once=True)  # noqa: RUF009
    on_change: Callable[[RegionState], None] = _nothing
    seen: list[RegionState] = field(default_factory=list)
    wrong: Faults = Faults()  # noqa: RUF009
    consoles: dict[str, bytes] = field(default_factory=dict)
    kept: bytes = b""
    """What a region's file would have."""
    keep: Callable[[bytes], None] | None = None

    def __post_init__(self) -> None:
        self.server = Ec2Server(
            self.settings,
            self._changed,
            lambda: self.wrong,
            keep=self._keep,
            console=lambda instance: self.consoles.get(instance, b""),
        )
        self.ec2 = client(self.server, region=self.settings.region)
        self.vpc = self.ec2.create_vpc(CidrBlock="172.16.0.0/16")["Vpc"]["VpcId"]
        self.management = self.subnet("172.16.10.0/24")
        self.provider = self.subnet("172.16.20.0/24")
        self.gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.group = self.new_group("open")
        self.image = self.ec2.describe_images()["Images"][0]["ImageId"]

    def _changed(self, state: RegionState) -> None:
        self.seen.append(state)
        self.on_change(state)

    def _keep(self, content: bytes) -> None:
        if self.keep is not None:
            self.keep(content)
        self.kept = content

    @property
    def state(self) -> RegionState:
        return self.server.state()

    def subnet(self, cidr: str) -> str:
        return str(self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr)["Subnet"]["SubnetId"])

    def new_group(self, name: str, vpc: str | None = None) -> str:
        made = self.ec2.create_security_group(
            GroupName=name, Description=name, VpcId=vpc or self.vpc
        )
        return str(made["GroupId"])

    def eni(self, **parameters: Any) -> str:
        wanted = {"SubnetId": self.management, **parameters}
        made = self.ec2.create_network_interface(**wanted)
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def elastic(self) -> str:
        return str(self.ec2.allocate_address(Domain="vpc")["AllocationId"])

    def run(self, *enis: str, **parameters: Any) -> str:
        nics = [{"DeviceIndex": index, "NetworkInterfaceId": eni} for index, eni in enumerate(enis)]
        wanted: dict[str, Any] = {
            "ImageId": self.image,
            "MinCount": 1,
            "MaxCount": 1,
            "InstanceType": "m5.large",
            **({"NetworkInterfaces": nics} if nics else {}),
            **parameters,
        }
        return str(self.ec2.run_instances(**wanted)["Instances"][0]["InstanceId"])

    def interface(self, eni: str) -> Any:
        found = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])
        return found["NetworkInterfaces"][0]

    def attachment(self, eni: str) -> str:
        return str(self.interface(eni)["Attachment"]["AttachmentId"])

    def addresses(self, eni: str) -> list[str]:
        return [entry["PrivateIpAddress"] for entry in self.interface(eni)["PrivateIpAddresses"]]

    def permit(self, **permission: Any) -> None:
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[permission])


class Refusal:
    """An AWS error, read once the block that must raise it has ended."""

    def __init__(self, caught: pytest.ExceptionInfo[ClientError]) -> None:
        self._caught = caught

    @property
    def message(self) -> str:
        return str(self._caught.value.response["Error"]["Message"])


class refused(AbstractContextManager["Refusal"]):
    """The block is refused with this code and HTTP status, and nothing in the region changes."""

    def __init__(self, code: str, region: Region | None = None, *, status: int = 400) -> None:
        self._code, self._region, self._status = code, region, status
        self._raises = pytest.raises(ClientError)

    def __enter__(self) -> Refusal:
        self._before = self._region.state if self._region else None
        return Refusal(self._raises.__enter__())

    def __exit__(self, *raised: Any) -> bool:
        done = self._raises.__exit__(*raised)
        error = raised[1]
        assert isinstance(error, ClientError)
        assert error.response["Error"]["Code"] == self._code, error
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == self._status
        if self._region:
            assert self._region.state == self._before
        return bool(done)
