"""Parameters of a call, checked and brought into one form before moto sees them.

What moto takes for granted (tags with keys, ids named once, required members) a caller may well
leave out; unchecked, each would be an internal error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pileus.vpc.ec2 import errors, filters
from pileus.vpc.ec2.offered import NOT_OFFERED, TAGGED


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
    filters.check(action, parameters.get("Filters", []))
    # Only DescribeInstances answers in pages, so only it has handed out tokens.
    if parameters.get("NextToken") and action != "DescribeInstances":
        raise errors.invalid_token()
    _check_tag_specifications(action, parameters)
    for tag in _tags(parameters):
        if "Key" not in tag:
            raise errors.missing_parameter("Tag.Key")
        if str(tag["Key"]).lower().startswith("aws:"):
            raise errors.reserved_tag()
        if action != "DeleteTags":
            tag.setdefault("Value", "")
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


def _name_once(parameters: dict[str, Any]) -> None:
    """Lists of ids are sets to AWS."""
    for name, value in parameters.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            parameters[name] = list(dict.fromkeys(value))
