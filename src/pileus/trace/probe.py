"""Looks at a machine and prints what it is like, as JSON: a program of its own.

Its text is sent to the machine's `python3 -`, so it needs nothing there but the standard library
(Python 3.9 or newer), and nothing is left behind. It reads files and runs programs that only show
something; nothing is changed. It judges nothing: what a program printed is handed on as it is.

Its one argument is a URL whose `Date` header tells the time, or an empty string.
"""

from __future__ import annotations

import array
import configparser
import ctypes
import fcntl
import gzip
import json
import os
import platform
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any

SECONDS = 2.0
"""How long each program, and the clock's URL, may take."""
COMMANDS = {
    "addresses": ["ip", "-json", "-details", "address", "show"],
    "routes": ["ip", "-json", "-4", "route", "show", "table", "all"],
    "listening": ["ss", "--no-header", "-lntp"],
    "chains": ["nft", "--json", "list", "chains"],
    "tables": ["nft", "--json", "list", "tables"],
    "hook": ["nft", "--check", "--file", "-"],
    "bridges": ["ovs-vsctl", "--timeout=2", "list-br"],
}
# Only checked: the kernel is asked whether it would take this, and undoes it.
HOOK = """\
table netdev pileus_check {
  chain out { type filter hook egress device "lo" priority 0; }
}
"""
FILES = (
    "/proc/meminfo",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/pileus/uplink.json",
    "/proc/sys/net/bridge/bridge-nf-call-iptables",
)
MODULES = {
    "openvswitch": "OPENVSWITCH",
    "vxlan": "VXLAN",
    "nf_conntrack": "NF_CONNTRACK",
    "tun": "TUN",
    "veth": "VETH",
    "bridge": "BRIDGE",
    "sch_ingress": "NET_SCH_INGRESS",
    "cls_bpf": "NET_CLS_BPF",
}
"""What the cloud stands on, each with the option that it is built by."""
# Left by DevStack, Kolla-Ansible, OpenStack-Ansible, Packstack, Sunbeam, MicroStack, Ceph,
# Kubernetes and Docker.
OTHERS = (
    "/opt/stack",
    "/etc/kolla",
    "/etc/openstack_deploy",
    "/etc/packstack",
    "/snap/openstack",
    "/snap/microstack",
    "/etc/ceph/ceph.conf",
    "/var/lib/ceph/mon",
    "/etc/kubernetes",
    "/var/lib/rancher",
    "/run/docker.sock",
)
NOVA = "/etc/nova/nova.conf.d/pileus.conf"


def text(path: str) -> str | None:
    try:
        zipped = path.endswith(".gz")
        with gzip.open(path, "rt") if zipped else open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return None


