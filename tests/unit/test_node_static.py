"""The static files that are baked into a controller's image hold what the design promises."""

from __future__ import annotations

import configparser
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import pileus.node
from pileus.node.bake import image_key
from pileus.node.units import CONTROLLER

STATIC = Path(pileus.node.__file__).parent / "files"
UNITS = STATIC / "etc/systemd/system"
CONFIGURATIONS = [
    STATIC / "etc" / name
    for name in (
        "glance/glance-api.conf",
        "keystone/keystone.conf",
        "neutron/neutron.conf",
        "nova/nova.conf",
        "placement/placement.conf",
    )
]


def parsed(path: Path) -> configparser.ConfigParser:
    config = configparser.ConfigParser(interpolation=None, strict=True)
    config.read(path)
    return config


def drop_in(unit: str) -> str:
    """What we add to Debian's unit; or the whole unit, where Debian has none."""
    whole = UNITS / f"{unit}.service"
    return (whole if whole.exists() else UNITS / f"{unit}.service.d/pileus.conf").read_text()


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_no_password_is_baked_and_databases_are_reached_by_socket(path: Path) -> None:
    config = parsed(path)
    values = [(key, value) for name in config.sections() for key, value in config[name].items()]
    assert not [key for key, _ in values if key in ("password", "transport_url")]
    connections = [value for key, value in values if key == "connection"]
    assert connections
    assert all(re.match(r"mysql\+pymysql://\w+@localhost/", value) for value in connections)
    assert all("unix_socket=" in value for value in connections)


@pytest.mark.parametrize("path", CONFIGURATIONS[:1] + CONFIGURATIONS[2:], ids=lambda p: p.name)
def test_the_region_is_spelled_as_debian_spells_it_wherever_keystone_is_asked(path: Path) -> None:
    config = parsed(path)
    asking = [name for name in config.sections() if "auth_url" in config[name]]
    assert "keystone_authtoken" in asking
    assert {config[name]["region_name"] for name in asking} == {"regionOne"}


def test_the_database_listens_on_no_port_and_the_queue_on_loopback() -> None:
    assert "\nskip-networking\n" in (STATIC / "etc/mysql/mariadb.conf.d/90-pileus.cnf").read_text()
    rabbit = (STATIC / "etc/rabbitmq/rabbitmq.conf").read_text()
    assert "listeners.tcp.1 = 127.0.0.1:5672" in rabbit
    assert "-l 127.0.0.1\n" in (STATIC / "etc/memcached.conf").read_text()
    assert "ListenStream=127.0.0.1:4369" in (UNITS / "epmd.socket.d/pileus.conf").read_text()


def test_web_services_listen_on_the_management_address_and_loopback_only() -> None:
    web = [unit for unit in CONTROLLER if "--http-socket" in drop_in(unit)]
    assert sorted(web) == [
        "horizon",
        "keystone",
        "neutron-api",
        "nova-api",
        "nova-api-metadata",
        "placement-api",
    ]
    for unit in web:
        sockets = re.findall(r"--http-socket (\S+):\d+", drop_in(unit))
        inside = [] if unit == "horizon" else ["127.0.0.1"]
        assert sockets == ["${MANAGEMENT_ADDRESS}", *inside]


@pytest.mark.parametrize("unit", ["nova-api", "nova-api-metadata", "neutron-api"])
def test_services_that_send_rpc_never_share_a_process_between_threads(unit: str) -> None:
    ini = parsed(STATIC / "etc/pileus/uwsgi-processes.ini")["uwsgi"]
    assert "--ini /etc/pileus/uwsgi-processes.ini" in drop_in(unit)
    assert ini["threads"] == "1"
    assert int(ini["processes"]) > 1
    assert "threads" not in parsed(STATIC / "etc/pileus/uwsgi.ini")["uwsgi"]


@pytest.mark.parametrize("agent", ["openvswitch", "l3", "dhcp", "metadata"])
def test_agents_start_after_somebody_answers_them(agent: str) -> None:
    after = re.findall(r"^After=(.*)$", drop_in(f"neutron-{agent}-agent"), re.MULTILINE)
    assert "neutron-rpc-server.service" in " ".join(after).split()
    assert "ExecStartPost=+/usr/lib/pileus/await-consumers" in drop_in("neutron-rpc-server")


def test_the_target_wants_every_unit_of_the_controller() -> None:
    text = (UNITS / "pileus-openstack.target").read_text()
    wanted = " ".join(re.findall(r"^Wants=(.*)$", text, re.MULTILINE)).split()
    assert {f"{unit}.service" for unit in CONTROLLER} <= set(wanted)


def test_a_service_that_keeps_failing_is_tried_again_ever_more_slowly() -> None:
    for unit in CONTROLLER:
        lines = drop_in(unit).splitlines()
        assert {"StartLimitIntervalSec=0", "Restart=always", "RestartSteps=5"} <= set(lines), unit


def test_a_service_that_hangs_while_it_stops_does_not_hold_up_a_restart() -> None:
    for unit in CONTROLLER:
        assert "TimeoutStopSec=15" in drop_in(unit), unit


def test_glance_fetches_nothing_for_a_tenant() -> None:
    config = parsed(STATIC / "etc/glance/glance-api.conf")
    assert config["DEFAULT"]["enabled_import_methods"] == "[glance-direct]"


