"""A cloud's state directory: private, made once, whole after a crash, gone after `remove`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pileus.model.errors import Busy, UserError
from pileus.system.workspace import Workspace, clouds, state_root


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "state"))
    return Workspace("demo")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_place_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/user")
    monkeypatch.delenv("PILEUS_STATE", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert state_root() == Path("/home/user/.local/state/pileus")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert state_root() == Path("/state/pileus")
    monkeypatch.setenv("PILEUS_STATE", "/own")
    assert Workspace("demo").directory == Path("/own/demo")


def test_nothing_is_there_before_something_is_written(workspace: Workspace) -> None:
    assert not workspace.exists()
    assert (workspace.wanted(), workspace.journal(), clouds()) == ({}, [], [])
    assert not workspace.exists()


def test_who_only_looks_makes_no_credentials(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="lacks the passwords of cloud `demo`") as without:
        workspace.secrets()
    assert "PILEUS_STATE" in without.value.hint
    with pytest.raises(UserError, match="lacks the SSH key of cloud `demo`"):
        workspace.public_key()
    assert not workspace.exists()


def test_what_commands_recorded_is_kept(workspace: Workspace) -> None:
    workspace.record_wanted({"published": ["web 80:80"]})
    assert Workspace("demo").wanted() == {"published": ["web 80:80"]}


def test_the_journal_survives_a_line_cut_off_by_a_crash(workspace: Workspace) -> None:
    workspace.note("machine", "started", now=lambda: 1.0)
    with workspace.journal_file.open("a") as stream:
        stream.write('{"time": 2.0, "sta')
    assert workspace.journal() == [{"time": 1.0, "stage": "machine", "event": "started"}]
    assert mode(workspace.journal_file) == 0o600


def test_logs_are_private_and_named_by_time_and_command(workspace: Workspace) -> None:
    log = workspace.new_log("up", now=lambda: 0.0)
    assert log == workspace.directory / "logs" / "19700101T000000Z-up.log"
    assert mode(log) == 0o600


def test_the_openstack_command_finds_the_cloud_by_either_file(workspace: Workspace) -> None:
    url = "http://198.51.100.10:5000/v3"
    workspace.write_client_files(auth_url=url, password="it's $HOME", region="regionOne")
    entry = yaml.safe_load(workspace.clouds_yaml.read_text())["clouds"]["demo"]
    assert entry["auth"]["auth_url"] == url
    assert entry["auth"]["password"] == "it's $HOME"
    assert entry["region_name"] == "regionOne"
    lines = workspace.openrc.read_text().splitlines()
    assert "unset OS_CLOUD" in lines
    assert f"export OS_AUTH_URL={url}" in lines
    assert """export OS_PASSWORD='it'"'"'s $HOME'""" in lines
    assert mode(workspace.clouds_yaml) == mode(workspace.openrc) == 0o600


def test_one_command_at_a_time_holds_a_cloud_and_the_second_is_told_who(
    workspace: Workspace,
) -> None:
    with workspace.lock():
        with pytest.raises(Busy, match=r"cloud `demo` is held by pid \d+"), workspace.lock():
            pass
        with Workspace("other").lock():
            pass
    with workspace.lock():
        pass


def test_removing_leaves_other_clouds_and_can_be_repeated(workspace: Workspace) -> None:
    other = Workspace("other")
    for each in (workspace, other):
        each.record_wanted({})
    assert clouds() == ["demo", "other"]
    with workspace.lock():
        workspace.remove()
    workspace.remove()
    assert clouds() == ["other"]


def test_a_place_that_cannot_be_written_is_a_users_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PILEUS_STATE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be made: Not a directory"):
        Workspace("demo").prepare()
