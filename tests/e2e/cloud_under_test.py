"""The cloud under test, reached as a user does, and what looks at the host from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeVar

import boto3

from pileus.system import process
from pileus.system.process import Done
from pileus.vpc import control

T = TypeVar("T")
TOP = Path(__file__).parents[2]
STAGES = (
    "region",
    "underlay",
    "machine",
    "openstack",
    "networks and servers",
    "published ports",
    "checks",
)
"""Each is cut off once, as soon as it begins, before the cloud may come up whole."""
UP_SECONDS = 600
RECOVERY_SECONDS = 150.0
"""What a cloud may take to be well again after anything that restarts."""
PRIVATE = "{name: private, cidr: 192.168.20.0/24}"
"""The network of the default file, as YAML."""
GROUPS = ("sim", "image", "floating-ip", "agent")
"""Commands whose second word is a command, too."""
FOREIGN = (
    "UNDERLAY_SOURCE_MAC_UNREGISTERED",
    "UNDERLAY_SOURCE_IP_UNREGISTERED",
    "UNDERLAY_ARP_SENDER_UNREGISTERED",
)
"""What the wire counts when a frame of the cloud's own is sent under a false name."""
DASHBOARD_KEY = "/var/lib/openstack-dashboard/secret-key/.secret_key_store"
"""What Horizon signs with, on the machine."""
CANARY = "ASIACANARY"
"""How the simulated metadata's role credentials begin."""
PROFILE = "canary"
CREDENTIALS = f"http://169.254.169.254/latest/meta-data/iam/security-credentials/{PROFILE}"
FOR_METADATA = (
    f"wget -T 2 -qO- {CREDENTIALS}",
    "wget -T 2 -qO- http://169.254.169.254:8080/latest/meta-data/",
    "printf 'PUT /latest/api/token HTTP/1.0\\r\\n"
    "X-aws-ec2-metadata-token-ttl-seconds: 60\\r\\n\\r\\n'"
    " | nc -w 2 169.254.169.254 80",
    "echo GET / | nc -w 2 169.254.169.254 443",
    "echo GET / | nc -u -w 1 169.254.169.123 123",
    "echo GET / | nc -u -w 1 169.254.169.253 53",
)
"""What a server tries, to reach the cloud below by its link-local services."""


@dataclass
class CloudUnderTest:
    """The cloud, reached only by the command line that users have."""

    name: str
    directory: Path
    environment: dict[str, str]
    up_output: str = ""
    arguments_seen: set[str] = field(default_factory=set)
    """Every process argument list of this host while `up` ran, its machines' included."""

    def write(self, **settings: object) -> None:
        """Change pileus.yaml: other settings than the defaults."""
        lines = [f"cloud: {self.name}", *(f"{key}: {value}" for key, value in settings.items())]
        (self.directory / "pileus.yaml").write_text("\n".join(lines) + "\n")

    def pileus(self, *arguments: str, check: bool = True, timeout: float = 120) -> Done:
        return process.run(
            self.command(*arguments), check=check, timeout=timeout, env=self.environment
        )

    def command(self, *arguments: str) -> list[str]:
        inner = arguments[0] in GROUPS or arguments[:2] == ("check", "connectivity")
        count = 2 if inner else 1
        file = ["-f", str(self.directory / "pileus.yaml")]
        return [str(TOP / "pileus"), *arguments[:count], *file, *arguments[count:]]

    def json(self, *arguments: str) -> Any:
        return json.loads(self.pileus(*arguments, "--json").stdout)

    def controller(self, *command: str, check: bool = True) -> Done:
        return self.pileus("ssh", "controller", "--", *command, check=check)

    def booted(self) -> str:
        """When the machine's first process was started; empty while it does not answer."""
        return self.controller("stat", "--format=%Z", "/proc/1", check=False).stdout

    def internet(self, *command: str, check: bool = True, timeout: float = 60) -> Done:
        return self.pileus("sim", "exec", "internet", "--", *command, check=check, timeout=timeout)

    def ssh_from_internet(self, address: str, port: int, *command: str) -> Done:
        options = ["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=4"]
        key = ["-i", str(self.state / "id_ed25519"), "-p", str(port)]
        return self.internet("ssh", *options, *key, f"root@{address}", *command, check=False)

    def landing(self, address: str | None = None, port: int = 522) -> str:
        """The name that SSH from the internet lands in, with a newline; empty where it does not.

        Without an address, at the Elastic IP of the router's own.
        """
        at = address or str(self.provider_public)
        return self.ssh_from_internet(at, port, "hostname").stdout

    @property
    def watch(self) -> str:
        """The table that counts what leaves the host while this cloud is up."""
        return f"pileus_test_{self.name}"

    @property
    def state(self) -> Path:
        return Path(self.environment["PILEUS_STATE"]) / self.name

    @property
    def status(self) -> Any:
        return self.json("status")

    @property
    def provider(self) -> Any:
        return self.nic("provider")

    def nic(self, role: str) -> Any:
        (node,) = self.status["nodes"]
        (nic,) = [nic for nic in node["nics"] if nic["role"] == role]
        return nic

    def pipeline(self) -> dict[str, int]:
        """What the pipeline on the provider NIC dropped so far, by code."""
        (nic,) = self.json("agent", "status")["nics"]
        return {code: n for code, n in nic["counters"].items() if code.startswith("UPLINK_")}

    @property
    def provider_public(self) -> IPv4Address:
        return IPv4Address(self.provider["addresses"][0]["public"])

    @property
    def router_namespace(self) -> str:
        listing = self.controller("ip", "netns").stdout
        (found,) = re.findall(r"qrouter-[0-9a-f-]+", listing)
        return str(found)

    def traffic(self, device: str) -> int:
        """Frames that a NIC sent and received so far."""
        passed = self.wire(device)["passed"]
        return int(passed["out"]) + int(passed["in"])

    def metadata_requests(self) -> int:
        """How often the cloud's instance metadata was asked by way of the provider NIC."""
        return sum(self.wire("eth1")["metadata_requests"].values())

    @cached_property
    def ec2(self) -> Any:
        """The API of the cloud below, past Pileus."""
        return boto3.client(
            "ec2",
            region_name="us-east-1",
            endpoint_url=self.pileus("sim", "endpoint").stdout.strip(),
            aws_access_key_id="simulated",
            aws_secret_access_key="simulated",
        )

    def expose_metadata(self) -> None:
        """Attach a role, whose credentials are canaries, and ask for no token: the worst case.

        The machine itself reads them then, so that a tenant who does not was kept from it.
        """
        (node,) = self.status["nodes"]
        self.ec2.modify_instance_metadata_options(
            InstanceId=node["instance_id"], HttpTokens="optional", HttpPutResponseHopLimit=64
        )
        profiles = self.ec2.describe_iam_instance_profile_associations()
        if not profiles["IamInstanceProfileAssociations"]:
            self.ec2.associate_iam_instance_profile(
                InstanceId=node["instance_id"], IamInstanceProfile={"Name": PROFILE}
            )
        assert CANARY in self.controller("curl", "-sf", "-m", "5", CREDENTIALS).stdout

    def try_metadata(self, public: IPv4Address, port: int) -> None:
        """All ways to the metadata below, at once, from the server that SSH there lands in."""
        attempts = "".join(f"({attempt}) & " for attempt in FOR_METADATA)
        command = f"{attempts} wait; echo tried them all"
        seen = self.ssh_from_internet(str(public), port, command)
        assert seen.stdout.endswith("tried them all\n")
        assert CANARY not in seen.stdout + seen.stderr

    def wire(self, device: str) -> Any:
        """What the wire tells of one of the machine's NICs."""
        (nic,) = [nic for nic in self.json("sim", "wire")["nics"] if nic["device"] == device]
        return nic

    def dropped(self, device: str) -> dict[str, int]:
        return dict(self.wire(device)["dropped"])

    def rise(self, device: str, before: dict[str, int]) -> dict[str, int]:
        after = self.dropped(device)
        return {code: after[code] - before[code] for code in after if after[code] != before[code]}


