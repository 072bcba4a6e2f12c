"""Between the tenants' routers and the provider NIC, in the routers' namespaces.

    router = on_node(login, observed.routers[name])
    source_guard.apply(router, gateway)         # no frame leaves with a foreign source address
    outcome = publish.apply(router, published)  # the whole wanted set; both empty: unchanged

Both go with the namespace when the router goes down or the node restarts: apply them again then.
"""

from pileus.uplink.namespace import on_node

__all__ = ["on_node"]
