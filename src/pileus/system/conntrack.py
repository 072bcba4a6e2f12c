"""Connection tracking of a network namespace, through the program `conntrack`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address

from pileus.model.errors import CommandFailed
from pileus.system import process

_ADDRESS = re.compile(r"\b(?:src|dst)=([0-9.]+)")
_ENDS = ("--orig-src", "--orig-dst", "--reply-src", "--reply-dst")


def forget(namespace: str, addresses: Iterable[IPv4Address]) -> None:
    """Forget every flow that has one of these addresses at an end, translated or not.

    Raises CommandFailed when the kernel refuses.
    """
    wanted = set(addresses)
    if not wanted:
        return
    listed = ["conntrack", "--dump", "--family", "ipv4"]
    flows = process.run(["ip", "netns", "exec", namespace, *listed]).stdout
    for address in sorted(wanted & set(map(IPv4Address, _ADDRESS.findall(flows)))):
        for end in _ENDS:
            command = ["conntrack", "--delete", "--family", "ipv4", end, str(address)]
            done = process.run(["ip", "netns", "exec", namespace, *command], check=False)
            # It ends with code 1 where there was nothing to delete, too.
            if done.code != 0 and "0 flow entries" not in done.stderr:
                raise CommandFailed(done.argv, done.code, done.stderr)
