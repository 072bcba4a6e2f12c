"""The AWS underlay over boto3, on the EC2 endpoint of a simulated region (loopback alone)."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address, IPv4Network
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError

from pileus.model.errors import CloudFault, Fault, Refused, UserError
from pileus.model.tenant import ANYWHERE
from pileus.model.underlay import (
    Permission,
    Registered,
    WantedNic,
    WantedUnderlay,
)
from pileus.model.underlay_steps import (
    AllocateElasticIp,
    AssignAddresses,
    AttachNic,
    AwaitRunning,
    AwaitStopped,
    AwaitTermination,
    CreateInternetGateway,
    CreateSubnet,
    CreateVpc,
    DetachNic,
    RunInstance,
    StartInstance,
    Step,
    UnassignAddresses,
)
from pileus.plan.capacity import require_capacity
from pileus.plan.underlay import plan_removal, plan_start, plan_stop, plan_underlay
from pileus.system import clock
from pileus.underlay.aws import Aws, AwsEndpoint, consistency
from pileus.underlay.aws.quotas import raise_quota
from pileus.vpc.ec2.server import Ec2Server
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings
from pileus.vpc.state import InstanceState, RegionState

IMAGE = "pileus-openstack-2025.1-abc"
CALLER = IPv4Network("203.0.113.7/32")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIZAqcF0mP7yNwe9nk7zQ5lJdRmEgF7SwqgkJWqWbYqP me"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
MANAGEMENT, PROVIDER = IPv4Address("172.16.10.101"), IPv4Address("172.16.20.101")
SECONDARY = IPv4Address("172.16.20.102")
SSH = Permission("tcp", (22, 22), CALLER)
PING = Permission("icmp", None, CALLER)
PUBLISHED = Permission("tcp", (522, 522), ANYWHERE)

GUIDE = WantedUnderlay(
    cloud="demo",
    vpc=IPv4Network("172.16.0.0/16"),
    nics=(
        WantedNic(
            "management",
            IPv4Network("172.16.10.0/24"),
            (MANAGEMENT,),
            frozenset({SSH, PING}),
        ),
        WantedNic("provider", IPv4Network("172.16.20.0/24"), (PROVIDER,), frozenset({PUBLISHED})),
    ),
    instance_type="m5.xlarge",
    root_gib=20,
    public_key=KEY,
    image_name=IMAGE,
    elastic_ips=frozenset({MANAGEMENT, PROVIDER}),
)


def _nothing(_: RegionState) -> None:
    pass


@dataclass
class Account:
    """A region with an account in it, used through Pileus and, beside it, by its owner."""

    server: Ec2Server

    def __post_init__(self) -> None:
        self.aws = self.session()
        self.owner: Any = cast(Any, boto3).client(
            "ec2",
            region_name="us-east-1",
            endpoint_url=self.server.url,
            aws_access_key_id="owner",
            aws_secret_access_key="none",
        )

    def session(self) -> Aws:
        """What another run of Pileus begins with: it knows nothing."""
        return Aws(self.endpoint)

    @property
    def endpoint(self) -> AwsEndpoint:
        return AwsEndpoint("us-east-1", self.server.url, self.server.url, ("key", "secret"))

    def plan(self, wanted: WantedUnderlay = GUIDE) -> Sequence[Step]:
        return plan_underlay(wanted, self.aws.observe(wanted.cloud))

    def up(self, wanted: WantedUnderlay = GUIDE) -> Sequence[Step]:
        steps = self.plan(wanted)
        self.apply(steps, wanted.cloud)
        return steps

    def apply(self, steps: Sequence[Step], cloud: str = "demo") -> None:
        for step in steps:
            self.aws.apply(cloud, step)

    def checked_up(self, wanted: WantedUnderlay = GUIDE) -> None:
        """As `up`, which looks at the limits first."""
        limits = self.aws.limits(wanted.instance_type)
        require_capacity(wanted, self.aws.observe(wanted.cloud), limits)
        self.up(wanted)

    def allow(self, elastic_ips: int) -> None:
        """Raise the account's quota."""
        raise_quota(self.endpoint, "elastic-ips", elastic_ips)

    def registered(self) -> dict[IPv4Address, IPv4Address | None]:
        """Public addresses of the provider NIC by its registered ones."""
        node = self.aws.observe("demo").node
        assert node is not None
        return {item.private: item.public for item in node.nic("provider").addresses}

    def down(self, cloud: str = "demo") -> None:
        for step in plan_removal(self.aws.observe(cloud)):
            self.aws.apply(cloud, step)

    def instance(self) -> Any:
        found = self.owner.describe_instances(
            Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
        )
        (reservation,) = found["Reservations"]
        (instance,) = reservation["Instances"]
        return instance

    def machine_state(self) -> str:
        node = self.aws.observe("demo").node
        assert node is not None
        return node.state

    def group(self, role: str) -> str:
        filters = [{"Name": "tag:pileus:role", "Values": [role]}]
        (group,) = self.owner.describe_security_groups(Filters=filters)["SecurityGroups"]
        return str(group["GroupId"])


