"""Resources as AWS shows them, where moto's own objects say something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from moto.ec2.models.amis import Ami as MotoImage
from moto.ec2.models.elastic_ip_addresses import ElasticAddress as MotoAddress
from moto.ec2.models.elastic_network_interfaces import NetworkInterface as MotoInterface
from moto.ec2.models.instances import Instance as MotoInstance
from moto.ec2.models.instances import InstanceState, StateReason
from moto.ec2.models.route_tables import Route as MotoRoute
from moto.ec2.models.subnets import Subnet as MotoSubnet
from moto.ec2.utils import random_eip_association_id, random_mac_address

from pileus.model.addresses import reserved_addresses


def _unused_mac(backend: Any) -> str:
    used = {interface.mac_address for interface in backend.enis.values()}
    while (mac := str(random_mac_address())) in used:
        pass
    return mac


class Image(MotoImage):  # type: ignore[misc]
    """A machine image with one volume, of `root_gib` GiB."""

    root_gib: int

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        root = {
            "SnapshotId": self.ebs_snapshot.id,
            "VolumeSize": self.root_gib,
            "DeleteOnTermination": True,
            "VolumeType": "gp2",
        }
        return [{"DeviceName": self.root_device_name, "Ebs": root}]


class Subnet(MotoSubnet):  # type: ignore[misc]
    """A subnet of IPv4 alone. `adopt` turns moto's into this class."""

    @classmethod
    def adopt(cls, subnet: MotoSubnet) -> Subnet:
        own: Subnet = subnet
        own.__class__ = cls
        own.default_for_az = own.map_public_ip_on_launch = False
        return own

    @property
    def available_ip_address_count(self) -> int:
        network = IPv4Network(self.cidr_block)
        used = {*reserved_addresses(network), *self.ec2_backend.taken(self)}
        return int(network.num_addresses) - len(used)


class Interface(MotoInterface):  # type: ignore[misc]
    """An interface whose addresses each carry their own Elastic IP."""

    def __init__(
        self,
        backend: Any,
        subnet: Any,
        addresses: Sequence[IPv4Address],
        groups: Sequence[str],
        description: str | None,
    ) -> None:
        """`addresses` has the primary first; everything was checked before."""
        entries = [
            {"Primary": position == 0, "PrivateIpAddress": str(address)}
            for position, address in enumerate(addresses)
        ]
        super().__init__(
            backend,
            subnet,
            str(addresses[0]),
            entries,
            group_ids=list(groups),
            description=description,
        )
        self.mac_address: str = _unused_mac(backend)
        self.wants_public = False
        self.prefixes: list[IPv4Network] = []

    @property
    def addresses(self) -> list[IPv4Address]:
        """Registered addresses, primary first."""
        return [IPv4Address(entry["PrivateIpAddress"]) for entry in self.private_ip_addresses]

    @property
    def registered(self) -> set[IPv4Address]:
        """All that nobody else in the subnet can have."""
        return {*self.addresses, *(address for prefix in self.prefixes for address in prefix)}

    @property
    def slots(self) -> int:
        """What counts against the addresses that an instance type allows on an interface."""
        return len(self.addresses) + len(self.prefixes)

    @property
    def ipv4_prefixes(self) -> list[dict[str, str]]:
        """The prefixes as the API shows them."""
        return [{"Ipv4Prefix": str(prefix)} for prefix in self.prefixes]

    def entry(self, address: IPv4Address) -> dict[str, Any]:
        """The API's record of one address. Raises KeyError when it is not this interface's."""
        for entry in self.private_ip_addresses:
            if entry["PrivateIpAddress"] == str(address):
                found: dict[str, Any] = entry
                return found
        raise KeyError(address)

    def add(self, address: IPv4Address) -> None:
        """Register one more secondary address."""
        self.private_ip_addresses.append({"Primary": False, "PrivateIpAddress": str(address)})

    def remove(self, address: IPv4Address) -> None:
        """Take a secondary address off."""
        self.private_ip_addresses.remove(self.entry(address))

    @property
    def network_interface_id(self) -> str:
        """The id as DescribeInstances calls it."""
        return str(self.id)

    @property
    def association(self) -> dict[str, Any] | None:
        """The public address of the primary address, or None."""
        found: dict[str, Any] | None = self.private_ip_addresses[0].get("Association")
        return found

    @property
    def associations(self) -> list[dict[str, Any]]:
        """The public addresses of all its addresses."""
        entries = self.private_ip_addresses
        return [entry["Association"] for entry in entries if "Association" in entry]

    @property
    def instance_private_ip_address_list(self) -> list[dict[str, Any]]:
        """DescribeInstances shows the same records as DescribeNetworkInterfaces."""
        entries: list[dict[str, Any]] = self.private_ip_addresses
        return entries

    @property
    def group_set(self) -> list[Any]:
        """Groups are the interface's own; an instance adds none."""
        groups: list[Any] = self._group_set
        return groups


