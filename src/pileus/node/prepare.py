"""The deploy `prepare`: packages, static files, schemas, the guest image.

All that depends on nothing. It runs in a chroot when an image is baked, and over SSH on a machine
that was not made from one.
"""

from __future__ import annotations

import io
from pathlib import Path

from pyinfra.operations import apt, files, server

from pileus.node.operations import TOOLS, uploads
from pileus.node.units import CONTROLLER

STATIC = Path(__file__).parent / "files"
STAMP = "/usr/share/pileus/prepared"

PACKAGES = (
    "busybox-static",
    "cpio",
    "curl",
    "dropbear-bin",
    "eatmydata",
    "ethtool",
    "glance",
    "iptables",
    "keystone",
    "mariadb-server",
    "memcached",
    "mtools",
    "neutron-dhcp-agent",
    "neutron-l3-agent",
    "neutron-metadata-agent",
    "neutron-openvswitch-agent",
    "neutron-server",
    "nftables",
    "nova-api",
    # Not nova-compute-qemu: its emulators of all machines cost libvirt 20 s to look at.
    "nova-compute-kvm",
    "nova-conductor",
    "nova-scheduler",
    # Its static files are collected and compressed as it is installed.
    "openstack-dashboard",
    "openvswitch-switch",
    "placement-api",
    "python3-openstackclient",
    "rabbitmq-server",
    "syslinux",
    "tcpdump",
)

CONFIGURATION = (
    # directory, group that reads it
    ("/etc/glance/glance-api.conf.d", "glance"),
    ("/etc/keystone/keystone.conf.d", "keystone"),
    ("/etc/neutron/neutron.conf.d", "neutron"),
    ("/etc/nova/nova.conf.d", "nova"),
    ("/etc/placement/placement.conf.d", "placement"),
)
LOCKS = (
    ("/var/lib/glance/lock", "glance"),
    ("/var/lib/neutron/lock", "neutron"),
    ("/var/lib/nova/lock", "nova"),
)

IDLE = (
    # Come with the packages and have nothing to do here: Neutron starts its own where it needs one.
    "haproxy.service",
    "iscsid.service",
    "iscsid.socket",
    "keepalived.service",
    "libvirt-guests.service",
    "open-iscsi.service",
    "radvd.service",
    "uuidd.socket",
)


def prepare(stamp: str, user: str) -> None:
    """Everything that does not depend on the instance."""
    uploads(user)
    files.put(
        name="No service starts while it is being installed",
        src=io.StringIO("#!/bin/sh\nexit 101\n"),
        dest="/usr/sbin/policy-rc.d",
        mode="755",
    )
    apt.update(name="Package lists", cache_time=86400)
    apt.packages(
        name="OpenStack and what it stands on",
        packages=list(PACKAGES),
        no_recommends=True,
        _env={"LD_PRELOAD": "libeatmydata.so", "DEBIAN_FRONTEND": "noninteractive"},
    )
    for directory, group in CONFIGURATION:
        files.directory(
            name=f"{directory} closed to others", path=directory, group=group, mode="750"
        )
    for directory, user in LOCKS:
        files.directory(name=directory, path=directory, user=user, group=user)
    for source in sorted(path for path in STATIC.rglob("*") if path.is_file()):
        dest = f"/{source.relative_to(STATIC)}"
        files.put(
            name=dest,
            src=str(source),
            dest=dest,
            user="root",
            group="root",
            mode="755" if dest.startswith(f"{TOOLS}/") else "644",
        )
    server.shell(
        name="Databases with their tables",
        commands=[f"{TOOLS}/schemas"],
    )
    server.shell(name="Guest image", commands=[f"{TOOLS}/guest-image /usr/share/pileus"])
    server.shell(
        name="Units: OpenStack's wait for their configuration, idle ones never start",
        commands=[
            "systemctl --quiet disable " + " ".join(f"{unit}.service" for unit in CONTROLLER),
            "systemctl --quiet mask " + " ".join(IDLE),
        ],
    )
    files.file(name="Services may start again", path="/usr/sbin/policy-rc.d", present=False)
    server.shell(
        name="Running machines only: what stands below runs, and all read their files again",
        commands=[
            # sd_booted(3): an image that is being baked has no running systemd.
            f"if test -d /run/systemd/system; then systemctl {command}; fi"
            for command in (
                "daemon-reload",
                "restart epmd.socket mariadb memcached rabbitmq-server",
                "start libvirtd openvswitch-switch",
                "try-restart " + " ".join(f"{unit}.service" for unit in CONTROLLER),
            )
        ],
    )
    files.put(name="Prepared", src=io.StringIO(f"{stamp}\n"), dest=STAMP, mode="644")
