"""What the API knows, in a file and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pileus.model.errors import Fault
from pileus.vpc import store
from pileus.vpc.ec2.backend import Backend
from pileus.vpc.ec2.settings import CatalogueImage, Ec2Settings
from pileus.vpc.ec2.snapshot import snapshot


@pytest.fixture
def backend() -> Backend:
    made = Backend(Ec2Settings(images=(CatalogueImage("tiny"),)))
    vpc = made.create_vpc("10.0.0.0/16")
    subnet = made.create_subnet(vpc.id, "10.0.1.0/24", "us-east-1a")
    made.create_network_interface(subnet.id, "10.0.1.5", None, None, "kept")
    made.allocate_address("vpc")
    return made


def test_what_was_saved_is_there_again(backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert store.load(path) is None
    store.save(path, store.packed(backend))
    again = store.load(path)
    assert again is not None
    assert snapshot(again) == snapshot(backend)
    assert [eni.description for eni in again.enis.values()] == ["kept"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[:-1], "is damaged"),
        (lambda data: data + b"x", "is damaged"),
        (lambda data: b"", "another version"),
        (lambda data: data.replace(b"region 1", b"region 0", 1), "another version"),
    ],
)
def test_what_cannot_be_trusted_is_refused_with_a_sentence(
    backend: Backend, tmp_path: Path, damage: object, told: str
) -> None:
    path = tmp_path / "state"
    store.save(path, store.packed(backend))
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(Fault, match=told) as refused:
        store.load(path)
    assert "pileus sim reset" in refused.value.hint
