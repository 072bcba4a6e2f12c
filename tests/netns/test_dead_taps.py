"""What Open vSwitch's userspace datapath leaves in a router's namespace is removed at once.

In a mount namespace with a list of network namespaces of its own, so that no real router is seen.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.netns

TOP = Path(__file__).parents[2]
DEAD_TAPS = TOP / "src/pileus/node/files/usr/lib/pileus/dead-taps"
STORY = """
import fcntl, os, struct, subprocess, sys
TUNSETIFF, TUNSETPERSIST, TAP_WITHOUT_HEADER = 0x400454CA, 0x400454CB, 0x1002

def run(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout

def tap(name, namespace, state="up"):
    opened = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(opened, TUNSETIFF, struct.pack("16sH22x", name.encode(), TAP_WITHOUT_HEADER))
    fcntl.ioctl(opened, TUNSETPERSIST, 1)
    run("ip", "link", "set", name, "netns", namespace)
    run("ip", "-n", namespace, "link", "set", name, state)
    return opened

run("mount", "--make-rprivate", "/")
run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
for namespace in ("qrouter-1", "qdhcp-1", "users-own"):
    run("ip", "netns", "add", namespace)
kept = [tap("alive", "qrouter-1"), tap("plugged", "qrouter-1", "down")]
left = [tap("qg-1", "qrouter-1"), tap("qr-1", "qrouter-1"), tap("tap-1", "qdhcp-1")]
left.append(tap("others", "users-own"))
for one in left:
    os.close(one)
both = [subprocess.Popen([sys.executable, sys.argv[1]]) for _ in range(2)]
assert [one.wait() for one in both] == [0, 0]
for namespace in ("qrouter-1", "qdhcp-1", "users-own"):
    for line in run("ip", "-n", namespace, "-br", "link").splitlines():
        print("left:", line.split()[0])
"""


def test_taps_that_have_just_died_are_removed_by_two_runs_at_once_and_new_ones_stay() -> None:
    argv = ["unshare", "--mount", "--net", sys.executable, "-c", STORY, str(DEAD_TAPS)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("left: ")]
    assert left == ["lo", "alive", "plugged", "lo", "lo", "others"], done.stdout
