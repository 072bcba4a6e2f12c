"""Instance profiles: attached at launch or later, one at a time, and seen in metadata."""

from __future__ import annotations

from typing import Any

import pytest
from vpc_ec2 import Region, refused

ARN = "arn:aws:iam::123456789012:instance-profile/"


@pytest.fixture
def region() -> Region:
    return Region()


def known(region: Region, **wanted: Any) -> list[Any]:
    answer = region.ec2.describe_iam_instance_profile_associations(**wanted)
    found: list[Any] = answer["IamInstanceProfileAssociations"]
    return found


@pytest.mark.parametrize(
    "named", [{"Name": "node"}, {"Arn": f"{ARN}node"}, {"Arn": f"{ARN}a/node"}]
)
def test_a_profile_comes_with_the_launch(region: Region, named: dict[str, str]) -> None:
    instance = region.run(region.eni(), IamInstanceProfile=named)

    assert region.state.instances[instance].profile == "node"
    (one,) = known(region)
    assert (one["InstanceId"], one["State"]) == (instance, "associated")
    found = region.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert found["IamInstanceProfile"] == one["IamInstanceProfile"]
    assert found["IamInstanceProfile"]["Arn"] == f"{ARN}node"


def test_a_profile_comes_and_goes_while_the_instance_lives(region: Region) -> None:
    instance, other = region.run(region.eni()), region.run(region.eni())
    associate = region.ec2.associate_iam_instance_profile
    made = associate(InstanceId=instance, IamInstanceProfile={"Name": "node"})
    id = made["IamInstanceProfileAssociation"]["AssociationId"]
    assert region.state.instances[instance].profile == "node"
    assert region.state.instances[other].profile is None

    with refused("IncorrectState", region):
        associate(InstanceId=instance, IamInstanceProfile={"Name": "other"})
    replaced = region.ec2.replace_iam_instance_profile_association(
        AssociationId=id, IamInstanceProfile={"Name": "other"}
    )
    assert region.state.instances[instance].profile == "other"
    with refused("InvalidAssociationID.NotFound", region):
        region.ec2.disassociate_iam_instance_profile(AssociationId=id)
    id = replaced["IamInstanceProfileAssociation"]["AssociationId"]
    region.ec2.disassociate_iam_instance_profile(AssociationId=id)
    assert region.state.instances[instance].profile is None
    assert known(region) == []


def test_associations_are_found_by_id_and_filter_and_end_with_the_instance(region: Region) -> None:
    instances = [region.run(region.eni(), IamInstanceProfile={"Name": n}) for n in ("a", "b")]
    by_instance = known(region, Filters=[{"Name": "instance-id", "Values": instances[1:]}])
    assert [one["InstanceId"] for one in by_instance] == instances[1:]
    assert known(region, AssociationIds=[by_instance[0]["AssociationId"]]) == by_instance
    with refused("InvalidAssociationID.NotFound", region):
        known(region, AssociationIds=["iip-assoc-0"])
    for name in ("colour", "tag:Name"):
        with refused("InvalidParameterValue", region):
            known(region, Filters=[{"Name": name, "Values": ["x"]}])

    region.ec2.terminate_instances(InstanceIds=instances)
    assert known(region) == []
    with refused("IncorrectState", region):
        region.ec2.associate_iam_instance_profile(
            InstanceId=instances[0], IamInstanceProfile={"Name": "a"}
        )


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"Name": "no spaces"}, "InvalidParameterValue"),
        ({"Arn": "node"}, "InvalidParameterValue"),
        ({"Arn": "arn:aws:iam::999999999999:instance-profile/node"}, "InvalidParameterValue"),
        ({"Name": "node", "Arn": f"{ARN}node"}, "InvalidParameterCombination"),
    ],
)
def test_what_names_no_profile_of_the_account_is_refused_before_anything_is_made(
    region: Region, named: dict[str, str], code: str
) -> None:
    instance = region.run(region.eni())
    with refused(code, region):
        region.run(SubnetId=region.management, IamInstanceProfile=named)
    with refused(code, region):
        region.ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile=named)


def test_hop_limit_and_tokens_follow_the_metadata_options(region: Region) -> None:
    instance = region.run(region.eni(), MetadataOptions={"HttpTokens": "required"})
    assert region.state.instances[instance].metadata_tokens_required
    modify = region.ec2.modify_instance_metadata_options
    modify(InstanceId=instance, HttpPutResponseHopLimit=2)
    modify(InstanceId=instance, HttpTokens="optional")
    seen = region.state.instances[instance]
    assert (seen.metadata_hop_limit, seen.metadata_tokens_required) == (2, False)
    modify(InstanceId=instance, HttpEndpoint="disabled")
    assert not region.state.instances[instance].metadata_enabled
    for hops in (0, 65):
        with refused("InvalidParameterValue", region):
            modify(InstanceId=instance, HttpPutResponseHopLimit=hops)
