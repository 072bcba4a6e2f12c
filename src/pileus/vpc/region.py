"""One simulated region: the API and everything that follows its state.

The API calls `follow` after each change, while it holds its lock; when `follow` has returned, the
change is in force. Order matters: a NIC is plugged and its rules are loaded before its machine
boots, and a machine is gone before its NIC is unplugged. Each boot finds its NICs as new, without
what an earlier one made of them.
"""

from __future__ import annotations

from dataclasses import asdict
from ipaddress import IPv4Network
from typing import Any

from pileus.system import clock, files, netns
from pileus.vpc import faults, overview, store
from pileus.vpc.disks import Disk
from pileus.vpc.ec2.actions import CONSOLE
from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings
from pileus.vpc.internet import CHECK_IP_PATH, HostLink, Internet
from pileus.vpc.lateness import History
from pileus.vpc.machines import Machines
from pileus.vpc.services import MetadataDesk, VpcServices
from pileus.vpc.settings import RegionPlaces, RegionSettings
from pileus.vpc.state import THIN_IMAGE, InstanceState, RegionState
from pileus.vpc.wire.droplog import DropLog
from pileus.vpc.wire.names import (
    belongs,
    internet_namespace,
    machine_namespace,
    vpc_namespace,
)
from pileus.vpc.wire.packets import elastic_pairs
from pileus.vpc.wire.reconcile import Wire
from pileus.vpc.wire.report import PluggedNic, plugged
from pileus.vpc.wire.topology import Uplink

_UPLINKS = IPv4Network("169.254.0.0/17")
"""Links between VPCs and the internet. No VPC can have these addresses, and no machine reach them:
the wire lets nothing through to link-local ones but metadata."""


class Region:
    """A running region."""

    def __init__(self, settings: RegionSettings, places: RegionPlaces) -> None:
        self._settings = settings
        self._places = places
        link = HostLink(settings.device, settings.pool)
        self._link = link
        self._internet = Internet(settings.name, link, places.runtime)
        self._machines = Machines(
            settings.name, places.disks, settings.images, self._report, self._follow_again
        )
        self._desk = MetadataDesk(places, History(clock.seconds))
        self._wire = Wire(settings.name)
        self._drops = DropLog(settings.name, places.drops)
        self._services: dict[str, VpcServices] = {}
        self._uplinks: dict[str, Uplink] = {}
        self._api = Ec2Server(
            Ec2Settings(
                region=settings.api_region,
                port=settings.port,
                images=_catalogue(settings),
                elastic_pool=link.elastic_ips,
                elastic_quota=settings.elastic_quota,
            ),
            self.follow,
            lambda: faults.read(places.faults),
            store.load(places.state),
            lambda content: store.save(places.state, content),
            lambda instance: files.tail(Disk(places.disks / instance).console, CONSOLE),
        )

    def start(self) -> None:
        """Start the internet and the API, and say where they are in the ready file.

        What an earlier process of the region has left is as the API knows it, before it answers.
        """
        self._internet.start()
        self._take_over(self._api.state())
        self._api.refresh()
        self._api.start()
        check_ip = f"http://{self._link.internet_end}{CHECK_IP_PATH}"
        files.write_json(self._places.ready, {"url": self._api.url, "check_ip_url": check_ip})

    def _take_over(self, state: RegionState) -> None:
        """Machines run on; what was just being made or removed when the process ended goes."""
        self._machines.adopt(state)
        name = self._settings.name
        wanted = {internet_namespace(name), *(vpc_namespace(name, vpc) for vpc in state.vpcs)}
        wanted |= {machine_namespace(name, one) for one in state.instances}
        for namespace in netns.existing(f"pileus-{name}-"):
            if belongs(namespace, name) and namespace not in wanted:
                netns.remove(namespace)

    def stop(self) -> None:
        """Stop the servers; what is left is removed by `control.remove`."""
        self._api.stop()
        for services in self._services.values():
            services.stop()
        self._drops.stop()
        self._internet.stop()

    def follow(self, state: RegionState) -> None:
        """Make everything equal to the API's state."""
        self._desk.note(state)
        for instance in self._machines.to_boot(state):
            self._wire.unplug_machine(state, instance)
        for vpc in state.vpcs:
            self._uplinks.setdefault(vpc, self._new_uplink(vpc))
            self._wire.follow(state, vpc, self._uplinks[vpc])
            self._services_of(vpc).follow(state)
        self._drops.follow(state)
        self._machines.follow(state)
        for vpc in set(self._uplinks) - set(state.vpcs):
            self._remove(vpc)
        public = {vpc: elastic_pairs(state, vpc).values() for vpc in state.vpcs}
        self._internet.follow(self._uplinks, public)
        files.write_json(self._places.nics, [_nic_document(nic) for nic in plugged(state)])
        files.write_json(self._places.overview, overview.document(state))

    def _report(self, instance: str, state: InstanceState, reason: str | None) -> None:
        self._api.settle_instance(instance, state, reason)

    def _follow_again(self) -> None:
        self._api.refresh()

    def _services_of(self, vpc: str) -> VpcServices:
        if vpc not in self._services:
            namespace = vpc_namespace(self._settings.name, vpc)
            self._services[vpc] = VpcServices(
                vpc, namespace, self._places.runtime, self._desk.of(vpc)
            )
        return self._services[vpc]

    def _new_uplink(self, vpc: str) -> Uplink:
        taken = {uplink.network for uplink in self._uplinks.values()}
        network = next(net for net in _UPLINKS.subnets(new_prefix=30) if net not in taken)
        return Uplink(network, "igw" + vpc.removeprefix("vpc-")[-12:])

    def _remove(self, vpc: str) -> None:
        services = self._services.pop(vpc, None)
        if services is not None:  # none where making the VPC failed half-way
            services.stop()
        self._drops.leave(vpc)
        self._wire.remove(vpc, self._uplinks[vpc])
        del self._uplinks[vpc]


def _catalogue(settings: RegionSettings) -> tuple[CatalogueImage, ...]:
    """The thin one is the account's own, the others are Debian's."""
    thin = CatalogueImage(THIN_IMAGE, owner=Ec2Settings().account)
    return (thin, *map(CatalogueImage, sorted(settings.images)))


def _nic_document(nic: PluggedNic) -> dict[str, Any]:
    document = asdict(nic)
    document["mac"] = str(nic.mac)
    document["registered"] = [str(address) for address in nic.registered]
    return document
