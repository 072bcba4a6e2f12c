"""The end of a cloud; this file is the last of its half."""

from __future__ import annotations

from cloud_under_test import PRIVATE, CloudUnderTest, cut_off, leftovers


def test_down_asks_first(cloud: CloudUnderTest) -> None:
    done = cloud.pileus("down", check=False)
    assert done.code == 1
    assert "--yes" in done.stderr


def test_down_leaves_nothing_behind(cloud: CloudUnderTest) -> None:
    """Nor after an `up` that was cut off in the middle of a change."""
    cloud.write(networks=f"[{PRIVATE}, {{name: more, cidr: 10.9.0.0/24}}]")
    cut_off(cloud, "networks and servers")
    assert leftovers(cloud.name) != []
    cloud.pileus("down", "--yes")
    assert leftovers(cloud.name) == []
    assert not cloud.state.exists()
    assert cloud.json("status")["state"] == "down"


def test_down_again_is_no_error(cloud: CloudUnderTest) -> None:
    assert cloud.pileus("down", "--yes").stdout == "nothing had to change\n"
