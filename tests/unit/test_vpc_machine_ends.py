"""What the end of a machine means."""

from __future__ import annotations

import pytest

from pileus.vpc.machines import OWN_WILL, boots_again, reason_of_end
from pileus.vpc.whole import REBOOTS


@pytest.mark.parametrize(
    ("asked", "code", "again", "reason"),
    [
        (None, 0, False, OWN_WILL),
        (None, REBOOTS, True, None),
        (None, -9, False, "Server.InternalError: The machine ended with code -9"),
        ("reboot", 0, True, None),
        ("reboot", -9, True, None),
        ("stop", 0, False, None),
        ("stop", REBOOTS, False, None),
        ("stop", 1, False, None),
    ],
)
def test_who_asked_and_the_exit_code_tell_what_comes_next(
    asked: str | None, code: int, again: bool, reason: str | None
) -> None:
    assert boots_again(asked, code) == again
    if not again:
        assert reason_of_end(asked, code) == reason
