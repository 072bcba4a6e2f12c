"""Fixtures for tests on the simulated VPC; pytest finds them where Pileus is installed.

`region` is one region for the session, `vpc` a new VPC for each test, `instance` a thin instance
in it, and `internet` the client host outside. They need root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # pytest loads this in every run, whatever is tested
    from pileus.testing import Instance, Internet, Region, Vpc


@pytest.fixture(scope="session")
def region() -> Iterator[Region]:
    """A simulated region of this session's own."""
    if os.geteuid() != 0:
        pytest.skip("the simulated region needs root")
    from pileus import testing

    with testing.region(f"pytest-{os.getpid()}") as made:
        yield made


@pytest.fixture
def vpc(region: Region) -> Iterator[Vpc]:
    """A VPC with one subnet and a way to the internet, for one test."""
    from pileus import testing

    with testing.vpc(region) as made:
        yield made


@pytest.fixture
def instance(vpc: Vpc) -> Instance:
    """A thin instance that runs, with one NIC and a private address."""
    (made,) = vpc.launch()
    return made


@pytest.fixture
def internet(region: Region) -> Internet:
    """The simulated internet, and a client host in it."""
    from pileus.testing import Internet

    return Internet(region)
