"""`ssh`: the way to the machine and into its servers."""

from __future__ import annotations

from pileus.api import controller, environment, tenant
from pileus.api.environment import Cloud
from pileus.spec import Spec
from pileus.system import ssh
from pileus.system.workspace import Workspace


def ssh_command(spec: Spec, workspace: Workspace, target: str, words: list[str]) -> list[str]:
    """The argument list that logs in to `controller` or a server, or runs `words` there.

    A server is reached from the controller, through the namespace of its router. Raises Refused
    for a target that is not there and UserError when the cloud is down.
    """
    cloud = Cloud(spec, workspace)
    machine = environment.require_node(environment.reach_aws(cloud).observe(spec.cloud))
    login = controller.login(cloud, machine)
    if target == "controller":
        return ssh.command(login, words, tty=not words)
    return tenant.server_shell(cloud, machine, target, words)
