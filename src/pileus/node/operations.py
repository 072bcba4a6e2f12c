"""The two deploys, in pyinfra's operations: `prepare` a machine or an image, and `controller`.

`prepare` holds what depends on nothing: packages, static files, schemas, the guest image. It runs
in a chroot when an image is baked, and over SSH on a machine that was not made from one.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation
from pyinfra.operations import apt, files, server

from pileus.node.settings import CONTROLLER, NodeFile

STATIC = Path(__file__).parent / "files"
TOOLS = "/usr/lib/pileus"
STAMP = "/usr/share/pileus/prepared"
UPLOADS = "/run/pileus-uploads"
"""On the node: only the login's user may look in, and it is gone with the next boot."""

PACKAGES = (
    "busybox-static",
    "cpio",
    "curl",
    "dropbear-bin",
    "eatmydata",
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
    "openvswitch-switch",
    "placement-api",
    "python3-openstackclient",
    "rabbitmq-server",
    "syslinux",
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


class Prints(FactBase[list[str]]):  # type: ignore[misc]  # pyinfra is untyped to mypy
    """The lines that a command prints, and one more when it fails."""

    def command(self, argv: Sequence[str]) -> StringCommand:
        return StringCommand(*map(shlex.quote, argv), "2>/dev/null", "||", "echo failed")

    def process(self, output: Iterable[str]) -> list[str]:
        return list(output)


@operation(is_idempotent=True)  # type: ignore[untyped-decorator]
def ensure(check: Sequence[str], make: Sequence[str]) -> Generator[StringCommand, None, None]:
    """Run `make` unless `check` prints nothing."""
    if host.get_fact(Prints, argv=check):
        yield StringCommand(*map(shlex.quote, make))
    else:
        host.noop(f"{make[0]} has nothing to do")


def uploads(user: str) -> None:
    """A place for pyinfra's uploads that only the login's user may look into."""
    ensure(
        ["test", "-d", UPLOADS],
        ["install", "--directory", f"--owner={user}", "--mode=700", UPLOADS],
        name="Private directory for uploads",
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


def controller(wanted: Sequence[NodeFile], user: str) -> None:
    """Make a prepared machine a controller: its files, and the units that read them."""
    uploads(user)
    put = {
        file.path: files.put(
            name=file.path,
            src=io.StringIO(file.text),
            dest=file.path,
            user="root",
            group=file.group,
            mode=file.mode,
        )
        for file in wanted
    }

    def changed(*paths: str) -> bool:
        return any(put[path].did_change() for path in paths)

    server.shell(
        name="Host name",
        commands=["hostname --file /etc/hostname"],
        _if=lambda: changed("/etc/hostname"),
    )
    server.shell(
        name="RabbitMQ's user",
        commands=[
            "systemctl start rabbitmq-server",
            "rabbitmqctl --quiet import_definitions /etc/rabbitmq/definitions.json",
        ],
        _if=lambda: changed("/etc/rabbitmq/definitions.json"),
    )
    server.shell(
        name="Provider NIC",
        commands=[
            "systemctl enable --quiet pileus-provider pileus-openstack.target",
            "systemctl restart pileus-provider",
        ],
        _if=lambda: changed("/etc/pileus/node.json"),
    )
    ensure(
        [f"{TOOLS}/provider-bridge", "--check"],
        [f"{TOOLS}/provider-bridge"],
        name="Provider bridge",
    )
    for path in (file.path for file in wanted if file.readers):
        readers = next(file.readers for file in wanted if file.path == path)
        server.shell(
            name=f"Readers of {path}",
            commands=["systemctl try-restart " + " ".join(readers)],
            _if=lambda path=path: changed(path),
        )
    units = ["pileus-openstack.target", *(f"{unit}.service" for unit in CONTROLLER)]
    ensure(
        ["sh", "-c", f"systemctl is-active {' '.join(units)} | grep -vx active || true"],
        ["timeout", "240", "systemctl", "start", *units],
        name="Services",
    )
    ensure(
        [f"{TOOLS}/identity", "--check"],
        [f"{TOOLS}/identity"],
        name="Administrator, service users, catalogue",
    )
    ensure([f"{TOOLS}/cloud", "--check"], [f"{TOOLS}/cloud"], name="Flavor, image, agents")
