"""The one connection to OpenStack's APIs, and its errors as ours.

The SDK is imported where it is used: that costs a second, which most commands do without.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from pileus.model.errors import CloudFault

_PASSING = {408, 409, 429, 500, 502, 503, 504}
_FLAVOR_DESCRIPTION = "2.55"
"""First Compute API version in which flavors have descriptions. [Nova API history]"""

_SECONDS = 120
"""How long a single call may take; the first ones after a start are slow."""


def connect(
    *,
    auth_url: str,
    username: str,
    password: str,
    project: str = "admin",
    region: str = "regionOne",
    domain: str = "Default",
) -> Any:
    """A connection with a password; nothing is read from the user's files or environment.

    It logs in at its first call, not here, and goes past any proxy, as SSH to the machine does.
    """
    import openstack

    made = openstack.connection.Connection(
        auth_type="password",
        auth={
            "auth_url": auth_url,
            "username": username,
            "password": password,
            "project_name": project,
            "user_domain_name": domain,
            "project_domain_name": domain,
        },
        region_name=region,
        compute_default_microversion=_FLAVOR_DESCRIPTION,
        api_timeout=_SECONDS,
        app_name="pileus",
    )
    made.session.session.trust_env = False
    return made


@contextlib.contextmanager
def calling(what: str) -> Iterator[None]:
    """Turn the SDK's errors into CloudFault; `what` says what was being done."""
    from keystoneauth1 import exceptions as auth
    from openstack import exceptions as sdk

    try:
        yield
    except sdk.HttpException as error:
        status = error.status_code or 0
        message = str(error.details or error)
        raise CloudFault(
            what,
            str(status or type(error).__name__),
            message,
            hint=_hint(status, message),
            retryable=status in _PASSING,
        ) from error
    except (sdk.SDKException, auth.ClientException) as error:
        refused = error if isinstance(error, auth.HttpError) else error.__context__
        if isinstance(refused, auth.HttpError):  # by Keystone; the SDK wraps it on its way
            status = refused.http_status
            raise CloudFault(
                what,
                str(status),
                refused.message,
                hint=_hint(status, refused.message),
                retryable=status in _PASSING,
            ) from error
        raise CloudFault(
            what,
            type(error).__name__,
            str(error),
            hint="see whether the controller runs (`pileus status`), then repeat",
            retryable=True,
        ) from error


def _hint(status: int, message: str) -> str:
    if status in (403, 409, 413) and "uota" in message:
        return "remove what is not needed, or raise the limit with `openstack quota set`"
    if status in (401, 403):
        return "the cloud's credentials are not accepted; run `pileus up` again to set them right"
    if status == 400:
        return "mend in pileus.yaml what the message says, then repeat"
    if status == 409:
        return "an object made by other means is in the way; remove it, or repeat if it is going"
    return "repeat the command; if it persists, see the service's journal on the controller"
