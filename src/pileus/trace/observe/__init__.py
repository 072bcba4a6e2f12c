"""The observed half of a trace: marked probes, and where they were seen.

It knows which hops there are (`trace.route`), and nothing of what ought to become of a packet.
"""

from __future__ import annotations

from pileus.trace.observe.watching import Eyes, starting, watch

__all__ = ["Eyes", "starting", "watch"]
