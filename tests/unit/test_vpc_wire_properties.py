"""Random sequences of API calls: what the state says, by a model, is what the wire's rules do.

5,000 calls, those that are refused among them, about two VPCs of the same range. After each call
two connections are begun in one of them, which makes 10,000 as long as there is a NIC, and answered
where their first packets arrive. The rules are followed by the evaluator here, and in the kernel by
tests/netns/test_wire_calls.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

from wire_by_hand import Wire, probes
from wire_calls import caller
from wire_model import Model

from pileus.model.verdict import Code
from pileus.vpc.state import RegionState

SEQUENCES, CALLS, PROBES = 20, 250, 2
FEW = 50
"""How often each fate is met at least: a test that drops all alike tells nothing."""


def test_the_wire_does_what_the_state_says_after_any_calls() -> None:
    seen: Counter[str] = Counter()
    for number in range(SEQUENCES):
        seen += after_any_calls(Random(f"calls {number}"))  # noqa: S311 - repeatable, not secret
    codes = {
        Code.SOURCE_IP, Code.NOT_CARRIED, Code.NO_SUCH_ADDRESS, Code.GROUP_EGRESS,
        Code.GROUP_INGRESS, Code.ACL_EGRESS, Code.ACL_INGRESS, Code.NO_ROUTE,
        Code.NO_PUBLIC_ADDRESS,
    }  # fmt: skip
    assert set(seen) == {"delivered", *(code.value for code in codes)}
    assert min(seen.values()) > FEW, seen


def after_any_calls(random: Random) -> Counter[str]:
    """One sequence; how often each fate was met."""
    calling = caller(random)
    seen: Counter[str] = Counter()
    for _ in range(CALLS):
        calling.call()
        vpc = random.choice(list(calling.gateways))
        seen.update(compared(calling.region.state, vpc, random))
    return seen


def compared(state: RegionState, vpc: str, random: Random) -> Iterator[str]:
    """The fates of some packets, by the model and by the wire."""
    model = Model(state, vpc)
    if not model.nics:
        return
    wire = Wire(state, vpc)
    for probe in probes(random, model, PROBES):
        expected = model.fate(probe)
        assert wire.fate(probe) == expected, probe
        yield expected.code.value if expected.code else "delivered"
        back = model.answer(probe, expected)
        assert back is None or wire.fate(back) == model.fate(back), back
