"""What Pileus can do, as functions: the command line is a thin face over these.

`environment` is the cloud below, `controller` the machine on it, `tenant` what is inside
OpenStack; `up` goes through them in that order, `down` removes everything.
"""

from pileus.api.down import down
from pileus.api.plan import plan
from pileus.api.publish import publish, ssh_command, unpublish
from pileus.api.sim import image_build, image_exists, sim_endpoint, sim_exec, sim_wire
from pileus.api.status import status
from pileus.api.up import up

__all__ = [
    "down",
    "image_build",
    "image_exists",
    "plan",
    "publish",
    "sim_endpoint",
    "sim_exec",
    "sim_wire",
    "ssh_command",
    "status",
    "unpublish",
    "up",
]
