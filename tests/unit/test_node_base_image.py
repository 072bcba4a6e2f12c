"""Where the stock image comes from, and how it looks names up."""

from __future__ import annotations

import yaml

from pileus.vpc.base_image import CLOUD_INIT, Repository, sources, with_hosts_line


def test_the_hosts_own_debian_mirror_is_used() -> None:
    host = [
        Repository("https://packages.example/node", "nodistro", ". nodistro"),
        Repository("http://mirror.example/debian/", "bookworm", "Debian"),
        Repository("http://mirror.example/debian/", "bookworm-updates", "Debian"),
        Repository("http://mirror.example/security/", "bookworm-security", "Debian"),
    ]
    assert sources(host) == [
        "deb http://mirror.example/debian/ trixie main",
        "deb http://mirror.example/debian/ trixie-updates main",
        "deb http://mirror.example/security/ trixie-security main",
    ]


def test_other_distributions_and_local_media_are_not_taken_for_a_mirror() -> None:
    host = [
        Repository("http://mirror.example/ubuntu/", "noble", "Ubuntu"),
        Repository("cdrom://disk/", "bookworm", "Debian"),
    ]
    assert sources(host) == []


def test_names_are_looked_up_in_files_before_the_network() -> None:
    text = with_hosts_line("passwd: files systemd\nhosts: files resolve dns\n")
    assert text == "passwd: files systemd\nhosts: files myhostname dns\n"


def test_user_data_may_write_files_and_run_commands_before_and_after() -> None:
    """What `runcmd` and late files leave to the final stage is done there."""
    settings = yaml.safe_load(CLOUD_INIT)
    first, middle, last = (
        settings[f"cloud_{stage}_modules"] for stage in ("init", "config", "final")
    )
    assert first.index("bootcmd") < first.index("write_files") < first.index("users_groups")
    assert "runcmd" in middle
    assert last.index("write_files_deferred") < last.index("scripts_user")
