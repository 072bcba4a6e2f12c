"""Between the tenants' routers and the provider NIC.

`pipeline` is the rules on the NIC. `agent` and what it imports run on the node, shipped by
`archive` as one file, and keep the pipeline, its wiring and the routers' published ports.
`on_node` is the operator's side of it, over SSH.
"""
