"""A boto3 client for EC2, its errors as ours, and the tags that mark what is ours.

boto3 is imported where it is used: that costs half a second, which some commands do without.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pileus.model.errors import CloudFault, Fault, UserError
from pileus.model.limits import (
    ELASTIC_IPS_REACHED,
    NIC_ADDRESSES_REACHED,
    ways_to_elastic_ips,
    ways_to_nic_addresses,
)
from pileus.model.underlay import Role

if TYPE_CHECKING:
    from botocore.session import Session

CLOUD_TAG = "pileus:cloud"
"""The mark of ownership: what does not carry it is never changed or deleted."""
ROLE_TAG = "pileus:role"
ADDRESS_TAG = "pileus:address"
"""On an Elastic IP: the registered address that it was allocated for."""

_QUOTAS = {
    "VpcLimitExceeded": "VPCs per region (5 by default)",
    "InternetGatewayLimitExceeded": "internet gateways per region (5 by default)",
    "NetworkInterfaceLimitExceeded": "NICs per region",
    "RulesPerSecurityGroupLimitExceeded": "rules per security group (60 by default)",
    "VcpuLimitExceeded": "vCPUs per region",
    "InstanceLimitExceeded": "instances per region",
}
_LIMITS = {
    "AddressLimitExceeded": (ELASTIC_IPS_REACHED, ways_to_elastic_ips()),
    "PrivateIpAddressLimitExceeded": (NIC_ADDRESSES_REACHED, ways_to_nic_addresses()),
}
"""Looked at beforehand, and met nevertheless where somebody else was quicker."""
_PASSING = {
    "RequestLimitExceeded",
    "Throttling",
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "Unavailable",
    "InsufficientInstanceCapacity",
}


@dataclass(frozen=True)
class AwsEndpoint:
    """Where the API is. `url` None is AWS itself, with boto3's own chain of credentials.

    `check_ip_url` answers with the caller's public address. `keys` are an access key and its
    secret.
    """

    region: str
    url: str | None
    check_ip_url: str
    keys: tuple[str, str] | None = None


def ec2_client(endpoint: AwsEndpoint) -> Any:
    """A client for EC2; see `client`."""
    return client(endpoint, "ec2")


def client(endpoint: AwsEndpoint, service: str) -> Any:
    """A client; it speaks to the endpoint's URL directly, past any proxy, where one is given."""
    import boto3
    from botocore.config import Config

    key, secret = endpoint.keys or (None, None)
    session = boto3.Session(
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name=endpoint.region,
        botocore_session=_without_the_users_files() if endpoint.url else None,
    )
    config = Config(
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        proxies={} if endpoint.url else None,
    )
    # boto3's types want the service's name literally.
    made: Any = cast(Any, session).client(service, endpoint_url=endpoint.url, config=config)
    return made


def _without_the_users_files() -> Session:
    """A session that reads no profile: those of a real account mean nothing to another endpoint."""
    from botocore.session import Session

    nowhere = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return Session(session_vars=nowhere)


@contextlib.contextmanager
def calling(what: str) -> Iterator[None]:
    """Turn boto3's errors into ours; `what` says what was being done.

    A quota becomes UserError, with the limit and the ways around it.
    """
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    try:
        yield
    except ClientError as error:
        detail = error.response.get("Error", {})
        code, message = detail.get("Code", "Unknown"), detail.get("Message", "")
        if code in _QUOTAS:
            raise UserError(
                f"{what}: the account's limit of {_QUOTAS[code]} is reached",
                hint="release what is not used, ask AWS to raise the quota, or use another region",
            ) from error
        if code in _LIMITS:
            reached, ways = _LIMITS[code]
            raise UserError(f"{what}: {reached}", hint=ways) from error
        if code in _MENDABLE:
            raise UserError(f"{what}: {message}", hint=_MENDABLE[code]) from error
        raise CloudFault(
            what,
            code,
            message,
            hint="repeat the command" if code in _PASSING else _HINTS.get(code, _HINT),
            retryable=code in _PASSING,
        ) from error
    except (ConnectionError, HTTPClientError) as error:
        raise Fault(
            f"{what}: {error}",
            hint="see whether the endpoint can be reached, then repeat the command",
            retryable=True,
        ) from error
    except BotoCoreError as error:
        raise UserError(
            f"{what}: {error}",
            hint="check the account's credentials and the region, then repeat",
        ) from error


_HINT = "see what the message names; `pileus up` and `pileus down` both go on from here"
_MENDABLE = {
    "InvalidInstanceType": "set underlay.instance_type to one that the region offers",
    "UnauthorizedOperation": "the account's policy forbids this call; ask for ec2 permissions",
    "AuthFailure": "check the account's credentials and its clock",
    "ExpiredToken": "log in to the account again",
    "RequestExpired": "log in to the account again, and check the clock",
}
_HINTS = {
    "InvalidIPAddress.InUse": "the address is taken in the subnet; choose another one",
    "DependencyViolation": "something made by other means still uses it; remove that first",
}


def tag_filter(cloud: str) -> list[dict[str, Any]]:
    """The filter that finds what is ours."""
    return [{"Name": f"tag:{CLOUD_TAG}", "Values": [cloud]}]


def tags(kind: str, cloud: str, name: str, **more: str) -> list[dict[str, Any]]:
    """The TagSpecifications of a creating call, so that an object is never without its tags."""
    pairs = {CLOUD_TAG: cloud, "Name": f"{cloud}-{name}", **more}
    return [
        {"ResourceType": kind, "Tags": [{"Key": key, "Value": pairs[key]} for key in sorted(pairs)]}
    ]


def tag_of(item: dict[str, Any], key: str) -> str | None:
    """The value of a tag of a described object."""
    for tag in item.get("Tags") or item.get("TagSet") or []:
        if tag["Key"] == key:
            return str(tag["Value"])
    return None


def role_of(item: dict[str, Any]) -> Role | None:
    """The role that an object of ours has."""
    return tag_of(item, ROLE_TAG)
