"""What is told of a dropped frame: decoded from the kernel's log, by name, and as pcap."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from random import Random

import pytest
from uplink_frames import INNER, NIC_MAC, OUTSIDE, ROUTER, WEB, ask, ether, ipv4, tagged, udp

from pileus.model.status import DroppedFrame
from pileus.model.verdict import EXPLANATIONS, Code
from pileus.system.netlog import decode
from pileus.vpc.wire.dropped import described, fields, offending
from pileus.vpc.wire.drops import LOG_LENGTH
from pileus.vpc.wire.pcap import pcap

DATAGRAM = ether(INNER, NIC_MAC, 0x0800, ipv4(WEB, OUTSIDE, udp(53, data=b"x" * 400)))
ETHERNET = {"source_mac": str(INNER), "destination_mac": str(NIC_MAC)}


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (
            DATAGRAM[:LOG_LENGTH],
            {
                **ETHERNET,
                "ether_type": "ip",
                "source": str(WEB),
                "destination": str(OUTSIDE),
                "protocol": "udp",
                "source_port": "40000",
                "destination_port": "53",
            },
        ),
        (DATAGRAM[:32], {**ETHERNET, "ether_type": "ip", "source": str(WEB), "protocol": "udp"}),
        (
            ether(INNER, NIC_MAC, 0x0800, ipv4(WEB, OUTSIDE, udp(53), fragment=1))[:34],
            {
                **ETHERNET,
                "ether_type": "ip",
                "source": str(WEB),
                "destination": str(OUTSIDE),
                "protocol": "udp",
            },
        ),
        (tagged(DATAGRAM), {**ETHERNET, "ether_type": "8021q"}),
        (DATAGRAM[:10], {"destination_mac": str(NIC_MAC)}),
        (b"", {}),
    ],
)
def test_a_frame_is_told_by_its_fields_as_far_as_it_is_there(
    frame: bytes, told: dict[str, str]
) -> None:
    assert fields(frame) == told


def test_icmp_has_type_and_code_and_arp_its_two_pairs() -> None:
    echo = ether(INNER, NIC_MAC, 0x0800, ipv4(WEB, OUTSIDE, b"\x08\x01", protocol=1))
    assert (fields(echo)["type"], fields(echo)["code"]) == ("8", "1")
    question = fields(ask(INNER, WEB, ROUTER))
    assert (question["operation"], question["sender_mac"]) == ("request", str(INNER))
    assert (question["sender"], question["target"]) == (str(WEB), str(ROUTER))


def test_no_bytes_are_too_strange_to_be_told() -> None:
    random = Random("drops")  # noqa: S311 - repeatable, not secret
    for _ in range(2000):
        head = random.choice((b"", DATAGRAM[:14], DATAGRAM[:24], ask(INNER, WEB, ROUTER)[:20]))
        fields(head + random.randbytes(random.randrange(40)))
        list(decode(random.randbytes(random.randrange(80))))


def test_what_a_frame_was_dropped_for_is_named_and_survives_as_json() -> None:
    nic = ("eni-1", "i-1", "eth0")
    made = described("2026-01-01T00:00:00.000Z", nic, "from", Code.SOURCE_IP, DATAGRAM)
    assert {name: made.fields[name] for name in made.offending} == {"source": str(WEB)}
    assert made.sentence == EXPLANATIONS[Code.SOURCE_IP].sentence
    assert made.to_json()["code"] == Code.SOURCE_IP.value
    assert DroppedFrame.from_json(made.to_json()) == made
    assert offending(Code.ARP_SENDER, fields(DATAGRAM)) == ()


def attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def logged(*attributes: bytes) -> bytes:
    body = bytes([5, 0, 0, 7]) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), 0x0400, 0, 0, 0) + body


def test_the_kernels_log_is_decoded_with_the_link_header_in_front() -> None:
    text, device = attribute(10, b"from X\0"), attribute(4, struct.pack("!I", 5))
    header, packet = attribute(16, DATAGRAM[:14]), attribute(9, DATAGRAM[14:])
    two = 2 * logged(text, device, header, packet)
    for found in decode(two):
        assert (found.text, found.in_device, found.out_device) == ("from X", 5, 0)
        assert found.frame == DATAGRAM
    assert len(list(decode(two))) == 2
    assert list(decode(two[:-60])) == list(decode(two))[:1]


def test_a_tag_that_the_kernel_took_off_is_put_back() -> None:
    vlan = attribute(1, b"\x81\0") + attribute(2, b"\0\7")
    header, packet = attribute(16, DATAGRAM[:14]), attribute(9, DATAGRAM[14:])
    (found,) = decode(logged(header, packet, attribute(20, vlan)))
    assert found.frame == tagged(DATAGRAM)


def test_a_capture_is_a_file_that_other_programs_read() -> None:
    parts = list(pcap([(1.5, DATAGRAM), (2.0000014, b"abc")]))
    assert struct.unpack("=IHHiIII", parts[0]) == (0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    assert struct.unpack("=IIII", parts[1][:16]) == (1, 500000, len(DATAGRAM), len(DATAGRAM))
    assert parts[1][16:] == DATAGRAM
    assert parts[2] == struct.pack("=IIII", 2, 1, 3, 3) + b"abc"
    assert IPv4Address(parts[1][16 + 26 : 16 + 30]) == WEB
