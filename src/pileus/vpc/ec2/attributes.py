"""ModifyInstanceAttribute: one attribute of an instance at a time."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.instances import Instances, checked_user_data
from pileus.vpc.ec2.objects import Instance

_VALUES = {
    "DisableApiStop": "disable_api_stop",
    "DisableApiTermination": "disable_api_termination",
    "EbsOptimized": "ebs_optimized",
    "InstanceInitiatedShutdownBehavior": "instance_initiated_shutdown_behavior",
    "InstanceType": "instance_type",
    "SourceDestCheck": "source_dest_check",
    "UserData": "user_data",
}
"""What has a single value, by AWS's names, and moto's names for it."""
_WHILE_STOPPED = {"EbsOptimized", "InstanceType", "UserData"}
_FLAGS = {"DisableApiStop", "DisableApiTermination", "EbsOptimized", "SourceDestCheck"}
_SHUTDOWNS = ("stop", "terminate")


class Attributes(Instances):
    """Instances whose attributes are changed as AWS changes them."""

    def modify_instance(self, instance_id: str, asked: Mapping[str, Any]) -> None:
        """Change the one attribute that a call names. `asked` are its parameters by AWS's names."""
        instance: Instance = self.get_instance(instance_id)
        name, value = _named(asked)
        if instance.state in ("shutting-down", "terminated"):
            raise errors.wrong_state(instance_id, "modified")
        if name in _WHILE_STOPPED and instance.state != "stopped":
            raise errors.not_stopped(instance_id)
        if name == "Groups":
            self._set_groups(instance, value)
        elif name == "BlockDeviceMappings":
            _keep_or_not(instance, value)
        else:
            setattr(instance, _VALUES[name], self._checked_value(instance, name, value))

    def _set_groups(self, instance: Instance, ids: Sequence[str]) -> None:
        if len(instance.nics) > 1:
            raise errors.several_interfaces(instance.id)
        instance.security_groups = self.groups_in(str(instance.vpc_id), ids)

    def _checked_value(self, instance: Instance, name: str, value: Any) -> Any:
        if value is None:
            raise errors.missing_parameter(f"{name}.Value")
        if name == "SourceDestCheck" and len(instance.nics) > 1:
            raise errors.several_interfaces(instance.id)
        if name == "InstanceType":
            if value not in INSTANCE_TYPES:
                raise errors.attribute_value(value, name)
            self.check_limits(value, list(instance.nics.values()))
        if name == "InstanceInitiatedShutdownBehavior" and value not in _SHUTDOWNS:
            raise errors.attribute_value(value, name)
        if name == "UserData":
            # The parameter's own form has been decoded on its way in.
            return checked_user_data(base64.b64encode(value) if isinstance(value, bytes) else value)
        return value


def _named(asked: Mapping[str, Any]) -> tuple[str, Any]:
    """The attribute that a call changes, by AWS's name, and its value."""
    found = {name: (asked[name] or {}).get("Value") for name in _VALUES if name in asked}
    found |= {name: asked[name] for name in ("Groups", "BlockDeviceMappings") if asked.get(name)}
    if asked.get("Attribute"):
        name = str(asked["Attribute"])
        found |= _by_name(name[:1].upper() + name[1:], str(asked.get("Value", "")))
    if len(found) != 1:
        told = "Fields for multiple attribute types specified" if found else "No attributes"
        raise errors.invalid_combination(told)
    return next(iter(found.items()))


def _by_name(name: str, text: str) -> dict[str, Any]:
    """The older way to say it: Attribute and Value, both as text."""
    if name not in _VALUES:
        raise errors.unsupported(f"changing the attribute {name}")
    if name not in _FLAGS:
        return {name: text}
    if text not in ("true", "false"):
        raise errors.attribute_value(text, name)
    return {name: text == "true"}


def _keep_or_not(instance: Instance, mappings: Sequence[Mapping[str, Any]]) -> None:
    """DeleteOnTermination of the instance's volumes, which is all that can be changed of them."""
    known = instance.block_device_mapping
    for mapping in mappings:
        if mapping.get("DeviceName") not in known:
            raise errors.device_unknown(str(mapping.get("DeviceName")))
    for mapping in mappings:
        wanted = (mapping.get("Ebs") or {}).get("DeleteOnTermination")
        if wanted is not None:
            known[mapping["DeviceName"]].delete_on_termination = wanted
