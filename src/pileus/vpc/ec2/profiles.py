"""Instance profiles on instances: what makes role credentials appear in instance metadata.

There is no IAM here: a profile exists as soon as its name is used, and holds a role of that name.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.attributes import Attributes
from pileus.vpc.ec2.filters import PROFILE_ASSOCIATION, select
from pileus.vpc.ec2.objects import Instance
from pileus.vpc.state import profile_arn, profile_id

_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_ASSOCIABLE = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True)
class Association:
    """One profile on one instance, as the API shows it."""

    association_id: str
    instance_id: str
    name: str
    account: str
    state: str = "associated"

    @property
    def iam_instance_profile(self) -> dict[str, str]:
        return {
            "Arn": profile_arn(self.account, self.name),
            "Id": profile_id(self.account, self.name),
        }


class Profiles(Attributes):
    """An instance has one profile at most."""

    def launch(self, request: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        wanted = request.get("IamInstanceProfile")
        name = self.profile_name(wanted) if wanted else None
        reservation = super().launch(request, options)
        for instance in reservation.instances if name else ():
            instance.profile = self._association(instance, str(name))
        return reservation

    def profile_name(self, wanted: Mapping[str, str]) -> str:
        """The name of a profile that a call names by its name or its ARN."""
        if len(wanted) > 1:
            raise errors.invalid_combination(
                "The parameter 'iamInstanceProfile.name' may not be used in combination with "
                "'iamInstanceProfile.arn'"
            )
        ((field, text),) = wanted.items() or [("Name", "")]
        path = profile_arn(self.account_id, "")
        whole = field == "Name" or text.startswith(path)
        name = text if field == "Name" else text.rpartition("/")[2]
        if not whole or not _NAME.fullmatch(name):
            raise errors.profile_invalid(field.lower(), text)
        return name

    def associate_profile(self, instance_id: str, name: str) -> Association:
        """AssociateIamInstanceProfile. Raises IncorrectState where there is one already."""
        instance: Instance = self.get_instance(instance_id)
        if instance.state not in _ASSOCIABLE:
            raise errors.instance_not_ready(instance_id)
        if instance.profile is not None:
            raise errors.profile_associated(instance_id)
        instance.profile = made = self._association(instance, name)
        return made

    def replace_profile(self, association_id: str, name: str) -> Association:
        """ReplaceIamInstanceProfileAssociation: a new association instead of this one."""
        instance = self._with_profile(association_id)
        instance.profile = made = self._association(instance, name)
        return made

    def disassociate_profile(self, association_id: str) -> Association:
        """DisassociateIamInstanceProfile: the association that was."""
        instance = self._with_profile(association_id)
        former: Association = instance.profile
        instance.profile = None
        return former

    def describe_profiles(self, ids: Sequence[str], filters: Any) -> list[Association]:
        """DescribeIamInstanceProfileAssociations."""
        found = (
            [self._with_profile(id) for id in ids]
            if ids
            else [one for one in self.all_instances() if one.profile]
        )
        return select([instance.profile for instance in found], filters, PROFILE_ASSOCIATION)

    def _association(self, instance: Instance, name: str) -> Association:
        id = f"iip-assoc-{secrets.token_hex(8)}0"
        return Association(id, instance.id, name, self.account_id)

    def _with_profile(self, association_id: str) -> Instance:
        for instance in self.all_instances():
            if instance.profile and instance.profile.association_id == association_id:
                found: Instance = instance
                return found
        raise errors.profile_association_unknown(association_id)
