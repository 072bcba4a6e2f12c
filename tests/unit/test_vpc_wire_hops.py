"""One more for each TTL that can have more."""

from __future__ import annotations

import pytest

from pileus.rules.evaluator import follow
from pileus.rules.ruleset import Field
from pileus.vpc.wire.hops import hops_table

TABLE = hops_table()


@pytest.mark.parametrize("ttl", [0, 1, 63, 64, 65, 128, 129, 254, 255])
def test_the_ttl_that_the_kernel_will_take_is_given_before(ttl: int) -> None:
    walked = follow(TABLE, "kept", {Field.IP_TTL: ttl})
    expected = {Field.IP_TTL: ttl + 1} if 1 <= ttl <= 254 else {}
    assert walked.rewritten == expected


def test_each_value_has_one_rule_and_the_most_usual_one_is_the_first() -> None:
    (chain,) = TABLE.chains
    assert len(chain.rules) == 254
    assert str(chain.rules[0].statements[0]).count("value=64,") == 1
