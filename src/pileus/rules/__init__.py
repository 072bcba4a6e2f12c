"""Packet rules as data: what the simulated wire and the uplink pipeline share.

`ruleset` holds the nouns, `nft` renders them and their differences as nft text, `readback` reads
what the kernel has, and `apply` is the only place that changes it. `evaluator` follows a packet
through a table without a kernel, and `frames` does so with bytes.
"""
