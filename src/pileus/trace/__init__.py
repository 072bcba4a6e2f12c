"""Seeing what happens to packets.

`checks` are the checks that end `up`:

    for checked in run(Scene(…)):     # Checked(name, sentence, ok, detail, seconds), one by one
`guard` shows that what comes in by the provider NIC stays out of the node's own stack.
"""
