"""Parameters of a call, checked and brought into one form before moto sees them.

What moto takes for granted (tags with keys, ids named once, required members) a caller may well
leave out; unchecked, each would be an internal error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pileus.vpc.ec2 import errors, filters
from pileus.vpc.ec2.offered import NOT_OFFERED, TAGGED

MOST = 1000
"""Items of a list. [EC2 API reference, the Describe calls' lists of ids]"""
MOST_TAGS = 50
"""Of a resource. [EC2 user guide, "Tag restrictions"]"""
_NO_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document can hold, so no answer could show it. [XML 1.0, production Char]"""


def check_text(values: Any) -> None:
    """Raises InvalidCharacter for names or values that could not be shown. `values` are werkzeug's,
    in which a name may come more than once."""
    for name, text in values.items(multi=True):
        if _NO_TEXT.search(name) or _NO_TEXT.search(text):
            raise errors.invalid_character()


def check(action: str, shape: Any, parameters: dict[str, Any]) -> None:
    """Complete and check a call's parameters in place. `shape` is botocore's, None for no input.

    Raises MissingParameter, InvalidParameterValue, UnsupportedOperation or, when all is well but
    nothing shall be done, DryRunOperation.
    """
    if shape is not None:
        _check_required(shape, parameters)
    for name in NOT_OFFERED.get(action, frozenset()):
        if parameters.get(name):
            raise errors.unsupported(f"the parameter {name} of {action}")
    _check_lengths(parameters)
    _check_ids(parameters)
    filters.check(action, parameters.get("Filters", []))
    _check_tag_specifications(action, parameters)
    tags = list(_tags(parameters))
    if len(tags) > MOST_TAGS:
        raise errors.tag_limit()
    for tag in tags:
        if "Key" not in tag:
            raise errors.missing_parameter("Tag.Key")
        if str(tag["Key"]).lower().startswith("aws:"):
            raise errors.reserved_tag()
        if action != "DeleteTags":
            tag.setdefault("Value", "")
        _check_length(tag)
    _name_once(parameters)
    if parameters.get("DryRun"):
        raise errors.dry_run()


def _check_required(shape: Any, value: Any) -> None:
    if shape.type_name == "structure":
        for name in shape.required_members:
            if name not in value:
                raise errors.missing_parameter(name)
        for name, member in value.items():
            _check_required(shape.members[name], member)
    elif shape.type_name == "list":
        for item in value:
            _check_required(shape.member, item)


def _check_lengths(value: Any) -> None:
    items = list(value.values()) if isinstance(value, dict) else value
    if isinstance(items, list):
        if len(items) > MOST:
            raise errors.invalid_value(f"A list may have {MOST} items, not {len(items)}")
        for item in items:
            _check_lengths(item)


def _check_ids(parameters: Mapping[str, Any]) -> None:
    """Ids of another form than the parameter's are not merely unknown, where AWS tells that."""
    for names, prefix, malformed in _FORMS:
        for name in names & set(parameters):
            value = parameters[name]
            for id in value if isinstance(value, list) else [value]:
                if not str(id).startswith(prefix):
                    raise malformed(id)


_FORMS = (
    ({"InstanceId", "InstanceIds"}, "i-", errors.instance_malformed),
    ({"NetworkInterfaceId", "NetworkInterfaceIds"}, "eni-", errors.interface_malformed),
    ({"GroupId", "GroupIds", "Groups", "SecurityGroupIds"}, "sg-", errors.group_malformed),
)


def _check_tag_specifications(action: str, parameters: Mapping[str, Any]) -> None:
    named = [one.get("ResourceType") for one in parameters.get("TagSpecifications", [])]
    for resource_type in named:
        if resource_type is None:
            raise errors.missing_parameter("TagSpecification.ResourceType")
        if resource_type not in TAGGED.get(action, frozenset()):
            raise errors.not_taggable(resource_type)
    if len(set(named)) != len(named):
        raise errors.invalid_value("A resource type may be named once in TagSpecifications")


def _tags(parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from parameters.get("Tags", [])
    for specification in parameters.get("TagSpecifications", []):
        yield from specification.get("Tags", [])


def _check_length(tag: Mapping[str, Any]) -> None:
    """In characters. [EC2 API reference, Tag]"""
    for name, most in (("Key", 127), ("Value", 255)):
        if len(str(tag.get(name, ""))) > most:
            raise errors.invalid_value(f"Tag {name.lower()} exceeds the maximum length of {most}")


def _name_once(parameters: dict[str, Any]) -> None:
    """Lists of ids are sets to AWS."""
    for name, value in parameters.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            parameters[name] = list(dict.fromkeys(value))
