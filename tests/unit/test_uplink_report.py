"""Health in sentences, and the same as metrics: from what the kernel and the daemon know."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

from pileus.model.addresses import Mac
from pileus.model.agent import AgentStatus, NicState
from pileus.rules.nft import InKernel
from pileus.uplink import report
from pileus.uplink.report import LASTING, View, disputes, told

A, B = IPv4Address("172.16.20.101"), IPv4Address("172.16.20.102")
NIC = Mac("02:00:00:00:20:01")
ONE, TWO = Mac("fa:16:3e:00:00:01"), Mac("fa:16:3e:00:00:02")
KERNEL = InKernel(
    sets={
        "claims": frozenset({f"{A} . {ONE}", f"{A} . {TWO}", f"{B} . {ONE}"}),
        "registered": frozenset({str(A)}),
    },
    maps={"inner": {str(A): str(TWO)}},
    counters={"passed_out": 3, "passed_in": 4, "out.UPLINK_VLAN": 1, "in.UPLINK_RESOLVED": 2},
)
THERE = told(NicState(NIC, "mac-nat", "eth1", (A,)), KERNEL)


def test_what_the_rules_know() -> None:
    assert THERE.learned == {A: TWO}
    assert THERE.conflicts == {A: (ONE, TWO)}
    assert THERE.counters == {
        "passed_out": 3,
        "passed_in": 4,
        "UPLINK_RESOLVED": 2,
        "UPLINK_VLAN": 1,
    }


def test_addresses_are_told_when_they_are_in_force_primary_first() -> None:
    """What is written down is made so a moment later, or not at all."""
    assert told(NicState(NIC, "mac-nat", "eth1", (A, B)), KERNEL).registered == (A,)
    both = InKernel(sets={"registered": frozenset({str(A), str(B)})})
    assert told(NicState(NIC, "mac-nat", "eth1", (B,)), both).registered == (B, A)


def test_all_is_well_with_what_is_mended_as_a_note() -> None:
    assert report.problems((THERE,), View()) == ()
    assert report.notes(View(restored=1)) == (
        "rules of the uplink were changed by others, and put back once",
    )
    assert report.notes(View()) == ()


def test_an_address_that_moved_is_no_conflict_and_two_that_stay_are() -> None:
    moving = disputes({}, frozenset({A}), 100.0)
    assert disputes(moving, frozenset(), 130.0) == {}
    staying = disputes(moving, frozenset({A, B}), 130.0)
    assert staying == {A: 100.0, B: 130.0}
    young = View(disputed={A: LASTING - 1})
    assert report.problems((THERE,), young) == ()
    (sentence,) = report.problems((THERE,), View(disputed={A: LASTING}))
    assert sentence.startswith(f"{A} is claimed by {ONE} and {TWO}")


def test_metadata_that_is_away_is_told_after_a_while() -> None:
    assert report.problems((THERE,), View(metadata_away=9.0, metadata_why="no answer")) == ()
    (sentence,) = report.problems((THERE,), View(metadata_away=11.0, metadata_why="timed out"))
    assert sentence == "timed out; no answer for 11 s, what was registered before stays in force"


def test_without_the_daemon_its_absence_is_told_first_and_so_is_a_missing_nic() -> None:
    assert len(report.problems((THERE,), None)) == 1
    missing = NicState(NIC, "mac-nat")
    assert "not running" in report.problems((missing,), None)[0]
    assert str(NIC) in report.problems((missing,), None)[1]
    bare = NicState(NIC, "mac-nat", "eth1")
    assert "eth1 has no rules" in report.problems((bare,), View())[0]


def test_the_daemons_view_survives_its_way() -> None:
    view = View(("one",), 2, 3.5, "why", {A: 7.0})
    assert View.from_json(json.loads(json.dumps(view.to_json()))) == view
    assert View.from_json(View().to_json()).metadata_away is None


def test_metrics_are_samples_with_labels() -> None:
    status = AgentStatus(True, nics=(THERE,), published={"r1": frozenset()}, restored=2)
    lines = report.metrics(status).splitlines()
    for line in (
        "pileus_uplink_healthy 1",
        'pileus_uplink_frames_passed_total{device="eth1",direction="out"} 3',
        'pileus_uplink_frames_coded_total{device="eth1",direction="in",code="UPLINK_RESOLVED"} 2',
        'pileus_uplink_registered_addresses{device="eth1"} 1',
        'pileus_uplink_conflicting_addresses{device="eth1"} 1',
        "pileus_uplink_rules_restored_total 2",
        'pileus_uplink_published_ports{router="r1"} 0',
    ):
        assert line in lines
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
