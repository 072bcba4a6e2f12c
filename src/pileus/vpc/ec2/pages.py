"""MaxResults and NextToken: answers in pages, for the calls that AWS answers so.

Which calls those are, and how many results a page may have, botocore's model of EC2 tells.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.loaders import Loader

from pileus.vpc.ec2 import errors

_FIRST_AND_LAST = (1, 1000)
"""Results of a page, where the model names no other limits."""


@dataclass(frozen=True)
class Page:
    """The part of an answer that a call asks for: `size` items of the list `items`, None for all
    that are left."""

    items: str
    start: int
    size: int | None
    asked: str
    """What the token of the next page is good for."""

    def of(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The answer with this page alone, and a token where another one follows."""
        found = list(answer[self.items])
        end = len(found) if self.size is None else self.start + self.size
        page = {**answer, self.items: found[self.start : end]}
        return {**page, "NextToken": _token(self.asked, end)} if end < len(found) else page


def take(action: str, shape: Any, parameters: dict[str, Any]) -> Page | None:
    """The page that a call asks for, None for calls without pages; its parameters are taken out.

    Raises InvalidParameterValue, InvalidParameterCombination or InvalidNextToken.
    """
    items = _paged().get(action)
    if items is None:
        return None
    size, token = parameters.pop("MaxResults", None), parameters.pop("NextToken", None)
    if size is not None:
        _check_size(shape.members["MaxResults"], size, parameters)
    asked = _fingerprint(action, parameters)
    return Page(items, _position(asked, token) if token else 0, size, asked)


@lru_cache(maxsize=1)
def _paged() -> dict[str, str]:
    """Calls that are answered in pages, and the list that is divided."""
    model = Loader().load_service_model("ec2", "paginators-1")["pagination"]
    return {action: str(one["result_key"]) for action, one in model.items()}


def _check_size(shape: Any, size: int, parameters: Mapping[str, Any]) -> None:
    least = shape.metadata.get("min", _FIRST_AND_LAST[0])
    most = shape.metadata.get("max", _FIRST_AND_LAST[1])
    if size < least:
        raise errors.page_size(size, f"greater than {least}")
    if size > most:
        raise errors.page_size(size, f"less than {most}")
    ids = [name for name in parameters if name.endswith("Ids")]
    if ids and "cannot specify this parameter and the" in shape.documentation:
        raise errors.invalid_combination(
            f"The parameter {ids[0]} cannot be used with the parameter maxResults"
        )


def _token(asked: str, position: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([asked, position]).encode()).decode()


def _position(asked: str, token: str) -> int:
    try:
        known, position = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise errors.invalid_token() from None
    if known != asked or not isinstance(position, int) or position < 1:
        raise errors.invalid_token()
    return position


def _fingerprint(action: str, parameters: Mapping[str, Any]) -> str:
    text = json.dumps([action, parameters], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
