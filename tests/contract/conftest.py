"""The contract runs on the simulated API alone, on a whole simulated region with its wire, and on
an AWS account where one is given.

With PILEUS_TEST_AWS=1 and a region, boto3 takes the account's credentials from where it always
does. The suite needs room for two VPCs and three Elastic IPs there, and starts machines of the
smallest type. A whole region needs root; its machines are thin.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from contract_place import DEBIAN, GIVEN, REGION, Network, Place, network, newest_debian
from vpc_ec2 import client

from pileus import testing
from pileus.testing import Region
from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
PLACES = [
    "simulated",
    pytest.param("region", marks=NEEDS_ROOT),
    *([pytest.param("aws", marks=pytest.mark.aws)] if GIVEN else []),
]


@pytest.fixture(scope="session", params=PLACES)
def everything(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The place with all that the whole session makes; nothing of it is left at the end."""
    with ExitStack() as undo:
        if request.param == "region":
            whole: Region = request.getfixturevalue("whole_region")
            ec2, image, delay = whole.ec2, testing.thin_image(whole.ec2), 0.05
        else:
            ec2 = simulated() if request.param == "simulated" else account()
            image, delay = newest_debian(ec2), 15.0
        place = Place(ec2, uuid.uuid4().hex[:12], undo, image, delay)
        yield place
    assert place.left() == []


def simulated() -> Any:
    images = (CatalogueImage("debian-13-amd64-20250801", DEBIAN),)
    server = Ec2Server(Ec2Settings(images=images, settle_at_once=True), lambda _: None)
    return client(server)


@pytest.fixture(scope="session")
def whole_region() -> Iterator[Region]:
    """A process of its own, whose calls are in force on the wire when they return."""
    with (
        tempfile.TemporaryDirectory(prefix="pileus-contract-") as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(directory).chmod(0o755)  # for the name server, which is no longer root
        patch.setenv("PILEUS_RUN", f"{directory}/run")
        patch.setenv("PILEUS_DATA", f"{directory}/data")
        with testing.region(f"contract{os.getpid()}") as made:
            yield made


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
