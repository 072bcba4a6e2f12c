"""What counts as a passed check, judged on what programs print and counters say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pileus.model.addresses import Mac
from pileus.model.errors import Fault
from pileus.model.node import Login
from pileus.model.verdict import Code
from pileus.system.process import Done
from pileus.trace import checks
from pileus.trace.checks import Check, Counters, Judged, Scene

NIC = Mac("02:00:00:00:20:01")
OTHER = Mac("02:00:00:00:10:01")
SERVER = IPv4Address("192.168.20.5")
LOGIN = Login(IPv4Address("198.51.100.1"), "root", Path("key"), Path("known_hosts"), 522)


def printed(stdout: str, code: int = 0, stderr: str = "") -> Done:
    return Done(("program",), code, stdout, stderr)


def counters(
    nic: Mapping[Code, int] | None = None, other: Mapping[Code, int] | None = None
) -> Counters:
    zero = dict.fromkeys(Code, 0)
    return {NIC: {**zero, **(nic or {})}, OTHER: {**zero, **(other or {})}}


@pytest.mark.parametrize(
    ("summary", "ok", "detail"),
    [
        ("3 packets transmitted, 3 received, 0% packet loss, time 2003ms", True, "3 of 3 answered"),
        ("3 packets transmitted, 3 packets received, 0% packet loss", True, "3 of 3 answered"),
        ("3 packets transmitted, 2 received, 33% packet loss", False, "2 of 3 answered"),
        ("3 packets transmitted, 0 received, +3 errors", False, "0 of 3 answered"),
    ],
)
def test_a_ping_is_well_only_when_every_echo_came_back(summary: str, ok: bool, detail: str) -> None:
    assert checks.judge_ping(printed(f"PING 8.8.8.8\n{summary}\n")) == Judged(ok, detail)


def test_a_ping_that_did_not_run_tells_why() -> None:
    judged = checks.judge_ping(printed("", 255, 'Cannot open network namespace "qrouter-1"\n'))
    assert judged == Judged(False, 'Cannot open network namespace "qrouter-1"')


def test_landing_means_being_on_the_machine_with_the_servers_address() -> None:
    inside = printed("web\n2: eth0: <UP>\n    inet 192.168.20.5/24 brd 192.168.20.255\n")
    assert checks.judge_landing(inside, SERVER) == Judged(True, "landed in web, 192.168.20.5")
    node = printed("controller\n2: eth0: <UP>\n    inet 172.16.10.101/24\n")
    assert checks.judge_landing(node, SERVER).ok is False
    longer = printed("other\n    inet 192.168.20.50/24\n")
    assert checks.judge_landing(longer, SERVER).ok is False
    refused = printed("", 255, "ssh: connect to host port 522: Connection refused")
    assert "refused" in checks.judge_landing(refused, SERVER).detail


def test_an_empty_page_is_no_page() -> None:
    assert checks.judge_page(printed("<html>")) == Judged(True, "6 bytes")
    assert checks.judge_page(printed("")).ok is False
    assert checks.judge_page(printed("<ht", 1, "wget: timed out")).ok is False


@pytest.mark.parametrize("code", [Code.SOURCE_MAC, Code.SOURCE_IP, Code.ARP_SENDER])
def test_any_foreign_frame_of_the_clouds_own_is_told_with_nic_and_code(code: Code) -> None:
    judged = checks.judge_own_frames({}, counters(other={code: 2}))
    assert judged == Judged(False, f"{code} of {OTHER} +2")


def test_what_was_dropped_before_the_run_or_for_other_reasons_is_not_held_against_it() -> None:
    before = counters({Code.SOURCE_MAC: 1})
    now = counters({Code.SOURCE_MAC: 1, Code.NOT_CARRIED: 9, Code.GROUP_INGRESS: 4})
    assert checks.judge_own_frames(before, now).ok is True


def test_the_forged_frame_must_be_counted_once_at_its_nic_and_nowhere_else() -> None:
    before = counters({Code.SOURCE_MAC: 4})
    assert checks.judge_forged(before, counters({Code.SOURCE_MAC: 5}), NIC).ok is True
    for after in (
        before,
        counters({Code.SOURCE_MAC: 6}),
        counters({Code.SOURCE_MAC: 4}, other={Code.SOURCE_MAC: 1}),
        counters({Code.SOURCE_MAC: 5, Code.SOURCE_IP: 1}),
        counters({Code.SOURCE_MAC: 4, Code.SOURCE_IP: 1}),
    ):
        assert checks.judge_forged(before, after, NIC).ok is False


class Silent:
    """A cloud that does not tell what it drops."""

    def counters(self) -> Counters | None:
        return None


class Remembers:
    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str]) -> Done:
        self.asked.append(tuple(argv))
        return printed("<html>")


def scene(outside: Remembers) -> Scene:
    return Scene(
        node=LOGIN,
        namespace="qrouter-1",
        server=LOGIN,
        server_address=SERVER,
        page="http://192.0.2.80/",
        forger=checks.Nic("eth0", NIC, IPv4Address("172.16.10.101")),
        outside=outside,
        wire=Silent(),
    )


def test_on_a_cloud_that_does_not_tell_nothing_is_forged_or_claimed() -> None:
    wire_checks = [check for check in checks.CHECKS if "frame" in check.name]
    made = list(checks.run(scene(Remembers()), wire_checks))
    assert [checked.ok for checked in made] == [None, None]
    assert all("not observable here" in checked.detail for checked in made)


def test_the_page_is_fetched_inside_the_server_from_outside() -> None:
    outside = Remembers()
    (fetch,) = [check for check in checks.CHECKS if check.name == "server-reaches-internet"]
    (checked,) = checks.run(scene(outside), [fetch])
    assert checked.ok is True
    (argv,) = outside.asked
    assert argv[0] == "ssh"
    assert argv[-3:] == ("root@198.51.100.1", "--", "wget -qO- http://192.0.2.80/")


def test_a_check_that_cannot_be_made_fails_and_the_others_go_on() -> None:
    def breaks(_: Scene) -> Judged:
        raise Fault("the node does not answer", hint="")

    first = Check("first", "it breaks", breaks)
    second = Check("second", "it is well", lambda _: Judged(True, "well"))
    made = list(checks.run(scene(Remembers()), [first, second]))
    assert [(c.name, c.ok, c.detail) for c in made] == [
        ("first", False, "the node does not answer"),
        ("second", True, "well"),
    ]