@pytest.fixture
def settings() -> Ec2Settings:
    return Ec2Settings(images=(CatalogueImage(IMAGE),), settle_at_once=True)


@pytest.fixture
def account(settings: Ec2Settings) -> Iterator[Account]:
    server = Ec2Server(settings, _nothing)
    server.start()
    yield Account(server)
    server.stop()


# Up


def test_the_guides_topology_comes_up_and_a_second_plan_is_empty(account: Account) -> None:
    account.up()

    observed = account.aws.observe("demo")
    assert observed.node is not None
    assert observed.node.state == "running"
    assert [nic.role for nic in observed.node.nics] == ["management", "provider"]
    for nic, private in zip(observed.node.nics, (MANAGEMENT, PROVIDER), strict=True):
        assert nic.primary.private == private
        assert nic.primary.public is not None
    assert account.plan() == ()


def test_the_machine_is_launched_as_safely_as_aws_can(account: Account) -> None:
    account.up()

    instance = account.instance()
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert "IamInstanceProfile" not in instance
    assert account.server.state().instances[instance["InstanceId"]].root_gib == 20
    nics = sorted(
        instance["NetworkInterfaces"], key=lambda nic: int(nic["Attachment"]["DeviceIndex"])
    )
    assert [nic["PrivateIpAddress"] for nic in nics] == [str(MANAGEMENT), str(PROVIDER)]
    assert all(nic["SourceDestCheck"] for nic in nics)
    assert not any(nic["Attachment"]["DeleteOnTermination"] for nic in nics)


def test_everything_made_carries_the_clouds_tag(account: Account) -> None:
    account.up()

    tagged = account.owner.describe_tags(
        Filters=[{"Name": "tag:pileus:cloud", "Values": ["demo"]}]
    )["Tags"]
    made = sorted(
        tag["ResourceId"].partition("-")[0] for tag in tagged if tag["Key"] == "pileus:cloud"
    )
    assert made == sorted(
        ["vpc", "igw", "i", "vol", "key"] + 2 * ["subnet", "sg", "eni", "eipalloc"]
    )


def test_every_step_may_be_the_last_one_of_a_run(account: Account) -> None:
    whole = account.plan()

    done = []
    while steps := account.plan():
        account.aws.apply("demo", steps[0])
        done.append(steps[0])

    assert tuple(done) == tuple(whole)


# Changes


