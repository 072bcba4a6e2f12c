"""What a cloud is to have: what the file says, changed by what commands recorded."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pileus.api.record import Pair, Record
from pileus.api.wanted import parse_pair, wanted_pairs, wants
from pileus.model.errors import Refused
from pileus.model.publishing import Publication
from pileus.plan.addresses import next_free
from pileus.spec import Spec, loads

SERVERS = ("web", "mail")
A102, A103, A104 = (IPv4Address("172.16.20.102") + offset for offset in range(3))
PORTS = [Publication(522, 22), Publication(80, 80), Publication(53, 53, "udp")]
PAIRS = st.tuples(st.sampled_from(SERVERS), st.sampled_from(PORTS))


def spec(*lines: str, extra: str = "") -> Spec:
    """A cloud with two servers; `lines` are "web 522:22"."""
    ports = {
        name: [line.split()[1] for line in lines if line.split()[0] == name] for name in SERVERS
    }
    text = "cloud: demo\nservers:\n" + "".join(
        f"- {{name: {name}, network: private, publish: {ports[name]!r}}}\n" for name in SERVERS
    )
    return loads((text + extra).encode(), name="pileus.yaml")


def pair(line: str) -> Pair:
    server, port = line.split()
    return server, Publication.parse(port)


FILES = (spec(), spec("web 522:22"), spec("web 522:22", "mail 80:80", "mail 53:53/udp"))
COMMANDS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["publish", "unpublish"]), PAIRS),
        st.tuples(st.just("edit"), st.sampled_from(FILES)),
    ),
    max_size=8,
)


@given(COMMANDS)
def test_the_last_word_on_a_port_counts(commands: list[tuple[str, object]]) -> None:
    """Whoever spoke last: a command, whatever the file says before or after; else the file."""
    file, record, said = FILES[1], Record(), dict[Pair, bool]()
    for what, about in commands:
        if isinstance(about, Spec):
            file = about
            continue
        assert isinstance(about, tuple)
        record = getattr(record, what)(about, file)
        said[about] = what == "publish"
        assert (about in wanted_pairs(file, record)) is (what == "publish")
        assert not record.added & record.removed
        assert Record.read(record.document()) == record
    in_file = {(server.name, port) for server in file.servers for port in server.publish}
    for one in wanted_pairs(file, record):
        assert one in in_file or said.get(one)
    for one in in_file:
        # A file that came later may name a port again that a command took back.
        assert one in wanted_pairs(file, record) or said.get(one) is False


@given(PAIRS, st.sampled_from(FILES))
def test_a_command_and_its_opposite_leave_what_was(one: Pair, file: Spec) -> None:
    was = wanted_pairs(file, Record())
    there = Record().publish(one, file)
    assert wanted_pairs(file, there) == was | {one}
    assert wanted_pairs(file, there.publish(one, file)) == was | {one}
    gone = there.unpublish(one, file)
    assert wanted_pairs(file, gone) == was - {one}
    assert wanted_pairs(file, gone.publish(one, file)) == was | {one}


def test_nothing_is_recorded_that_the_file_says_already() -> None:
    record = Record().publish(pair("web 522:22"), FILES[1])
    assert record == Record()


def test_the_record_is_written_as_users_write_ports() -> None:
    record = Record(frozenset({pair("web 53:53/udp")}), frozenset({pair("web 522:22")}))
    record = record.float("web", A103)
    assert record.document() == {
        "published": ["web 53:53/udp"],
        "unpublished": ["web 522:22"],
        "floating": ["web 172.16.20.103"],
        "released": [],
    }
    assert Record.read({}) == Record()


def test_published_ports_have_addresses() -> None:
    (item,) = wants(FILES[1], Record()).published
    assert str(item.registered) == "172.16.20.101:522"
    assert item.private.address == FILES[1].servers[0].fixed_ip
    assert (item.protocol, item.private.port) == ("tcp", 22)


def test_a_port_is_published_to_one_server_only() -> None:
    record = Record().publish(pair("mail 522:22"), FILES[1])
    with pytest.raises(Refused, match="port 522 is published already") as refused:
        wants(FILES[1], record)
    assert "unpublish" in refused.value.hint
    other_target = Record().publish(pair("web 522:2222"), FILES[1])
    with pytest.raises(Refused):
        wants(FILES[1], other_target)


def test_tcp_and_udp_of_a_number_are_two_ports() -> None:
    record = Record().publish(pair("mail 522:22/udp"), FILES[1])
    assert len(wants(FILES[1], record).published) == 2


def test_ports_of_a_server_that_is_no_longer_in_the_file_are_not_published() -> None:
    record = Record().publish(pair("mail 80:80"), FILES[1])
    alone = FILES[1].model_copy(update={"servers": FILES[1].servers[:1]})
    assert {name for name, _ in wanted_pairs(alone, record)} == {"web"}
    assert replace(record) == Record.read(record.document()), "and yet not forgotten"


def test_what_the_user_typed_becomes_a_pair() -> None:
    assert parse_pair(FILES[0], "web", "53:53/udp") == ("web", Publication(53, 53, "udp"))


@pytest.mark.parametrize(
    ("server", "port", "message", "hint"),
    [
        ("db", "522:22", "no server `db`", "mail, web"),
        ("web", "522", "is not PORT:SERVER_PORT", "522:22"),
        ("web", "0:22", "is not a port", "522:22"),
        ("web", "522:70000", "is not a port", "522:22"),
        ("web", "522:22/sctp", "is not PORT:SERVER_PORT", "522:22"),
    ],
)
def test_what_cannot_be_is_refused_with_a_hint(
    server: str, port: str, message: str, hint: str
) -> None:
    with pytest.raises(Refused, match=message) as refused:
        parse_pair(FILES[0], server, port)
    assert hint in refused.value.hint


def test_the_registered_address_is_the_files() -> None:
    assert FILES[0].underlay.registered_address == IPv4Address("172.16.20.101")


TWO = spec(extra="floating_ips: 2\n")


def test_floating_addresses_are_those_of_the_file_and_of_commands() -> None:
    assert wants(TWO, Record()).floating == (A102, A103)
    record = Record().float("web", A104)
    want = wants(TWO, record)
    assert want.floating == (A102, A103, A104)
    assert want.holders == {A104: "web"}
    assert Record.read(record.document()) == record


def floating(count: int, record: Record) -> list[int]:
    """The last bytes of the floating addresses, with so many in the file."""
    want = wants(spec(extra=f"floating_ips: {count}\n"), record)
    return [int(address) & 255 for address in want.floating]


def test_there_are_as_many_as_the_file_says_and_those_that_were_added() -> None:
    added = Record().float("web", A102)
    assert [floating(count, added) for count in range(4)] == [
        [102],
        [102, 103],
        [102, 103, 104],
        [102, 103, 104, 105],
    ]
    behind = Record().float("web", A104)
    assert floating(3, behind) == [102, 103, 104, 105]


def test_no_address_moves_when_an_added_one_among_them_is_given_back() -> None:
    added = Record().float("web", A102)
    assert floating(2, added) == [102, 103, 104]
    back = added.release(A102, TWO)
    assert floating(2, back) == [103, 104]
    assert floating(3, back) == [103, 104, 105]
    assert Record.read(back.document()) == back
    assert floating(2, back.float("web", A102)) == [102, 103, 104]


def test_an_address_of_the_files_that_was_given_back_stays_away() -> None:
    back = Record().release(A102, TWO)
    assert floating(2, back) == [103]
    assert floating(2, back.float("web", A102)) == [102, 103], "added, it is one more"
    assert floating(2, back.float("web", A102).release(A102, TWO)) == [103]
    assert Record.read(back.document()) == back


def test_a_number_that_is_written_after_an_address_was_given_back_counts() -> None:
    back = Record().release(A102, TWO)
    assert floating(1, back) == [103], "the file follows the command"
    assert floating(3, back) == [103, 104, 105]


def test_of_an_address_that_was_added_and_given_back_nothing_is_left_to_remember() -> None:
    assert Record().float("web", A104).release(A104, TWO) == Record()


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("file"), st.integers(0, 6)),
        st.tuples(st.just("add"), st.just(0)),
        st.tuples(st.just("remove"), st.integers(0, 8)),
    ),
    max_size=12,
)


@given(MOVES)
def test_each_command_changes_its_own_address_and_each_number_counts(
    moves: list[tuple[str, int]],
) -> None:
    """Whatever was done before: nothing that is in use moves."""
    count, record = 2, Record()
    for what, number in moves:
        before = set(floating(count, record))
        file = spec(extra=f"floating_ips: {count}\n")
        if what == "file":
            after = set(floating(number, record))
            assert before <= after or after <= before
            count = number
        elif what == "add":
            address = next_free(file, wants(file, record).floating)
            record = record.float("web", address)
            assert set(floating(count, record)) == before | {int(address) & 255}
        elif before:
            address = wants(file, record).floating[number % len(before)]
            record = record.release(address, file)
            assert set(floating(count, record)) == before - {int(address) & 255}
        assert Record.read(record.document()) == record


def test_the_address_of_a_server_that_left_the_file_stays_registered() -> None:
    """Its address may be in use by what users made of it; it is nobody's by our doing."""
    record = Record().float("mail", A104)
    alone = TWO.model_copy(update={"servers": TWO.servers[:1]})
    assert wants(alone, record).floating == (A102, A103, A104)
    assert wants(alone, record).holders == {}


