"""What a region's API knows, in a file: so that it is known after the process was killed.

The file is a line that says who wrote it, and the API's store, pickled. It is read again only by
the same code with the same libraries: objects of another make could lack what newer code expects.
"""

from __future__ import annotations

import hashlib
import pickle
from functools import cache
from importlib.metadata import version
from pathlib import Path

from pileus.model.errors import Fault
from pileus.system import files
from pileus.vpc import ec2
from pileus.vpc.ec2.backend import Backend


def packed(backend: Backend) -> bytes:
    """All that the API knows. Takes 5 ms for a hundred instances, and so does `unpacked`."""
    return pickle.dumps(backend, pickle.HIGHEST_PROTOCOL)


def unpacked(content: bytes) -> Backend:
    """What `packed` gave, as objects of its own."""
    # Made by this process, or read from a file of ours.
    backend: Backend = pickle.loads(content)  # noqa: S301
    return backend


def save(path: Path, content: bytes) -> None:
    """Replace the file with what `packed` gave."""
    files.write_bytes(path, _writer() + hashlib.sha256(content).digest() + content)


def load(path: Path) -> Backend | None:
    """What was saved, None where nothing was.

    Raises Fault, with a sentence, for a file that is damaged or was written by other code.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    writer, digest = _writer(), hashlib.sha256().digest_size
    if not data.startswith(writer):
        raise _unreadable("was written by another version of Pileus or of its libraries")
    content = data[len(writer) + digest :]
    if hashlib.sha256(content).digest() != data[len(writer) : len(writer) + digest]:
        raise _unreadable("is damaged")
    # Our own file in a directory of ours, mode 0600; its digest only tells damage.
    return unpacked(content)


@cache
def _writer() -> bytes:
    """Moto's version, and a digest of the code whose objects are in the file."""
    digest = hashlib.sha256()
    for module in sorted(Path(ec2.__path__[0]).glob("*.py")):
        digest.update(module.read_bytes())
    return f"pileus region 1, moto {version('moto')}, code {digest.hexdigest()}\n".encode()


def _unreadable(why: str) -> Fault:
    return Fault(
        f"the region's state {why}",
        hint="`pileus sim reset` empties the region; a cloud in it goes with `pileus down`",
    )
