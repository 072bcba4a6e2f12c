"""The machine that carries OpenStack: reached by SSH, measured, configured."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

from pileus import node
from pileus.api.environment import Cloud
from pileus.model.addresses import Mac
from pileus.model.errors import CommandFailed, Fault, UserError
from pileus.model.finding import require
from pileus.model.node import ControllerSettings, Login, NodeReport, ProviderNic
from pileus.model.underlay import Node
from pileus.spec import Underlay
from pileus.system import clock, ssh
from pileus.trace import on_machine
from pileus.uplink import archive
from pileus.vpc import control

USER = "admin"
"""The user of Debian's cloud images on EC2. [wiki.debian.org/Cloud/AmazonEC2Image]"""
BOOT_SECONDS = 120.0
_MEASURE = ["sh", "-c", "grep MemTotal /proc/meminfo; df --output=size,avail -k / | tail -n 1"]


def login(cloud: Cloud, machine: Node) -> Login:
    """How to log in to the machine. Raises UserError when it has no public address."""
    return Login(
        management_public(machine), USER, cloud.workspace.private_key, cloud.workspace.known_hosts
    )


def management_public(machine: Node) -> IPv4Address:
    """The Elastic IP of the management NIC. Raises UserError when there is none."""
    public = machine.nic("management").primary.public
    if public is None:
        raise UserError(
            "the machine's management NIC has no Elastic IP", hint="run `pileus up` to mend it"
        )
    return public


def auth_url(machine: Node) -> str:
    """Where Keystone answers users."""
    return f"http://{management_public(machine)}:5000/v3"


def dashboard_url(machine: Node) -> str:
    """Where Horizon answers users."""
    return f"http://{management_public(machine)}/"


def wait_for_ssh(cloud: Cloud, machine: Node) -> Login:
    """Wait until the machine lets us in. Raises Fault when it does not in time."""
    to = login(cloud, machine)

    def look() -> bool | None:
        try:
            return ssh.run(to, ["true"], timeout=15, check=False).code == 0 or None
        except CommandFailed:
            return None

    clock.poll(
        look,
        what=f"the machine at {to.address} did not answer SSH",
        hint=f"see {_console(cloud, machine)}; `pileus up` waits again, "
        "`pileus down --yes` removes it",
        timeout=BOOT_SECONDS,
    )
    return to


def _console(cloud: Cloud, machine: Node) -> str:
    if cloud.simulated:
        return f"its console in {control.console(cloud.region, machine.instance_id)}"
    return f"`aws ec2 get-console-output --instance-id {machine.instance_id}`"


def device_name(cloud: Cloud, machine: Node, mac: Mac) -> str:
    """The machine's own name of the NIC with this MAC. Raises Fault when it has none."""
    listing = ssh.run(login(cloud, machine), ["ip", "-json", "link", "show"]).stdout
    for link in json.loads(listing):
        if link.get("address") == str(mac) and link.get("link_type") == "ether":
            return str(link["ifname"])
    raise Fault(
        f"the machine has no NIC with the MAC {mac}",
        hint="run `pileus down --yes` and `pileus up` to make the machine anew",
    )


def require_size(to: Login) -> None:
    """Raise Refused when the machine has less memory or disk than OpenStack needs."""
    memory_line, disk_line = ssh.run(to, _MEASURE).stdout.strip().splitlines()
    size, free = (int(word) * 1024 for word in disk_line.split())
    memory = int(memory_line.split()[1]) * 1024
    require((on_machine.memory(memory), on_machine.disk(size, free)))


def configure(cloud: Cloud, machine: Node) -> NodeReport:
    """Make the machine an OpenStack controller, and write the user's client files."""
    secrets = cloud.workspace.secrets()
    settings = controller_settings(cloud, machine)
    log = cloud.workspace.directory / "logs" / "node.log"
    report = node.configure(
        login(cloud, machine), settings, secrets, agent=archive.build(), log=log
    )
    cloud.workspace.write_client_files(
        auth_url=auth_url(machine), password=secrets["admin_password"], region=settings.region
    )
    return report


def host_name(machine: Node) -> str:
    """What the machine is called, as AWS calls it too: ip-172-16-10-101."""
    return "ip-" + str(machine.nic("management").primary.private).replace(".", "-")


def controller_settings(cloud: Cloud, machine: Node) -> ControllerSettings:
    """What the controller is to be."""
    management = machine.nic("management")
    address = management.primary.private
    return ControllerSettings(
        hostname=host_name(machine),
        management_address=address,
        public_address=management_public(machine),
        management_mac=management.mac,
        providers=_providers(cloud.spec.underlay, machine),
        uplink=cloud.spec.uplink,
        hypervisor=cloud.spec.openstack.hypervisor,
        release=cloud.spec.openstack.release,
    )


def _providers(under: Underlay, machine: Node) -> tuple[ProviderNic, ...]:
    first = ProviderNic(machine.nic("provider").mac, under.provider, under.registered_address)
    more = (
        ProviderNic(
            machine.nic(one.name).mac, one.cidr, one.registered_address, one.name, f"br-ex{number}"
        )
        for number, one in enumerate(under.more_providers, start=2)
    )
    return (first, *more)
