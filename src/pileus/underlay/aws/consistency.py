"""EC2 is eventually consistent: what one call made, the next call may not know yet.

[EC2 API reference, "Eventual consistency in the Amazon EC2 API"]
"""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import ClientError

from pileus.model.errors import Fault
from pileus.system import clock

PATIENCE_SECONDS = 20.0
_INTERVAL_SECONDS = 0.5


class NotSeen(Fault):
    """What an earlier call made is not among what EC2 describes."""


def once_seen(act: Callable[[], None]) -> None:
    """Do it, again and again while EC2 does not know something that it needs.

    Such a refusal changed nothing. It is raised when it lasts for longer than the patience.
    """
    deadline = clock.seconds() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except (ClientError, NotSeen) as error:
            if not _unknown(error) or clock.seconds() >= deadline:
                raise
        clock.sleep(_INTERVAL_SECONDS)


def _unknown(error: ClientError | NotSeen) -> bool:
    if isinstance(error, NotSeen):
        return True
    return str(error.response.get("Error", {}).get("Code", "")).endswith(".NotFound")