def dashboard(**before: object) -> dict[str, Any]:
    """What Horizon's settings are after ours were read, behind `before`."""
    node = {"region": "regionOne", "management_address": "MINE", "public_address": "PUBLIC"}
    place: dict[str, Any] = {"open": lambda path: io.StringIO(json.dumps(node)), **before}
    exec((STATIC / "etc/openstack-dashboard/local_settings.d/_9000_pileus.py").read_text(), place)  # noqa: S102 - as Horizon does
    return place


def test_the_dashboard_answers_by_the_machines_own_addresses_only() -> None:
    settings = dashboard(MIDDLEWARE=())
    assert settings["ALLOWED_HOSTS"] == ["MINE", "PUBLIC"]
    assert "DEBUG" not in settings


def test_the_dashboard_asks_the_services_inside() -> None:
    """Their public addresses let in `allow_from` only, not the machine itself."""
    settings = dashboard(MIDDLEWARE=())
    assert settings["OPENSTACK_KEYSTONE_URL"] == "http://127.0.0.1:5000/v3"
    assert settings["OPENSTACK_ENDPOINT_TYPE"] == "internalURL"
    assert settings["DEFAULT_SERVICE_REGIONS"] == {"*": "regionOne"}


def test_the_dashboard_keeps_its_own_safeguards_and_adds_headers() -> None:
    csrf = "django.middleware.csrf.CsrfViewMiddleware"
    settings = dashboard(MIDDLEWARE=(csrf,))
    assert settings["MIDDLEWARE"] == ("django.middleware.security.SecurityMiddleware", csrf)


def test_the_dashboards_key_is_made_by_the_machine_and_read_by_nobody_else() -> None:
    """Horizon makes it where Debian's settings say, when it first starts."""
    assert "SECRET_KEY" not in dashboard(MIDDLEWARE=())
    unit = drop_in("horizon").splitlines()
    kept = {"User=horizon", "StateDirectory=openstack-dashboard/secret-key"}
    assert {*kept, "StateDirectoryMode=0700"} <= set(unit)


def test_the_nodes_tools_are_programs() -> None:
    for tool in (STATIC / "usr/lib/pileus").rglob("*"):
        if tool.is_file():
            assert tool.read_text().startswith("#!"), tool


def test_the_image_key_is_short_and_stable() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", image_key())
    assert image_key() == image_key()


def test_the_l3_agent_keeps_port_forwardings_and_reads_its_own_extensions() -> None:
    """In neutron.conf `[agent] extensions` would be read by the OVS agent too, which has none."""
    neutron = parsed(STATIC / "etc/neutron/neutron.conf")
    assert "port_forwarding" in neutron["DEFAULT"]["service_plugins"].split(",")
    assert "extensions" not in neutron["agent"]
    assert parsed(STATIC / "etc/neutron/l3_agent.ini")["agent"]["extensions"] == "port_forwarding"
    assert "--config-file /etc/neutron/l3_agent.ini" in drop_in("neutron-l3-agent")


def test_nobody_makes_a_router_that_cannot_work_behind_one_nic() -> None:
    policy = yaml.safe_load((STATIC / "etc/neutron/policy.d/pileus.yaml").read_text())
    for verb in ("create", "update"):
        for kind in ("ha", "distributed"):
            assert policy[f"{verb}_router:{kind}"] == "!"


def test_nobody_but_an_administrator_chooses_the_address_of_a_floating_ip() -> None:
    """Neutron does not hold an address that is asked for against its pools."""
    policy = yaml.safe_load((STATIC / "etc/neutron/policy.d/pileus.yaml").read_text())
    assert policy["create_floatingip:floating_ip_address"] == "rule:admin_only"


@pytest.mark.parametrize("unit", ["neutron-l3-agent", "neutron-dhcp-agent"])
def test_a_restart_of_the_switch_has_ports_plugged_again(unit: str) -> None:
    """In userspace its internal ports are made anew, outside of the namespaces they were in."""
    assert "PartOf=ovs-vswitchd.service" in drop_in(unit)
    assert "ExecStartPre=+/usr/lib/pileus/dead-taps" in drop_in(unit)


def test_servers_taps_are_up_whatever_happens() -> None:
    """That it works: tests/e2e/test_restarts.py."""
    rule = parsed(STATIC / "etc/systemd/network/15-servers.network")
    assert rule["Match"]["Name"] == "tap*"
    assert rule["Link"]["ActivationPolicy"] == "always-up"


def test_a_guests_host_key_lies_behind_its_images_file_system() -> None:
    """So that it stays through reboots, and nothing of the image is written over."""
    init = (STATIC / "usr/lib/pileus/guest/init").read_text()
    builder = (STATIC / "usr/lib/pileus/guest-image").read_text()
    found = re.search(r"^slot=\$\(\((\d+) \* 2048\)\)$", init, re.MULTILINE)
    size = re.search(r"^SIZE = (\d+) \* 2\*\*20$", builder, re.MULTILINE)
    assert found
    assert size
    assert int(found[1]) >= int(size[1])
    assert init.count("of=/dev/vda bs=512 seek=$slot") == 1
