"""Two halves of a trace side by side, and the hop that is to be told. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pileus.model.path import Fate, Half, Hop, Place, Row


def rows(places: Sequence[Place], predicted: Half, observed: Half | None) -> tuple[Row, ...]:
    """A row for each hop of the way; one that only one half names comes after the rest."""
    left, right = _numbered(predicted.hops), _numbered(observed.hops if observed else ())
    order = dict.fromkeys([*_counted(places), *left, *right])
    return tuple(Row(key.place, left.get(key), right.get(key)) for key in order)


@dataclass(frozen=True)
class _Key:
    """A place, and for the how-manieth time it is passed."""

    place: Place
    time: int


def _counted(places: Iterable[Place]) -> list[_Key]:
    seen: Counter[Place] = Counter()
    keys = []
    for place in places:
        seen[place] += 1
        keys.append(_Key(place, seen[place]))
    return keys


def _numbered(hops: Sequence[Hop]) -> dict[_Key, Hop]:
    return dict(zip(_counted(hop.key for hop in hops), hops, strict=True))


def failing(table: Sequence[Row]) -> Row | None:
    """Where the packet dies, as was seen; where nothing was seen to die, as was predicted.

    A packet that was seen beyond the hop where it was to die is told there: the halves differ.
    """
    for half in ("observed", "predicted"):
        for row in table:
            hop: Hop | None = getattr(row, half)
            if hop is not None and hop.fate is Fate.DIES:
                return row
    return None
