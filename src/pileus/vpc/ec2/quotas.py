"""Quotas, and the part of the Service Quotas API by which they are read and raised.

Requests and answers are those of its JSON protocol. [Service Quotas API reference] What AWS looks
at for minutes or days is granted at once here.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pileus.vpc.ec2.errors import AwsError
from pileus.vpc.ec2.settings import Ec2Settings

TARGET_PREFIX = "ServiceQuotasV20190624."
"""Of the header X-Amz-Target; what follows is the operation."""

ELASTIC_IPS, VPCS = "L-0263D0A3", "L-F678F1CE"


@dataclass(frozen=True)
class Quota:
    """One adjustable quota of an account in a region. `default` is AWS's own."""

    service: str
    service_name: str
    code: str
    name: str
    default: int


QUOTAS = (
    Quota("ec2", "Amazon Elastic Compute Cloud", ELASTIC_IPS, "EC2-VPC Elastic IPs", 5),
    Quota("vpc", "Amazon Virtual Private Cloud", VPCS, "VPCs per Region", 5),
)

Document = dict[str, Any]


class Quotas:
    """The values in force, and the requests that led to them."""

    def __init__(self, settings: Ec2Settings) -> None:
        self._values = {ELASTIC_IPS: settings.elastic_quota, VPCS: settings.vpc_quota}
        self._changes: list[Document] = []
        self._region, self._account = settings.region, settings.account

    def __getitem__(self, code: str) -> int:
        return self._values[code]

    def answer(self, operation: str, request: Mapping[str, Any]) -> Document:
        """Perform an operation of Service Quotas. Raises AwsError to refuse it."""
        operations: Mapping[str, Callable[[Mapping[str, Any]], Document]] = {
            "GetAWSDefaultServiceQuota": self._get_default,
            "GetRequestedServiceQuotaChange": self._get_change,
            "GetServiceQuota": self._get,
            "ListRequestedServiceQuotaChangeHistory": self._list_changes,
            "ListRequestedServiceQuotaChangeHistoryByQuota": self._list_changes,
            "ListServiceQuotas": self._list,
            "RequestServiceQuotaIncrease": self._increase,
        }
        if operation not in operations:
            raise AwsError("UnknownOperationException", f"{operation} is not offered here")
        return operations[operation](request)

    def _get(self, request: Mapping[str, Any]) -> Document:
        quota = _found(request)
        return {"Quota": self._shown(quota, self._values[quota.code])}

    def _get_default(self, request: Mapping[str, Any]) -> Document:
        quota = _found(request)
        return {"Quota": self._shown(quota, quota.default)}

    def _list(self, request: Mapping[str, Any]) -> Document:
        quotas = [quota for quota in QUOTAS if quota.service == request.get("ServiceCode")]
        if not quotas:
            raise _unknown("service")
        return {"Quotas": [self._shown(quota, self._values[quota.code]) for quota in quotas]}

    def _increase(self, request: Mapping[str, Any]) -> Document:
        quota, desired = _found(request), request.get("DesiredValue")
        if isinstance(desired, bool) or not isinstance(desired, int | float):
            raise _illegal("DesiredValue must be a number")
        if not self._values[quota.code] < desired <= 10_000:
            raise _illegal("You must provide a quota value greater than the current quota value.")
        self._values[quota.code] = int(desired)
        change = {
            **self._named(quota),
            "Id": uuid.uuid4().hex,
            "DesiredValue": float(desired),
            "Status": "APPROVED",
            "Created": time.time(),
            "LastUpdated": time.time(),
            "Requester": f'{{"accountId":"{self._account}"}}',
        }
        self._changes.append(change)
        return {"RequestedQuota": change}

    def _get_change(self, request: Mapping[str, Any]) -> Document:
        for change in self._changes:
            if change["Id"] == request.get("RequestId"):
                return {"RequestedQuota": change}
        raise _unknown("request")

    def _list_changes(self, request: Mapping[str, Any]) -> Document:
        names = ("ServiceCode", "QuotaCode", "Status")
        wanted = {name: request[name] for name in names if name in request}
        found = [one for one in self._changes if all(one[n] == v for n, v in wanted.items())]
        return {"RequestedQuotas": found}

    def _shown(self, quota: Quota, value: int) -> Document:
        return {**self._named(quota), "Value": float(value), "Adjustable": True}

    def _named(self, quota: Quota) -> Document:
        arn = f"arn:aws:servicequotas:{self._region}:{self._account}:{quota.service}/{quota.code}"
        return {
            "ServiceCode": quota.service,
            "ServiceName": quota.service_name,
            "QuotaArn": arn,
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Unit": "None",
            "GlobalQuota": False,
        }


def parse(body: bytes) -> Document:
    """The parameters of a request. Raises AwsError for anything but a JSON object."""
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise AwsError("SerializationException", "The request is not a JSON object")
    return document


def refusal(code: str, message: str) -> str:
    """The body of an error in the JSON protocol."""
    return json.dumps({"__type": code, "message": message})


def _found(request: Mapping[str, Any]) -> Quota:
    for quota in QUOTAS:
        if (quota.service, quota.code) == (request.get("ServiceCode"), request.get("QuotaCode")):
            return quota
    raise _unknown("service quota")


def _unknown(what: str) -> AwsError:
    message = f"The request failed because the specified {what} does not exist."
    return AwsError("NoSuchResourceException", message, HTTPStatus.BAD_REQUEST)


def _illegal(message: str) -> AwsError:
    return AwsError("IllegalArgumentException", message)
