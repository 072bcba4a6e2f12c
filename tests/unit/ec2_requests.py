"""Requests to the query API, right, wrong and absurd, made from botocore's model of EC2."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from moto.core.utils import get_service_model

from pileus.vpc.ec2.offered import CHANGING, READING

Pairs = list[tuple[str, str]]

ABSURD = (
    "",
    " ",
    "-1",
    "0",
    "1",
    "65536",
    "99999999999999999999",
    "1e9",
    "nan",
    "true",
    "None",
    "null",
    "[]",
    "*",
    "\\",
    "::/0",
    "fe80::1",
    "0.0.0.0/0",
    "10.0.0.0/33",
    "172.16.10.7",
    "172.16.10.0/28",
    "172.16.10.64/28",
    "255.255.255.255",
    "i-0",
    "eni-00000000000000000",
    "default",
    "<&]]>",
    "\x00",
    "\x1b[31m",
    "\ufffe",
    "\U0001f4a5\u202e",
    "x" * 5000,
    base64.urlsafe_b64encode(b"[" * 10_000).decode(),
)
ODD_KEYS = (
    "Filter.1000000.Value.1",
    "Filter.1.Value.1",
    "Filter.0.Name",
    "Filter.-1.Name",
    "Filter.x.Name",
    "Filter..Name",
    "Filter",
    "Tag.1.Key",
    "TagSpecification.99999999999.Tag.1.Key",
    "NetworkInterface.1.NetworkInterface.1",
    "IpPermissions.1.IpRanges.1",
    "InstanceId.1.1",
    "Action.1",
    "DryRun",
    ".",
    "",
    "\U0001f4a5",
)

_KINDS: dict[str, str | tuple[str, ...]] = {
    "acl": "acl-",
    "allocation": "eipalloc-",
    "association": ("eipassoc-", "rtbassoc-", "aclassoc-", "iip-assoc-"),
    "attachmentid": "eni-attach-",
    "cidr": "172.",
    "destination": "192.168.",
    "device": "/dev/",
    "gateway": "igw-",
    "group": "sg-",
    "image": "ami-",
    "instanceid": "i-",
    "instancetype": "m5.",
    "interface": "eni-",
    "privateip": "172.16.10.",
    "protocol": "tcp",
    "routetable": "rtb-",
    "ruleid": "sgr-",
    "snapshotid": "snap-",
    "subnet": "subnet-",
    "vpc": "vpc-",
}
"""What a parameter wants, by a part of its name."""
_USUAL = {
    *("InstanceId", "InstanceIds", "ImageId", "InstanceType", "SubnetId", "VpcId", "GroupId"),
    *("AllocationId", "AssociationId", "NetworkInterfaceId", "AttachmentId", "GatewayId"),
    *("CidrBlock", "DestinationCidrBlock", "CidrIp", "IpRanges", "IpPermissions"),
    *("IpProtocol", "FromPort", "ToPort", "Key", "Value", "Name", "Values"),
    *("Ebs", "DeviceName", "VolumeSize"),
}
"""Optional ones that most requests have."""
_SOMETIMES = {"BlockDeviceMappings", "NextToken", "SnapshotId", "VolumeType"}
"""Others, in every third request."""


class Requests:
    """A source of requests. `known` are ids and the like that exist."""

    def __init__(self, random: Random, known: Sequence[str]) -> None:
        self._random, self._known = random, known
        self._model = get_service_model("ec2")
        self._actions = [*sorted(READING), *sorted(CHANGING) * 2]
        self._sloppy = 1.0

    def one(self) -> Pairs:
        """One request's parameters, in order; a key may come twice."""
        self._sloppy = self._random.choice((0.0, 0.3, 1.0))
        if self._random.random() < 0.1:
            return self._launch()
        action = self._random.choice(self._actions)
        shape = self._model.operation_model(action).input_shape
        pairs = [("Action", action), ("Version", "2016-11-15"), *self._structure(shape, "")]
        if self._random.random() < 0.1:
            pairs.append((self._random.choice(ODD_KEYS), self._text()))
        if self._random.random() < 0.1:
            pairs.append((self._random.choice(pairs)[0], self._text()))
        if self._random.random() < 0.05:
            pairs.pop(self._random.randrange(len(pairs)))
        return pairs

    def _launch(self) -> Pairs:
        """One that is right, but for its volumes: those are looked at last, and may be too many."""
        shape = self._model.operation_model("RunInstances").input_shape
        nic = "NetworkInterface.1."
        return [
            ("Action", "RunInstances"),
            ("Version", "2016-11-15"),
            ("ImageId", self._one_of("ami-")),
            ("InstanceType", "m5.large"),
            ("MinCount", "1"),
            ("MaxCount", self._random.choice("1123")),
            (f"{nic}DeviceIndex", "0"),
            (f"{nic}SubnetId", self._one_of("subnet-")),
            (f"{nic}AssociatePublicIpAddress", self._random.choice(("true", "false"))),
            *self._member(shape.members["BlockDeviceMappings"], "BlockDeviceMapping"),
        ]

    def _one_of(self, prefix: str) -> str:
        return self._random.choice([one for one in self._known if one.startswith(prefix)] or [""])

    def _structure(self, shape: Any, prefix: str) -> Iterator[tuple[str, str]]:
        few = self._sloppy * 3 / max(3, len(shape.members))
        for name, member in shape.members.items():
            chance = 0.97 if name in shape.required_members or name in _USUAL else few
            chance = 0.3 if name in _SOMETIMES else chance
            if self._random.random() < (0.02 if name == "DryRun" else chance):
                yield from self._member(member, prefix + _key(name, member))

    def _member(self, shape: Any, key: str) -> Iterator[tuple[str, str]]:
        if self._random.random() < 0.02 * self._sloppy:
            yield key, self._text()
        elif shape.type_name == "structure":
            yield from self._structure(shape, f"{key}.")
        elif shape.type_name == "list":
            for number in range(1, self._random.choice((1, 1, 1, 1, 1, 1, 2, 3, 40)) + 1):
                yield from self._member(shape.member, f"{key}.{number}")
        else:
            yield key, self._value(shape, key)

    def _value(self, shape: Any, key: str) -> str:
        if self._random.random() < 0.1 * self._sloppy:
            return self._text()
        if shape.type_name == "boolean":
            return self._random.choice(("true", "false"))
        if shape.type_name in ("integer", "long"):
            return str(self._random.choice((0, 1, 2, 5, 28, 443)))
        if getattr(shape, "enum", None):
            return str(self._random.choice(shape.enum))
        fitting = [
            one
            for part, prefix in _KINDS.items()
            if part in key.lower()
            for one in self._known
            if one.startswith(prefix)
        ]
        return self._random.choice(fitting or self._known)

    def _text(self) -> str:
        return self._random.choice(ABSURD)


def _key(name: str, shape: Any) -> str:
    """A parameter's name in the query. [botocore.serialize.EC2Serializer]"""
    told = shape.serialization.get("queryName")
    if told:
        return str(told)
    named = str(shape.serialization.get("name", name))
    return named[0].upper() + named[1:]
