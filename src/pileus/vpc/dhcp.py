"""DHCP and DNS of a VPC: one dnsmasq in the VPC's namespace.

As on AWS: an ENI gets its primary address alone, from its subnet's router, with the VPC's resolver
(the VPC's base address plus two) and MTU 9001. [AWS VPC user guide, DHCP option sets]

What makes dnsmasq serve many routed veths that all carry the same router address:
- no `bind-…`: one socket for all; a request is told apart by the device it came in by, whose
  address (the router's, /32) selects the range, whose netmask is therefore spelt out;
- `dhcp-broadcast`: unicast answers would make dnsmasq write a neighbour entry of its own over the
  permanent one that the wire has put there;
- `no-ping`: the first lease would wait three seconds for an echo that the wire never carries.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from pileus.model.addresses import METADATA_SERVICE, name_server, subnet_router
from pileus.model.errors import Fault
from pileus.system import files, process
from pileus.vpc.state import Eni, RegionState, Subnet

MTU = 9001
"""Bytes. [AWS EC2 user guide, Network MTU]"""
LEASE = "1h"
DEVICES = "eni*"
"""The VPC's ends of the veths."""


@dataclass(frozen=True)
class Places:
    """Files of one dnsmasq, all in one directory that it may read when it is no longer root."""

    directory: Path

    @property
    def configuration(self) -> Path:
        return self.directory / "dnsmasq.conf"

    @property
    def leases(self) -> Path:
        return self.directory / "dhcp-hosts"

    @property
    def names(self) -> Path:
        return self.directory / "hosts"

    @property
    def pid(self) -> Path:
        return self.directory / "dnsmasq.pid"

    @property
    def process(self) -> Path:
        return self.directory / "dnsmasq.process.json"


def configuration(state: RegionState, vpc_id: str, places: Places) -> str:
    """What dnsmasq reads once; a change means another start."""
    subnets = sorted((s for s in state.subnets.values() if s.vpc == vpc_id), key=lambda s: s.id)
    lines = [
        "user=nobody",
        "group=nogroup",
        f"pid-file={places.pid}",
        f"interface={DEVICES}",
        "interface=lo",
        "no-resolv",
        "no-hosts",
        f"addn-hosts={places.names}",
        # Names that are not in the file do not exist: nothing is asked elsewhere.
        "local=/#/",
        f"dhcp-hostsfile={places.leases}",
        "leasefile-ro",
        "dhcp-authoritative",
        "dhcp-broadcast",
        "dhcp-ignore-clid",
        "dhcp-ignore-names",
        "no-ping",
        f"dhcp-option=option:dns-server,{name_server(state.vpcs[vpc_id].cidr)}",
        f"dhcp-option=option:mtu,{MTU}",
        *(line for subnet in subnets for line in _range(subnet)),
    ]
    return "\n".join(lines) + "\n"


def _range(subnet: Subnet) -> Iterable[str]:
    """Only addresses of known MACs: `static` hands out no others."""
    tag = subnet.id
    yield f"dhcp-range=set:{tag},{subnet.cidr.network_address},static,{subnet.cidr.netmask},{LEASE}"
    yield f"dhcp-option=tag:{tag},option:router,{subnet_router(subnet.cidr)}"


def leases(state: RegionState, vpc_id: str) -> str:
    """Which MAC gets which address: a line per ENI, attached or not."""
    return "".join(f"{eni.mac},{eni.addresses[0]},{LEASE}\n" for eni in _enis(state, vpc_id))


def names(state: RegionState, vpc_id: str, internet: Mapping[str, IPv4Address]) -> str:
    """What the resolver knows: the internet's names, and those of the VPC's own addresses."""
    domain = "ec2.internal" if state.region == "us-east-1" else f"{state.region}.compute.internal"
    lines = [f"{address} {name}\n" for name, address in sorted(internet.items())]
    lines.append(f"{METADATA_SERVICE} instance-data.{domain}\n")
    for eni in _enis(state, vpc_id):
        for address in eni.addresses:
            lines.append(f"{address} ip-{str(address).replace('.', '-')}.{domain}\n")
    return "".join(lines)


def _enis(state: RegionState, vpc_id: str) -> list[Eni]:
    return sorted((e for e in state.enis.values() if e.vpc == vpc_id), key=lambda e: e.id)


class Dhcp:
    """The running dnsmasq of one VPC. Its namespace must exist before the first `follow`."""

    def __init__(
        self, vpc: str, namespace: str, directory: Path, internet: Mapping[str, IPv4Address]
    ) -> None:
        self._vpc = vpc
        self._namespace = namespace
        self._places = Places(directory)
        self._internet = internet
        # One that an earlier process of the region has left; the first `follow` replaces it.
        self._process = process.recorded(self._places.process)
        self._running = ("", "", "")

    def follow(self, state: RegionState) -> None:
        """Serve what the state says; returns when it is served. Does nothing without a change.

        Raises CommandFailed when dnsmasq does not start.
        """
        wanted = (
            configuration(state, self._vpc, self._places),
            leases(state, self._vpc),
            names(state, self._vpc, self._internet),
        )
        former = self._running
        if wanted == former and self._alive():
            return
        for path, text in zip(self._files(), wanted, strict=True):
            files.write(path, text)
        # A lease outlives its line: an address that goes to another MAC needs a fresh start.
        only_more = set(former[1].splitlines()) <= set(wanted[1].splitlines())
        if self._alive() and wanted[0] == former[0] and only_more:
            self._reload()
        else:
            self.stop()
            self._start()
        self._running = wanted

    def stop(self) -> None:
        """End dnsmasq. Idempotent."""
        if self._process is not None:
            process.end(self._process)
            self._process = None
            self._places.process.unlink(missing_ok=True)

    def _files(self) -> tuple[Path, Path, Path]:
        return self._places.configuration, self._places.leases, self._places.names

    def _alive(self) -> bool:
        return self._process is not None and process.alive(self._process)

    def _reload(self) -> None:
        """dnsmasq reads its leases and names again, one signal after the other."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGHUP)

    def _start(self) -> None:
        """dnsmasq itself goes to the background once its sockets are open."""
        config = f"--conf-file={self._places.configuration}"
        process.run(["ip", "netns", "exec", self._namespace, "dnsmasq", config], timeout=20)
        self._process = process.identify(int(self._places.pid.read_text()))
        if self._process is None:
            raise Fault(
                f"the name server of {self._vpc} ended at once", hint="see the system's log"
            )
        process.record(self._places.process, self._process)
