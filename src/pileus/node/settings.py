"""The files that make a prepared machine this cloud's controller. Pure: settings in, text out."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pileus.model.node import ControllerSettings, Secrets
from pileus.node.units import NEUTRON, NOVA

Datapath = Literal["system", "netdev"]
Emulator = Literal["kvm", "qemu"]
Ini = Mapping[str, Mapping[str, str]]

UPLINK = "/etc/pileus/uplink.json"
RABBIT_USER = "openstack"
NODE_SECRETS = (
    "admin_password",
    "glance_service",
    "placement_service",
    "nova_service",
    "neutron_service",
)
"""What the node's own tools need; databases and Keystone's keys need no secret of ours."""


@dataclass(frozen=True)
class NodeFile:
    """A file on the node, and the units that must read it again when it changes."""

    path: str
    text: str = field(repr=False)
    group: str = "root"
    mode: str = "644"
    readers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probed:
    """What was found out about the machine itself."""

    datapath: Datapath
    emulator: Emulator


def ini(sections: Ini) -> str:
    """The text of an oslo.config file."""
    blocks = [
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        for name, values in sections.items()
    ]
    return "\n".join(blocks)


def controller_files(
    settings: ControllerSettings, secrets: Secrets, probed: Probed
) -> list[NodeFile]:
    """Every file that depends on the instance. All that hold a secret are closed to the world."""
    address = str(settings.management_address)
    services: dict[str, tuple[Ini, tuple[str, ...]]] = {
        "keystone/keystone.conf.d": (_keystone(settings), ("keystone",)),
        "glance/glance-api.conf.d": (_glance(settings, secrets), ("glance-api",)),
        "placement/placement.conf.d": (_placement(settings, secrets), ("placement-api",)),
        "nova/nova.conf.d": (_nova(settings, secrets, probed), NOVA),
        "neutron/neutron.conf.d": (_neutron(settings, secrets, probed), NEUTRON),
    }
    own = {name: secrets[name] for name in NODE_SECRETS}
    node = {
        "region": settings.region,
        "management_address": address,
        "public_address": str(settings.public_address),
    }
    macs = " ".join(str(nic.mac) for nic in settings.providers)
    unmanaged = f"[Match]\nMACAddress={macs}\n\n[Link]\nUnmanaged=yes\n"
    return [
        NodeFile("/etc/hostname", f"{settings.hostname}\n"),
        NodeFile("/etc/hosts", f"127.0.0.1 localhost\n{address} {settings.hostname}\n"),
        NodeFile(
            "/etc/cloud/cloud.cfg.d/99-pileus-host.cfg",
            "preserve_hostname: true\nmanage_etc_hosts: false\n",
        ),
        NodeFile("/etc/systemd/network/05-pileus-provider.network", unmanaged),
        NodeFile("/etc/pileus/secrets.json", json.dumps(own, indent=1) + "\n", mode="600"),
        NodeFile("/etc/pileus/node.json", json.dumps(node, indent=1) + "\n", readers=("horizon",)),
        NodeFile(UPLINK, json.dumps(_uplink(settings, probed), indent=1) + "\n"),
        NodeFile("/etc/pileus/node.env", f"MANAGEMENT_ADDRESS={address}\n"),
        NodeFile(
            "/etc/rabbitmq/definitions.json",
            rabbit_definitions(secrets["rabbitmq"]),
            group="rabbitmq",
            mode="640",
        ),
        *(
            NodeFile(
                f"/etc/{directory}/pileus.conf",
                ini(sections),
                group=directory.partition("/")[0],
                mode="640",
                readers=readers,
            )
            for directory, (sections, readers) in services.items()
        ),
    ]


def _uplink(settings: ControllerSettings, probed: Probed) -> Mapping[str, object]:
    """What the uplink's agent is to keep."""
    nics = [
        {
            "mac": str(nic.mac),
            "bridge": nic.bridge,
            "mode": settings.uplink,
            "subnet": str(nic.subnet),
            "fallback": [str(nic.registered_address)],
        }
        for nic in settings.providers
    ]
    return {"nics": nics, "datapath": probed.datapath}


def rabbit_definitions(password: str) -> str:
    """RabbitMQ's definitions with one user, who may do everything. The password is hashed.

    rabbit_password_hashing_sha256: base64 of a 32 bit salt and SHA-256(salt, password). The salt
    comes from the password itself, so that the same password gives the same text.
    [rabbitmq.com/docs/passwords#computing-password-hash]
    """
    salt = hashlib.sha256(b"salt of " + password.encode()).digest()[:4]
    digest = hashlib.sha256(salt + password.encode()).digest()
    document = {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": RABBIT_USER,
                "password_hash": base64.b64encode(salt + digest).decode(),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
            }
        ],
        "permissions": [
            {"user": RABBIT_USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _transport(secrets: Secrets) -> str:
    return f"rabbit://{RABBIT_USER}:{secrets['rabbitmq']}@127.0.0.1:5672/"


def _authtoken(settings: ControllerSettings, secrets: Secrets, user: str) -> Mapping[str, str]:
    return {
        "www_authenticate_uri": f"http://{settings.public_address}:5000",
        "password": secrets[f"{user}_service"],
    }


def _keystone(settings: ControllerSettings) -> Ini:
    return {"DEFAULT": {"public_endpoint": f"http://{settings.public_address}:5000"}}


def _glance(settings: ControllerSettings, secrets: Secrets) -> Ini:
    return {
        "DEFAULT": {"bind_host": str(settings.management_address)},
        "keystone_authtoken": _authtoken(settings, secrets, "glance"),
    }


def _placement(settings: ControllerSettings, secrets: Secrets) -> Ini:
    return {"keystone_authtoken": _authtoken(settings, secrets, "placement")}


def _nova(settings: ControllerSettings, secrets: Secrets, probed: Probed) -> Ini:
    return {
        "DEFAULT": {
            "host": settings.hostname,
            "my_ip": str(settings.management_address),
            "transport_url": _transport(secrets),
        },
        "keystone_authtoken": _authtoken(settings, secrets, "nova"),
        "placement": {"password": secrets["placement_service"]},
        "neutron": {
            "password": secrets["neutron_service"],
            "metadata_proxy_shared_secret": secrets["metadata_shared"],
        },
        "libvirt": _libvirt(probed.emulator),
    }


def _libvirt(emulator: Emulator) -> Mapping[str, str]:
    if emulator == "kvm":
        return {"virt_type": "kvm"}
    return {"virt_type": "qemu", "cpu_mode": "none"}


def _neutron(settings: ControllerSettings, secrets: Secrets, probed: Probed) -> Ini:
    return {
        "DEFAULT": {
            "host": settings.hostname,
            "transport_url": _transport(secrets),
            "metadata_proxy_shared_secret": secrets["metadata_shared"],
        },
        "keystone_authtoken": _authtoken(settings, secrets, "neutron"),
        "nova": {"password": secrets["nova_service"]},
        "ml2_type_flat": {"flat_networks": ",".join(nic.physnet for nic in settings.providers)},
        "ovs": {
            "bridge_mappings": ",".join(
                f"{nic.physnet}:{nic.bridge}" for nic in settings.providers
            ),
            "datapath_type": probed.datapath,
            "local_ip": str(settings.management_address),
        },
    }
