"""The contract runs on a simulated region, and on an AWS account where one is given.

With PILEUS_TEST_AWS=1 and a region, boto3 takes the account's credentials from where it always
does. The suite needs room for two VPCs and three Elastic IPs there, and starts machines of the
smallest type.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from contract_place import DEBIAN, GIVEN, REGION, Network, Place, network
from vpc_ec2 import client

from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings

PLACES = ["simulated", *([pytest.param("aws", marks=pytest.mark.aws)] if GIVEN else [])]


@pytest.fixture(scope="session", params=PLACES)
def everything(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The place with all that the whole session makes; nothing of it is left at the end."""
    ec2 = simulated() if request.param == "simulated" else account()
    with ExitStack() as undo:
        place = Place(ec2, uuid.uuid4().hex[:12], undo)
        yield place
    assert place.left() == []


def simulated() -> Any:
    images = (CatalogueImage("debian-13-amd64-20250801", DEBIAN),)
    server = Ec2Server(Ec2Settings(images=images, settle_at_once=True), lambda _: None)
    return client(server)


def account() -> Any:
    if not REGION:
        raise pytest.UsageError("PILEUS_TEST_AWS=1 needs AWS_REGION")
    return boto3.client("ec2", region_name=REGION)


@pytest.fixture(scope="session")
def net(everything: Place) -> Network:
    return network(everything)


@pytest.fixture
def place(everything: Place) -> Iterator[Place]:
    with everything.inner() as inner:
        yield inner
