"""Steps on servers and what they are made of: images, flavors, keys, security groups, ports."""

from __future__ import annotations

from typing import Any

from pileus.model.errors import Fault
from pileus.model.underlay import Permission
from pileus.openstack import steps as do
from pileus.openstack.doing import AGENT_SECONDS, Ours, perform
from pileus.openstack.observing import SERVER_MARK, group_of, permission_of
from pileus.system.clock import poll

BOOT_SECONDS = 180.0
"""How long Nova may take to start a server; under emulation it takes some 10 s."""


@perform.register
def _(step: do.UploadImage, ours: Ours) -> None:
    image = ours.connection.image
    for stale in image.images(name=step.image.name, tag=ours.mark):
        if stale.status == "active":
            return
        image.delete_image(stale)  # an upload that was cut off
    image.create_image(
        step.image.name,
        filename=str(step.image.file),
        disk_format=step.image.disk_format,
        container_format="bare",
        tags=[ours.mark],
        allow_duplicates=True,  # of a name and content that are not ours
        validate_checksum=True,
        wait=True,
    )


@perform.register
def _(step: do.CreateFlavor, ours: Ours) -> None:
    flavor = step.flavor
    if ours.compute.find_flavor(flavor.name) is None:
        ours.compute.create_flavor(
            name=flavor.name,
            vcpus=flavor.vcpus,
            ram=flavor.memory_mib,
            disk=flavor.disk_gib,
            description=ours.mark,
        )


@perform.register
def _(step: do.SetKeypair, ours: Ours) -> None:
    ours.compute.delete_keypair(step.name, ignore_missing=True)
    ours.compute.create_keypair(name=step.name, public_key=step.public_key)


@perform.register
def _(step: do.SetSecurityGroup, ours: Ours) -> None:
    group = ours.find("security_groups", step.server)
    if group is None:
        group = ours.network.create_security_group(name=step.server, description=ours.mark)
    have = group_of(group, ours.mark)
    for permission in sorted(step.ingress - have.ingress, key=str):
        ours.network.create_security_group_rule(
            security_group_id=group.id, description=ours.mark, **_rule(permission)
        )
    for rule in group.security_group_rules:
        if rule["description"] == ours.mark and permission_of(rule) not in step.ingress:
            ours.network.delete_security_group_rule(rule["id"])


def _rule(permission: Permission) -> dict[str, Any]:
    first, last = permission.ports or (None, None)
    return {
        "direction": "ingress",
        "ether_type": "IPv4",
        "protocol": permission.protocol,
        "port_range_min": first,
        "port_range_max": last,
        "remote_ip_prefix": str(permission.source),
    }


@perform.register
def _(step: do.CreatePort, ours: Ours) -> None:
    server = step.server
    if ours.find("ports", server.name) is not None:
        return
    subnet = ours.get("subnets", server.network)
    ours.network.create_port(
        name=server.name,
        description=ours.mark,
        network_id=subnet.network_id,
        fixed_ips=[{"subnet_id": subnet.id, "ip_address": str(server.fixed_ip)}],
        security_group_ids=[ours.get("security_groups", server.name).id],
    )


@perform.register
def _(step: do.CreateServer, ours: Ours) -> None:
    server = step.server
    if ours.server(server.name) is None:
        ours.compute.create_server(
            name=server.name,
            image_id=_image(server.image, ours).id,
            flavor_id=ours.compute.find_flavor(server.flavor, ignore_missing=False).id,
            networks=[{"port": ours.get("ports", server.name).id}],
            key_name=ours.wanted.keypair,
            metadata={SERVER_MARK: ours.wanted.cloud},
        )


def _image(name: str, ours: Ours) -> Any:
    """An image of our project, with our mark before any other, or else a public one.

    An administrator is shown every project's private images, of any name.
    """
    images = [
        image
        for image in ours.connection.image.images(name=name, status="active")
        if image.owner == ours.project or image.visibility == "public"
    ]
    images.sort(key=lambda image: (image.owner != ours.project, ours.mark not in image.tags))
    if not images:
        raise Fault(
            f"there is no image {name} in OpenStack",
            hint="upload it, or name one that `openstack image list` shows",
        )
    return images[0]


@perform.register
def _(step: do.StartServer, ours: Ours) -> None:
    """Not one that Nova is starting already: it would refuse."""
    server = ours.server(step.name)
    if server is not None and server.status == "SHUTOFF" and not server.task_state:
        ours.compute.start_server(server)


@perform.register
def _(step: do.AwaitServer, ours: Ours) -> None:
    def running() -> Any | None:
        server = ours.server(step.name)
        if server is not None and server.status == "ERROR":
            raise _server_fault(step.name, (server.fault or {}).get("message"))
        return server if server is not None and server.status == "ACTIVE" else None

    poll(
        running,
        what=f"server {step.name} did not become active",
        hint="see the journal of nova-compute on the controller, then repeat",
        timeout=BOOT_SECONDS,
        interval=0.5,
    )


def _server_fault(name: str, message: str | None) -> Fault:
    hint = "see the journal of nova-compute on the controller, then repeat: it is made anew"
    if message and "No valid host" in message:
        hint = "the controller has no room for it: take a smaller flavor or a larger instance_type"
    reason = (message or "").strip()
    return Fault(f"server {name} failed to start: {reason or 'Nova does not say why'}", hint=hint)


@perform.register
def _(step: do.DeleteServer, ours: Ours) -> None:
    server = ours.server(step.name)
    if server is not None:
        ours.compute.delete_server(server, ignore_missing=True)
        ours.compute.wait_for_delete(server, interval=1, wait=AGENT_SECONDS)


@perform.register
def _(step: do.DeletePort, ours: Ours) -> None:
    if (port := ours.find("ports", step.server)) is not None:
        ours.network.delete_port(port)


@perform.register
def _(step: do.DeleteSecurityGroup, ours: Ours) -> None:
    if (group := ours.find("security_groups", step.server)) is not None:
        ours.network.delete_security_group(group)
