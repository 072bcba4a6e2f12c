"""The cloud as its users find it: each allowed path, and its denied twins."""

from __future__ import annotations

import json
import re
import subprocess
from ipaddress import IPv4Address

import pytest
from cloud_under_test import (
    DASHBOARD_KEY,
    FOREIGN,
    TOP,
    CloudUnderTest,
    openstack,
    openstack_command,
    until,
)
from host_watch import NOTHING, left

from pileus.model.addresses import Mac
from pileus.system import process
from pileus.trace.forge import udp_frame

FOREIGN_MAC = Mac("02:66:6f:72:67:65")
SEND = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
    raw.bind((sys.argv[1], 0))
    try:
        raw.send(bytes.fromhex(sys.argv[2]))
    except OSError:
        pass  # dropped on its way out
"""


def test_up_says_what_was_checked(cloud: CloudUnderTest) -> None:
    for sentence in (
        "the router's namespace pings 8.8.8.8",
        "SSH to the Elastic IP's published port lands in the server",
        "the server fetches a page from the internet",
        "the wire dropped no frame of the cloud's own for a foreign MAC or IP",
        "a forged frame is dropped and counted exactly once",
    ):
        assert re.search(rf"{re.escape(sentence)}\s+ok\b", cloud.up_output), cloud.up_output


def test_the_cloud_sent_nothing_foreign_but_the_one_forged_frame(cloud: CloudUnderTest) -> None:
    """This test comes early: later ones forge frames of their own."""
    assert {code: cloud.dropped("eth1")[code] for code in FOREIGN} == dict.fromkeys(FOREIGN, 0)
    management = {code: cloud.dropped("eth0")[code] for code in FOREIGN}
    assert management == {**dict.fromkeys(FOREIGN, 0), FOREIGN[0]: 1}


def test_a_second_up_changes_nothing_and_says_so(cloud: CloudUnderTest) -> None:
    before = cloud.status
    assert "nothing had to change" in cloud.pileus("up").stdout
    assert cloud.status == before


def test_the_guides_addresses_are_in_place(cloud: CloudUnderTest) -> None:
    status = cloud.status
    assert status["cloud"] == cloud.name
    assert status["state"] == "up"
    assert status["underlay"]["kind"] == "aws"
    (node,) = status["nodes"]
    management, provider = node["nics"]
    assert management["addresses"][0]["private"] == "172.16.10.101"
    assert provider["addresses"][0]["private"] == "172.16.20.101"
    (router,) = status["routers"]
    assert router["gateway_ip"] == "172.16.20.101"
    assert router["gateway_mac"] != provider["mac"], "Neutron's own: the pipeline translates it"
    (server,) = status["servers"]
    public = provider["addresses"][0]["public"]
    assert server == {
        "name": "web",
        "fixed_ip": "192.168.20.5",
        "floating_ip": None,
        "published": [
            {
                "public": f"{public}:522",
                "registered": "172.16.20.101:522",
                "private": "192.168.20.5:22",
            }
        ],
    }


def test_the_router_reaches_the_internet(cloud: CloudUnderTest) -> None:
    ping = ["ping", "-c", "3", "-W", "2", "8.8.8.8"]
    cloud.controller("sudo", "ip", "netns", "exec", cloud.router_namespace, *ping)


def test_ssh_from_the_internet_lands_in_the_server(cloud: CloudUnderTest) -> None:
    done = cloud.ssh_from_internet(str(cloud.provider_public), 522, "hostname; ip -4 addr")
    assert done.stdout.startswith("web\n")
    assert "192.168.20.5/" in done.stdout


def test_the_server_sees_the_internet_from_its_public_address(cloud: CloudUnderTest) -> None:
    page = cloud.pileus("ssh", "web", "--", "wget", "-qO-", "http://www.example.com/ip").stdout
    assert page.strip() == str(cloud.provider_public)


def test_only_the_caller_reaches_the_machine_and_the_apis(cloud: CloudUnderTest) -> None:
    (node,) = cloud.status["nodes"]
    address = node["management_public_ip"]
    before = cloud.dropped("eth0")
    for port in (22, 80, 5000, 8774, 9696):
        assert process.run(["nc", "-z", "-w", "3", address, str(port)], check=False).code == 0
        assert cloud.internet("nc", "-z", "-w", "1", address, str(port), check=False).code != 0
    assert set(cloud.rise("eth0", before)) == {"UNDERLAY_SECURITY_GROUP_INGRESS"}


def test_a_port_that_is_not_published_is_closed(cloud: CloudUnderTest) -> None:
    before = cloud.dropped("eth1")
    assert cloud.ssh_from_internet(str(cloud.provider_public), 523, "true").code != 0
    assert set(cloud.rise("eth1", before)) == {"UNDERLAY_SECURITY_GROUP_INGRESS"}


def test_publish_opens_a_port_and_unpublish_closes_it(cloud: CloudUnderTest) -> None:
    address = str(cloud.provider_public)
    cloud.pileus("publish", "web", "523:22")
    assert cloud.ssh_from_internet(address, 523, "hostname").stdout == "web\n"
    assert cloud.json("plan")["changes"] == []
    cloud.pileus("unpublish", "web", "523:22")
    assert cloud.ssh_from_internet(address, 523, "true").code != 0
    assert cloud.ssh_from_internet(address, 522, "hostname").stdout == "web\n"


def test_a_port_cannot_be_published_twice(cloud: CloudUnderTest) -> None:
    before = cloud.status
    done = cloud.pileus("publish", "web", "522:80", check=False)
    assert done.code == 1
    assert "522" in done.stderr
    assert "hint:" in done.stderr
    assert cloud.status == before


def test_what_users_made_by_other_means_is_left_alone(cloud: CloudUnderTest) -> None:
    openstack(cloud, "security", "group", "create", "users-own")
    inside = ["sudo", "ip", "netns", "exec", cloud.router_namespace, "nft"]
    users = "add table ip users; add chain ip users c; add rule ip users c counter"
    cloud.controller(*inside, users)
    cloud.controller(*inside, "delete", "table", "ip", "pileus_publish")
    # No event tells the agent of this one: it is found when everything is looked at.
    until("the agent put the port back", lambda: cloud.status["state"] == "up")
    assert cloud.json("up")["changed"] == []
    assert "table ip users" in cloud.controller(*inside, "list", "tables").stdout
    assert "users-own" in openstack(cloud, "security", "group", "list")


@pytest.mark.parametrize("how", ["clouds.yaml", "openrc"])
def test_the_openstack_command_works_from_the_users_shell(cloud: CloudUnderTest, how: str) -> None:
    program = str(TOP / ".venv" / "bin" / "openstack")
    by_openrc = ["sh", "-c", f". {cloud.state / 'openrc'} && exec {program} server list"]
    command = by_openrc if how == "openrc" else openstack_command(cloud, "server", "list")
    listing = process.run(command, timeout=60).stdout
    assert "web" in listing
    assert "192.168.20.5" in listing
    assert "ACTIVE" in listing


MANAGEMENT = IPv4Address("172.16.10.101")
PROVIDER = IPv4Address("172.16.20.101")
ELSEWHERE = IPv4Address("172.16.20.102")
ROUTER = (Mac("ff:ff:ff:ff:ff:ff"), IPv4Address("8.8.8.8"))


@pytest.mark.parametrize("case", ["MAC", "IP", "MAC and IP", "ARP sender"])
def test_the_real_machine_cannot_send_as_someone_else(cloud: CloudUnderTest, case: str) -> None:
    """By the NIC that has no pipeline, so that it is the wire that drops."""
    own = Mac(cloud.nic("management")["mac"])
    frame, code = {
        "MAC": (udp_frame((FOREIGN_MAC, MANAGEMENT), ROUTER, 9), FOREIGN[0]),
        "IP": (udp_frame((own, ELSEWHERE), ROUTER, 9), FOREIGN[1]),
        "MAC and IP": (udp_frame((FOREIGN_MAC, ELSEWHERE), ROUTER, 9), FOREIGN[0]),
        "ARP sender": (forged_arp(own), FOREIGN[2]),
    }[case]
    before = cloud.dropped("eth0")
    cloud.controller("sudo", "python3", "-c", SEND, "eth0", frame.hex())
    assert cloud.rise("eth0", before) == {code: 1}


@pytest.mark.parametrize("case", ["IP", "ARP sender", "metadata", "DHCP server"])
def test_the_pipeline_stops_it_before_the_wire_does(cloud: CloudUnderTest, case: str) -> None:
    inner = Mac("fa:16:3e:00:00:99")
    outside = (Mac("02:00:00:00:00:01"), IPv4Address("8.8.8.8"))
    frame, code = {
        "IP": (udp_frame((inner, ELSEWHERE), outside, 9), "UPLINK_SOURCE_UNREGISTERED"),
        "ARP sender": (forged_arp(inner), "UPLINK_ARP_SENDER_UNREGISTERED"),
        "metadata": (udp_frame((inner, PROVIDER), METADATA, 80), "UPLINK_LINK_LOCAL"),
        "DHCP server": (udp_frame((inner, PROVIDER), outside, 67), "UPLINK_DHCP"),
    }[case]
    before, on_the_wire = cloud.pipeline(), cloud.dropped("eth1")
    cloud.controller("sudo", "python3", "-c", SEND, "eth1", frame.hex())
    rose = {name: n - before[name] for name, n in cloud.pipeline().items() if n != before[name]}
    rose.pop("UPLINK_IPV6", None)  # the routers' own chatter
    assert rose == {code: 1}
    assert cloud.rise("eth1", on_the_wire) == {}


METADATA = (Mac("ff:ff:ff:ff:ff:ff"), IPv4Address("169.254.169.254"))


def forged_arp(mac: Mac) -> bytes:
    """A request by the NIC's own MAC that claims an address of somebody else."""
    head = bytes.fromhex("ffffffffffff") + mac.packed + bytes.fromhex("0806")
    request = bytes.fromhex("0001080006040001") + mac.packed + ELSEWHERE.packed
    return head + request + bytes(6) + IPv4Address("172.16.20.1").packed


