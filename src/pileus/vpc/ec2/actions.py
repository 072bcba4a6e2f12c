"""The query API's actions: parameters in, moto's answer out, refusals in AWS's form.

moto parses and serialises by botocore's own model of EC2. Only the actions listed in `offered`
exist; the others are refused by name, so that nothing is half there.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from moto.core.request import Request
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import camelcase_to_underscores, get_service_model, utcnow
from moto.ec2.responses import EC2Response
from moto.ec2.utils import add_tag_specification

from pileus.vpc.ec2 import errors, pages, parameters
from pileus.vpc.ec2.backend import Backend
from pileus.vpc.ec2.filters import REGION, ZONE, select
from pileus.vpc.ec2.instances import checked_user_data
from pileus.vpc.ec2.interfaces import GROUPS_PER_INTERFACE
from pileus.vpc.ec2.objects import Interface
from pileus.vpc.ec2.offered import CHANGING, READING
from pileus.vpc.ec2.profiles import Association
from pileus.vpc.ec2.quotas import ELASTIC_IPS

CONSOLE = 64 << 10
"""Bytes of a console that are kept. [API_GetConsoleOutput]"""

Answer = tuple[int, str]
"""HTTP status and XML body."""


class Actions(EC2Response):  # type: ignore[misc]
    """One request to one region. `console` tells what an instance has printed."""

    def __init__(self, backend: Backend, console: Callable[[str], bytes]) -> None:
        super().__init__()
        self._backend = backend
        self._console = console

    @property
    def ec2_backend(self) -> Backend:
        """This region's store, not moto's global one."""
        return self._backend

    def get_region_from_url(self, _request: Any, _full_url: str) -> str:
        return str(self._backend.region_name)

    def get_current_account(self) -> str:
        return str(self._backend.account_id)

    def answer(self, request: Request) -> Answer:
        """Perform the request's action. Raises AwsError, or moto's ServiceException, to refuse it.

        Whatever else is raised is a fault of ours. Either may have left the store changed.
        """
        parameters.check_text(request.values)
        action = request.values.get("Action")
        if not action:
            raise errors.missing_action()
        model = get_service_model("ec2")
        if action not in model.operation_names:
            raise errors.invalid_action(action)
        if action not in READING | CHANGING:
            raise errors.unsupported(f"the action {action}")
        self._parse(request, action)
        shape = model.operation_model(action).input_shape
        parameters.check(action, shape, self.params)
        page = pages.take(action, shape, self.params)
        return self._backend.tokens.once(action, self.params, lambda: self._perform(action, page))

    def _perform(self, action: str, page: pages.Page | None) -> Answer:
        result = getattr(self, camelcase_to_underscores(action))()
        if page is not None:
            result = ActionResult(page.of(result.result))
        status, _, body = self.serialized(result)
        return status, body

    def _parse(self, request: Request, action: str) -> None:
        try:
            self.setup_class(request)
        except (ValueError, TypeError, AttributeError) as error:
            raise errors.invalid_value(
                f"A parameter of {action} does not have the right type"
            ) from error

    # Actions that moto answers without some parameter, or with the wrong part of the answer

    def create_network_acl_entry(self) -> ActionResult:
        self._name_icmp()
        return super().create_network_acl_entry()

    def replace_network_acl_entry(self) -> ActionResult:
        self._name_icmp()
        return super().replace_network_acl_entry()

    def _name_icmp(self) -> None:
        """moto looks for ICMP's type and code by their names on the wire, not by the model's."""
        if "IcmpTypeCode" in self.params:
            self.params["Icmp"] = self.params["IcmpTypeCode"]

    def describe_account_attributes(self) -> ActionResult:
        """As of an account that has never known EC2-Classic."""
        elastic_ips = str(self.ec2_backend.quotas[ELASTIC_IPS])
        values = {
            "supported-platforms": "VPC",
            "default-vpc": "none",
            "max-instances": "20",
            "vpc-max-security-groups-per-interface": str(GROUPS_PER_INTERFACE),
            "max-elastic-ips": elastic_ips,
            "vpc-max-elastic-ips": elastic_ips,
        }
        wanted = self._get_param("AttributeNames", []) or list(values)
        for name in wanted:
            if name not in values:
                raise errors.invalid_value(f"Value ({name}) for parameter attributeName is invalid")
        shown = [
            {"AttributeName": name, "AttributeValues": [{"AttributeValue": values[name]}]}
            for name in wanted
        ]
        return ActionResult({"AccountAttributes": shown})

    def describe_instances(self) -> ActionResult:
        ids, wanted = self._get_param("InstanceIds", []), self._filters_from_querystring()
        if ids:
            found = self.ec2_backend.get_reservations_by_instance_ids(ids, wanted)
        else:
            found = self.ec2_backend.describe_instances(wanted)
        return ActionResult({"Reservations": found})

    def get_console_output(self) -> ActionResult:
        """Its end, and nothing where the machine has printed nothing yet."""
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        printed = self._console(instance.id)[-CONSOLE:]
        shown = {"Output": base64.b64encode(printed).decode()} if printed else {}
        return ActionResult({"InstanceId": instance.id, "Timestamp": utcnow(), **shown})

    def describe_instance_type_offerings(self) -> ActionResult:
        kinds = ("region", "availability-zone", "availability-zone-id")
        if self._get_param("LocationType", kinds[0]) not in kinds:
            raise errors.unsupported("this LocationType")
        return super().describe_instance_type_offerings()

    def describe_key_pairs(self) -> ActionResult:
        """moto knows them by name alone."""
        ids = self._get_param("KeyPairIds", [])
        if ids:
            named = {key.id: key.key_name for key in self.ec2_backend.key_pairs.values()}
            for id in ids:
                if id not in named:
                    raise errors.key_unknown(id)
            self.params["KeyNames"] = [*self._get_param("KeyNames", []), *(named[id] for id in ids)]
        return super().describe_key_pairs()

    def describe_availability_zones(self) -> ActionResult:
        zones = self.ec2_backend.describe_availability_zones(
            None, zone_ids=self._get_param("ZoneIds", [])
        )
        found = _named(zones, self._get_param("ZoneNames", []), "availability zone")
        wanted = self._filters_from_querystring()
        return ActionResult({"AvailabilityZones": select(found, wanted, ZONE)})

    def describe_regions(self) -> ActionResult:
        found = _named(
            self.ec2_backend.describe_regions(), self._get_param("RegionNames", []), "region"
        )
        return ActionResult({"Regions": select(found, self._filters_from_querystring(), REGION)})

    def replace_route(self) -> ActionResult:
        self.ec2_backend.replace_route(
            self._get_param("RouteTableId"),
            self._get_param("DestinationCidrBlock"),
            self._get_param("DestinationIpv6CidrBlock"),
            self._get_param("DestinationPrefixListId"),
            gateway_id=self._get_param("GatewayId"),
            instance_id=self._get_param("InstanceId"),
            interface_id=self._get_param("NetworkInterfaceId"),
            nat_gateway_id=self._get_param("NatGatewayId"),
            egress_only_igw_id=self._get_param("EgressOnlyInternetGatewayId"),
            transit_gateway_id=self._get_param("TransitGatewayId"),
            vpc_peering_connection_id=self._get_param("VpcPeeringConnectionId"),
        )
        return EmptyResult()

    def delete_key_pair(self) -> ActionResult:
        """By name or by id; an unknown one is no error. [API_DeleteKeyPair]"""
        id = self._get_param("KeyPairId")
        if id and "KeyName" not in self.params:
            names = [key.key_name for key in self.ec2_backend.key_pairs.values() if key.id == id]
            self.params["KeyName"] = names[0] if names else ""
        return super().delete_key_pair()

    def create_subnet(self) -> ActionResult:
        """Without a zone AWS picks one; here always the first, so that subnets can be together."""
        zones = self.ec2_backend.describe_availability_zones()
        name = self._get_param("AvailabilityZone")
        id = self._get_param("AvailabilityZoneId")
        if not (name or id):
            self.params["AvailabilityZone"] = zones[0].name
        elif not any(name in (None, one.name) and id in (None, one.zone_id) for one in zones):
            raise errors.zone_unknown(name or id, [one.name for one in zones])
        return super().create_subnet()

    def authorize_security_group_ingress(self) -> ActionResult:
        return self._authorize("authorize_security_group_ingress")

    def authorize_security_group_egress(self) -> ActionResult:
        return self._authorize("authorize_security_group_egress")

    def revoke_security_group_ingress(self) -> ActionResult:
        return self._of_rules("revoke_security_group_ingress")

    def revoke_security_group_egress(self) -> ActionResult:
        return self._of_rules("revoke_security_group_egress")

    def update_security_group_rule_descriptions_ingress(self) -> ActionResult:
        return self._of_rules("update_security_group_rule_descriptions_ingress")

    def update_security_group_rule_descriptions_egress(self) -> ActionResult:
        return self._of_rules("update_security_group_rule_descriptions_egress")

    def modify_security_group_rules(self) -> ActionResult:
        for one in self._get_param("SecurityGroupRules", []):
            if "SecurityGroupRule" not in one:
                raise errors.missing_parameter("SecurityGroupRule")
        return super().modify_security_group_rules()

    def _of_rules(self, method: str) -> ActionResult:
        """Of rules that are there: all that a request names or none, as for Authorize."""

        def one(rule: dict[str, Any]) -> list[Any]:
            del rule["sgrule_tags"]
            getattr(self.ec2_backend, method)(**rule)
            return []

        self._for_each_rule(one)
        return ActionResult({"Return": True})

    def _authorize(self, method: str) -> ActionResult:
        """All of a request's rules or none: one duplicate refuses the others too."""

        def one(rule: dict[str, Any]) -> list[Any]:
            rules, _ = getattr(self.ec2_backend, method)(**rule)
            return list(rules)

        return ActionResult({"Return": True, "SecurityGroupRules": self._for_each_rule(one)})

    def _for_each_rule(self, act: Callable[[dict[str, Any]], list[Any]]) -> list[Any]:
        group_id = str(self._get_param("GroupId") or "")
        if not group_id:
            raise errors.missing_parameter("GroupId")
        self.ec2_backend.security_group(group_id)
        return [one for rule in self._process_rules_from_querystring() for one in act(rule)]

    def assign_private_ip_addresses(self) -> ActionResult:
        """Addresses or prefixes, named or by their number: one of the four."""
        eni = self._get_param("NetworkInterfaceId")
        texts = self._get_param("PrivateIpAddresses", [])
        count = self._get_param("SecondaryPrivateIpAddressCount", 0)
        prefixes = self._get_param("Ipv4Prefixes", [])
        blocks = self._get_param("Ipv4PrefixCount", 0)
        if (prefixes or blocks) and (texts or count):
            raise errors.invalid_combination(
                "Private IPv4 addresses and IPv4 prefixes may not be specified on the same request"
            )
        if prefixes or blocks:
            assigned = self.ec2_backend.assign_prefixes(eni, prefixes, blocks)
            new = {"AssignedIpv4Prefixes": [{"Ipv4Prefix": str(one)} for one in assigned]}
        else:
            reassign = self._get_param("AllowReassignment", False)
            added = self.ec2_backend.assign(eni, texts, count, reassign)
            new = {"AssignedPrivateIpAddresses": [{"PrivateIpAddress": str(one)} for one in added]}
        return ActionResult({"NetworkInterfaceId": eni, **new})

    def unassign_private_ip_addresses(self) -> ActionResult:
        eni, prefixes = self._get_param("NetworkInterfaceId"), self._get_param("Ipv4Prefixes", [])
        if not prefixes:
            return super().unassign_private_ip_addresses()
        if self._get_param("PrivateIpAddresses", []):
            raise errors.invalid_combination(
                "Private IPv4 addresses and IPv4 prefixes may not be specified on the same request"
            )
        self.ec2_backend.unassign_prefixes(eni, prefixes)
        return EmptyResult()

    def associate_address(self) -> ActionResult:
        allocation, public = self._get_param("AllocationId"), self._get_param("PublicIp")
        if not allocation and not public:
            raise errors.missing_parameter("AllocationId")
        (elastic,) = (
            self.ec2_backend.address_by_allocation([allocation])
            if allocation
            else self.ec2_backend.address_by_ip([public])
        )
        elastic = self.ec2_backend.associate(
            elastic,
            self._associated_interface(),
            self._get_param("PrivateIpAddress"),
            # Automatic unless refused. [API_AssociateAddress]
            self._get_param("AllowReassociation", True),
        )
        return ActionResult({"AssociationId": elastic.association_id})

    def _associated_interface(self) -> Interface:
        interface, instance = self._get_param("NetworkInterfaceId"), self._get_param("InstanceId")
        if bool(interface) == bool(instance):
            raise errors.invalid_combination(
                "Exactly one of InstanceId and NetworkInterfaceId must be specified"
            )
        if interface:
            found: Interface = self.ec2_backend.get_network_interface(interface)
            return found
        return self.ec2_backend.only_interface(self.ec2_backend.get_instance(instance))

    def create_network_interface(self) -> ActionResult:
        tags = add_tag_specification(self._get_param("TagSpecifications", []))
        interface = self.ec2_backend.create_with_prefixes(self.params, tags)
        return ActionResult({"NetworkInterface": interface})

    def modify_vpc_attribute(self) -> ActionResult:
        self._check_one_of(
            "EnableDnsSupport", "EnableDnsHostnames", "EnableNetworkAddressUsageMetrics"
        )
        return super().modify_vpc_attribute()

    def _check_one_of(self, *names: str) -> None:
        """One attribute at a time: more, or none, is refused."""
        given = [name for name in names if name in self.params]
        if len(given) != 1:
            told = "Fields for multiple attribute types specified" if given else "No attributes"
            raise errors.invalid_combination(told)

    def modify_network_interface_attribute(self) -> ActionResult:
        self._check_one_of("Attachment", "Description", "Groups", "SourceDestCheck")
        result = super().modify_network_interface_attribute()
        attachment = self._get_param("Attachment")
        if attachment:
            interface = self.ec2_backend.get_network_interface(
                self._get_param("NetworkInterfaceId")
            )
            if interface.attachment_id != attachment.get("AttachmentId"):
                raise errors.no_attachment(str(attachment.get("AttachmentId")))
            interface.delete_on_termination = bool(attachment.get("DeleteOnTermination"))
        return result

    def describe_addresses_attribute(self) -> ActionResult:
        """Reverse names, of which there are none here."""
        found = self.ec2_backend.describe_addresses(self._get_param("AllocationIds", []))
        shown = [{"PublicIp": one.public_ip, "AllocationId": one.allocation_id} for one in found]
        return ActionResult({"Addresses": shown})

    def associate_iam_instance_profile(self) -> ActionResult:
        name = self.ec2_backend.profile_name(self._get_param("IamInstanceProfile") or {})
        return _association(self.ec2_backend.associate_profile(self._get_param("InstanceId"), name))

    def replace_iam_instance_profile_association(self) -> ActionResult:
        name = self.ec2_backend.profile_name(self._get_param("IamInstanceProfile") or {})
        return _association(
            self.ec2_backend.replace_profile(self._get_param("AssociationId"), name)
        )

    def disassociate_iam_instance_profile(self) -> ActionResult:
        return _association(self.ec2_backend.disassociate_profile(self._get_param("AssociationId")))

    def describe_iam_instance_profile_associations(self) -> ActionResult:
        found = self.ec2_backend.describe_profiles(
            self._get_param("AssociationIds", []), self._filters_from_querystring()
        )
        return ActionResult({"IamInstanceProfileAssociations": found})

    def run_instances(self) -> ActionResult:
        launch = {
            "instance_type": self._get_param("InstanceType", "m1.small"),
            "is_instance_type_default": True,  # so that moto leaves what `launch` has checked
            "region_name": self.region,
            "key_name": self._get_param("KeyName"),
            "tags": self._parse_tag_specification(),
            "ebs_optimized": bool(self._get_param("EbsOptimized")),
            "disable_api_stop": bool(self._get_param("DisableApiStop")),
            "disable_api_termination": bool(self._get_param("DisableApiTermination")),
            "instance_initiated_shutdown_behavior": self._get_param(
                "InstanceInitiatedShutdownBehavior"
            ),
            "monitoring_state": "enabled" if self._get_param("Monitoring.Enabled") else "disabled",
            "metadata_options": self._get_param("MetadataOptions", {}),
            "client_token": self._get_param("ClientToken"),
        }
        user_data = checked_user_data(self._get_param("UserData"))
        reservation = self.ec2_backend.launch(
            dict(self.params), {"launch": launch, "user_data": user_data}
        )
        return ActionResult(reservation)

    def terminate_instances(self) -> ActionResult:
        changes = self.ec2_backend.terminate_instances(self._get_param("InstanceIds", []))
        return ActionResult({"TerminatingInstances": _changes(changes)})

    def stop_instances(self) -> ActionResult:
        changes = self.ec2_backend.stop_instances(self._get_param("InstanceIds", []))
        return ActionResult({"StoppingInstances": _changes(changes)})

    def start_instances(self) -> ActionResult:
        changes = self.ec2_backend.start_instances(self._get_param("InstanceIds", []))
        return ActionResult({"StartingInstances": _changes(changes)})

    def modify_instance_attribute(self) -> ActionResult:
        self.ec2_backend.modify_instance(self._get_param("InstanceId"), self.params)
        return EmptyResult()


def _named(all_of_them: Sequence[Any], names: Sequence[str], what: str) -> list[Any]:
    """Those with these names, all where none is named."""
    known = {one.name: one for one in all_of_them}
    for name in names:
        if name not in known:
            raise errors.invalid_value(f"Invalid {what}: [{name}]")
    return [known[name] for name in names or known]


def _association(shown: Association) -> ActionResult:
    return ActionResult({"IamInstanceProfileAssociation": shown})


def _changes(changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "InstanceId": instance.id,
            "CurrentState": instance.instance_state,
            "PreviousState": former,
        }
        for instance, former in changes
    ]


def refusal(code: str, message: str, request_id: str) -> str:
    """The body of an EC2 error. [EC2 API reference, "API error responses"]"""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Response><Errors><Error><Code>{escape(code)}</Code>"
        f"<Message>{escape(message)}</Message></Error></Errors>"
        f"<RequestID>{request_id}</RequestID></Response>"
    )
