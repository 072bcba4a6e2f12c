"""Metadata that lags: what an instance is told is what was true a while ago, never a mixture."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_vpc_metadata import MY_MACS, STATE

from pileus.model.errors import Refused
from pileus.vpc import faults
from pileus.vpc.faults import Faults
from pileus.vpc.lateness import History, Moment, seen_by
from pileus.vpc.metadata import Asker, tree
from pileus.vpc.state import ElasticIp, Eni, RegionState

DELAY = 3.0
PRIMARY, PROVIDER = "eni-0", "eni-1"
LAUNCHED = STATE
"""The instance with both NICs; the provider NIC has two addresses, the second one public."""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(clock: Clock) -> History:
    """An instance launched long ago."""
    made = History(clock)
    made.note(LAUNCHED, DELAY)
    clock.now += 1000
    return made


def with_nic(state: RegionState, nic: Eni) -> RegionState:
    return replace(state, enis={**state.enis, nic.id: nic})


def addressed(*lasts: int) -> RegionState:
    """The provider NIC with these addresses."""
    addresses = tuple(IPv4Address(f"172.16.20.{last}") for last in lasts)
    return with_nic(STATE, replace(STATE.enis[PROVIDER], addresses=addresses))


def told(history: History, *names: str, nic: int = 1, delay: float = DELAY) -> object:
    """An entry of the NIC's metadata, None where it is not there."""
    seen = history.seen_by("i-1", delay)
    found: object = tree(b"key", Asker(seen, STATE.instances["i-1"]), 0)
    for name in ("meta-data", "network", "interfaces", "macs", str(MY_MACS[nic]), *names):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def test_an_assigned_address_arrives_after_the_delay(history: History, clock: Clock) -> None:
    history.note(addressed(101, 102, 103), DELAY)
    assert told(history, "local-ipv4s") == "172.16.20.101\n172.16.20.102"
    clock.now += 2.9
    assert told(history, "local-ipv4s") == "172.16.20.101\n172.16.20.102"
    clock.now += 0.1
    assert told(history, "local-ipv4s") == "172.16.20.101\n172.16.20.102\n172.16.20.103"


def test_without_a_delay_it_is_there_at_once(history: History) -> None:
    history.note(addressed(101, 103), 0)
    assert told(history, "local-ipv4s", delay=0) == "172.16.20.101\n172.16.20.103"


def test_what_was_taken_away_lingers_as_long(history: History, clock: Clock) -> None:
    history.note(replace(addressed(101), elastic_ips={}), DELAY)
    assert told(history, "public-ipv4s") == "198.51.100.2"
    clock.now += DELAY
    assert told(history, "public-ipv4s") is None
    assert told(history, "local-ipv4s") == "172.16.20.101"


def test_an_elastic_ip_arrives_with_its_association(history: History, clock: Clock) -> None:
    new = ElasticIp("e3", IPv4Address("198.51.100.3"), PROVIDER, IPv4Address("172.16.20.101"), "a")
    history.note(replace(STATE, elastic_ips={**STATE.elastic_ips, "e3": new}), DELAY)
    assert told(history, "ipv4-associations") == {"198.51.100.2": "172.16.20.102"}
    clock.now += DELAY
    assert told(history, "ipv4-associations", "198.51.100.3") == "172.16.20.101"


def test_a_nic_that_is_plugged_in_shows_device_0_and_its_primary_address_until_it_arrived(
    clock: Clock,
) -> None:
    history = History(clock)
    history.note(replace(STATE, enis={PRIMARY: STATE.enis[PRIMARY]}), DELAY)
    clock.now += 1000
    # It is older than the primary one: its place in the API's list says nothing.
    history.note(replace(STATE, enis={PROVIDER: STATE.enis[PROVIDER], **STATE.enis}), DELAY)

    assert (told(history, "device-number"), told(history, "local-ipv4s")) == ("0", "172.16.20.101")
    seen = history.seen_by("i-1", DELAY)
    assert [eni.id for eni in seen.enis_of("i-1")] == [PRIMARY, PROVIDER]
    clock.now += DELAY
    assert told(history, "device-number") == "1"
    assert told(history, "local-ipv4s") == "172.16.20.101\n172.16.20.102"


def test_an_instance_finds_what_it_was_launched_with(clock: Clock) -> None:
    history = History(clock)
    history.note(LAUNCHED, DELAY)
    assert told(history, "device-number") == "1"
    assert told(history, "local-ipv4s") == "172.16.20.101\n172.16.20.102"


def test_a_nic_that_is_gone_with_its_subnet_can_still_be_shown(
    history: History, clock: Clock
) -> None:
    subnets = {"subnet-m": STATE.subnets["subnet-m"]}
    history.note(replace(STATE, enis={PRIMARY: STATE.enis[PRIMARY]}, subnets=subnets), DELAY)
    assert told(history, "subnet-ipv4-cidr-block") == "172.16.20.0/24"
    clock.now += DELAY
    assert told(history) is None


def test_history_keeps_only_what_matters(history: History, clock: Clock) -> None:
    for last in range(101, 201):
        clock.now += 1
        history.note(addressed(last), DELAY)
    assert len(history._moments) == 4, "three seconds, and what was before them"


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.sets(st.integers(5, 9), min_size=1)), min_size=1, max_size=8
    ),
    st.floats(0, 10),
    st.floats(0, 10),
)
def test_each_answer_was_once_the_whole_truth(
    steps: list[tuple[float, set[int]]], delay: float, wait: float
) -> None:
    """The newest state that is older than the delay, or the first one there was."""
    clock = Clock()
    history = History(clock)
    moments = []
    for pause, lasts in steps:
        clock.now += pause
        state = addressed(*sorted(lasts))
        history.note(state, delay)
        moments.append(Moment(clock.now, state))
    clock.now += wait
    old = [one for one in moments if one.since <= clock.now - delay]
    expected = (old[-1] if old else moments[0]).state
    pruned = history.seen_by("i-1", delay)
    assert pruned.enis[PROVIDER] == expected.enis[PROVIDER]
    assert seen_by("i-1", moments, clock.now - delay).enis == pruned.enis


def test_faults_are_set_one_by_one() -> None:
    late = faults.changed(Faults(), "metadata-delay", "3")
    assert late == Faults(metadata_delay=3.0)
    assert faults.changed(late, "metadata-away", "on") == Faults(3.0, metadata_away=True)
    assert faults.changed(late, "metadata-delay", "0") == Faults()


def test_what_is_switched_on_is_told_as_it_is_set() -> None:
    assert faults.switched_on(Faults()) == {}
    wrong = Faults(metadata_delay=3.0, metadata_away=True, api_lost=0.1234567)
    told = faults.switched_on(wrong)
    assert told == {"metadata-delay": "3", "metadata-away": "on", "api-lost": "0.1234567"}
    again = Faults()
    for name, value in told.items():
        again = faults.changed(again, name, value)
    assert again == wrong


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("metadata-late", "3", "metadata-delay, metadata-away"),
        ("metadata-delay", "soon", "seconds from 0 to 600"),
        ("metadata-delay", "-1", "seconds from 0 to 600"),
        ("metadata-delay", "nan", "seconds from 0 to 600"),
        ("metadata-away", "yes", "on or off"),
        ("api-throttle", "1.5", "from 0 to 1"),
    ],
)
def test_a_fault_that_is_none_says_what_there_is(name: str, value: str, hint: str) -> None:
    with pytest.raises(Refused) as refused:
        faults.changed(Faults(), name, value)
    assert hint in refused.value.hint
