"""What the probe printed on Debian 12 and 13, read as facts."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from pileus.model.addresses import Mac
from pileus.model.errors import Fault
from pileus.system.process import Done
from pileus.trace import machine, probe
from pileus.trace.machine import Chain, Owner, gather, parse

DATA = Path(__file__).parents[1] / "data" / "probe"
RELEASES = ("debian12", "debian13")
PROVIDER = Mac("02:00:00:de:0e:f4")


def recorded(release: str = "debian13", **changed: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((DATA / f"{release}.json").read_text())
    return answer | changed


def command(release: str, name: str, **changed: Any) -> dict[str, Any]:
    """What was recorded, with another outcome of one of the programs."""
    answer = recorded(release)
    answer["commands"][name] = changed or None
    return answer


@pytest.mark.parametrize("release", RELEASES)
def test_a_recorded_answer_is_read(release: str) -> None:
    seen = parse(recorded(release))
    assert (seen.memory, seen.disk, seen.free_disk) == (24682416 * 1024, 21 << 30, 15 << 30)
    assert (seen.host_name, seen.stored_name) == ("ip-172-16-10-101",) * 2
    assert seen.names["ip-172-16-10-101"] == "172.16.10.101"
    assert "#" not in seen.names
    assert seen.default_route == "eth0"
    assert seen.routed == {"eth0"}
    assert seen.egress_hook
    assert seen.nested
    assert not seen.bridge_filter
    assert (seen.datapath, seen.virt_type) == ("netdev", "qemu")
    assert seen.bridges == ("br-ex", "br-int", "br-tun")
    assert seen.modules["vxlan"]
    assert seen.modules["nf_conntrack"]
    assert seen.clock_offset == pytest.approx(0.25)


@pytest.mark.parametrize("release", RELEASES)
def test_nics_are_told_from_what_stands_on_them(release: str) -> None:
    seen = parse(recorded(release))
    by_name = {device.name: device for device in seen.devices}
    eth0, eth1, bridge = by_name["eth0"], by_name["eth1"], by_name["uplink0"]
    assert eth0.addresses == (IPv4Address("172.16.10.101"),)
    assert (eth0.mtu, eth0.up, eth0.driver, eth0.strict) == (9001, True, "veth", True)
    assert (eth1.addresses, eth1.strict, eth1.permanent) == ((), False, None)
    assert bridge.mac == eth1.mac == PROVIDER
    assert not bridge.nic
    assert seen.by_mac(PROVIDER) == eth1
    assert not by_name["br-tap"].up
    assert "lo" not in by_name


@pytest.mark.parametrize("release", RELEASES)
def test_rules_are_listed_by_table_and_chain(release: str) -> None:
    seen = parse(recorded(release))
    assert seen.tables == (("netdev", "pileus_eth1"), ("ip", "nat"))
    assert Chain("ip", "nat", "DOCKER") in seen.chains


def test_who_listens_is_known_by_program_and_unit() -> None:
    listening = parse(recorded()).listening
    assert set(listening) == {22, 4369, 5000, 9696}
    assert set(listening[5000]) == {Owner("uwsgi_python3", "keystone.service")}
    assert Owner("systemd", "init.scope") in listening[4369]
    assert listening[9696] == (Owner("docker-proxy", "docker.service"),)


@pytest.mark.parametrize(
    ("outcome", "kernel", "hook"),
    [
        ({"code": 0, "out": "", "error": ""}, "5.10.0", True),
        ({"code": 1, "out": "", "error": "Error: … Operation not supported"}, "6.12.0", False),
        # Where nft cannot ask the kernel, its version must do.
        ({"code": 1, "out": "", "error": "Operation not permitted"}, "6.1.0-37-amd64", True),
        ({"code": 1, "out": "", "error": "Operation not permitted"}, "5.15.0", False),
        (None, "5.16", True),
        (None, "strange", False),
    ],
)
def test_the_egress_hook_is_what_the_kernel_says(
    outcome: dict[str, Any] | None, kernel: str, hook: bool
) -> None:
    answer = command("debian13", "hook", **(outcome or {})) | {"kernel": kernel}
    assert parse(answer).egress_hook is hook


def test_of_several_default_routes_the_preferred_one_counts() -> None:
    routes = [
        {"dst": "default", "dev": "eth0", "metric": 1024},
        {"dst": "default", "dev": "eth1", "metric": 100},
        {"dst": "default", "dev": "eth2", "table": "10002"},
        {"dst": "default", "type": "unreachable", "metric": 4278198272},
        {"dst": "10.0.0.0/8", "dev": "eth3"},
        {"dst": "10.1.0.0/16", "dev": "eth3", "protocol": "dhcp"},
        {"dst": "10.2.0.0/16", "dev": "eth3", "protocol": "kernel"},
        {"dst": "10.3.0.0/16", "dev": "eth3", "table": "7"},
    ]
    seen = parse(command("debian13", "routes", code=0, out=json.dumps(routes), error=""))
    assert seen.default_route == "eth1"
    assert seen.routed == {"eth0", "eth1", "eth2"}
    assert seen.routes == {"eth3": ("10.0.0.0/8", "10.1.0.0/16")}


def test_a_mac_by_birth_is_told_where_it_is_another() -> None:
    link = {
        "ifname": "ens6",
        "link_type": "ether",
        "address": "02:66:00:00:00:01",
        "permaddr": str(PROVIDER),
        "mtu": 1500,
        "flags": [],
        "addr_info": [],
    }
    seen = parse(command("debian13", "addresses", code=0, out=json.dumps([link]), error=""))
    assert seen.devices[0].permanent == PROVIDER


@pytest.mark.parametrize("name", ["listening", "tables", "chains", "bridges", "routes", "hook"])
def test_a_program_that_is_not_there_or_hangs_leaves_the_rest(name: str) -> None:
    seen = parse(command("debian12", name))
    assert seen.host_name == "ip-172-16-10-101"
    assert (seen.tables is None) is (name == "tables")


def test_a_fresh_machine_has_less_to_tell() -> None:
    answer = recorded(date=None, virt_type=None)
    for path in ("/etc/hosts", "/etc/hostname", "/etc/pileus/uplink.json"):
        answer["files"][path] = None
    answer["files"]["/proc/sys/net/bridge/bridge-nf-call-iptables"] = "1\n"
    seen = parse(answer)
    assert (seen.datapath, seen.clock_offset, seen.names, seen.stored_name) == (None, None, {}, "")
    assert seen.bridge_filter


def test_one_call_runs_the_probe_and_reads_it() -> None:
    calls: list[tuple[list[str], str | None]] = []

    def node(
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        calls.append((list(argv), stdin))
        return Done(tuple(argv), 0, json.dumps(recorded()), "")

    assert gather(node, machine.CLOCK) == parse(recorded())
    ((argv, program),) = calls
    assert argv == ["python3", "-", "http://169.254.169.254/"]
    assert "def main(url" in (program or "")


@pytest.mark.parametrize("said", ["", "Traceback …", "[]", "{}"])
def test_what_is_no_answer_is_a_fault(said: str) -> None:
    def node(
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        return Done(tuple(argv), 0, said, "")

    with pytest.raises(Fault, match="probe said"):
        gather(node)


def test_the_probe_needs_the_standard_library_alone_and_no_newer_python_than_3_9() -> None:
    text = (Path(machine.__file__).parent / "probe.py").read_text()
    module = ast.parse(text, feature_version=(3, 9))
    imports = [node for node in ast.walk(module) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not [node for node in imports if "pileus" in ast.unparse(node)]


def test_the_probe_writes_to_no_file_and_runs_only_what_shows() -> None:
    """Each program by what it is told to do; a new one has to be thought about here."""
    namespace: dict[str, Any] = {"__name__": "probe"}
    text = (Path(machine.__file__).parent / "probe.py").read_text()
    exec(compile(text, "probe.py", "exec"), namespace)  # noqa: S102
    shows = {"show", "list", "list-br", "--check", "-lntp"}
    assert all(shows & set(argv) for argv in namespace["COMMANDS"].values())
    opened = opens(text)
    assert opened == ['open(path, errors="replace")']


def opens(text: str) -> list[str]:
    """Calls of `open` that are not a web opener's."""
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [
        ast.unparse(node).replace("'", '"')
        for node in found
        if isinstance(node.func, ast.Name) and node.func.id == "open"
    ]


