"""The store behind the simulated region's EC2 API.

A strict subclass of moto's, one class per kind of resource, each adding to the one below it:
Networks → Ranges → NetworkAcls → Interfaces → Prefixes → ElasticIps → Volumes → Instances →
Attributes → Profiles.
Each override checks as AWS does, then lets moto act. It is an object of its own, apart from moto's
global table of backends, so that regions stand side by side in one process.
"""

from __future__ import annotations

from pileus.vpc.ec2 import errors
from pileus.vpc.ec2.profiles import Profiles
from pileus.vpc.ec2.settings import Ec2Settings


class Backend(Profiles):
    """One region of one account. Not safe for threads: callers take turns."""

    def __init__(self, settings: Ec2Settings) -> None:
        super().__init__(settings)
        for image in settings.images:
            self.register_catalogue_image(image)

    def do_resources_exist(self, resource_ids: list[str]) -> bool:
        """For CreateTags, where moto lets some kinds of ids pass. Raises the kind's NotFound."""
        for id in resource_ids:
            kind = id.rpartition("-")[0]
            if kind == "eni":
                self.get_network_interface(id)
            elif kind == "eipalloc":
                self.address_by_allocation([id])
            elif kind == "i":
                self.get_instance(id)
            elif kind == "sg":
                self.security_group(id)
            elif kind == "key":
                known = [key.id for key in self.key_pairs.values()]
                if id not in known:
                    raise errors.key_unknown(id)
            else:
                super().do_resources_exist([id])
        return True