def test_the_provider_nic_belongs_to_neutron(cloud: CloudUnderTest) -> None:
    assert "inet" not in cloud.controller("ip", "addr", "show", "dev", "eth1").stdout
    assert cloud.controller("ip", "route", "show", "dev", "eth1").stdout == ""


def test_what_comes_in_by_the_provider_nic_does_not_reach_the_machine_itself(
    cloud: CloudUnderTest,
) -> None:
    """Open vSwitch in userspace takes copies; the machine's own stack must see none of them."""
    before = own_stack(cloud)
    assert cloud.landing() == "web\n"
    assert own_stack(cloud) == before


def own_stack(cloud: CloudUnderTest) -> dict[str, str]:
    """Packets that the machine forwarded so far, and those for others that it took in."""
    lines = cloud.controller("cat", "/proc/net/snmp").stdout.splitlines()
    rows = [line.split() for line in lines]
    seen = {
        f"{names[0]} {name}": value
        for names, values in zip(rows[::2], rows[1::2], strict=True)
        for name, value in zip(names, values, strict=True)
    }
    return {name: seen[name] for name in ("Ip: ForwDatagrams", "Ip: InAddrErrors")}


def test_services_listen_on_the_management_address_only(cloud: CloudUnderTest) -> None:
    listing = cloud.controller("ss", "-H", "-l", "-t", "-n").stdout
    ends = {line.split()[3].rpartition(":")[::2] for line in listing.splitlines()}
    outside = {
        (address, port)
        for address, port in ends
        if address not in ("172.16.10.101", "[::1]") and not address.startswith("127.")
    }
    assert {port for _, port in outside} <= {"22"}, outside


