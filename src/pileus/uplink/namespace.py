"""Reading nft tables of ours in a router's namespace."""

from __future__ import annotations

from pileus.model.errors import CommandFailed, Fault
from pileus.model.node import Login
from pileus.model.tenant import ObservedRouter
from pileus.system.runner import Runner, inside, root_on


def on_node(login: Login, router: ObservedRouter) -> Runner:
    """Programs inside a router's namespace on its node."""
    return inside(root_on(login), router.namespace)


def list_table(router: Runner, family: str, name: str) -> str | None:
    """nft's JSON listing of a table, None when there is none.

    Raises Fault when the router has no namespace on the node.
    """
    done = router(["nft", "--json", "list", "table", family, name], check=False)
    if done.code == 0:
        return done.stdout
    if "Cannot open network namespace" in done.stderr:
        raise Fault(
            "the router has no namespace on the node",
            hint="see `systemctl status neutron-l3-agent` on the controller, then repeat",
            retryable=True,
        )
    if "No such file or directory" in done.stderr:
        return None
    raise CommandFailed(done.argv, done.code, done.stderr)
