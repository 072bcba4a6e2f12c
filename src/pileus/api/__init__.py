"""What Pileus can do, as functions: the command line is a thin face over these.

`environment` is the cloud below, `controller` the machine on it, `tenant` what is inside
OpenStack; `up` goes through them in that order, `down` removes everything.
"""

from pileus.api.access import ssh_command
from pileus.api.agent import agent_metrics, agent_status
from pileus.api.changes import add_floating_ip, publish, remove_floating_ip, unpublish
from pileus.api.check import check
from pileus.api.down import down
from pileus.api.plan import plan
from pileus.api.power import start, stop
from pileus.api.sim import (
    image_build,
    image_exists,
    sim_endpoint,
    sim_exec,
    sim_fault,
    sim_quota,
    sim_wire,
)
from pileus.api.status import status
from pileus.api.up import up

__all__ = [
    "add_floating_ip",
    "agent_metrics",
    "agent_status",
    "check",
    "down",
    "image_build",
    "image_exists",
    "plan",
    "publish",
    "remove_floating_ip",
    "sim_endpoint",
    "sim_exec",
    "sim_fault",
    "sim_quota",
    "sim_wire",
    "ssh_command",
    "start",
    "status",
    "stop",
    "unpublish",
    "up",
]
