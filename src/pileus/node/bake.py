"""Put into an image all that does not depend on the instance."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pileus.node import runner

PACKAGE = Path(__file__).parent


def image_key() -> str:
    """A short name for what `build_base` and `bake` would make now; another content, another key."""
    digest = hashlib.sha256()
    sources = [*PACKAGE.rglob("*"), PACKAGE.parent / "vpc/base_image.py"]
    for path in sorted(p for p in sources if p.is_file() and "__pycache__" not in p.parts):
        digest.update(str(path.relative_to(PACKAGE.parent)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def bake(root: Path, *, log: Path) -> None:
    """Turn the file system of a bare Debian 13 into that of an unconfigured controller. Idempotent."""
    raise NotImplementedError
