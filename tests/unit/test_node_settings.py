"""What a controller's own files say, and whom they let read it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from pileus.model.addresses import Mac
from pileus.model.node import SECRET_NAMES, ControllerSettings, ProviderNic, Secrets
from pileus.node.settings import NodeFile, Probed, controller_files, ini, rabbit_definitions
from pileus.node.units import CONTROLLER
from pileus.uplink.config import read_config

SETTINGS = ControllerSettings(
    hostname="controller",
    management_address=IPv4Address("172.16.10.101"),
    public_address=IPv4Address("198.51.100.7"),
    management_mac=Mac("02:00:00:00:10:65"),
    providers=(
        ProviderNic(
            Mac("02:00:00:00:20:65"), IPv4Network("172.16.20.0/24"), IPv4Address("172.16.20.101")
        ),
    ),
    uplink="mac-nat",
)
SECRETS = Secrets({name: f"secret-of-{name}" for name in SECRET_NAMES})
USERSPACE = Probed(datapath="netdev", emulator="qemu")


def files(probed: Probed = USERSPACE) -> dict[str, NodeFile]:
    return {file.path: file for file in controller_files(SETTINGS, SECRETS, probed)}


def holds_a_secret(file: NodeFile) -> bool:
    return any(secret in file.text for secret in SECRETS.values.values())


def test_files_with_secrets_are_closed_to_the_world() -> None:
    secret = [file for file in files().values() if holds_a_secret(file)]
    assert {file.path for file in secret} == {
        "/etc/pileus/secrets.json",
        "/etc/glance/glance-api.conf.d/pileus.conf",
        "/etc/placement/placement.conf.d/pileus.conf",
        "/etc/nova/nova.conf.d/pileus.conf",
        "/etc/neutron/neutron.conf.d/pileus.conf",
    }
    assert all(int(file.mode, 8) & 0o007 == 0 for file in secret)
    assert files()["/etc/pileus/secrets.json"].mode == "600"


def test_a_file_never_shows_its_text_when_it_is_printed() -> None:
    for file in files().values():
        assert "secret-of" not in repr(file)


def test_databases_are_reached_by_socket_so_no_password_is_needed() -> None:
    assert not any("mysql" in file.text for file in files().values())


def test_rabbitmq_gets_a_salted_hash_and_not_the_password() -> None:
    text = rabbit_definitions("opensesame")
    assert "opensesame" not in text
    user = json.loads(text)["users"][0]
    raw = base64.b64decode(user["password_hash"])
    salt, digest = raw[:4], raw[4:]
    assert hashlib.sha256(salt + b"opensesame").digest() == digest
    assert rabbit_definitions("opensesame") == text
    assert rabbit_definitions("opensesame2") != text


def test_the_public_address_is_for_users_and_the_management_address_for_listening() -> None:
    node = json.loads(files()["/etc/pileus/node.json"].text)
    assert node["public_address"] == "198.51.100.7"
    assert files()["/etc/pileus/node.env"].text == "MANAGEMENT_ADDRESS=172.16.10.101\n"
    assert "bind_host = 172.16.10.101" in files()["/etc/glance/glance-api.conf.d/pileus.conf"].text


def test_neutron_knows_the_provider_bridge_and_the_datapath() -> None:
    text = files()["/etc/neutron/neutron.conf.d/pileus.conf"].text
    assert "bridge_mappings = provider:br-ex" in text
    assert "flat_networks = provider" in text
    assert "datapath_type = netdev" in text
    kernel = files(Probed(datapath="system", emulator="kvm"))
    assert "datapath_type = system" in kernel["/etc/neutron/neutron.conf.d/pileus.conf"].text


def test_each_provider_nic_has_a_bridge_and_a_name_of_its_own() -> None:
    second = ProviderNic(
        Mac("02:00:00:00:30:65"),
        IPv4Network("172.16.30.0/24"),
        IPv4Address("172.16.30.101"),
        "provider2",
        "br-ex2",
    )
    both = replace(SETTINGS, providers=(*SETTINGS.providers, second))
    made = {file.path: file.text for file in controller_files(both, SECRETS, USERSPACE)}
    neutron = made["/etc/neutron/neutron.conf.d/pileus.conf"]
    assert "bridge_mappings = provider:br-ex,provider2:br-ex2\n" in neutron
    assert "flat_networks = provider,provider2\n" in neutron
    uplink = json.loads(made["/etc/pileus/uplink.json"])
    assert uplink["nics"][:1] == json.loads(files()["/etc/pileus/uplink.json"].text)["nics"]
    assert [nic.bridge for nic in read_config(uplink).nics] == ["br-ex", "br-ex2"]
    assert read_config(uplink).nics[1].fallback == (IPv4Address("172.16.30.101"),)
    unmanaged = made["/etc/systemd/network/05-pileus-provider.network"]
    assert "MACAddress=02:00:00:00:20:65 02:00:00:00:30:65\n" in unmanaged


def test_kvm_is_used_only_where_the_probe_found_it() -> None:
    path = "/etc/nova/nova.conf.d/pileus.conf"
    assert "virt_type = qemu\ncpu_mode = none" in files()[path].text
    assert "virt_type = kvm\n" in files(Probed(datapath="netdev", emulator="kvm"))[path].text


def test_no_dhcp_client_ever_takes_the_provider_nic() -> None:
    text = files()["/etc/systemd/network/05-pileus-provider.network"].text
    assert "MACAddress=02:00:00:00:20:65" in text
    assert "Unmanaged=yes" in text


def test_every_reader_of_a_file_is_a_unit_of_the_controller() -> None:
    assert {unit for file in files().values() for unit in file.readers} == set(CONTROLLER)


def test_ini_sections_keep_their_order() -> None:
    assert ini({"b": {"x": "1"}, "a": {"y": "2", "z": "3"}}) == "[b]\nx = 1\n\n[a]\ny = 2\nz = 3\n"