class Address(MotoAddress):  # type: ignore[misc]
    """An Elastic IP, bound to one private address of one interface or to nothing."""

    eni: Interface | None
    private: IPv4Address | None = None

    def bind(self, interface: Interface, private: IPv4Address) -> None:
        """Associate; whatever was bound to the private address before must be unbound."""
        self.eni = interface
        self.private = private
        self.association_id = random_eip_association_id()
        self.show()

    def show(self) -> None:
        """Write this address into the record of the private address it is bound to, if any."""
        if self.eni is None or self.private is None:
            return
        self.eni.entry(self.private)["Association"] = {
            "AllocationId": self.allocation_id,
            "AssociationId": self.association_id,
            "IpOwnerId": self.ec2_backend.account_id,
            "PublicDnsName": self.public_dns_name,
            "PublicIp": self.public_ip,
        }
        if self.private == self.eni.addresses[0]:
            self.eni.public_ip = self.public_ip

    def unbind(self) -> None:
        """Disassociate. Does nothing when it is not bound."""
        if self.eni is None or self.private is None:
            return
        if self.private == self.eni.addresses[0]:
            self.eni.public_ip = None
        self.eni.entry(self.private).pop("Association", None)
        self.eni = self.private = self.association_id = None

    @property
    def public_dns_name(self) -> str:
        """As AWS names its public addresses. [VPC user guide, DNS attributes]"""
        region = self.ec2_backend.region_name
        zone = "compute-1" if region == "us-east-1" else f"{region}.compute"
        return f"ec2-{self.public_ip.replace('.', '-')}.{zone}.amazonaws.com"

    @property
    def instance_id(self) -> str | None:
        """The instance that has it now: the interface may be attached later, or elsewhere."""
        instance = self.eni.instance if self.eni else None
        return instance.id if instance else None

    @property
    def network_interface_id(self) -> str | None:
        return self.eni.id if self.eni else None

    @property
    def private_ip_address(self) -> str | None:
        return str(self.private) if self.private else None


class LentAddress(Address):
    """A public address that comes with a launch and goes when the machine stops. It belongs to
    Amazon: no call can allocate, move or release it."""

    def show(self) -> None:
        super().show()
        if self.eni is not None and self.private is not None:
            shown = self.eni.entry(self.private)["Association"]
            for name in ("AllocationId", "AssociationId"):
                del shown[name]
            shown["IpOwnerId"] = "amazon"


CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}
"""Codes of the instance states. [EC2 API reference, InstanceState]"""


@dataclass(frozen=True)
class Launch:
    """What a launch settles for its instances, for good."""

    public_key: str | None
    """The line of its key pair."""
    root_gib: int
    nested_virtualization: bool
    thin: bool
    """A network namespace instead of a whole machine."""


