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
        "GetConsoleOutput",
    ]
)
CHANGING = frozenset(
    [
        "AllocateAddress",
        "AssignPrivateIpAddresses",
        "AssociateAddress",
        "AssociateIamInstanceProfile",
        "AssociateRouteTable",
        "AssociateVpcCidrBlock",
        "AttachInternetGateway",
        "AttachNetworkInterface",
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "CreateInternetGateway",
        "CreateKeyPair",
        "CreateNetworkAcl",
        "CreateNetworkAclEntry",
        "CreateNetworkInterface",
        "CreateRoute",
        "CreateRouteTable",
        "CreateSecurityGroup",
        "CreateSubnet",
        "CreateTags",
        "CreateVpc",
        "DeleteInternetGateway",
        "DeleteKeyPair",
        "DeleteNetworkAcl",
        "DeleteNetworkAclEntry",
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
        "DisassociateVpcCidrBlock",
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
        "ReplaceNetworkAclAssociation",
        "ReplaceNetworkAclEntry",
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
    "AssociateVpcCidrBlock": frozenset(
        {
            "AmazonProvidedIpv6CidrBlock",
            "Ipv4IpamPoolId",
            "Ipv6CidrBlock",
            "Ipv6IpamPoolId",
            "Ipv6Pool",
        }
    ),
    "AllocateAddress": frozenset({"PublicIpv4Pool", "CustomerOwnedIpv4Pool", "IpamPoolId"}),
    "AttachNetworkInterface": frozenset({"NetworkCardIndex", "EnaSrdSpecification"}),
    "CreateNetworkInterface": frozenset(
        {
            "ConnectionTrackingSpecification",
            "EnablePrimaryIpv6",
            "InterfaceType",
            "Ipv6PrefixCount",
            "Ipv6Prefixes",
        }
    ),
    "ModifyNetworkInterfaceAttribute": frozenset(
        {
            "AssociatePublicIpAddress",
            "ConnectionTrackingSpecification",
            "EnablePrimaryIpv6",
            "EnaSrdSpecification",
        }
    ),
    "ModifySubnetAttribute": frozenset(
        {
            "AssignIpv6AddressOnCreation",
            "CustomerOwnedIpv4Pool",
            "EnableDns64",
            "EnableLniAtDeviceIndex",
            "MapCustomerOwnedIpOnLaunch",
        }
    ),
    "UpdateSecurityGroupRuleDescriptionsEgress": frozenset({"SecurityGroupRuleDescriptions"}),
    "UpdateSecurityGroupRuleDescriptionsIngress": frozenset({"SecurityGroupRuleDescriptions"}),
    "RunInstances": frozenset(
        {"LaunchTemplate", "Ipv6AddressCount", "Ipv6Addresses", "InstanceMarketOptions"}
    ),
}
"""Parameters that would be ignored: refusing them is better than a region that pretends."""
NOT_OFFERED_OF_A_NIC = frozenset(
    {
        "AssociateCarrierIpAddress",
        "ConnectionTrackingSpecification",
        "EnaSrdSpecification",
        "Ipv6AddressCount",
        "Ipv6Addresses",
        "Ipv6PrefixCount",
        "Ipv6Prefixes",
        "NetworkCardIndex",
        "PrimaryIpv6",
    }
)
"""The same, of the interfaces that RunInstances describes."""

TAGGED: Mapping[str, frozenset[str]] = {
    "AllocateAddress": frozenset({"elastic-ip"}),
    "AuthorizeSecurityGroupEgress": frozenset({"security-group-rule"}),
    "AuthorizeSecurityGroupIngress": frozenset({"security-group-rule"}),
    "CreateInternetGateway": frozenset({"internet-gateway"}),
    "CreateKeyPair": frozenset({"key-pair"}),
    "CreateNetworkAcl": frozenset({"network-acl"}),
    "CreateNetworkInterface": frozenset({"network-interface"}),
    "CreateRouteTable": frozenset({"route-table"}),
    "CreateSecurityGroup": frozenset({"security-group"}),
    "CreateSubnet": frozenset({"subnet"}),
    "CreateVpc": frozenset({"vpc"}),
    "ImportKeyPair": frozenset({"key-pair"}),
    "RunInstances": frozenset({"instance", "network-interface", "volume"}),
}
"""What an action makes that TagSpecifications may name."""
