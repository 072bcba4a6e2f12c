"""The ways into a cloud that is to be broken: its machine, its server, both clouds' APIs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
from faults import Fault, World

from pileus.api import controller, environment, tenant
from pileus.api.environment import Cloud
from pileus.api.wanted import Wants
from pileus.model.tenant import ObservedOpenStack
from pileus.model.underlay import Node
from pileus.openstack import observe
from pileus.spec import ROUTER
from pileus.system import process
from pileus.system.process import Done
from pileus.system.runner import Runner, root_on

_LOOK = """\
echo tap=$(ovs-vsctl --bare --columns=name find interface external_ids:iface-id=<server port>)
"""


def enter(cloud: Cloud) -> World:
    """Look at the cloud, which must be well, and be ready to break it."""
    aws = environment.reach_aws(cloud)
    machine = environment.require_node(aws.observe(cloud.spec.cloud))
    connection = tenant.connection(cloud, machine)
    inside = observe(connection, tenant.target_of(cloud, machine, Wants()))
    ec2 = boto3.client(
        "ec2",
        region_name=cloud.spec.underlay.region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id="simulated",
        aws_secret_access_key="simulated",
    )
    node = root_on(controller.login(cloud, machine))
    above = _above(connection, inside)
    names = {**above, **_below(ec2, machine, above["spare"])}
    device = controller.device_name(cloud, machine, machine.nic("provider").mac)
    world = World(
        cloud, node, _guest(cloud, machine, inside), ec2, connection, {**names, "nic": device}
    )
    seen = dict(re.findall(r"^(\w+)=(\S+)$", world.sh(_LOOK), re.MULTILINE))
    world.names = {**world.names, **seen}
    return world


def _above(connection: Any, inside: ObservedOpenStack) -> dict[str, str]:
    router, provider = inside.routers[ROUTER], inside.provider
    assert provider
    (port,) = connection.network.ports(name="web")
    private = inside.networks["private"]
    spare = next(ip for ip in connection.network.ips() if ip.port_id is None)
    return {
        "spare": spare.floating_ip_address,
        "spare id": spare.id,
        "namespace": router.namespace,
        "router id": router.id,
        "provider subnet": provider.subnet_id or "",
        "server id": inside.servers["web"].id,
        "server port": port.id,
        "server group": port.security_group_ids[0],
        "dnsmasq pid": f"/var/lib/neutron/dhcp/{private.id}/pid",
    }


def _below(ec2: Any, machine: Node, spare: str) -> dict[str, str]:
    nic = machine.nic("provider")
    there = {
        one["NetworkInterfaceId"]: one
        for one in ec2.describe_network_interfaces()["NetworkInterfaces"]
    }
    eni, management = there[nic.eni_id], there[machine.nic("management").eni_id]
    of_subnet = [{"Name": "association.subnet-id", "Values": [eni["SubnetId"]]}]
    (acl,) = ec2.describe_network_acls(Filters=of_subnet)["NetworkAcls"]
    elastic = {one.get("PrivateIpAddress"): one for one in ec2.describe_addresses()["Addresses"]}
    own = elastic[str(nic.primary.private)]
    return {
        "provider nic": nic.eni_id,
        "provider group": eni["Groups"][0]["GroupId"],
        "management group": management["Groups"][0]["GroupId"],
        "vpc": eni["VpcId"],
        "provider subnet below": eni["SubnetId"],
        "acl": acl["NetworkAclId"],
        "allocation": own["AllocationId"],
        "public": own["PublicIp"],
        "spare allocation": elastic[spare]["AllocationId"],
    }


def _guest(cloud: Cloud, machine: Node, inside: ObservedOpenStack) -> Runner:
    server = next(server for server in cloud.spec.servers if server.name == "web")

    def run(
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout: float = 60.0,
        check: bool = True,
    ) -> Done:
        router = inside.routers[ROUTER]
        command = tenant.shell_by(cloud, machine, router.namespace, server.fixed_ip, list(argv))
        return process.run(command, stdin=stdin, timeout=timeout, check=check)

    return run


@contextlib.contextmanager
def broken(world: World, fault: Fault) -> Iterator[None]:
    """The cloud while a fault is in it."""
    try:
        fault.inject(world)
        yield
    finally:
        fault.undo(world)
