"""Where the contract was tried."""

from __future__ import annotations

import pytest
from contract_place import GIVEN, REGION


@pytest.mark.aws
def test_an_account_was_tried() -> None:
    """Stands for the whole suite where none is given."""
    if not GIVEN:
        pytest.skip("no AWS account is given: PILEUS_TEST_AWS=1 and AWS_REGION")
    assert REGION
