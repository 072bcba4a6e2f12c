"""The wire of a simulated VPC: what the cloud below does to a frame, in the kernel alone.

Each VPC is one network namespace, routed, without a bridge: one veth for each ENI, whose other end
is the machine's NIC. `topology` says which links, routes and neighbours there are, `frames` what a
NIC may send (Ethernet, ARP, source addresses), `packets` what may pass between NICs and the
internet (security groups, routes, Elastic IPs). All three are pure functions of the API's state;
`reconcile` makes the kernel equal to them and `report` reads the counters.
"""
