"""Raising an account's quotas, by Service Quotas."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.model.errors import Refused
from pileus.underlay.aws.client import AwsEndpoint, calling, client

ADJUSTABLE: Mapping[str, tuple[str, str]] = {
    "elastic-ips": ("ec2", "L-0263D0A3"),
    "vpcs": ("vpc", "L-F678F1CE"),
}
"""Service and quota code by what Pileus calls the quota. [Service Quotas]"""


def raise_quota(endpoint: AwsEndpoint, name: str, wanted: int) -> str | None:
    """Ask for a larger quota; what was asked for, as a sentence, None where it is that already.

    Raises Refused for an unknown name and for a smaller value, CloudFault when the API fails.
    """
    if name not in ADJUSTABLE:
        raise Refused(f"there is no quota `{name}`", hint=f"quotas are: {', '.join(ADJUSTABLE)}")
    service, code = ADJUSTABLE[name]
    with calling(f"raise the quota {name}"):
        quotas = client(endpoint, "service-quotas")
        now = int(quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"])
        if wanted < now:
            raise Refused(
                f"the quota {name} is {now} and cannot be lowered",
                hint=f"ask for {now} or more; a new region begins with AWS's default",
            )
        if wanted == now:
            return None
        quotas.request_service_quota_increase(
            ServiceCode=service, QuotaCode=code, DesiredValue=wanted
        )
    return f"raised the quota {name} from {now} to {wanted}"
