"""`publish` and `unpublish`: change the wanted state, then bring both clouds to it."""

from __future__ import annotations

from pileus.api import controller, environment, tenant
from pileus.api.environment import Cloud
from pileus.api.publications import Record, parse_pair, published
from pileus.model.report import Progress
from pileus.spec import Spec
from pileus.system import ssh
from pileus.system.workspace import Workspace


def publish(
    spec: Spec, workspace: Workspace, progress: Progress, server: str, port: str
) -> list[str]:
    """Publish a port of a server, written as in pileus.yaml; what was changed, a sentence each.

    It is recorded first, so that `up` completes it when this is cut off. Raises Refused for a
    server that is not there, a port that is none, or one that is taken.
    """
    with workspace.lock():
        cloud = Cloud(spec, workspace)
        record = Record.read(workspace.wanted()).publish(parse_pair(spec, server, port), spec)
        return _become(cloud, record, progress)


def unpublish(
    spec: Spec, workspace: Workspace, progress: Progress, server: str, port: str
) -> list[str]:
    """Take back a published port, also one that pileus.yaml names; what was changed."""
    with workspace.lock():
        cloud = Cloud(spec, workspace)
        record = Record.read(workspace.wanted()).unpublish(parse_pair(spec, server, port), spec)
        return _become(cloud, record, progress)


def _become(cloud: Cloud, record: Record, progress: Progress) -> list[str]:
    ports = published(cloud.spec, record)
    aws = environment.reach_aws(cloud)
    cloud.workspace.record_wanted(record.document())
    changed: list[str] = []
    with progress.stage("underlay") as stage:
        changed += environment.ensure(aws, environment.wanted(cloud, aws, ports), stage)
        machine = environment.require_node(aws.observe(cloud.spec.cloud))
    with progress.stage("published ports") as stage:
        steps, observed = tenant.bring_up(cloud, machine, ports, stage)
        router = tenant.require_router(observed)
        return changed + steps + tenant.publish_ports(cloud, machine, router, ports)


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
