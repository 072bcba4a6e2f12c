"""One region of an AWS account, as Pileus uses it."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from pileus.model.errors import UserError
from pileus.model.limits import Limits
from pileus.model.scene import Vpc
from pileus.model.underlay import InstanceType, ObservedUnderlay
from pileus.model.underlay_steps import Step
from pileus.system import http
from pileus.underlay.aws import vpc
from pileus.underlay.aws.apply import Call, do
from pileus.underlay.aws.catalogue import family, instance_type
from pileus.underlay.aws.client import AwsEndpoint, calling, ec2_client
from pileus.underlay.aws.consistency import once_seen
from pileus.underlay.aws.observe import Raw, elastic_ip_quota, observed


class Aws:
    """Reads and changes what carries a cloud's tag, and nothing else."""

    def __init__(self, endpoint: AwsEndpoint) -> None:
        self._endpoint = endpoint
        with calling("reach AWS"):
            self._client: Any = ec2_client(endpoint)

    @property
    def endpoint_url(self) -> str:
        """Where its API is."""
        return str(self._client.meta.endpoint_url)

    def observe(self, cloud: str) -> ObservedUnderlay:
        """Everything that carries the cloud's tag. Raises CloudFault and UserError."""
        with calling("look at the environment"):
            return observed(Raw(self._client, cloud), cloud)

    def vpc(self, cloud: str) -> Vpc | None:
        """What packets are decided by: NICs, groups, ACLs, routes, Elastic IPs. None without it."""
        with calling("look at the environment"):
            return vpc.read(self._client, cloud)

    def apply(self, cloud: str, step: Step) -> None:
        """Do one step. What it refers to by role is looked up by tag, and waited for a while.

        Raises CloudFault when the API fails and UserError when it reaches a quota.
        """
        with calling(str(step)):
            once_seen(lambda: do(step, Call(self._client, cloud, Raw(self._client, cloud))))

    def caller_address(self) -> IPv4Address:
        """The address that this cloud sees the caller come from. Raises UserError."""
        url = self._endpoint.check_ip_url
        try:
            text = http.get(url, direct=self._endpoint.url is not None)
            return IPv4Address(text.strip())
        except (OSError, ValueError) as error:
            raise UserError(
                f"your own public address cannot be told: {url}: {error}",
                hint="set underlay.allow_from in pileus.yaml",
                retryable=True,
            ) from error

    def instance_type(self, name: str) -> InstanceType:
        """What the cloud says of an instance type. Raises UserError for an unknown one."""
        with calling(f"look up the instance type {name}"):
            return instance_type(self._client, name)

    def limits(self, instance_type_name: str) -> Limits:
        """What the account and this type of machine allow. Raises UserError for an unknown one."""
        with calling("look up the account's limits"):
            return Limits(
                instance_type(self._client, instance_type_name),
                family(self._client, instance_type_name),
                elastic_ip_quota(self._client),
                len(self._client.describe_addresses()["Addresses"]),
            )
