"""The volumes that an instance is launched with: what AWS refuses of them, and one for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.elastic import ElasticIps
from pileus.vpc.ec2.filters import VOLUME, select
from pileus.vpc.ec2.objects import Instance

Range = tuple[int, int]


@dataclass(frozen=True)
class VolumeType:
    """What a volume of a type may have: GiB, and IO operations and MiB per second."""

    sizes: Range
    iops: Range | None = None
    throughput: Range | None = None
    needs_iops: bool = False


TYPES: Mapping[str, VolumeType] = {
    "gp2": VolumeType((1, 16_384)),
    "gp3": VolumeType((1, 65_536), iops=(3000, 80_000), throughput=(125, 2000)),
    "io1": VolumeType((4, 16_384), iops=(100, 64_000), needs_iops=True),
    "io2": VolumeType((4, 65_536), iops=(100, 256_000), needs_iops=True),
    "sc1": VolumeType((125, 16_384)),
    "st1": VolumeType((125, 16_384)),
    "standard": VolumeType((1, 1024)),
}
"""[EC2 API reference, EbsBlockDevice]"""
DEFAULT = "gp2"

Volume = Mapping[str, Any]
"""An EbsBlockDevice, with the DeviceName of its mapping."""


class Volumes(ElasticIps):
    """Volumes come with a launch, from nothing or from an image's snapshot."""

    def describe_volumes(
        self, volume_ids: Sequence[str] | None = None, filters: Any = None
    ) -> list[Any]:
        for id in volume_ids or ():
            if id not in self.volumes:
                raise errors.volume_unknown(id)
        return select(super().describe_volumes(volume_ids), filters, VOLUME)

    def checked_volumes(self, image: Any, mappings: Sequence[Mapping[str, Any]]) -> list[Volume]:
        """The volumes that a launch asks for. The first is the root, of the image's size, which
        goes with its instance, unless told otherwise. [EC2 user guide, root volumes]"""
        asked = [_volume(mapping) for mapping in mappings if _is_volume(mapping)]
        names = [volume["DeviceName"] for volume in asked]
        for name in names:
            if names.count(name) > 1:
                raise errors.device_twice(name)
        root = {"DeviceName": image.root_device_name, "VolumeSize": image.root_gib}
        root |= {"DeleteOnTermination": True}
        for volume in asked:
            if volume["DeviceName"] == image.root_device_name:
                root |= volume
        others = [volume for volume in asked if volume["DeviceName"] != image.root_device_name]
        if root["VolumeSize"] < image.root_gib:
            raise errors.volume_smaller(
                root["VolumeSize"], image.ebs_snapshot.id, int(image.root_gib)
            )
        return [self._checked_volume(volume) for volume in (root, *others)]

    def _checked_volume(self, volume: Volume) -> Volume:
        size = volume.get("VolumeSize")
        if volume.get("SnapshotId"):
            least = self._snapshot_size(str(volume["SnapshotId"]))
            size = least if size is None else size
            if size < least:
                raise errors.volume_smaller(size, volume["SnapshotId"], least)
        if size is None:
            raise errors.volume_of_no_size(volume["DeviceName"])
        name = str(volume.get("VolumeType") or DEFAULT)
        if name not in TYPES:
            raise errors.volume_type_unknown(name)
        kind = TYPES[name]
        _check_range("size", size, kind.sizes)
        for parameter, allowed in (("Iops", kind.iops), ("Throughput", kind.throughput)):
            if volume.get(parameter) is not None:
                if allowed is None:
                    raise errors.not_of_volumes(parameter.lower(), name)
                _check_range(parameter.lower(), volume[parameter], allowed)
        if kind.needs_iops and volume.get("Iops") is None:
            raise errors.no_iops(name)
        if volume.get("KmsKeyId") and not volume.get("Encrypted"):
            raise errors.key_without_encryption()
        return {**volume, "VolumeSize": size}

    def _snapshot_size(self, id: str) -> int:
        if not id.startswith("snap-"):
            raise errors.snapshot_malformed(id)
        if id not in self.snapshots:
            raise errors.snapshot_unknown(id)
        return int(self.snapshots[id].volume.size)

    def add_volume(self, instance: Instance, wanted: Volume, tags: Mapping[str, str]) -> None:
        """Make a volume and attach it. It was checked before."""
        made = self.create_volume(
            wanted["VolumeSize"],
            instance.placement.zone,
            wanted.get("SnapshotId"),
            bool(wanted.get("Encrypted")),
            wanted.get("KmsKeyId"),
            wanted.get("VolumeType"),
            wanted.get("Iops"),
            wanted.get("Throughput"),
        )
        made.add_tags(dict(tags))
        kept = not wanted.get("DeleteOnTermination", False)
        self.attach_volume(made.id, instance.id, wanted["DeviceName"], not kept)


def _is_volume(mapping: Mapping[str, Any]) -> bool:
    """Not where it only says that the image's own device is left out."""
    if "NoDevice" in mapping:
        if mapping["NoDevice"]:
            raise errors.invalid_value("NoDevice must be empty")
        return False
    return True


def _volume(mapping: Mapping[str, Any]) -> Volume:
    if mapping.get("VirtualName"):
        raise errors.unsupported("instance store volumes")
    for name in ("DeviceName", "Ebs"):
        if not mapping.get(name):
            raise errors.missing_parameter(f"BlockDeviceMapping.{name}")
    return {**mapping["Ebs"], "DeviceName": str(mapping["DeviceName"])}


def _check_range(what: str, value: int, allowed: Range) -> None:
    least, most = allowed
    if not least <= value <= most:
        raise errors.volume_out_of_range(what, value, least, most)