def start(argv: list[str]) -> subprocess.Popen[bytes] | None:
    program = shutil.which(argv[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        return None
    pipe = subprocess.PIPE
    return subprocess.Popen([program, *argv[1:]], stdin=pipe, stdout=pipe, stderr=pipe)


def finish(running: subprocess.Popen[bytes] | None, given: str) -> dict[str, Any] | None:
    """What a program printed and its exit code; None where it is not installed or hangs."""
    if running is None:
        return None
    try:
        out, error = running.communicate(given.encode(), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()
        running.communicate()
        return None
    return {
        "code": running.returncode,
        "out": out.decode(errors="replace"),
        "error": error.decode(errors="replace"),
    }


def commands() -> dict[str, dict[str, Any] | None]:
    running = {name: start(argv) for name, argv in COMMANDS.items()}
    return {name: finish(one, HOOK if name == "hook" else "") for name, one in running.items()}


def units(listening: str) -> dict[str, str]:
    """The systemd unit of each process that listens, by its number."""
    found = {}
    for pid in set(re.findall(r"pid=(\d+)", listening)):
        for line in (text("/proc/" + pid + "/cgroup") or "").splitlines():
            for part in line.split("/"):
                if part.endswith((".service", ".socket", ".scope")):
                    found[pid] = part
    return found


def devices() -> list[str]:
    return sorted(set(os.listdir("/proc/sys/net/ipv4/conf")) - {"all", "default", "lo"})


def reverse_path() -> dict[str, int]:
    names = ["all", *devices()]
    return {
        name: int(text("/proc/sys/net/ipv4/conf/" + name + "/rp_filter") or 0) for name in names
    }


def drivers() -> dict[str, str]:
    """Each device's driver, by ETHTOOL_GDRVINFO. [linux/ethtool.h, linux/sockios.h]"""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        for name in devices():
            info = array.array("B", struct.pack("I", 3).ljust(256, b"\0"))
            request = struct.pack("16sP", name.encode(), info.buffer_info()[0]).ljust(40, b"\0")
            try:
                fcntl.ioctl(opened, 0x8946, request)
            except OSError:
                continue
            found[name] = info.tobytes()[4:36].split(b"\0")[0].decode(errors="replace")
    return found


def modules() -> dict[str, bool | None]:
    """Those that the kernel has: loaded or built in, or there to be loaded. None where nobody
    tells: a container has the kernel of its host, and not its files."""
    place, options = "/lib/modules/" + platform.release() + "/", configuration()
    listed = [text(place + name) for name in ("modules.builtin", "modules.dep")]
    known = re.findall(r"([\w-]+)\.ko\b", "".join(filter(None, listed)))
    names = {name.replace("-", "_") for name in known}

    def has(name: str, option: str) -> bool | None:
        if os.path.exists("/sys/module/" + name) or name in names or options.get(option) == "y":
            return True
        return False if all(listed) or (options and option not in options) else None

    return {name: has(name, option) for name, option in MODULES.items()}


def configuration() -> dict[str, str]:
    """What the kernel was built with: `y`, or `m` for a module; nothing where it is not told."""
    told = text("/boot/config-" + platform.release()) or text("/proc/config.gz") or ""
    return dict(re.findall(r"^CONFIG_(\w+)=([ym])$", told, re.MULTILINE))


def virt_type() -> str | None:
    """What Nova was told; the file's secrets stay where they are."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(NOVA)
        return parser.get("libvirt", "virt_type", fallback=None)
    except configparser.Error:
        return None


def synchronized() -> bool | None:
    """Whether the kernel's clock is kept by NTP; nothing is set. [adjtimex(2)]"""
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    return None if state < 0 else state != 5


def date(url: str) -> dict[str, Any] | None:
    """The time that a web server tells, and ours at that moment."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=SECONDS) as answer:
            told = answer.headers.get("Date")
    except urllib.error.HTTPError as refused:
        told = refused.headers.get("Date")
    except (OSError, ValueError):
        return None
    return {"told": told, "own": time.time()} if told else None


def main(url: str) -> None:
    asked: list[dict[str, Any] | None] = []
    clock = threading.Thread(target=lambda: asked.append(date(url)), daemon=True)
    if url:
        clock.start()
    done = commands()
    disk = os.statvfs("/")
    listening = done["listening"]
    answer = {
        "commands": done,
        "files": {path: text(path) for path in FILES},
        "disk": {"size": disk.f_blocks * disk.f_frsize, "free": disk.f_bavail * disk.f_frsize},
        "units": units(listening["out"]) if listening else {},
        "reverse_path": reverse_path(),
        "drivers": drivers(),
        "modules": modules(),
        "tun": os.path.exists("/dev/net/tun"),
        "kvm": os.path.exists("/dev/kvm"),
        "processor": re.findall(r"\b(vmx|svm|hypervisor)\b", text("/proc/cpuinfo") or "")[:3],
        "virt_type": virt_type(),
        "kernel": platform.release(),
        "host_name": platform.node(),
        "others": [path for path in OTHERS if os.path.exists(path)],
        "synchronized": synchronized(),
    }
    if url:
        clock.join(SECONDS + 0.5)
    print(json.dumps({**answer, "date": asked[0] if asked else None}))


if __name__ == "__main__":
    main(sys.argv[1])
