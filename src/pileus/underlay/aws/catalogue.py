"""What AWS offers: images to boot, and types of machine."""

from __future__ import annotations

from typing import Any

from pileus.model.errors import UserError
from pileus.model.underlay import InstanceType

OWNERS = ("self", "136693071363")
"""Who may own the machine image: the account itself, or Debian's account on AWS. Anybody can
publish an image under any name, so the name alone is no reason to boot it."""


def image(client: Any, name: str) -> dict[str, Any]:
    """The newest image of this name. Raises UserError when there is none."""
    filters = [{"Name": "name", "Values": [name]}, {"Name": "state", "Values": ["available"]}]
    images = client.describe_images(Owners=list(OWNERS), Filters=filters)["Images"]
    if not images:
        raise UserError(
            f"there is no machine image `{name}` in this region",
            hint="build it with `pileus image build`",
        )
    newest: dict[str, Any] = max(images, key=lambda image: str(image.get("CreationDate", "")))
    return newest


def instance_type(client: Any, name: str) -> InstanceType:
    """What AWS says of a type of machine. Raises botocore's errors as they come."""
    (found,) = client.describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
    return _type(found)


def family(client: Any, name: str) -> tuple[InstanceType, ...]:
    """The types of the same family, as all m5 for `m5.xlarge`."""
    alike = [{"Name": "instance-type", "Values": [f"{name.partition('.')[0]}.*"]}]
    pages = client.get_paginator("describe_instance_types").paginate(Filters=alike)
    return tuple(_type(found) for page in pages for found in page["InstanceTypes"])


def _type(found: dict[str, Any]) -> InstanceType:
    network, features = found["NetworkInfo"], found["ProcessorInfo"].get("SupportedFeatures")
    return InstanceType(
        found["InstanceType"],
        found["MemoryInfo"]["SizeInMiB"],
        network["MaximumNetworkInterfaces"],
        network["Ipv4AddressesPerInterface"],
        "nested-virtualization" in (features or []),
    )
