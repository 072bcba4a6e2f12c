"""What was taken from a cloud by the account's owner is told, from the EC2 API's own answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from test_underlay_aws import GUIDE, PROVIDER, Account

from pileus.model.verdict import Code
from pileus.trace import on_underlay
from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """A whole cloud; each test puts back what it took away."""
    settings = Ec2Settings(images=(CatalogueImage(GUIDE.image_name),), settle_at_once=True)
    server = Ec2Server(settings, lambda _state: None)
    server.start()
    account = Account(server)
    account.up()
    yield account
    server.stop()


def wrong(account: Account) -> set[Code]:
    told = on_underlay.judge(GUIDE, account.aws.observe(GUIDE.cloud))
    return {one.code for one in told if one.ok is not True}


def eni(account: Account) -> str:
    return account.aws.observe("demo").nics["provider"].id


def source_dest_check(account: Account, on: bool) -> None:
    account.owner.modify_network_interface_attribute(
        NetworkInterfaceId=eni(account), SourceDestCheck={"Value": on}
    )


def groups(account: Account, role: str) -> None:
    account.owner.modify_network_interface_attribute(
        NetworkInterfaceId=eni(account), Groups=[account.group(role)]
    )


EVERYTHING = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
PUBLISHED = {
    "IpProtocol": "tcp",
    "FromPort": 522,
    "ToPort": 522,
    "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
}


def rule(call: str, permission: dict[str, Any]) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        method = getattr(account.owner, f"{call}_security_group_{_direction(permission)}")
        method(GroupId=account.group("provider"), IpPermissions=[permission])

    return change


def _direction(permission: dict[str, Any]) -> str:
    return "egress" if permission is EVERYTHING else "ingress"


def disassociate(account: Account) -> None:
    (found,) = account.owner.describe_addresses(
        Filters=[{"Name": "private-ip-address", "Values": [str(PROVIDER)]}]
    )["Addresses"]
    account.owner.disassociate_address(AssociationId=found["AssociationId"])


def repair(account: Account) -> None:
    account.up()


FAULTS: dict[Code, tuple[Callable[[Account], None], Callable[[Account], None]]] = {
    Code.SOURCE_DEST_CHECK: (
        lambda account: source_dest_check(account, False),
        lambda account: source_dest_check(account, True),
    ),
    Code.GROUP_INGRESS: (
        lambda account: groups(account, "management"),
        lambda account: groups(account, "provider"),
    ),
    Code.GROUP_EGRESS: (rule("revoke", EVERYTHING), rule("authorize", EVERYTHING)),
    Code.NO_PUBLIC_ADDRESS: (disassociate, repair),
}


@pytest.mark.parametrize("code", list(FAULTS), ids=str)
def test_a_fault_in_the_account_is_told_by_its_code_until_it_is_mended(
    account: Account, code: Code
) -> None:
    breaking, mending = FAULTS[code]
    assert wrong(account) == set()
    breaking(account)
    assert wrong(account) == {code}
    mending(account)
    assert wrong(account) == set()


def test_a_closed_port_is_told_and_opened_again(account: Account) -> None:
    rule("revoke", PUBLISHED)(account)
    assert wrong(account) == {Code.GROUP_INGRESS}
    account.up()
    assert wrong(account) == set()


def test_a_stopped_machine_is_told(account: Account) -> None:
    account.owner.stop_instances(InstanceIds=[account.instance()["InstanceId"]])
    assert wrong(account) == {Code.MACHINE_OFF}
    account.up()
    assert wrong(account) == set()
