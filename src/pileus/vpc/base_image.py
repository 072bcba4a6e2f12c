"""The simulated region's stock machine image: Debian 13 as its cloud image comes, without a kernel.

Nothing in here knows OpenStack. A machine of this image finds its address by DHCP on its primary
NIC, and its host name, its user and the user's SSH key in the instance metadata, as on EC2.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pileus.system import process

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "eatmydata",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libnss-myhostname",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
)

DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
)
"""It is thrown away with its machine: no manual pages, no care for power cuts."""

CLOUD_INIT = """\
# The only source of truth is the instance metadata service, version 2, by its address.
datasource_list: [Ec2Machine]
datasource:
  Ec2:
    metadata_urls: ["http://169.254.169.254"]
    strict_id: false
    max_wait: 60
    timeout: 5
    apply_full_imds_network_config: false
# Addresses are systemd-networkd's; the NICs beyond the first belong to whoever asked for them.
network: {config: disabled}
disable_root: true
ssh_pwauth: false
ssh_genkeytypes: [ed25519, ecdsa]
manage_etc_hosts: false
preserve_hostname: false
package_update: false
system_info:
  distro: debian
  default_user:
    name: admin
    gecos: Debian
    lock_passwd: true
    groups: [adm, sudo]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
# What user data may ask for, without what needs a package mirror or a disk of its own.
cloud_init_modules: [seed_random, bootcmd, write_files, set_hostname, users_groups, ssh]
cloud_config_modules: [runcmd]
cloud_final_modules: [write_files_deferred, scripts_user, ssh_authkey_fingerprints]
"""

EC2_SOURCE = '''\
"""cloud-init's own EC2 data source, told that this is EC2.

On EC2 it tells by the firmware, and speaks metadata version 2 only there; a machine that shares its
host's kernel has no firmware of its own to show.
"""

from cloudinit import sources
from cloudinit.sources import DataSourceEc2 as ec2


class DataSourceEc2Machine(ec2.DataSourceEc2):
    def _get_cloud_name(self):
        return ec2.CloudNames.AWS


def get_datasource_list(depends):
    needs = (sources.DEP_FILESYSTEM, sources.DEP_NETWORK)
    return sources.list_from_depends(depends, [(DataSourceEc2Machine, needs)])
'''

PRIMARY_NETWORK = """\
[Match]
Name=eth0

[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no

[DHCPv4]
ClientIdentifier=mac
UseDNS=no
UseNTP=no
UseHostname=no
UseDomains=no
"""

OTHER_NETWORKS = """\
[Match]
Name=!eth0 !lo

[Link]
Unmanaged=yes
"""

NO_UDEV = """\
# networkd waits for udev only where it can write to /sys; no udev runs here.
[Service]
BindReadOnlyPaths=/sys
"""

USER_MANAGERS = """\
# A user manager that ends 10 s after the last login may take two minutes to be gone (its control
# group is nested in the host's), and until then every new login waits for it. So it stays.
[Login]
UserStopDelaySec=infinity
"""

FILES: Mapping[str, str] = {
    "etc/systemd/logind.conf.d/10-user-managers.conf": USER_MANAGERS,
    "etc/systemd/system/systemd-networkd.service.d/no-udev.conf": NO_UDEV,
    "etc/cloud/cloud.cfg.d/95-ec2.cfg": CLOUD_INIT,
    "usr/lib/python3/dist-packages/DataSourceEc2Machine.py": EC2_SOURCE,
    "etc/systemd/network/10-primary.network": PRIMARY_NETWORK,
    "etc/systemd/network/20-others.network": OTHER_NETWORKS,
    "etc/sysctl.d/60-no-ipv6.conf": (
        "net.ipv6.conf.all.disable_ipv6 = 1\nnet.ipv6.conf.default.disable_ipv6 = 1\n"
    ),
    "etc/ssh/sshd_config.d/10-keys-only.conf": (
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin no\n"
        "UseDNS no\n"
    ),
    "etc/systemd/journald.conf.d/10-small.conf": "[Journal]\nStorage=persistent\n"
    "SystemMaxUse=200M\n",
    # No name server at all: a look-up that nobody can answer fails at once instead of stalling.
    "etc/resolv.conf": "# Names come from /etc/hosts.\noptions timeout:1 attempts:1\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "localhost\n",
    "etc/fstab": "",
    "etc/machine-id": "",
}

MASKED = (
    # A machine of the simulation shares its host's kernel: devices are the host's business.
    "systemd-udevd.service",
    "systemd-udevd-kernel.socket",
    "systemd-udevd-control.socket",
    "systemd-udev-trigger.service",
    "systemd-udev-settle.service",
    "systemd-modules-load.service",
    "modprobe@.service",
    # Nobody sits at its console, and it does not live long enough to be looked after.
    "console-getty.service",
    "getty.target",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-networkd-persistent-storage.service",
    "cloud-init-hotplugd.socket",
)


def build_base(target: Path, *, log: Path) -> None:
    """Make a directory that a machine of the simulated region can boot from. Takes about a minute.

    `target` appears when it is whole; what an interrupted run left is built anew. The output of
    the programs goes to `log`. Raises CommandFailed when a package cannot be had.
    """
    partial = target.with_name(target.name + ".partial")
    for old in (partial, target):
        shutil.rmtree(old, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    process.run(
        [
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "5"',
            '--aptopt=APT::Install-Recommends "false"',
            SUITE,
            str(partial),
            *sources(host_repositories()),
        ],
        timeout=900,
        log=log,
        tied=True,
    )
    _settle(partial)
    partial.rename(target)


def _settle(root: Path) -> None:
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
    nsswitch = root / "etc/nsswitch.conf"
    nsswitch.write_text(with_hosts_line(nsswitch.read_text()))
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    wants = root / "etc/systemd/system"
    for unit, wanted_by in (
        ("systemd-networkd.service", "multi-user.target.wants"),
        ("systemd-networkd-wait-online.service", "network-online.target.wants"),
    ):
        link = wants / wanted_by / unit
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(f"/usr/lib/systemd/system/{unit}")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)


def with_hosts_line(nsswitch: str) -> str:
    """nsswitch.conf that looks names up in files, then our own name, then DNS."""
    lines = [line for line in nsswitch.splitlines() if not line.startswith("hosts:")]
    return "\n".join([*lines, "hosts: files myhostname dns"]) + "\n"


@dataclass(frozen=True)
class Repository:
    """An apt repository that the host itself uses."""

    uri: str
    codename: str
    origin: str


def host_repositories() -> list[Repository]:
    """The repositories of the host's apt; none where the host has no apt."""
    if process.missing_programs(["apt-get"]):
        return []
    fields = "$(REPO_URI)|$(CODENAME)|$(ORIGIN)"
    done = process.run(["apt-get", "indextargets", "--format", fields], check=False)
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return [Repository(*row) for row in rows if len(row) == 3]


def sources(host: Sequence[Repository]) -> list[str]:
    """One-line apt sources of the image: the host's own Debian mirrors.

    None where the host has none: mmdebstrap then takes Debian's public one by itself.
    """
    debian = [
        repository
        for repository in host
        if repository.origin == "Debian" and repository.uri.startswith(("http://", "https://"))
    ]
    main = next((r.uri for r in debian if not r.codename.endswith("-security")), None)
    security = next((r.uri for r in debian if r.codename.endswith("-security")), None)
    if main is None:
        return []
    lines = [f"deb {main} {SUITE} main", f"deb {main} {SUITE}-updates main"]
    if security:
        lines.append(f"deb {security} {SUITE}-security main")
    return lines