class Instance(MotoInstance):  # type: ignore[misc]
    """An instance that goes through AWS's states and frees its interfaces when it ends.

    moto makes its instances itself; `adopt` turns one into this class.
    """

    reservation_id: str
    launch: Launch
    _state: InstanceState
    reboots: int
    hostname: str
    profile: Any
    """The association of an instance profile, or None."""

    @classmethod
    def adopt(cls, instance: MotoInstance, reservation_id: str, launch: Launch) -> Instance:
        """Make an instance that moto has just launched one of ours."""
        own: Instance = instance
        own.__class__ = cls
        own.reservation_id = reservation_id
        own.launch = launch
        own.reboots = 0
        own.profile = None
        own.hostname = "ip-" + str(own.nics[0].private_ip_address).replace(".", "-")
        return own

    def __del__(self) -> None:
        """moto returns addresses to a pool of its own here; ours are the interfaces'."""

    def enter(self, state: str, reason: str | None = None) -> InstanceState:
        """Change state; returns the former one. Raises KeyError for a state that AWS has not."""
        former = InstanceState(self._state.name, self._state.code)
        self._state = InstanceState(state, CODES[state])
        shown = None if state in ("pending", "running") else reason
        self.state_reason = StateReason(shown, shown.partition(":")[0]) if shown else None
        return former

    @property
    def reason(self) -> str | None:
        """Why it is not running, in AWS's form "Code: message"."""
        return str(self.state_reason.message) if self.state_reason else None

    @property
    def ends_with_its_machine(self) -> bool:
        """Whether a machine that powers itself off terminates the instance."""
        return bool(self.instance_initiated_shutdown_behavior == "terminate")

    @property
    def iam_instance_profile(self) -> dict[str, str] | None:
        found: dict[str, str] | None = self.profile.iam_instance_profile if self.profile else None
        return found

    @iam_instance_profile.setter
    def iam_instance_profile(self, value: Any) -> None:
        """moto's own store of it is not used."""

    @property
    def primary(self) -> Interface | None:
        """The interface at device index 0, or None once the instance is terminated."""
        found: Interface | None = self.nics.get(0)
        return found

    @property
    def security_groups(self) -> list[Any]:
        return self.primary.group_set if self.primary else []

    @security_groups.setter
    def security_groups(self, groups: list[Any]) -> None:
        if self.primary:
            self.primary._group_set = groups

    @property
    def source_dest_check(self) -> bool:
        return self.primary is None or bool(self.primary.source_dest_check)

    @source_dest_check.setter
    def source_dest_check(self, value: bool) -> None:
        if self.primary:
            self.primary.source_dest_check = value

    @property
    def private_ip(self) -> str | None:
        return str(self.primary.private_ip_address) if self.primary else None

    private_ip_address = private_ip

    @property
    def private_dns_name(self) -> str:
        if self.primary is None:
            return ""
        name: str = super().private_dns_name
        return name

    @property
    def public_ip(self) -> str | None:
        return self.primary.public_ip if self.primary else None

    public_ip_address = public_ip


class Route(MotoRoute):  # type: ignore[misc]
    """A route that knows when its target is gone. `adopt` turns moto's into this class."""

    @classmethod
    def adopt(cls, route: MotoRoute) -> Route:
        own: Route = route
        own.__class__ = cls
        return own

    @property
    def instance_id(self) -> str | None:
        instance = self.interface.instance if self.interface else self.instance
        return instance.id if instance else None

    @property
    def state(self) -> str:
        """Blackhole when the gateway is not the VPC's, or the interface on no running instance."""
        backend = self.route_table.ec2_backend
        if self.local:
            return "active"
        if self.interface:
            instance = self.interface.instance
            there = self.interface.id in backend.enis and instance is not None
            return "active" if there and instance.state in ("pending", "running") else "blackhole"
        gateway = backend.gateway_of(self.route_table.vpc_id)
        return "active" if gateway is not None and gateway is self.gateway else "blackhole"
