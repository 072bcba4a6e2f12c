"""What instance metadata knows when it lags behind the API. Pure but for the injected clock.

On AWS, remapping an address is asynchronous: metadata's `local-ipv4s` tells when it is done
[API_AssignPrivateIpAddresses], and a NIC attached to a running instance shows device number 0
until it has arrived [amazon-vpc-cni-k8s, imds]. An instance finds whatever it was launched with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pileus.vpc.state import Eni, RegionState


@dataclass(frozen=True)
class Moment:
    """The state of a region from `since` (seconds) until the next moment."""

    since: float
    state: RegionState


class History:
    """A region's latest states, for as long as they matter."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._moments: tuple[Moment, ...] = (Moment(clock(), RegionState()),)

    def note(self, state: RegionState, delay: float) -> None:
        """Take the state that is in force from now on; forget what is older than `delay`."""
        now = self._clock()
        moments = (*self._moments, Moment(now, state))
        young = [moment for moment in moments if moment.since > now - delay]
        self._moments = moments[-len(young) - 1 :]

    @property
    def state(self) -> RegionState:
        """What is in force."""
        return self._moments[-1].state

    def seen_by(self, instance: str, delay: float) -> RegionState:
        """What metadata tells an instance when it is `delay` seconds late."""
        return seen_by(instance, self._moments, self._clock() - delay)


def seen_by(instance: str, moments: Sequence[Moment], horizon: float) -> RegionState:
    """The latest state, with this instance's NICs, addresses and Elastic IPs as of `horizon`.

    `moments` are in order of time; what happened after `horizon` has not arrived.
    """
    now = moments[-1].state
    lived = [moment for moment in moments if instance in moment.state.instances]
    if not lived:
        return now
    arrived = [moment for moment in lived if moment.since <= horizon]
    then = (arrived[-1] if arrived else lived[0]).state
    old = then.enis_of(instance)
    known = {eni.id for eni in old}
    new = [_arriving(eni) for eni in now.enis_of(instance) if eni.id not in known]
    return replace(
        now,
        vpcs={**then.vpcs, **now.vpcs},
        subnets={**then.subnets, **now.subnets},
        groups={**then.groups, **now.groups},
        enis={eni.id: eni for eni in (*old, *new)},
        elastic_ips=then.elastic_ips,
    )


def _arriving(eni: Eni) -> Eni:
    return replace(eni, device_index=0, addresses=eni.addresses[:1], prefixes=())
