"""Faults that are switched on and off while a region runs: a small file that it reads afresh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pileus.model.errors import Refused
from pileus.system import files

LONGEST_DELAY = 600.0


@dataclass(frozen=True)
class Faults:
    """What is wrong with a region at the moment; by default nothing."""

    metadata_delay: float = 0.0
    """Seconds until a change of NICs and addresses arrives in instance metadata."""
    metadata_away: bool = False
    """The metadata service takes connections and answers nothing."""
    api_throttle: float = 0.0
    """Share of the API's calls that are refused: RequestLimitExceeded."""
    api_unavailable: float = 0.0
    """Share of the calls that fail before anything is done: Unavailable, HTTP 503."""
    api_lost: float = 0.0
    """Share of the calls that are done, and whose answer never comes."""
    api_delay: float = 0.0
    """Seconds before each call is taken up."""


def strikes(call: int, share: float) -> bool:
    """Whether a fault strikes the call with this number (from 0): evenly spread, nothing random."""
    return int((call + 1) * share) > int(call * share)


def changed(faults: Faults, name: str, value: str) -> Faults:
    """The faults with one of them set, as the command line names and spells them.

    Raises Refused, saying what there is.
    """
    field = name.replace("-", "_")
    if field not in _READERS:
        raise Refused(f"there is no fault `{name}`", hint=f"faults are: {', '.join(names())}")
    try:
        return replace(faults, **{field: _READERS[field](value)})
    except ValueError as error:
        raise Refused(f"`{value}` is no value of {name}", hint=f"{name} is {error}") from None


def names() -> list[str]:
    """All faults, as the command line names them."""
    return [field.replace("_", "-") for field in _READERS]


def switched_on(faults: Faults) -> dict[str, str]:
    """What is not as it should be, as `changed` takes it."""
    known = {field.name: getattr(faults, field.name) for field in fields(Faults)}
    return {
        name.replace("_", "-"): "on" if value is True else str(value).removesuffix(".0")
        for name, value in known.items()
        if value
    }


def read(path: Path) -> Faults:
    """The faults in a file, none where there is no file. Fields of other versions are ignored."""
    document = files.read_json(path) or {}
    known = {field.name for field in fields(Faults)}
    return Faults(**{name: value for name, value in document.items() if name in known})


def write(path: Path, faults: Faults) -> None:
    """Put faults in force."""
    files.write_json(path, asdict(faults))


def _seconds(text: str) -> float:
    return _number(text, LONGEST_DELAY, f"a number of seconds from 0 to {LONGEST_DELAY:.0f}")


def _share(text: str) -> float:
    return _number(text, 1.0, "a share of the calls from 0 to 1")


def _number(text: str, largest: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= largest:
        raise ValueError(what)
    return value


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError("on or off")
    return text == "on"


_READERS: Mapping[str, Callable[[str], Any]] = {
    "metadata_delay": _seconds,
    "metadata_away": _switch,
    "api_throttle": _share,
    "api_unavailable": _share,
    "api_lost": _share,
    "api_delay": _seconds,
}
