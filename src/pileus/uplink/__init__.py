"""Between the tenants' routers and the provider NIC.

`publish` hands ports of a router's registered address on to servers, as one whole wanted set:

    inside = publish.on_node(login, observed.routers[name])
    outcome = publish.apply(inside, published)   # Outcome(added, removed); both empty: unchanged
"""
