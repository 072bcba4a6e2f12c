"""Inside OpenStack: networks, routers, the gateway's MAC, servers. One process, one connection.

    connection = connect(auth_url=…, username=…, password=…, …)
    observed = observe(connection, wanted)        # what there is of ours
    steps = plan(wanted, observed)                # pure; empty when nothing is to be done
    for step in steps:
        apply(connection, wanted, step)           # idempotent; a step prints as a sentence
    result = ensure(connection, wanted, progress) # all of that, observed again at the end

Our objects carry the mark `pileus:<cloud>` as description, metadata or property, set in the same
call that makes them; nothing without it is ever changed.
"""

from pileus.openstack.applying import apply, ensure
from pileus.openstack.connection import connect
from pileus.openstack.holders import in_use
from pileus.openstack.observing import observe
from pileus.openstack.planning import plan

__all__ = ["apply", "connect", "ensure", "in_use", "observe", "plan"]