def cut_off(cloud: CloudUnderTest, stage: str) -> None:
    """Run `up` until a stage begins, and kill it there with SIGKILL."""
    running = subprocess.Popen(
        cloud.command("up"),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **cloud.environment},
        text=True,
    )
    assert running.stderr
    began = re.compile(rf"\] {stage}\n")
    lines = []
    for line in running.stderr:
        lines.append(line)
        if began.search(line):
            running.send_signal(signal.SIGKILL)
            break
    assert running.wait(timeout=60) == -signal.SIGKILL, "".join(lines)


class WatchArguments:
    """Collect the arguments of all processes while the body runs, ten times a second."""

    def __init__(self, seen: set[str]) -> None:
        self._seen = seen
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self._seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue


def leftovers(name: str) -> list[str]:
    """Whatever of a cloud is still on this host."""
    places = control.places(name)
    found: list[str] = []
    found += [str(path) for path in (places.runtime, places.disks) if path.exists()]
    found += _matching(["ip", "netns", "list"], rf"^pileus-{name}-")
    found += _matching(["ip", "-oneline", "link"], control.host_device(name))
    found += _matching(["ip", "route"], control.host_device(name))
    found += _matching(["nft", "list", "tables"], rf"pileus_{name}$")
    found += _matching(["cat", "/proc/mounts"], rf"/{name}/")
    found += _processes(rf"pileus-{name}-|/pileus/{name}/|machines/{name}/")
    return found


def _matching(argv: Sequence[str], pattern: str) -> list[str]:
    lines = process.run(argv).stdout.splitlines()
    return [line for line in lines if re.search(pattern, line)]


def _processes(pattern: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(pattern, words):
            found.append(words)
    return found


def until(what: str, look: Callable[[], T], seconds: float = 60) -> T:
    """Ask again until the answer is true; fail with `what` when time is up.

    Time for what is to happen soon: two of the half minutes after which the uplink's agent looks at
    everything, and as much as Neutron takes where other tests keep both cores busy.
    """
    deadline = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)  # each look is a command of its own
    return answer


def reboot(cloud: CloudUnderTest) -> None:
    """The machine, by its own command; back when it lets in again."""
    before = cloud.booted()
    cloud.controller("sudo", "systemctl", "reboot", check=False)
    until("the machine came back", lambda: cloud.booted() not in ("", before), RECOVERY_SECONDS)


def openstack_command(cloud: CloudUnderTest, *words: str) -> list[str]:
    settings = [f"OS_CLIENT_CONFIG_FILE={cloud.state / 'clouds.yaml'}", f"OS_CLOUD={cloud.name}"]
    return ["env", *settings, str(TOP / ".venv" / "bin" / "openstack"), *words]


def openstack(cloud: CloudUnderTest, *words: str) -> str:
    return process.run(openstack_command(cloud, *words), timeout=60).stdout