def test_no_secret_is_in_an_argument_a_journal_or_a_log(cloud: CloudUnderTest) -> None:
    secrets: dict[str, str] = json.loads((cloud.state / "secrets.json").read_text())
    assert len(secrets) >= 7
    secrets["the SSH key"] = (cloud.state / "id_ed25519").read_text().splitlines()[4]
    for directory in ("fernet-keys", "credential-keys"):
        keys = cloud.controller("sudo", "sh", "-c", f"cat /etc/keystone/{directory}/*").stdout
        secrets |= {f"{directory} {key[:3]}": key for key in re.findall(r"[\w=-]{44}", keys)}
    secrets["the dashboard's key"] = cloud.controller("sudo", "cat", DASHBOARD_KEY).stdout.strip()
    assert len(secrets["the dashboard's key"]) == 64
    assert len(secrets) >= 13
    assert len(cloud.arguments_seen) > 100
    on_node = cloud.controller(
        "sudo", "sh", "-c", "journalctl --no-pager -o cat; cat -- $(find /var/log -type f)"
    ).stdout
    logs = "".join(path.read_text(errors="replace") for path in cloud.state.glob("logs/*"))
    places = {
        "arguments": "\n".join(cloud.arguments_seen),
        "the machine's journal and logs": on_node,
        "our logs": logs + cloud.up_output,
        "the journal of runs": (cloud.state / "journal.jsonl").read_text(),
    }
    told = [(name, place) for name, value in secrets.items() for place in places
            if value in places[place]]  # fmt: skip
    assert told == []


def test_nothing_simulated_left_the_host(cloud: CloudUnderTest) -> None:
    """Counted since before the first `up`; that it can fail: tests/netns/test_host_guard.py."""
    cloud.internet("ping", "-c", "1", "-W", "1", "1.1.1.1", check=False)
    cloud.controller("ping", "-c", "1", "-W", "1", "1.1.1.1", check=False)
    assert left(cloud.watch) == NOTHING


def test_private_files_are_private(cloud: CloudUnderTest) -> None:
    for name in ("secrets.json", "id_ed25519", "clouds.yaml", "openrc"):
        assert (cloud.state / name).stat().st_mode & 0o777 == 0o600


def test_a_second_up_at_once_says_who_holds_the_cloud(cloud: CloudUnderTest) -> None:
    with subprocess.Popen(
        cloud.command("up"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**cloud.environment, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        text=True,
    ) as first:
        assert first.stderr
        assert first.stderr.readline()
        second = cloud.pileus("up", check=False)
        assert second.code == 1
        assert f"pid {first.pid}" in second.stderr
        first.stderr.read()
    assert first.returncode == 0
