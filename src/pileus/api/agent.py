"""`agent`: what the agent on the node says of itself and of the uplink."""

from __future__ import annotations

from pileus.api import controller, environment
from pileus.api.environment import Cloud
from pileus.model.node import Login
from pileus.spec import Spec
from pileus.system.workspace import Workspace
from pileus.uplink import on_node
from pileus.uplink.on_node import AgentStatus


def agent_status(spec: Spec, workspace: Workspace) -> AgentStatus:
    """Health, registered and learned addresses, counters. Raises UserError when it is down."""
    return on_node.status(_login(spec, workspace))


def agent_metrics(spec: Spec, workspace: Workspace) -> str:
    """The same as Prometheus text."""
    return on_node.metrics(_login(spec, workspace))


def _login(spec: Spec, workspace: Workspace) -> Login:
    cloud = Cloud(spec, workspace)
    machine = environment.require_node(environment.reach_aws(cloud).observe(spec.cloud))
    return controller.login(cloud, machine)
