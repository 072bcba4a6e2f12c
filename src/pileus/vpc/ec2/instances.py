"""Images, key pairs and instances: launch, states, termination."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from moto.ec2.exceptions import InvalidKeyPairFormatError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import InstanceState
from moto.ec2.utils import parse_user_data

from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.filters import (
    IMAGE,
    INSTANCE,
    INSTANCE_STATUS,
    INSTANCE_TYPE,
    KEY_PAIR,
    select,
)
from pileus.vpc.ec2.objects import Image, Instance, Interface, Launch
from pileus.vpc.ec2.offered import NOT_OFFERED_OF_A_NIC
from pileus.vpc.ec2.settings import CatalogueImage
from pileus.vpc.ec2.volumes import Volumes
from pileus.vpc.state import KIND_TAG, THIN, THIN_IMAGE
from pileus.vpc.state import InstanceState as StateName

MOST_AT_ONCE = 1000
"""Instances of one launch: more would keep this region busy for long."""
MOST_USER_DATA = 16_384
"""Bytes, before they are encoded. [EC2 user guide, "Run commands when you launch an instance"]"""

Change = tuple[Instance, InstanceState]


class Instances(Volumes):
    """Instances whose states are the machine layer's to report."""

    # Images and key pairs

    def register_catalogue_image(self, image: CatalogueImage) -> str:
        """Offer a public image; its id depends on its name alone. Returns the id."""
        id = f"ami-{hashlib.sha256(image.name.encode()).hexdigest()[:17]}"
        ami = Image(
            self,
            id,
            name=image.name,
            owner_id=image.owner,
            public=True,
            virtualization_type="hvm",
            architecture="x86_64",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name="/dev/xvda",
            region_name=f"{self.region_name}a",
        )
        ami.root_gib = ami.ebs_snapshot.volume.size = image.root_gib
        self.amis[id] = ami
        return id

    def describe_images(
        self,
        ami_ids: Sequence[str] | None = None,
        filters: Any = None,
        exec_users: Sequence[str] | None = None,
        owners: Sequence[str] | None = None,
    ) -> list[Any]:
        for id in ami_ids or ():
            self.image(id)
        found = super().describe_images(ami_ids, None, exec_users, owners)
        return select(found, filters, IMAGE)

    def image(self, id: str) -> Any:
        """An image by its id. Raises InvalidAMIID.NotFound or InvalidAMIID.Malformed."""
        if not id.startswith("ami-"):
            raise errors.image_malformed(id)
        if id not in self.amis:
            raise errors.image_unknown(id)
        return self.amis[id]

    def describe_key_pairs(self, key_names: Sequence[str], filters: Any = None) -> list[Any]:
        for name in key_names:
            if name not in self.key_pairs:
                raise errors.key_unknown(name)
        return select(super().describe_key_pairs(key_names), filters, KEY_PAIR)

    def import_key_pair(self, *args: Any, **options: Any) -> Any:
        try:
            return super().import_key_pair(*args, **options)
        except InvalidKeyPairFormatError:
            raise errors.key_malformed() from None

    def delete_key_pair(self, name: str) -> Any:
        key = super().delete_key_pair(name)
        if key is not None:
            self.tags.pop(key.id, None)
        return key

    # Launch

    def launch(self, request: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        """RunInstances: the reservation.

        `request` holds the parameters by AWS's names, `options` moto's own for the launch.
        """
        count = int(request["MaxCount"])
        if not 1 <= int(request["MinCount"]) <= count:
            raise errors.invalid_value("MinCount must be from 1 to MaxCount")
        if count > MOST_AT_ONCE:
            raise errors.instance_limit(count)
        image = self.image(str(request.get("ImageId") or ""))
        instance_type = str(request.get("InstanceType") or "m1.small")
        if instance_type not in INSTANCE_TYPES:
            raise errors.type_unknown(instance_type)
        key = request.get("KeyName")
        if key and key not in self.key_pairs:
            raise errors.key_unknown(key)
        _check_hop_limit((request.get("MetadataOptions") or {}).get("HttpPutResponseHopLimit"))
        specs = self._checked_specs(request, count)
        volumes = self.checked_volumes(image, request.get("BlockDeviceMappings") or ())
        kind = options["launch"]["tags"].get("instance", {}).get(KIND_TAG)
        cpu = request.get("CpuOptions") or {}
        launch = Launch(
            public_key=self.key_pairs[key].public_key.strip() if key else None,
            root_gib=int(volumes[0]["VolumeSize"]),
            nested_virtualization=cpu.get("NestedVirtualization") == "enabled",
            thin=image.name == THIN_IMAGE or kind == THIN,
        )
        before = set(self.enis)
        prepared = self._prepared(specs, instance_type, count)
        for id in set(self.enis) - before:
            self.enis[id].add_tags(_interface_tags(request))
        reservation = self._launch_each(image, prepared, options, launch)
        for instance in reservation.instances:
            for volume in volumes:
                self.add_volume(instance, volume, options["launch"]["tags"].get("volume", {}))
        return reservation

    def _checked_specs(self, request: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
        """What each NIC is to be; one made of the instance's own parameters when none is listed."""
        listed = [dict(spec) for spec in request.get("NetworkInterfaces") or ()]
        own = [
            name
            for name in ("SubnetId", "PrivateIpAddress", "SecurityGroupIds", "SecurityGroups")
            if request.get(name)
        ]
        if listed and own:
            raise errors.invalid_combination(
                "Network interfaces and an instance-level subnet ID, private address or security "
                "groups may not be specified on the same request"
            )
        if request.get("SecurityGroups"):
            raise errors.no_default_vpc()
        specs = listed or [
            {
                "DeviceIndex": 0,
                "SubnetId": request.get("SubnetId"),
                "PrivateIpAddress": request.get("PrivateIpAddress"),
                "Groups": request.get("SecurityGroupIds") or [],
            }
        ]
        self._check_indexes(specs)
        for spec in specs:
            self._check_spec(spec, count)
        self._check_together(specs, (request.get("Placement") or {}).get("AvailabilityZone"))
        return specs

    def _check_indexes(self, specs: Sequence[Mapping[str, Any]]) -> None:
        indexes = [int(spec.get("DeviceIndex", -1)) for spec in specs]
        if -1 in indexes:
            raise errors.missing_parameter("DeviceIndex")
        if 0 not in indexes:
            raise errors.invalid_value(
                "When specifying network interfaces, you must include a device at index 0."
            )
        if len(set(indexes)) != len(indexes):
            raise errors.invalid_value("Each network interface requires a unique device index.")
        if any("AssociatePublicIpAddress" in spec for spec in specs):
            if len(specs) > 1:
                raise errors.invalid_combination(
                    "The associatePublicIPAddress parameter cannot be specified when launching "
                    "with multiple network interfaces."
                )
            if specs[0].get("NetworkInterfaceId"):
                raise errors.invalid_combination(
                    "The associatePublicIPAddress parameter cannot be specified for an existing "
                    "network interface."
                )

    def _check_spec(self, spec: Mapping[str, Any], count: int) -> None:
        for name in NOT_OFFERED_OF_A_NIC:
            if spec.get(name):
                raise errors.unsupported(f"the parameter {name} of an interface")
        if spec.get("InterfaceType", "interface") != "interface":
            raise errors.unsupported(f"interfaces of the type {spec['InterfaceType']}")
        id = spec.get("NetworkInterfaceId")
        if id:
            if count > 1:
                raise errors.invalid_combination(
                    "A network interface ID may not be specified for more than one instance"
                )
            if self.get_network_interface(id).attachment_id:
                raise errors.interface_in_use(id)
            if any(spec.get(name) for name in ("SubnetId", "PrivateIpAddress", "Groups")):
                raise errors.invalid_combination(
                    "A network interface may not specify a network interface ID and a subnet, "
                    "address or group"
                )
            return
        if not spec.get("SubnetId"):
            raise errors.no_default_vpc()
        subnet = self.get_subnet(spec["SubnetId"])
        self.groups_in(subnet.vpc_id, spec.get("Groups") or ())
        named = [entry["PrivateIpAddress"] for entry in spec.get("PrivateIpAddresses") or ()]
        named += [spec["PrivateIpAddress"]] if spec.get("PrivateIpAddress") else []
        if named and count > 1:
            raise errors.invalid_combination(
                "A private IP address may not be specified for more than one instance"
            )
        if any(one in self.taken(subnet) for one in self.checked_addresses(subnet, named)):
            raise errors.address_in_use()

    def _check_together(self, specs: Sequence[Mapping[str, Any]], zone: str | None) -> None:
        made = [self.enis.get(spec.get("NetworkInterfaceId")) for spec in specs]
        ids = [interface.id for interface in made if interface]
        if len(set(ids)) != len(ids):
            raise errors.interface_in_use(ids[0])
        subnets = [
            interface.subnet if interface else self.get_subnet(spec["SubnetId"])
            for spec, interface in zip(specs, made, strict=True)
        ]
        if len({subnet.vpc_id for subnet in subnets}) > 1:
            raise errors.different_networks("interfaces", "an instance")
        if len({subnet.availability_zone for subnet in subnets}) > 1:
            raise errors.other_zone()
        if zone and zone != subnets[0].availability_zone:
            raise errors.zone_of_subnet(zone, subnets[0].id)

    def _prepared(
        self, specs: Sequence[Mapping[str, Any]], instance_type: str, count: int
    ) -> list[tuple[list[dict[str, Any]], str]]:
        """The interfaces of each instance, and their zone."""
        prepared = [self._nics(specs) for _ in range(count)]
        for nics, _ in prepared:
            ids = [nic["NetworkInterfaceId"] for nic in nics]
            self.check_limits(instance_type, [self.enis[id] for id in ids])
        return prepared

    def _launch_each(
        self,
        image: Any,
        prepared: Sequence[tuple[list[dict[str, Any]], str]],
        options: Mapping[str, Any],
        launch: Launch,
    ) -> Any:
        """moto launches, with interfaces that exist already and without volumes: it would make
        them its own way."""
        whole = None
        for index, (nics, zone) in enumerate(prepared):
            reservation = super().run_instances(
                image.id,
                1,
                options["user_data"],
                [],
                **options["launch"],
                nics=nics,
                placement=zone,
                block_device_mappings=[],
            )
            whole = whole or reservation
            (instance,) = reservation.instances
            if reservation is not whole:
                self.reservations.pop(reservation.id)
                whole.instances.append(instance)
            own = Instance.adopt(instance, whole.id, launch)
            own.ami_launch_index = index
            own.enter("running" if self.settings.settle_at_once else "pending")
            self.lend(own)
        return whole

    def _nics(self, specs: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], str]:
        nics = []
        for spec in specs:
            interface = self._made(spec)
            nics.append(
                {"DeviceIndex": int(spec["DeviceIndex"]), "NetworkInterfaceId": interface.id}
            )
        zone: str = interface.availability_zone
        return nics, zone

    def _made(self, spec: Mapping[str, Any]) -> Interface:
        if spec.get("NetworkInterfaceId"):
            found: Interface = self.get_network_interface(spec["NetworkInterfaceId"])
            found.delete_on_termination = bool(spec.get("DeleteOnTermination", False))
            return found
        made = self.create_with_prefixes(spec)
        subnets_choice = str(made.subnet.map_public_ip_on_launch).lower() == "true"
        made.wants_public = bool(spec.get("AssociatePublicIpAddress", subnets_choice))
        # What a launch makes, termination removes, unless told otherwise. [API_RunInstances]
        made.delete_on_termination = bool(spec.get("DeleteOnTermination", True))
        return made

    # Reading

    def describe_instances(self, filters: Any = None) -> list[Any]:
        return self._reservations_of(self.all_instances(), filters)

    def get_reservations_by_instance_ids(
        self, instance_ids: Sequence[str], filters: Any = None
    ) -> list[Any]:
        return self._reservations_of(self.get_multi_instances_by_id(instance_ids), filters)

    def _reservations_of(self, instances: Sequence[Instance], filters: Any) -> list[Any]:
        wanted = select(instances, filters, INSTANCE)
        reservations = self.all_reservations()
        for reservation in reservations:
            reservation.instances = [one for one in reservation.instances if one in wanted]
        return [reservation for reservation in reservations if reservation.instances]

    def describe_instance_status(
        self, instance_ids: Sequence[str], include_all_instances: bool, filters: Any
    ) -> list[Instance]:
        instances = (
            self.get_multi_instances_by_id(instance_ids) if instance_ids else self.all_instances()
        )
        named = {entry["name"]: entry["values"] for entry in filters or ()}
        found: list[Instance] = select(instances, named, INSTANCE_STATUS)
        return [one for one in found if include_all_instances or one.state == "running"]

    def describe_instance_types(
        self, instance_types: Sequence[str] | None = None, filters: Any = None
    ) -> list[Any]:
        return select(super().describe_instance_types(instance_types), filters, INSTANCE_TYPE)

    # States

    def start_instances(self, instance_ids: Sequence[str]) -> list[Change]:
        changes = self._transit(
            instance_ids, "started", {"stopped": "pending"}, ("running", "pending")
        )
        for instance, _ in changes:
            self.lend(instance)
        return changes

    def stop_instances(self, instance_ids: Sequence[str]) -> list[Change]:
        self._check_stop_protection(instance_ids, "stopped")
        begin = {"running": "stopping", "pending": "stopping"}
        return self._transit(instance_ids, "stopped", begin, ("stopped", "stopping"))

    def terminate_instances(self, instance_ids: Sequence[str]) -> list[Change]:
        for instance in self.get_multi_instances_by_id(instance_ids):
            if instance.disable_api_termination:
                raise errors.termination_protected(instance.id)
        self._check_stop_protection(instance_ids, "terminated")
        live = ("pending", "running", "stopping", "stopped")
        begin = dict.fromkeys(live, "shutting-down")
        return self._transit(instance_ids, "terminated", begin, ("shutting-down", "terminated"))

    def _check_stop_protection(self, ids: Sequence[str], participle: str) -> None:
        for instance in self.get_multi_instances_by_id(ids):
            if instance.disable_api_stop:
                raise errors.stop_protected(instance.id, participle)

    def reboot_instances(self, instance_ids: Sequence[str]) -> list[Instance]:
        instances: list[Instance] = self.get_multi_instances_by_id(instance_ids)
        for instance in instances:
            # Requests for terminated ones are ignored. [API_RebootInstances]
            if instance.state not in ("running", "terminated"):
                raise errors.wrong_state(instance.id, "rebooted")
        for instance in instances:
            instance.reboots += 1
        return instances

    def _transit(
        self,
        ids: Sequence[str],
        participle: str,
        begin: Mapping[str, str],
        already: Sequence[str],
    ) -> list[Change]:
        """Begin a change of state for all instances, or refuse for all."""
        instances: list[Instance] = self.get_multi_instances_by_id(ids)
        for instance in instances:
            if instance.state not in (*begin, *already):
                raise errors.wrong_state(instance.id, participle)
        changes = []
        for instance in instances:
            next_state = begin.get(instance.state, instance.state)
            changes.append((instance, instance.enter(next_state, _reason(next_state))))
        if self.settings.settle_at_once:
            for instance in instances:
                self.settle(instance.id, SETTLED[instance.state])
        return changes

    def settle(self, instance_id: str, state: StateName, reason: str | None = None) -> None:
        """The machine layer's report: an instance is now in this state.

        Interfaces of a terminated instance are freed, or deleted where DeleteOnTermination says so.
        Raises InvalidInstanceID.NotFound.
        """
        instance: Instance = self.get_instance(instance_id)
        if instance.state == "terminated":
            return
        if state == "stopped" and instance.state == "running" and instance.ends_with_its_machine:
            state = "shutting-down"
        # What began a shutdown is its reason; the end of it adds none.
        why = reason or instance.reason or _reason(state)
        if state in ("stopped", "terminated"):
            self.take_back(instance.primary)
        if state == "terminated":
            self._free_interfaces(instance)
            instance.terminate()
            instance.profile = None
        instance.enter(state, why)

    def _free_interfaces(self, instance: Instance) -> None:
        for interface in list(instance.nics.values()):
            instance.detach_eni(interface)
            if interface.delete_on_termination:
                self.delete_network_interface(interface.id)

    def modify_instance_metadata_options(self, instance_id: str, **options: Any) -> Any:
        """What is not named stays as it is."""
        instance: Instance = self.get_instance(instance_id)
        _check_hop_limit(options.get("hop_limit"))
        names = ("http_tokens", "http_endpoint", "metadata_tags", "hop_limit", "http_protocol")
        kept = dict(zip(names, _metadata_values(instance.metadata_options), strict=True))
        named = {name: value for name, value in options.items() if value is not None}
        return super().modify_instance_metadata_options(instance_id, **{**kept, **named})


SETTLED: Mapping[str, StateName] = {
    "pending": "running",
    "running": "running",
    "stopping": "stopped",
    "stopped": "stopped",
    "shutting-down": "terminated",
    "terminated": "terminated",
}


def _check_hop_limit(hops: Any) -> None:
    """From 1 to 64. [API_InstanceMetadataOptionsRequest]"""
    if hops is not None and not 1 <= int(hops) <= 64:
        raise errors.invalid_value(
            f"Value ({hops}) for parameter HttpPutResponseHopLimit is invalid: it must be 1 to 64"
        )


def _metadata_values(options: Any) -> tuple[Any, ...]:
    return (
        options.http_tokens,
        options.http_endpoint,
        options.instance_metadata_tags,
        options.http_put_response_hop_limit,
        options.http_protocol_ipv6,
    )


def _interface_tags(request: Mapping[str, Any]) -> dict[str, str]:
    """For the interfaces that the launch makes."""
    return {
        tag["Key"]: tag["Value"]
        for specification in request.get("TagSpecifications") or ()
        if specification["ResourceType"] == "network-interface"
        for tag in specification.get("Tags", [])
    }


def checked_user_data(encoded: Any) -> Any:
    """User data in moto's form. Raises InvalidUserData.Malformed, or InvalidParameterValue for what
    is too long."""
    found = parse_user_data(encoded)
    if found is not None and len(base64.b64decode(str(found))) > MOST_USER_DATA:
        raise errors.user_data_limit(MOST_USER_DATA)
    return found


def _reason(state: str) -> str | None:
    by_user = "Client.UserInitiatedShutdown: User initiated shutdown"
    return None if state in ("pending", "running") else by_user
