"""Calls that may be repeated: what a ClientToken has led to is answered again, not done again.

[EC2 API reference, "Ensuring idempotency"]
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pileus.vpc.ec2 import errors

REMEMBERED = 1000
"""Tokens; boto3 sends one with each launch. AWS keeps them for a day at least."""

T = TypeVar("T")


class Tokens:
    """The latest tokens of a region with their answers."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[str, Any]] = {}

    def once(self, action: str, parameters: Mapping[str, Any], act: Callable[[], T]) -> T:
        """Act, unless the parameters carry a token that has been answered before.

        Raises IdempotentParameterMismatch where it came with other parameters then. A refusal is
        not remembered.
        """
        token = str(parameters.get("ClientToken") or "")
        if not token:
            return act()
        key, request = (action, token), _fingerprint(parameters)
        if key not in self._answers:
            answer = act()
            self._answers[key] = (request, answer)
            if len(self._answers) > REMEMBERED:
                del self._answers[next(iter(self._answers))]
        former, found = self._answers[key]
        if former != request:
            raise errors.idempotent_mismatch()
        answered: T = found
        return answered


def _fingerprint(parameters: Mapping[str, Any]) -> str:
    text = json.dumps(parameters, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
