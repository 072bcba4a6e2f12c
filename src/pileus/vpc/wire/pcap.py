"""A pcap file as a stream. Pure. [draft-ietf-opsawg-pcap, 4 and 5]"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

_MAGIC, _VERSION, _LONGEST, _ETHERNET = 0xA1B2C3D4, (2, 4), 65535, 1


def pcap(frames: Iterable[tuple[float, bytes]]) -> Iterator[bytes]:
    """The file's header, then one record for each frame with its Unix time, microseconds kept."""
    yield struct.pack("=IHHiIII", _MAGIC, *_VERSION, 0, 0, _LONGEST, _ETHERNET)
    for when, frame in frames:
        seconds, rest = divmod(round(when * 1_000_000), 1_000_000)
        yield struct.pack("=IIII", seconds, rest, len(frame), len(frame)) + frame
