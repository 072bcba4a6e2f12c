"""What can be done to the cloud below: one frozen value for each call, named by role.

A step prints as the sentence that a plan shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from pileus.model.underlay import ALL_PORTS, ROLES, Permission, Role


@dataclass(frozen=True)
class CreateVpc:
    cidr: IPv4Network

    def __str__(self) -> str:
        return f"create the VPC {self.cidr}"


@dataclass(frozen=True)
class CreateInternetGateway:
    def __str__(self) -> str:
        return "create the internet gateway"


@dataclass(frozen=True)
class AttachInternetGateway:
    def __str__(self) -> str:
        return "attach the internet gateway to the VPC"


@dataclass(frozen=True)
class RouteToInternet:
    def __str__(self) -> str:
        return "route 0.0.0.0/0 to the internet gateway"


@dataclass(frozen=True)
class CreateSubnet:
    role: Role
    cidr: IPv4Network

    def __str__(self) -> str:
        return f"create the {self.role} subnet {self.cidr}"


@dataclass(frozen=True)
class CreateGroup:
    role: Role

    def __str__(self) -> str:
        return f"create the {self.role} security group"


@dataclass(frozen=True)
class Authorize:
    role: Role
    permission: Permission

    def __str__(self) -> str:
        return f"let {_traffic(self.permission)} in to the {self.role} NIC"


@dataclass(frozen=True)
class Revoke:
    role: Role
    permission: Permission

    def __str__(self) -> str:
        return f"no longer let {_traffic(self.permission)} in to the {self.role} NIC"


@dataclass(frozen=True)
class RevokeStrays:
    role: Role
    rule_ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"take {len(self.rule_ids)} rules of others out of the {self.role} security group"


@dataclass(frozen=True)
class ImportKey:
    public_key: str

    def __str__(self) -> str:
        return "import the cloud's SSH key"


@dataclass(frozen=True)
class CreateNic:
    role: Role
    address: IPv4Address

    def __str__(self) -> str:
        return f"create the {self.role} NIC with {self.address}"


@dataclass(frozen=True)
class AssignAddresses:
    role: Role
    addresses: tuple[IPv4Address, ...]

    def __str__(self) -> str:
        return f"register {_listed(self.addresses)} on the {self.role} NIC"


@dataclass(frozen=True)
class UnassignAddresses:
    role: Role
    addresses: tuple[IPv4Address, ...]

    def __str__(self) -> str:
        return f"take {_listed(self.addresses)} off the {self.role} NIC"


@dataclass(frozen=True)
class AllocateElasticIp:
    address: IPv4Address

    def __str__(self) -> str:
        return f"allocate an Elastic IP for {self.address}"


@dataclass(frozen=True)
class AssociateElasticIp:
    role: Role
    address: IPv4Address

    def __str__(self) -> str:
        return f"associate its Elastic IP with {self.address}"


@dataclass(frozen=True)
class RunInstance:
    instance_type: str
    image_name: str
    root_gib: int
    nested_virtualization: bool = False
    roles: tuple[Role, ...] = ROLES
    """Its NICs, in device order."""

    def __str__(self) -> str:
        return f"launch the machine ({self.instance_type}, {self.image_name})"


@dataclass(frozen=True)
class AttachNic:
    """To the machine as it runs."""

    role: Role
    index: int

    def __str__(self) -> str:
        return f"attach the {self.role} NIC to the machine as eth{self.index}"


@dataclass(frozen=True)
class DetachNic:
    role: Role

    def __str__(self) -> str:
        return f"detach the {self.role} NIC from the machine"


@dataclass(frozen=True)
class StopInstance:
    def __str__(self) -> str:
        return "stop the machine"


@dataclass(frozen=True)
class AwaitStopped:
    def __str__(self) -> str:
        return "wait until the machine is stopped"


@dataclass(frozen=True)
class StartInstance:
    def __str__(self) -> str:
        return "start the machine"


@dataclass(frozen=True)
class AwaitRunning:
    def __str__(self) -> str:
        return "wait until the machine runs"


@dataclass(frozen=True)
class TerminateInstance:
    def __str__(self) -> str:
        return "terminate the machine"


@dataclass(frozen=True)
class AwaitTermination:
    instance_id: str

    def __str__(self) -> str:
        return f"wait until the former machine {self.instance_id} is gone"


@dataclass(frozen=True)
class ReleaseElasticIp:
    public: IPv4Address

    def __str__(self) -> str:
        return f"release the Elastic IP {self.public}"


@dataclass(frozen=True)
class DeleteNic:
    role: Role

    def __str__(self) -> str:
        return f"delete the {self.role} NIC"


@dataclass(frozen=True)
class DeleteGroup:
    role: Role

    def __str__(self) -> str:
        return f"delete the {self.role} security group"


@dataclass(frozen=True)
class DeleteSubnet:
    role: Role

    def __str__(self) -> str:
        return f"delete the {self.role} subnet"


@dataclass(frozen=True)
class DetachInternetGateway:
    def __str__(self) -> str:
        return "detach the internet gateway"


@dataclass(frozen=True)
class DeleteInternetGateway:
    def __str__(self) -> str:
        return "delete the internet gateway"


@dataclass(frozen=True)
class DeleteVpc:
    def __str__(self) -> str:
        return "delete the VPC"


@dataclass(frozen=True)
class DeleteSpareVpc:
    vpc_id: str

    def __str__(self) -> str:
        return f"delete the VPC {self.vpc_id}, which was made twice"


@dataclass(frozen=True)
class DeleteSpareGateway:
    gateway_id: str

    def __str__(self) -> str:
        return f"delete the internet gateway {self.gateway_id}, which was made twice"


@dataclass(frozen=True)
class DeleteKey:
    def __str__(self) -> str:
        return "delete the cloud's SSH key from the account"


Step = (
    CreateVpc
    | CreateInternetGateway
    | AttachInternetGateway
    | RouteToInternet
    | CreateSubnet
    | CreateGroup
    | Authorize
    | Revoke
    | RevokeStrays
    | ImportKey
    | CreateNic
    | AssignAddresses
    | UnassignAddresses
    | AllocateElasticIp
    | AssociateElasticIp
    | RunInstance
    | AttachNic
    | DetachNic
    | StopInstance
    | AwaitStopped
    | StartInstance
    | AwaitRunning
    | TerminateInstance
    | AwaitTermination
    | ReleaseElasticIp
    | DeleteNic
    | DeleteGroup
    | DeleteSubnet
    | DetachInternetGateway
    | DeleteInternetGateway
    | DeleteVpc
    | DeleteSpareVpc
    | DeleteSpareGateway
    | DeleteKey
)


def _listed(addresses: tuple[IPv4Address, ...]) -> str:
    return ", ".join(map(str, addresses))


def _traffic(permission: Permission) -> str:
    ports = permission.ports
    if permission.protocol != "icmp" and ports == ALL_PORTS:
        return f"all {permission.protocol} from {permission.source}"
    where = "" if ports is None else f" {ports[0]}" if ports[0] == ports[1] else f" {ports}"
    return f"{permission.protocol}{where} from {permission.source}"