def test_ports_of_a_floating_address_are_neutrons_to_forward() -> None:
    record = Record().publish(pair("web 172.16.20.103:522:22"), TWO).publish(pair("web 80:80"), TWO)
    want = wants(TWO, record)
    assert [str(item.registered) for item in want.published] == ["172.16.20.101:80"]
    assert [str(item.registered) for item in want.forwards] == ["172.16.20.103:522"]


@pytest.mark.parametrize(
    ("address", "message"),
    [("172.16.20.104", "floating IP of mail"), ("172.16.20.109", "not one of the cloud's")],
)
def test_no_port_is_published_on_an_address_that_is_taken_or_unknown(
    address: str, message: str
) -> None:
    record = Record().float("mail", A104).publish(pair(f"web {address}:522:22"), TWO)
    with pytest.raises(Refused, match=message):
        wants(TWO, record)


def test_added_addresses_cannot_follow_to_mac_clone() -> None:
    clone = spec(extra="uplink: mac-clone\n")
    with pytest.raises(Refused, match="mac-clone") as refused:
        wants(clone, Record().float("web", A102))
    assert "floating-ip remove" in refused.value.hint


def test_a_port_of_a_floating_ip_cannot_follow_to_mac_clone() -> None:
    clone = spec(extra="uplink: mac-clone\n")
    record = Record().publish(pair("web 172.16.20.102:522:22"), TWO)
    with pytest.raises(Refused, match=r"`uplink: mac-clone`.*172\.16\.20\.102:522") as refused:
        wants(clone, record)
    assert "`pileus unpublish`" in refused.value.hint
    assert "mac-nat" in refused.value.hint
