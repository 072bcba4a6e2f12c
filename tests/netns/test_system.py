"""Processes, files and namespaces as the rest relies on them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.model.addresses import Mac
from pileus.model.errors import Busy, CommandFailed, Fault, UserError
from pileus.model.node import SECRET_NAMES
from pileus.system import clock, files, netns, process
from pileus.system.netns import NamespaceConfig, Neighbour, Route, RoutingRule
from pileus.system.process import ProcessId
from pileus.system.workspace import Workspace

pytestmark = pytest.mark.netns

# Processes


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ProcessId]:
    started = process.spawn(["sleep", "60"], log=tmp_path / "log")
    yield started
    process.end(started, first=signal.SIGKILL)


def test_a_spawned_program_runs_in_a_session_of_its_own_until_it_is_ended(
    sleeper: ProcessId,
) -> None:
    assert process.alive(sleeper)
    assert os.getsid(sleeper.pid) == sleeper.pid
    for _ in range(2):
        process.end(sleeper)
        assert not process.alive(sleeper)


def test_what_ignores_the_polite_signal_is_ended_for_good(tmp_path: Path) -> None:
    script = (
        "import signal; signal.signal(15, signal.SIG_IGN); "
        "print('deaf', flush=True); signal.pause()"
    )
    deaf = process.spawn([sys.executable, "-c", script], log=tmp_path / "log")
    clock.poll(
        lambda: "deaf" in (tmp_path / "log").read_text() or None, what="-", hint="", timeout=10
    )
    process.end(deaf, grace=0.2)
    assert not process.alive(deaf)


def test_a_number_that_another_process_has_by_now_is_left_alone(sleeper: ProcessId) -> None:
    """The kernel hands numbers out again: the start time tells the two apart."""
    former = replace(sleeper, started=sleeper.started - 1)
    assert not process.alive(former)
    assert process.wait_for_exit(former, timeout=0)
    process.end(former, first=signal.SIGKILL)
    assert process.alive(sleeper)


def test_waiting_tells_whether_it_has_ended(sleeper: ProcessId) -> None:
    assert not process.wait_for_exit(sleeper, timeout=0.01)
    threading.Timer(0.1, os.kill, (sleeper.pid, signal.SIGKILL)).start()
    assert process.wait_for_exit(sleeper, timeout=10)
    assert process.identify(sleeper.pid) is None, "not even a zombie is left"


def test_a_program_that_is_missing_or_ends_at_once_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`no-such-program` is not installed"):
        process.spawn(["no-such-program"], log=tmp_path / "log")
    with pytest.raises(UserError, match="not installed"):
        process.run(["no-such-program"])


def test_a_program_that_fails_is_quoted_and_one_that_hangs_is_ended() -> None:
    with pytest.raises(CommandFailed, match="ended with code 3: sorry") as failed:
        process.run(["sh", "-c", "echo sorry >&2; exit 3"])
    assert failed.value.code == 3
    with pytest.raises(CommandFailed, match="did not end in time") as hung:
        process.run(["sleep", "60"], timeout=0.1)
    assert hung.value.retryable


TIED = (
    "import sys; from pathlib import Path; from pileus.system import process; "
    "process.run(['sh', '-c', sys.argv[1], 'sh', sys.argv[2]], tied=True, log=Path(sys.argv[3]))"
)
MOUNTS_AND_LEAVES = """mount -t tmpfs tmpfs "$1"
setsid sh -c 'read -r pid rest </proc/self/stat; echo "$pid"; exec sleep 60' &
wait"""


def test_a_tied_program_dies_with_us_and_so_does_what_it_started_and_mounted(
    tmp_path: Path,
) -> None:
    log, place = tmp_path / "log", tmp_path / "place"
    place.mkdir()
    command = [sys.executable, "-c", TIED, MOUNTS_AND_LEAVES, str(place), str(log)]
    with subprocess.Popen(command) as we:
        pid = clock.poll(
            lambda: int(log.read_text() or 0) or None if log.exists() else None,
            what="-",
            hint="",
            timeout=10,
        )
        left = process.identify(pid)
        assert left
        assert not place.is_mount()
        we.kill()
    assert process.wait_for_exit(left, timeout=10)
    place.rmdir()


def test_a_tied_program_tells_its_end_and_those_it_leaves_are_collected() -> None:
    with pytest.raises(CommandFailed, match=r"^`sh -c exit 3` ended with code 3") as failed:
        process.run(["sh", "-c", "exit 3"], tied=True)
    assert failed.value.code == 3
    orphan = "pid=$(sh -c 'sleep 0.1 >/dev/null & echo $!'); while kill -0 $pid; do sleep 0.1; done"
    program = f"import subprocess; subprocess.run(['sh', '-c', {orphan!r}])"
    process.run([sys.executable, "-c", program], tied=True, timeout=10)


# Files


def test_a_file_is_whole_and_private_from_its_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    files.write(path, "old", mode=files.PRIVATE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    reader = path.open()
    files.write(path, "new", mode=files.PRIVATE)
    with reader:
        assert reader.read() == "old", "who reads it sees no mixture"
    assert path.read_text() == "new"
    files.write(tmp_path / "public", "x")
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644


def test_a_write_that_fails_leaves_the_old_text_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_document_is_named_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert files.read_json(path) is None
    files.write_json(path, {"a": [1]})
    assert files.read_json(path) == {"a": [1]}
    path.write_text('{"a": [')
    with pytest.raises(Fault, match=r"state\.json is damaged") as damaged:
        files.read_json(path)
    assert "pileus down" in damaged.value.hint


HOLD = (
    "import sys, signal; from pathlib import Path; from pileus.system import files\n"
    "with files.lock(Path(sys.argv[1]), what='the cloud'):\n"
    "    print('held', flush=True); signal.pause()\n"
)


def test_a_lock_names_its_holder_and_is_free_when_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "demo"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        held = pytest.raises(Busy, match=f"the cloud is held by pid {holder.pid} ")
        with held, files.lock(path, what="the cloud"):
            pass
        holder.kill()
    with files.lock(path, what="the cloud"):
        assert f"pid {os.getpid()} " in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# The state of a cloud


def test_credentials_are_random_private_and_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))
    demo, other = Workspace("demo"), Workspace("other")
    for each in (demo, other):
        each.make_credentials()
    first, key = demo.secrets(), demo.public_key()
    assert set(first.values) == set(SECRET_NAMES)
    assert len(set(first.values.values())) == len(SECRET_NAMES)
    assert all(len(secret) >= 24 for secret in first.values.values())
    assert key.startswith("ssh-ed25519 ")
    for path in (demo.directory / "secrets.json", demo.private_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(demo.directory.stat().st_mode) == 0o700
    assert (other.secrets().values, other.public_key()) != (first.values, key)
    demo.make_credentials()
    assert (demo.secrets().values, demo.public_key()) == (first.values, key)


def test_what_a_newer_version_needs_or_was_lost_is_made_and_the_rest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))
    demo = Workspace("demo")
    demo.make_credentials()
    first, key = demo.secrets(), demo.public_key()
    demo.private_key.unlink()
    monkeypatch.setattr("pileus.system.workspace.SECRET_NAMES", (*SECRET_NAMES, "new"))
    with pytest.raises(UserError, match="passwords"):
        demo.secrets()
    demo.make_credentials()
    assert all(demo.secrets()[name] == first[name] for name in SECRET_NAMES)
    assert demo.secrets()["new"]
    assert demo.private_key.exists()
    assert demo.public_key() != key


# The file that a shell reads

LOOK = '. "$1"; . "$1"; printf "%s\\n" "$no_proxy" "$NO_PROXY" "$OS_PASSWORD"; command -v openstack'


@pytest.mark.parametrize(
    ("before", "no_proxy"),
    [
        ({}, "198.51.100.1"),
        ({"NO_PROXY": "localhost,.lan"}, "localhost,.lan,198.51.100.1"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,198.51.100.1"),
        ({"no_proxy": "198.51.100.1,a"}, "198.51.100.1,a"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_after_reading_openrc_the_openstack_command_is_there_and_goes_past_proxies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: dict[str, str], no_proxy: str
) -> None:
    """Also when it is read twice, and in a shell that takes no unset variable."""
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path))
    tools = tmp_path / "the tools"
    tools.mkdir()
    (tools / "openstack").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tools / "python"))
    cloud = Workspace("demo")
    url = "http://198.51.100.1:5000/v3"
    cloud.write_client_files(auth_url=url, password="it's $HOME", region="regionOne")
    shell = subprocess.run(
        ["sh", "-euc", LOOK, "sh", str(cloud.openrc)],
        env={"PATH": "/usr/bin:/bin", **before},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout.splitlines() == [no_proxy, no_proxy, "it's $HOME", f"{tools}/openstack"]


# Namespaces

SPACE = f"sys{os.getpid()}"
DEVICES = ("one", "two")


@pytest.fixture(scope="module")
def space() -> Iterator[str]:
    try:
        netns.ensure(SPACE)
        for device in DEVICES:
            netns.batch(SPACE, [f"link add {device} type bridge", f"link set {device} up"])
        yield SPACE
    finally:
        netns.remove(SPACE)


def test_a_namespace_is_made_once_and_removed_once() -> None:
    name = f"{SPACE}-once"
    for _ in range(2):
        netns.ensure(name)
        assert netns.existing(name) == [name]
    assert "UP" in netns.links(name)["lo"]["flags"]
    for _ in range(2):
        netns.remove(name)
        assert netns.existing(name) == []


def test_what_is_done_inside_stays_inside(space: str) -> None:
    def where() -> int:
        return os.stat("/proc/thread-self/ns/net").st_ino

    assert netns.run_inside(space, where) == (netns.DIRECTORY / space).stat().st_ino != where()
    with pytest.raises(ZeroDivisionError):
        netns.run_inside(space, lambda: 1 // 0)


def test_a_device_that_went_by_itself_is_as_good_as_deleted() -> None:
    name = f"{SPACE}-links"
    netns.ensure(name)
    try:
        netns.batch(name, [f"link add {device} type bridge" for device in ("one", "two", "stays")])
        netns.delete_links(name, ["gone", "one", "two"])
        netns.delete_links(name, ["gone"])
        assert {"one", "two", "stays"} & set(netns.devices(name)) == {"stays"}
    finally:
        netns.remove(name)


def test_programs_of_a_namespace_are_found(space: str, tmp_path: Path) -> None:
    inside = process.spawn(["ip", "netns", "exec", space, "sleep", "60"], log=tmp_path / "log")
    try:
        clock.poll(lambda: inside in netns.processes(space) or None, what="-", hint="", timeout=10)
        assert netns.processes(space) == [inside]
    finally:
        process.end(inside, first=signal.SIGKILL)


HOSTS = [f"10.0.{subnet}.{host}" for subnet in (0, 1) for host in (1, 2)]
ADDRESSES = st.frozensets(
    st.tuples(st.sampled_from(DEVICES), st.sampled_from(HOSTS)).map(
        lambda pair: (pair[0], IPv4Interface(f"{pair[1]}/32"))
    )
)
TABLES = (254, 1000)


@st.composite
def configs(draw: st.DrawFn) -> NamespaceConfig:
    """Addresses as the wire has them, and what may depend on them: routes with a source."""
    addresses = draw(ADDRESSES)
    sources = [(device, interface.ip) for device, interface in sorted(addresses, key=str)]
    routes: dict[tuple[str, int], Route] = {}
    for network in ("192.0.2.0/24", "198.51.100.7/32", "0.0.0.0/0"):
        if not sources or not draw(st.booleans()):
            continue
        device, source = draw(st.sampled_from(sources))
        via = draw(st.sampled_from([None, IPv4Address("203.0.113.1")]))
        table = draw(st.sampled_from(TABLES))
        own = draw(st.sampled_from([None, source]))
        routes[network, table] = Route(IPv4Network(network), device, via, own, table)
    neighbours = {
        (device, host): Neighbour(IPv4Address(host), device, Mac(f"02:00:00:00:00:0{number}"))
        for device, host, number in draw(
            st.lists(
                st.tuples(st.sampled_from(DEVICES), st.sampled_from(HOSTS), st.integers(1, 2)),
                max_size=3,
            )
        )
    }
    rules = draw(
        st.frozensets(
            st.sampled_from(
                [
                    RoutingRule(100, 254, suppress_default=True),
                    RoutingRule(200, 1000, 0x1000001),
                    RoutingRule(200, 1000, 0x1000002),
                    RoutingRule(300, 1000),
                ]
            )
        )
    )
    return NamespaceConfig(
        addresses, frozenset(routes.values()), frozenset(neighbours.values()), rules
    )


@given(st.lists(configs(), min_size=2, max_size=3))
@settings(max_examples=20)
def test_a_namespace_becomes_what_is_wanted_whatever_it_was(
    space: str, sequence: list[NamespaceConfig]
) -> None:
    for wanted in sequence:
        netns.configure(space, wanted)
        assert not netns.configure(space, wanted), "the second time, nothing is left to do"


def test_a_route_survives_when_its_devices_address_is_exchanged(space: str) -> None:
    """With a device's last address the kernel drops all of its routes."""
    route = Route(IPv4Network("192.0.2.0/24"), "one")
    for host in ("10.0.0.1", "10.0.0.2"):
        addresses = frozenset({("one", IPv4Interface(f"{host}/32"))})
        netns.configure(space, NamespaceConfig(addresses, frozenset({route})))
        shown = process.run(["ip", "-n", space, "-json", "route", "show", "192.0.2.0/24"]).stdout
        assert [entry["dev"] for entry in json.loads(shown)] == ["one"]


def test_kernel_settings_are_the_namespaces_own(space: str) -> None:
    here = Path("/proc/sys/net/ipv4/ip_default_ttl").read_text()
    netns.configure(space, NamespaceConfig(sysctls={"net/ipv4/ip_default_ttl": "99"}))
    inside = netns.run_inside(
        space, lambda: Path("/proc/thread-self/root/proc/sys/net/ipv4/ip_default_ttl").read_text()
    )
    assert inside.strip() == "99"
    assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() == here
