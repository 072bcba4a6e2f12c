"""What the simulated region's EC2 API offers: these actions, without these parameters."""

from __future__ import annotations

from collections.abc import Mapping

READING = frozenset(
    [
        "DescribeAccountAttributes",
        "DescribeAddresses",
        "DescribeAddressesAttribute",
        "DescribeAvailabilityZones",
        "DescribeDhcpOptions",
        "DescribeIamInstanceProfileAssociations",
        "DescribeImages",
        "DescribeInstanceAttribute",
        "DescribeInstanceCreditSpecifications",
        "DescribeInstanceStatus",
        "DescribeInstanceTypeOfferings",
        "DescribeInstanceTypes",
        "DescribeInstances",
        "DescribeInternetGateways",
        "DescribeKeyPairs",
        "DescribeNetworkAcls",
        "DescribeNetworkInterfaceAttribute",
        "DescribeNetworkInterfaces",
        "DescribeRegions",
        "DescribeRouteTables",
        "DescribeSecurityGroupRules",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "DescribeTags",
        "DescribeVolumes",
        "DescribeVpcAttribute",
        "DescribeVpcs",
    ]
)
CHANGING = frozenset(
    [
        "AllocateAddress",
        "AssignPrivateIpAddresses",
        "AssociateAddress",
        "AssociateIamInstanceProfile",
        "AssociateRouteTable",
        "AttachInternetGateway",
        "AttachNetworkInterface",
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "CreateInternetGateway",
        "CreateKeyPair",
        "CreateNetworkInterface",
        "CreateRoute",
        "CreateRouteTable",
        "CreateSecurityGroup",
        "CreateSubnet",
        "CreateTags",
        "CreateVpc",
        "DeleteInternetGateway",
        "DeleteKeyPair",
        "DeleteNetworkInterface",
        "DeleteRoute",
        "DeleteRouteTable",
        "DeleteSecurityGroup",
        "DeleteSubnet",
        "DeleteTags",
        "DeleteVpc",
        "DetachInternetGateway",
        "DetachNetworkInterface",
        "DisassociateAddress",
        "DisassociateIamInstanceProfile",
        "DisassociateRouteTable",
        "ImportKeyPair",
        "ModifyInstanceAttribute",
        "ModifyInstanceMetadataOptions",
        "ModifyNetworkInterfaceAttribute",
        "ModifySecurityGroupRules",
        "ModifySubnetAttribute",
        "ModifyVpcAttribute",
        "RebootInstances",
        "ReleaseAddress",
        "ReplaceIamInstanceProfileAssociation",
        "ReplaceRoute",
        "ReplaceRouteTableAssociation",
        "RevokeSecurityGroupEgress",
        "RevokeSecurityGroupIngress",
        "RunInstances",
        "StartInstances",
        "StopInstances",
        "TerminateInstances",
        "UnassignPrivateIpAddresses",
        "UpdateSecurityGroupRuleDescriptionsEgress",
        "UpdateSecurityGroupRuleDescriptionsIngress",
    ]
)

NOT_OFFERED: Mapping[str, frozenset[str]] = {
    "CreateVpc": frozenset({"AmazonProvidedIpv6CidrBlock", "Ipv6CidrBlock", "Ipv4IpamPoolId"}),
    "CreateSubnet": frozenset({"Ipv6CidrBlock", "Ipv6Native", "Ipv4IpamPoolId"}),
    "CreateNetworkInterface": frozenset({"Ipv4Prefixes", "Ipv4PrefixCount", "Ipv6Prefixes"}),
    "AssignPrivateIpAddresses": frozenset({"Ipv4Prefixes", "Ipv4PrefixCount"}),
    "UnassignPrivateIpAddresses": frozenset({"Ipv4Prefixes"}),
    "RunInstances": frozenset(
        {"LaunchTemplate", "Ipv6AddressCount", "Ipv6Addresses", "InstanceMarketOptions"}
    ),
}
"""Parameters that would be ignored: refusing them is better than a region that pretends."""

TAGGED: Mapping[str, frozenset[str]] = {
    "AllocateAddress": frozenset({"elastic-ip"}),
    "AuthorizeSecurityGroupEgress": frozenset({"security-group-rule"}),
    "AuthorizeSecurityGroupIngress": frozenset({"security-group-rule"}),
    "CreateInternetGateway": frozenset({"internet-gateway"}),
    "CreateKeyPair": frozenset({"key-pair"}),
    "CreateNetworkInterface": frozenset({"network-interface"}),
    "CreateRouteTable": frozenset({"route-table"}),
    "CreateSecurityGroup": frozenset({"security-group"}),
    "CreateSubnet": frozenset({"subnet"}),
    "CreateVpc": frozenset({"vpc"}),
    "ImportKeyPair": frozenset({"key-pair"}),
    "RunInstances": frozenset({"instance", "network-interface", "volume"}),
}
"""What an action makes that TagSpecifications may name."""