def test_a_rule_that_others_put_in_our_group_is_taken_back(account: Account) -> None:
    account.up()
    foreign: list[dict[str, Any]] = [
        {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {
            "IpProtocol": "tcp",
            "FromPort": 1,
            "ToPort": 65535,
            "UserIdGroupPairs": [{"GroupId": account.group("provider")}],
        },
        {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
        {"IpProtocol": "47", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]},
    ]
    group = account.group("management")
    account.owner.authorize_security_group_ingress(GroupId=group, IpPermissions=foreign)

    account.up()

    assert account.plan() == ()
    (described,) = account.owner.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert sorted(rule["IpProtocol"] for rule in described["IpPermissions"]) == ["icmp", "tcp"]


def test_publishing_opens_a_port_and_unpublishing_closes_it(account: Account) -> None:
    account.up()
    provider = GUIDE.nics[1]
    web = Permission("tcp", (80, 80), ANYWHERE)
    more = replace(provider, ingress=provider.ingress | {web})

    assert len(account.up(replace(GUIDE, nics=(GUIDE.nics[0], more)))) == 1
    assert len(account.up(GUIDE)) == 1
    assert account.plan() == ()


def test_a_secondary_address_comes_and_goes_with_its_elastic_ip(account: Account) -> None:
    account.up()
    provider = replace(GUIDE.nics[1], addresses=(PROVIDER, SECONDARY))
    more = replace(
        GUIDE, nics=(GUIDE.nics[0], provider), elastic_ips=GUIDE.elastic_ips | {SECONDARY}
    )

    account.up(more)
    node = account.aws.observe("demo").node
    assert node is not None
    addresses = node.nic("provider").addresses
    assert [item.private for item in addresses] == [PROVIDER, SECONDARY]
    assert None not in [item.public for item in addresses]
    assert account.plan(more) == ()

    account.up(GUIDE)
    assert len(account.owner.describe_addresses()["Addresses"]) == 2
    assert account.plan() == ()


def test_a_stopped_machine_is_started(account: Account) -> None:
    account.up()
    account.owner.stop_instances(InstanceIds=[account.instance()["InstanceId"]])

    assert account.up() == (StartInstance(), AwaitRunning())
    assert account.instance()["State"]["Name"] == "running"


def test_stop_and_start_change_the_machines_state_alone(account: Account) -> None:
    wanted = with_floating(2)
    account.up(wanted)
    before = account.aws.observe("demo")

    for step in plan_stop(before):
        account.aws.apply("demo", step)
    stopped = account.aws.observe("demo")
    assert account.machine_state() == "stopped"
    assert stopped.elastic_ips == before.elastic_ips
    assert plan_stop(stopped) == ()

    for step in plan_start(stopped):
        account.aws.apply("demo", step)
    assert account.aws.observe("demo") == before
    assert account.plan(wanted) == ()


def test_a_machine_that_ended_is_launched_again_with_the_same_nics(account: Account) -> None:
    account.up()
    first = account.aws.observe("demo").node
    assert first is not None
    account.owner.terminate_instances(InstanceIds=[first.instance_id])

    account.up()

    second = account.aws.observe("demo").node
    assert second is not None
    assert second.instance_id != first.instance_id
    assert second.nics == first.nics


def test_an_elastic_ip_that_lost_its_address_gets_it_back(account: Account) -> None:
    account.up()
    for elastic in account.owner.describe_addresses()["Addresses"]:
        account.owner.disassociate_address(AssociationId=elastic["AssociationId"])

    account.up()

    node = account.aws.observe("demo").node
    assert node is not None
    assert all(isinstance(nic.primary, Registered) and nic.primary.public for nic in node.nics)


@pytest.mark.parametrize(
    "changed",
    [
        replace(GUIDE, vpc=IPv4Network("172.16.0.0/17")),
        replace(GUIDE, instance_type="m5.2xlarge"),
        replace(GUIDE, public_key=OTHER_KEY),
        replace(
            GUIDE,
            nics=(replace(GUIDE.nics[0], subnet=IPv4Network("172.16.10.0/25")), GUIDE.nics[1]),
        ),
        replace(
            GUIDE,
            nics=(GUIDE.nics[0], replace(GUIDE.nics[1], addresses=(SECONDARY,))),
            elastic_ips=frozenset({MANAGEMENT, SECONDARY}),
        ),
    ],
    ids=["vpc", "type", "key", "subnet", "primary"],
)
def test_what_cannot_change_in_place_is_refused_before_anything_is_done(
    account: Account, changed: WantedUnderlay
) -> None:
    account.up()
    before = account.server.state()

    with pytest.raises(Refused, match=r"wanted|key") as refused:
        account.plan(changed)

    assert "pileus down" in refused.value.hint
    assert account.server.state() == before


# Floating addresses and their limits


def with_floating(count: int) -> WantedUnderlay:
    """The guide's environment with so many addresses more."""
    more = tuple(PROVIDER + 1 + position for position in range(count))
    provider = replace(GUIDE.nics[1], addresses=(PROVIDER, *more))
    return replace(GUIDE, nics=(GUIDE.nics[0], provider), elastic_ips=GUIDE.elastic_ips | set(more))


def test_four_floating_ips_are_refused_under_a_quota_of_five_before_anything_is_made(
    account: Account,
) -> None:
    with pytest.raises(Refused, match="it is 5, of which others use 0") as refused:
        account.checked_up(with_floating(4))

    assert "`pileus sim quota elastic-ips 6`" in refused.value.hint
    assert account.aws.observe("demo").empty
    assert account.owner.describe_addresses()["Addresses"] == []

    account.allow(elastic_ips=6)
    account.checked_up(with_floating(4))
    assert len(account.registered()) == 5
    assert all(public is not None for public in account.registered().values())
    assert account.plan(with_floating(4)) == ()


def test_a_cloud_that_grows_is_refused_too_and_stays_as_it_is(account: Account) -> None:
    account.checked_up(with_floating(2))
    account.owner.allocate_address(Domain="vpc")
    before = account.server.state()

    with pytest.raises(Refused, match=r"others use 1, and cloud `demo` needs 5") as refused:
        account.checked_up(with_floating(3))

    assert "at most 2 floating IPs" in refused.value.hint
    assert account.server.state() == before


def test_floating_ips_grow_and_shrink_and_those_that_stay_keep_their_elastic_ip(
    account: Account,
) -> None:
    account.checked_up(with_floating(1))
    before = account.registered()

    account.checked_up(with_floating(3))
    grown = account.registered()
    assert {private: grown[private] for private in before} == before
    assert len(set(grown.values())) == 4

    account.checked_up(with_floating(1))
    assert account.registered() == before
    assert len(account.owner.describe_addresses()["Addresses"]) == 3


def test_more_addresses_than_the_nic_takes_are_refused_with_a_type_that_takes_them(
    account: Account,
) -> None:
    account.allow(elastic_ips=50)
    with pytest.raises(Refused, match=r"m5\.xlarge takes 15, and the provider NIC") as refused:
        account.checked_up(with_floating(15))
    assert "such as m5.4xlarge (30)" in refused.value.hint
    assert account.aws.observe("demo").empty


# Provider networks more


PROVIDER2 = WantedNic(
    "provider2",
    IPv4Network("172.16.30.0/24"),
    (IPv4Address("172.16.30.101"), IPv4Address("172.16.30.102")),
    frozenset({PING}),
)
SEVERAL = replace(
    GUIDE,
    nics=(*GUIDE.nics, PROVIDER2),
    elastic_ips=GUIDE.elastic_ips | set(PROVIDER2.addresses),
)


def devices(account: Account) -> dict[str, str]:
    """The role of each device that the machine itself has."""
    nics = account.instance()["NetworkInterfaces"]
    role = {nic["NetworkInterfaceId"]: nic["Description"].split()[-2] for nic in nics}
    return {
        f"eth{nic['Attachment']['DeviceIndex']}": role[nic["NetworkInterfaceId"]] for nic in nics
    }


@pytest.mark.parametrize("later", [False, True], ids=["at launch", "to a machine that runs"])
def test_a_provider_network_more_has_a_nic_at_the_next_index(account: Account, later: bool) -> None:
    if later:
        account.up()
        machine = account.instance()["InstanceId"]
        account.checked_up(SEVERAL)
        assert account.instance()["InstanceId"] == machine
    else:
        account.checked_up(SEVERAL)

    node = account.aws.observe("demo").node
    assert node is not None
    assert [(nic.role, nic.device) for nic in node.nics] == [
        ("management", "eth0"),
        ("provider", "eth1"),
        ("provider2", "eth2"),
    ]
    assert tuple(one.private for one in node.nics[2].addresses) == PROVIDER2.addresses
    assert None not in {one.public for one in node.nics[2].addresses}
    assert devices(account) == {"eth0": "management", "eth1": "provider", "eth2": "provider2"}
    assert account.plan(SEVERAL) == ()
    account.down()
    assert account.aws.observe("demo").empty


def test_a_provider_network_is_taken_away_and_the_others_stay(account: Account) -> None:
    account.up(SEVERAL)
    before = account.registered()

    account.up(GUIDE)

    assert devices(account) == {"eth0": "management", "eth1": "provider"}
    assert account.registered() == before
    assert len(account.owner.describe_addresses()["Addresses"]) == 2
    assert len(account.owner.describe_network_interfaces()["NetworkInterfaces"]) == 2
    assert account.plan() == ()


def test_every_step_to_a_nic_more_and_back_may_be_the_last_one_of_a_run(account: Account) -> None:
    account.up()
    for goal in (SEVERAL, GUIDE):
        whole, done = account.plan(goal), []
        while steps := account.plan(goal):
            account.aws.apply("demo", steps[0])
            done.append(steps[0])
        assert tuple(done) == tuple(whole)


def test_steps_whose_answer_was_lost_are_done_again(account: Account) -> None:
    account.up(SEVERAL)
    account.aws.apply("demo", AttachNic("provider2", 2))
    assert account.plan(SEVERAL) == ()
    for _ in range(2):
        account.aws.apply("demo", DetachNic("provider2"))
    assert account.plan(SEVERAL) == (AttachNic("provider2", 2),)


def test_a_nic_is_attached_again_to_a_machine_that_is_launched_again(account: Account) -> None:
    account.up(SEVERAL)
    account.owner.terminate_instances(InstanceIds=[account.instance()["InstanceId"]])
    account.up(SEVERAL)
    assert devices(account) == {"eth0": "management", "eth1": "provider", "eth2": "provider2"}


def test_more_nics_than_the_machine_takes_are_refused_before_anything_is_made(
    account: Account,
) -> None:
    account.allow(elastic_ips=50)
    more = tuple(
        replace(PROVIDER2, role=f"p{n}", subnet=subnet, addresses=(subnet[101],))
        for n in range(3)
        for subnet in [IPv4Network(f"172.16.{40 + n}.0/24")]
    )
    with pytest.raises(Refused, match=r"m5\.xlarge takes 4, and cloud `demo` needs 5"):
        account.checked_up(replace(GUIDE, nics=(*GUIDE.nics, *more)))
    assert account.aws.observe("demo").empty


def test_a_limit_that_others_reach_in_the_middle_is_told_the_same_way_and_up_goes_on(
    account: Account,
) -> None:
    account.checked_up()
    steps = account.plan(with_floating(3))
    account.owner.allocate_address(Domain="vpc")

    with pytest.raises(UserError, match="limit of Elastic IPs in this region") as reached:
        account.apply(steps)
    assert "pileus sim quota elastic-ips" in reached.value.hint
    assert all(
        "AssociationId" in elastic
        for elastic in account.owner.describe_addresses()["Addresses"]
        if elastic.get("Tags")
    )
    half = account.registered()

    account.allow(elastic_ips=6)
    account.checked_up(with_floating(3))
    whole = account.registered()
    assert {private: public for private, public in half.items() if public} == {
        private: whole[private] for private, public in half.items() if public
    }
    assert None not in whole.values()


def test_what_a_run_left_in_the_middle_goes_when_it_is_not_wanted_any_more(
    account: Account,
) -> None:
    account.checked_up()
    before = account.server.state()
    for step in account.plan(with_floating(3))[:-1]:
        account.aws.apply("demo", step)

    account.checked_up()

    assert account.server.state() == before


def test_a_limit_of_addresses_met_in_the_middle_is_told_the_same_way(account: Account) -> None:
    account.up()
    more = tuple(PROVIDER + 1 + position for position in range(15))
    with pytest.raises(UserError, match="limit of addresses per NIC") as reached:
        account.aws.apply("demo", AssignAddresses("provider", more))
    assert "instance_type" in reached.value.hint


def test_assigning_and_unassigning_twice_is_doing_it_once(account: Account) -> None:
    account.up()
    one, two = PROVIDER + 1, PROVIDER + 2
    for step in (AssignAddresses("provider", (one,)), AssignAddresses("provider", (one, two))):
        account.aws.apply("demo", step)
    assert set(account.registered()) == {PROVIDER, one, two}
    for _ in range(2):
        account.aws.apply("demo", UnassignAddresses("provider", (one, two)))
    assert set(account.registered()) == {PROVIDER}


# What EC2 made and does not know yet


class Forgetful:
    """A client through which each new thing stays unseen for two calls that ask for it."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._unseen: dict[str, int] = {}
        self.waits = 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name.startswith("create_") or name == "allocate_address":
            kind = {"allocate_address": "addresses"}.get(name, f"{name.removeprefix('create_')}s")
            self._unseen[f"describe_{kind}"] = 2
            return call
        if not self._unseen.get(name):
            return call
        self._unseen[name] -= 1
        return partial(self._empty, call)

    def _empty(self, call: Any, **asked: Any) -> Any:
        self.waits += 1
        answer = call(**asked)
        return {key: [] if isinstance(value, list) else value for key, value in answer.items()}


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(clock, "sleep", slept.append)
    return slept


def test_what_ec2_made_and_does_not_know_yet_is_waited_for(
    account: Account, monkeypatch: pytest.MonkeyPatch, no_sleep: list[float]
) -> None:
    steps = account.plan()
    client = Forgetful(account.owner)
    monkeypatch.setattr("pileus.underlay.aws.account.ec2_client", lambda _: client)
    forgetful = account.session()

    for step in steps:
        forgetful.apply("demo", step)

    assert client.waits > 5
    assert len(no_sleep) > 5
    assert account.plan() == ()


def test_what_is_not_there_is_not_waited_for_for_ever(
    account: Account, monkeypatch: pytest.MonkeyPatch, no_sleep: list[float]
) -> None:
    monkeypatch.setattr(
        clock, "seconds", lambda: float(consistency.PATIENCE_SECONDS * len(no_sleep))
    )
    with pytest.raises(Fault, match="VPC is not there") as missing:
        account.aws.apply("demo", CreateSubnet("provider", IPv4Network("172.16.20.0/24")))
    assert missing.value.retryable
    assert len(no_sleep) == 1


def test_an_id_that_ec2_does_not_know_yet_is_asked_for_again_and_other_refusals_are_not(
    no_sleep: list[float],
) -> None:
    def refused(code: str) -> ClientError:
        return ClientError({"Error": {"Code": code, "Message": "no"}}, "AssociateAddress")

    answers: list[ClientError | None] = [
        refused("InvalidNetworkInterfaceID.NotFound"),
        refused("InvalidAllocationID.NotFound"),
        None,
        refused("InvalidIPAddress.InUse"),
    ]

    def act() -> None:
        if answer := answers.pop(0):
            raise answer

    consistency.once_seen(act)
    assert len(no_sleep) == 2
    with pytest.raises(ClientError, match="InUse"):
        consistency.once_seen(act)
    assert len(no_sleep) == 2


# Down


def test_down_leaves_nothing_behind_and_up_works_again(account: Account) -> None:
    empty = account.server.state()
    account.up()

    account.down()

    assert account.aws.observe("demo").empty
    assert replace(account.server.state(), instances={}) == empty
    account.up()
    assert account.plan() == ()


def test_every_step_of_down_may_be_its_last_one(account: Account) -> None:
    account.up()
    whole = plan_removal(account.aws.observe("demo"))

    done = []
    while steps := plan_removal(account.aws.observe("demo")):
        account.aws.apply("demo", steps[0])
        done.append(steps[0])

    assert tuple(done) == tuple(whole)


def test_up_and_down_touch_nothing_that_carries_another_tag_or_none(account: Account) -> None:
    own = account.owner.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    account.owner.create_subnet(VpcId=own, CidrBlock="10.0.0.0/24")
    account.owner.create_security_group(GroupName="own", Description="own", VpcId=own)
    account.owner.allocate_address(Domain="vpc")
    account.owner.import_key_pair(KeyName="own", PublicKeyMaterial=OTHER_KEY.encode())
    account.up(replace(GUIDE, cloud="other"))
    before = account.server.state()

    account.up()
    assert account.server.state() != before
    account.down()

    ids = set(before.instances)
    after = account.server.state()
    kept = {id: instance for id, instance in after.instances.items() if id in ids}
    assert replace(after, instances=kept) == before


def test_what_a_repeated_call_made_twice_is_removed(account: Account) -> None:
    """CreateVpc and AllocateAddress know no token: an answer lost on the way makes two."""
    twice: list[Step] = [CreateVpc(GUIDE.vpc), CreateInternetGateway()]
    for step in 2 * twice:
        account.aws.apply("demo", step)
    account.up()
    before = account.aws.observe("demo")
    for step in (*twice, AllocateElasticIp(PROVIDER)):
        account.aws.apply("demo", step)

    account.up()
    assert account.aws.observe("demo") == before
    assert len(account.owner.describe_addresses()["Addresses"]) == 2
    assert len(account.owner.describe_vpcs()["Vpcs"]) == 1
    assert len(account.owner.describe_internet_gateways()["InternetGateways"]) == 1

    account.down()
    assert account.aws.observe("demo").empty


# A machine layer that takes its time


class Machines:
    """Machines that settle a while after the call that changed them, as told beforehand."""

    def __init__(self) -> None:
        self.server: Ec2Server
        self.next: list[tuple[str, InstanceState, str | None]] = []
        self.takes = 0.6
        """Seconds from a state to the next."""

    def will(self, begin: str, end: InstanceState, reason: str | None = None) -> None:
        """The next machine that is in state `begin` comes to `end`."""
        self.next.append((begin, end, reason))

    def on_change(self, state: RegionState) -> None:
        for id, instance in state.instances.items():
            if self.next and instance.state == self.next[0][0]:
                _, end, reason = self.next.pop(0)
                settle = partial(self.server.settle_instance, id, end, reason)
                threading.Timer(self.takes, settle).start()


@pytest.fixture
def machines() -> Machines:
    return Machines()


@pytest.fixture
def slow(settings: Ec2Settings, machines: Machines) -> Iterator[Account]:
    server = Ec2Server(replace(settings, settle_at_once=False), machines.on_change)
    server.start()
    machines.server = server
    yield Account(server)
    server.stop()


def test_a_launch_waits_until_the_machine_runs(slow: Account, machines: Machines) -> None:
    machines.will("pending", "running")
    slow.up()
    node = slow.aws.observe("demo").node
    assert node is not None
    assert node.state == "running"


def test_stop_and_start_wait_until_it_is_so(slow: Account, machines: Machines) -> None:
    machines.will("pending", "running")
    slow.up()

    machines.will("stopping", "stopped")
    slow.apply(plan_stop(slow.aws.observe("demo")))
    assert slow.machine_state() == "stopped"

    machines.will("pending", "running")
    slow.apply(plan_start(slow.aws.observe("demo")))
    assert slow.machine_state() == "running"


def test_a_stop_that_was_cut_off_is_gone_on_from(slow: Account, machines: Machines) -> None:
    machines.will("pending", "running")
    slow.up()
    machines.will("stopping", "stopped")
    machines.takes = 4.0  # it is seen while it stops
    slow.apply(plan_stop(slow.aws.observe("demo"))[:1])
    machines.takes = 0.6

    machines.will("pending", "running")
    assert slow.up() == (AwaitStopped(), StartInstance(), AwaitRunning())
    assert slow.machine_state() == "running"


def test_a_machine_that_does_not_boot_is_a_fault_with_its_reason_and_up_can_repeat(
    slow: Account, machines: Machines
) -> None:
    machines.will("pending", "terminated", "Server.InternalError: no boot in 60 s")
    with pytest.raises(Fault, match="no boot in 60 s"):
        slow.up()

    machines.will("pending", "running")
    assert [type(step) for step in slow.up()] == [RunInstance]


def test_a_machine_on_its_way_out_is_waited_for_by_up(slow: Account, machines: Machines) -> None:
    machines.will("pending", "running")
    slow.up()
    machines.will("shutting-down", "terminated")
    machines.takes = 3  # so long that it is seen on its way, on a busy host too
    slow.owner.terminate_instances(InstanceIds=[slow.instance()["InstanceId"]])

    machines.takes = 0.6
    machines.will("pending", "running")
    assert [type(step) for step in slow.up()] == [AwaitTermination, RunInstance]


def test_a_machine_on_its_way_out_is_waited_for_by_down(slow: Account, machines: Machines) -> None:
    machines.will("pending", "running")
    slow.up()
    machines.will("shutting-down", "terminated")
    slow.owner.terminate_instances(InstanceIds=[slow.instance()["InstanceId"]])

    slow.down()
    assert slow.aws.observe("demo").empty


# Refusals and faults


def test_a_quota_is_told_with_the_ways_around_it(settings: Ec2Settings) -> None:
    server = Ec2Server(replace(settings, elastic_quota=1), _nothing)
    server.start()
    account = Account(server)
    try:
        with pytest.raises(UserError, match="Elastic IPs") as refused:
            account.up()
    finally:
        server.stop()
    assert "quota" in refused.value.hint


def test_an_image_that_is_not_there_is_told_with_how_to_make_it(account: Account) -> None:
    with pytest.raises(UserError, match="no-such-image") as missing:
        account.up(replace(GUIDE, image_name="no-such-image"))
    assert "pileus image" in missing.value.hint


def test_an_image_of_a_stranger_is_not_used(settings: Ec2Settings) -> None:
    """Anybody can publish an image under any name."""
    strangers = CatalogueImage(IMAGE, owner="666666666666")
    server = Ec2Server(replace(settings, images=(strangers,)), _nothing)
    server.start()
    try:
        with pytest.raises(UserError, match=IMAGE):
            Account(server).up()
    finally:
        server.stop()


def test_a_refused_call_names_the_code_and_can_be_repeated(account: Account) -> None:
    with pytest.raises(CloudFault) as refused:
        account.aws.apply("demo", CreateVpc(IPv4Network("10.0.0.0/8")))
    assert refused.value.code.startswith("Invalid")
    assert refused.value.hint


def test_an_endpoint_that_does_not_answer_is_told(account: Account) -> None:
    account.server.stop()
    with pytest.raises(Fault, match=r"127\.0\.0\.1") as gone:
        account.aws.observe("demo")
    assert gone.value.retryable
    assert gone.value.hint


def test_the_instance_type_tells_its_limits(account: Account) -> None:
    xlarge = account.aws.instance_type("m5.xlarge")
    assert (xlarge.memory_mib, xlarge.max_nics, xlarge.addresses_per_nic) == (16384, 4, 15)
    assert not xlarge.nested_virtualization
    with pytest.raises(UserError, match=r"m5\.nothing"):
        account.aws.instance_type("m5.nothing")


# The user's own settings do not reach an endpoint that is given


def test_a_given_endpoint_is_reached_whatever_the_users_environment_says(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "of-another-life")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    assert account.session().observe("demo").empty


class _CheckIp(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize("body", [b"203.0.113.7\n", b"<html>busy</html>"])
def test_the_callers_address_is_what_the_check_page_says(account: Account, body: bytes) -> None:
    handler = type("Handler", (_CheckIp,), {"body": body})
    page = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=page.handle_request, daemon=True).start()
    url = f"http://127.0.0.1:{page.server_port}/"
    aws = Aws(AwsEndpoint("us-east-1", account.server.url, url, ("key", "secret")))
    try:
        if body.startswith(b"<"):
            with pytest.raises(UserError, match="address") as unclear:
                aws.caller_address()
            assert "allow_from" in unclear.value.hint
        else:
            assert aws.caller_address() == IPv4Address("203.0.113.7")
    finally:
        page.server_close()
