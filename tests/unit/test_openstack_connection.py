"""The SDK's errors as ours: what failed, why, what to do, and whether repeating can help."""

from __future__ import annotations

import pytest
from keystoneauth1.exceptions import ConnectFailure
from openstack import exceptions as sdk

from pileus.model.errors import CloudFault
from pileus.openstack.connection import calling, connect


@pytest.mark.parametrize(
    ("status", "retryable", "hint"),
    [
        (409, True, "in the way"),
        (403, False, "credentials"),
        (503, True, "journal"),
        (400, False, "pileus.yaml"),
    ],
)
def test_an_answer_of_the_api_is_told_with_what_was_being_done(
    status: int, retryable: bool, hint: str
) -> None:
    answer = sdk.HttpException("no", details="it will not")
    answer.status_code = status
    with (
        pytest.raises(CloudFault, match=r"create network private: \d+: it will not") as failed,
        calling("create network private"),
    ):
        raise answer
    assert failed.value.code == str(status)
    assert failed.value.retryable is retryable
    assert hint in failed.value.hint


def test_a_quota_that_is_used_up_is_no_matter_of_credentials() -> None:
    answer = sdk.ForbiddenException("no", details="Quota exceeded for ram")
    answer.status_code = 403
    with pytest.raises(CloudFault) as failed, calling("create server web"):
        raise answer
    assert "openstack quota set" in failed.value.hint


def test_no_answer_is_a_fault_that_may_pass() -> None:
    with (
        pytest.raises(CloudFault, match="look at OpenStack: ConnectFailure") as failed,
        calling("look at OpenStack"),
    ):
        raise ConnectFailure("no route")
    assert failed.value.retryable


def test_connecting_calls_nobody_and_keeps_the_password_to_itself() -> None:
    connection = connect(auth_url="http://192.0.2.1:5000/v3", username="admin", password="hidden")
    assert "hidden" not in repr(connection)
    assert connection.config.region_name == "regionOne"
