"""What a packet is decided by in the cloud below, read from the EC2 API's own answers."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest
from test_underlay_aws import GUIDE, MANAGEMENT, PROVIDER, Account

from pileus.model.scene import ANY, AclEntry, Permit, TableRoute, Vpc
from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings

ANYWHERE = IPv4Network("0.0.0.0/0")


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    settings = Ec2Settings(images=(CatalogueImage(GUIDE.image_name),), settle_at_once=True)
    server = Ec2Server(settings, lambda _state: None)
    server.start()
    account = Account(server)
    account.up()
    yield account
    server.stop()


def vpc(account: Account) -> Vpc:
    found = account.aws.vpc("demo")
    assert found
    return found


def test_a_whole_cloud(account: Account) -> None:
    found = vpc(account)
    nic = found.nics["provider"]
    assert (found.network, found.machine) == (IPv4Network("172.16.0.0/16"), "running")
    assert found.gateway
    assert nic.addresses == (PROVIDER,)
    assert (nic.attached, nic.source_check) == (True, True)
    assert (nic.interface.device, nic.interface.subnet) == ("eth1", GUIDE.nics[1].subnet)
    assert set(nic.routes) == {
        TableRoute(found.network, "local"),
        TableRoute(ANYWHERE, found.gateway),
    }
    assert set(found.elastic.values()) == {MANAGEMENT, PROVIDER}
    (group,) = nic.groups
    assert set(found.groups[group]) == {
        Permit(False, "tcp", (522, 522), ANYWHERE),
        Permit(True, ANY, None, ANYWHERE),
    }


def test_the_default_acl_lets_everything_through_and_names_it_last(account: Account) -> None:
    acl = vpc(account).nics["provider"].acl
    assert acl
    for outwards in (True, False):
        about = Permit(outwards, ANY, None, ANYWHERE)
        assert AclEntry(100, allow=True, about=about) in acl
        assert AclEntry(32767, allow=False, about=about) in acl


def test_a_route_table_of_its_own_counts_for_its_subnet_alone(account: Account) -> None:
    owner, before = account.owner, vpc(account)
    (subnet,) = [
        one
        for one in owner.describe_subnets()["Subnets"]
        if one["CidrBlock"] == str(GUIDE.nics[1].subnet)
    ]
    table = owner.create_route_table(VpcId=subnet["VpcId"])["RouteTable"]["RouteTableId"]
    owner.associate_route_table(RouteTableId=table, SubnetId=subnet["SubnetId"])
    after = vpc(account)
    assert after.nics["provider"].routes == (TableRoute(after.network, "local"),)
    assert after.nics["management"].routes == before.nics["management"].routes


def test_what_was_taken_away_is_not_there(account: Account) -> None:
    owner, nic = account.owner, vpc(account).nics["provider"]
    (address,) = owner.describe_addresses(
        Filters=[{"Name": "private-ip-address", "Values": [str(PROVIDER)]}]
    )["Addresses"]
    owner.disassociate_address(AssociationId=address["AssociationId"])
    owner.modify_network_interface_attribute(
        NetworkInterfaceId=nic.interface.eni, SourceDestCheck={"Value": False}
    )
    owner.stop_instances(InstanceIds=[account.instance()["InstanceId"]])
    found = vpc(account)
    assert PROVIDER not in found.elastic.values()
    assert found.loose == {IPv4Address(address["PublicIp"]): PROVIDER}
    assert not found.nics["provider"].source_check
    assert found.machine == "stopped"


def test_without_a_vpc_there_is_nothing(account: Account) -> None:
    assert account.aws.vpc("another") is None
