"""What holds for every call: tokens, pages, filters, tags, dry runs."""

from __future__ import annotations

import uuid

from contract_place import Network, Place, refused


def test_a_client_token_does_once(place: Place, net: Network) -> None:
    token = {"ClientToken": uuid.uuid4().hex}
    first = place.interface(net.first, **token)
    assert place.interface(net.first, **token) == first
    with refused("IdempotentParameterMismatch"):
        place.interface(net.first, **token, Description="another")


def test_pages_are_the_whole(place: Place, net: Network) -> None:
    made = {place.interface(net.second) for _ in range(7)}
    asked = [{"Name": "subnet-id", "Values": [net.second]}]
    pages = place.ec2.get_paginator("describe_network_interfaces").paginate(
        Filters=asked, PaginationConfig={"PageSize": 5}
    )
    found = [[one["NetworkInterfaceId"] for one in page["NetworkInterfaces"]] for page in pages]
    assert [len(page) for page in found] == [5, 2]
    assert {one for page in found for one in page} == made


def test_a_page_has_a_thousand_results_at_most_and_a_token_its_form(place: Place) -> None:
    with refused("InvalidParameterValue"):
        place.ec2.describe_network_interfaces(MaxResults=1001)
    with refused("InvalidNextToken"):
        place.ec2.describe_network_interfaces(NextToken="anything")


def test_filters_that_are_none_are_refused(place: Place) -> None:
    wrong = [{"Name": "colour", "Values": ["blue"]}]
    for call in (
        place.ec2.describe_instances,
        place.ec2.describe_network_interfaces,
        place.ec2.describe_subnets,
        place.ec2.describe_vpcs,
        place.ec2.describe_addresses,
    ):
        with refused("InvalidParameterValue"):
            call(Filters=wrong)


def test_values_of_a_filter_may_have_wildcards(place: Place, net: Network) -> None:
    eni = place.interface(net.first, Description="contract wild")
    for text in ("contract wild", "contract*", "contract?wild"):
        asked = [
            {"Name": "description", "Values": [text]},
            {"Name": "vpc-id", "Values": [net.vpc]},
        ]
        found = place.ec2.describe_network_interfaces(Filters=asked)["NetworkInterfaces"]
        assert [one["NetworkInterfaceId"] for one in found] == [eni]


def test_a_dry_run_does_nothing(place: Place, net: Network) -> None:
    eni = place.interface(net.first)
    with refused("DryRunOperation", 412):
        place.ec2.delete_network_interface(NetworkInterfaceId=eni, DryRun=True)
    assert place.exists(eni)


def test_tags_of_aws_are_its_own(place: Place, net: Network) -> None:
    with refused("InvalidParameterValue"):
        place.ec2.create_tags(Resources=[net.vpc], Tags=[{"Key": "aws:mine", "Value": ""}])
    many = [{"Key": f"k{number}", "Value": ""} for number in range(51)]
    with refused("TagLimitExceeded"):
        place.ec2.create_tags(Resources=[net.vpc], Tags=many)


def test_a_key_pair_has_a_name_of_its_own(place: Place) -> None:
    name = f"contract-{place.run}"
    place.key(name)
    with refused("InvalidKeyPair.Duplicate"):
        place.key(name)
    with refused("InvalidKeyPair.NotFound"):
        place.ec2.describe_key_pairs(KeyNames=[f"{name}-other"])
    place.ec2.delete_key_pair(KeyName=f"{name}-other")  # which is no error