BUILT_IN, AS_FILES = "kernel/drivers/net/veth.ko\n", "kernel/net/sched/cls_bpf.ko.xz: \n"
CONFIGURED = "CONFIG_VETH=y\nCONFIG_NET_CLS_BPF=m\n# CONFIG_VXLAN is not set\n"


@pytest.mark.parametrize(
    ("files", "has"),
    [
        (
            {"modules.builtin": BUILT_IN, "modules.dep": AS_FILES},
            {"veth": True, "cls_bpf": True, "vxlan": False},
        ),
        ({"modules.dep": AS_FILES}, {"veth": None, "cls_bpf": True, "vxlan": None}),
        ({"config": CONFIGURED}, {"veth": True, "cls_bpf": None, "vxlan": False}),
        ({}, {"veth": None, "cls_bpf": None, "vxlan": None}),
    ],
)
def test_a_module_is_there_as_a_file_or_built_in_or_nobody_tells(
    files: dict[str, str], has: dict[str, bool | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = "6.1.0"
    places = {f"/lib/modules/{release}/{name}": text for name, text in files.items()}
    places[f"/boot/config-{release}"] = files.get("config", "")
    monkeypatch.setattr(probe, "text", places.get)
    monkeypatch.setattr("platform.release", lambda: release)
    monkeypatch.setattr("os.path.exists", lambda _: False)
    found = probe.modules()
    assert {name: found[name] for name in has} == has
