"""Watches devices for marked packets, and sends them: a program of its own.

Its text is read by a `python3` on the machine, ahead of what it is told, so it needs nothing there
but the standard library (Python 3.9 or newer), and nothing is left behind. It reads lines of JSON
and prints lines of JSON: what to watch (a line is printed once that is being done), what to send,
and to stop: then it prints what was seen. It ends when its input ends, and in any case after `life`
seconds.

It judges nothing. It watches by packet sockets, which see what a device receives before any hook
of netfilter's, and what it sends after them.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

NETWORK = 0x40000000
"""CLONE_NEWNET. [linux/sched.h]"""
ALL, OUTGOING, ATTACH_FILTER = 3, 4, 26
"""ETH_P_ALL, PACKET_OUTGOING, SO_ATTACH_FILTER. [linux/if_ether.h, if_packet.h, socket.h]"""
FLAGS, MTU, IS_UP, IS_RUNNING = 0x8913, 0x8921, 1, 64
"""SIOCGIFFLAGS, SIOCGIFMTU, IFF_UP, IFF_RUNNING. [linux/sockios.h, linux/if.h]"""
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}
ECHO, ECHO_REPLY, ERRORS = 8, 0, (3, 11, 12)
SYN, RST, ACK = 2, 4, 16
SHIFT = 14
"""TCP's sequence numbers of two probes are this many bits apart: more than what one carries."""
PROBES = 4
RECORDS = 500
COMMAND_SECONDS = 2.5
SETTLE_SECONDS = 0.05
"""For what other sockets still hold when the answer is home."""
NETNS = "/run/netns/"
Document = dict[str, Any]


def instructions(protocol: int, ports: list[int]) -> Iterator[tuple[int, int, str, str]]:
    """What may be of interest: of IPv4, ICMP, and connection starts and refusals or datagrams of
    our ports. As code, operand, and where to go: on, to the `yes` or the `no` at the end."""
    load, half, equal, bits = 0x30, 0x28, 0x15, 0x45  # [linux/bpf_common.h]
    yield half, 12, "", ""
    yield equal, 0x0800, "", "no"
    yield load, 23, "", ""
    yield equal, 1, "yes", ""
    yield equal, protocol, "", "no"
    yield half, 20, "", ""
    yield bits, 0x1FFF, "no", ""  # a later fragment
    yield 0xB1, 14, "", ""  # the length of the IP header, as an index
    if protocol == PROTOCOLS["tcp"]:
        yield 0x50, 14 + 13, "", ""
        yield bits, SYN | RST, "yes", "no"
        return
    for offset in (14, 16):
        yield 0x48, offset, "", ""
        for port in ports:
            yield equal, port, "yes", ""
    yield equal, 0x10000, "yes", "no"


def attach(opened: socket.socket, protocol: int, ports: list[int]) -> None:
    """Have the kernel hand a packet socket only what may be of interest."""
    code = [*instructions(protocol, ports)]
    end = len(code)
    aims = {"yes": end, "no": end + 1}
    words = [
        struct.pack(
            "HBBI", operation, *(aims.get(aim, at + 1) - at - 1 for aim in aim_pair), operand
        )
        for at, (operation, operand, *aim_pair) in enumerate(code)
    ]
    words += [struct.pack("HBBI", 0x06, 0, 0, length) for length in (0xFFFF, 0)]
    program = ctypes.create_string_buffer(b"".join(words))
    wanted = struct.pack("HP", len(words), ctypes.addressof(program))
    opened.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, wanted)


@contextlib.contextmanager
def inside(namespace: str | None) -> Iterator[None]:
    """Be in a network namespace; sockets made there stay in it. Raises FileNotFoundError where
    it is gone."""
    if namespace is None:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open(NETNS + namespace) as there:
        if libc.setns(there.fileno(), NETWORK):
            raise FileNotFoundError(namespace)
        try:
            yield
        finally:
            libc.setns(home.fileno(), NETWORK)


class Eye:
    """A device that is being watched, or the reason why not."""

    def __init__(self, asked: Document) -> None:
        self.key, self.namespace, self.device = asked["key"], asked["namespace"], asked["device"]
        if asked["behind"]:
            self.device = behind(asked["device"])
        self.socket: socket.socket | None = None
        self.told: Document = {}

    def open(self, protocol: int, ports: list[int]) -> None:
        try:
            with inside(self.namespace):
                self._open(protocol, ports)
        except FileNotFoundError:
            self.told = {"state": "no namespace"}

    def _open(self, protocol: int, ports: list[int]) -> None:
        if self.device == "":
            self.told = {"state": "none"}
            return
        kinds = socket.htons(ALL) if self.device is None else 0
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kinds)
        attach(opened, protocol, ports)
        opened.setblocking(False)
        self.told = {"state": "up"}
        if self.device is not None:
            try:
                self.told = look(opened, self.device)
                opened.bind((self.device, ALL))
            except OSError:
                self.told = {"state": "absent"}
                opened.close()
                return
        self.socket = opened


def behind(nic: str) -> str:
    """The uplink's veth behind a NIC; empty where Open vSwitch has the NIC itself."""
    try:
        with open("/etc/pileus/uplink.json") as file:
            if json.load(file)["datapath"] != "netdev":
                return ""
    except (OSError, ValueError, KeyError):
        return ""
    try:
        bridge = os.path.basename(os.readlink("/sys/class/net/" + nic + "/master"))
    except OSError:
        bridge = "uplink0"
    return bridge + "-in"


def look(opened: socket.socket, device: str) -> Document:
    """Whether a device is up, its MTU and its MAC. Raises OSError where there is none."""

    def ask(request: int) -> int:
        answer = fcntl.ioctl(opened, request, struct.pack("16si20x", device.encode(), 0))
        return int(struct.unpack_from("i" if request == MTU else "h", answer, 16)[0])

    flags = ask(FLAGS)
    with contextlib.suppress(OSError):
        opened.bind((device, 0))
    mac = opened.getsockname()[4].hex(":")
    state = "up" if flags & IS_UP else "down"
    return {"state": state, "running": bool(flags & IS_RUNNING), "mtu": ask(MTU), "mac": mac}


class Marks:
    """How our packets and their answers are known, whatever is translated on the way.

    ICMP and UDP carry a token, and the number of the probe behind it. TCP has it in the sequence
    number. Where nobody could choose that, a connection's first packet is taken for a probe if it
    comes from the right address for the right port (`loose`).
    """

    def __init__(self, plan: Document) -> None:
        self.protocol = PROTOCOLS[plan["protocol"]]
        self.token, self.base = bytes.fromhex(plan["token"]), int(plan["sequence"])
        self.loose: Document = plan.get("loose") or {}
        self.ports = set(plan["ports"])
        self.adopted: list[int] = []

    def read(self, frame: bytes) -> Document | None:
        """A frame as a record; None for one that is not ours."""
        try:
            return self._packet(frame[14:])
        except (IndexError, OSError, struct.error):  # cut short
            return None

    def _packet(self, packet: bytes) -> Document | None:
        protocol, payload = packet[9], packet[4 * (packet[0] & 15) : _half(packet, 2)]
        found: Document = {
            "source": socket.inet_ntoa(packet[12:16]),
            "destination": socket.inet_ntoa(packet[16:20]),
            "size": _half(packet, 2),
        }
        if protocol in (6, 17):
            found["source_port"], found["destination_port"] = _half(payload, 0), _half(payload, 2)
        if protocol == 1 and payload[0] in ERRORS:
            return self._error(found, payload)
        known = self._known(protocol, found, payload)
        return {**found, **known} if known else None

    def _error(self, found: Document, payload: bytes) -> Document | None:
        """An ICMP error about one of our packets: the router's quotes are long enough. [RFC 1812,
        section 4.3.2.3]"""
        inner = payload[8:]
        about = self._known(inner[9], {}, inner[4 * (inner[0] & 15) :])
        if not about or about["kind"] != "probe":
            return None
        code = f"{payload[0]}/{payload[1]}"
        return {**found, "kind": "error", "number": about["number"], "icmp": code}

    def _known(self, protocol: int, found: Document, payload: bytes) -> Document | None:
        if protocol != self.protocol:
            return None
        if protocol == PROTOCOLS["tcp"]:
            return self._tcp(found, payload)
        start = 8
        if payload[start : start + len(self.token)] == self.token:
            number = payload[start + len(self.token)]
            asks = protocol == PROTOCOLS["udp"] or payload[0] == ECHO
            return {"kind": "probe" if asks else "answer", "number": number}
        if protocol == PROTOCOLS["udp"]:
            return {"kind": "datagram", "number": None}
        return None

    def _tcp(self, found: Document, payload: bytes) -> Document | None:
        sequence = struct.unpack_from("!I", payload, 4)[0]
        number = self._number(sequence, exact=True)
        if number is None and len(payload) < 14:
            return None
        flags = payload[13] if len(payload) > 13 else SYN
        if flags & SYN and not flags & ACK:
            if number is None:
                number = self._adopt(sequence, found)
            return None if number is None else {"kind": "probe", "number": number}
        if flags & ACK:
            number = self._number(struct.unpack_from("!I", payload, 8)[0] - 1, exact=False)
            if number is not None:
                return {"kind": "answer", "number": number, "refused": bool(flags & RST)}
        return None

    def _number(self, sequence: int, exact: bool) -> int | None:
        for number, start in enumerate(self.adopted):
            if (sequence - start) % (1 << 32) < (1 if exact else 1 << SHIFT):
                return number
        number, rest = divmod((sequence - self.base) % (1 << 32), 1 << SHIFT)
        return number if number < PROBES and not (exact and rest) else None

    def _adopt(self, sequence: int, found: Document) -> int | None:
        if not self.loose or len(self.adopted) == PROBES:
            return None
        if found.get("source") not in self.loose["sources"]:
            return None
        if found["destination_port"] not in self.ports:
            return None
        self.adopted.append(sequence)
        return len(self.adopted) - 1


def _half(data: bytes, at: int) -> int:
    return int(struct.unpack_from("!H", data, at)[0])


class Watcher:
    """All that is watched on this machine, and what was seen."""

    def __init__(self, plan: Document) -> None:
        self.plan = plan
        self.marks = Marks(plan)
        self.eyes = [Eye(one) for one in plan["watch"]]
        self.seen: list[Document] = []
        self.end = time.monotonic() + plan["life"]

    def open(self) -> Document:
        for eye in self.eyes:
            eye.open(self.marks.protocol, self.plan["ports"])
        return {eye.key: eye.told for eye in self.eyes}

    def listen(self, seconds: float, also: int | None = None, until: Any = None) -> bool:
        """Record what is seen, until there is something to read at `also`, or `until` says so.

        Whether one of these happened in time."""
        end = min(self.end, time.monotonic() + seconds)
        watched = {eye.socket.fileno(): eye for eye in self.eyes if eye.socket}
        while not (until and until()):
            left = end - time.monotonic()
            if left <= 0:
                return False
            ready = select.select([*watched, *([] if also is None else [also])], [], [], left)[0]
            for descriptor in ready:
                if descriptor != also:
                    self._record(watched[descriptor])
            if also in ready:
                return True
        return True

    def _record(self, eye: Eye) -> None:
        assert eye.socket is not None  # noqa: S101 - for the type checker
        try:
            frame, address = eye.socket.recvfrom(1 << 16)
        except OSError:  # its device went down, or there was nothing after all
            return
        if len(self.seen) >= RECORDS:
            return
        record = self.marks.read(frame)
        if record is not None:
            record.update(
                at=eye.key,
                out=address[2] == OUTGOING,
                time=round(time.monotonic(), 5),
                to=frame[:6].hex(":"),
                by=frame[6:12].hex(":"),
            )
            self.seen.append(record)

    def answered(self, number: int) -> bool:
        """Whether an answer to a probe, or an error about it, has come home."""
        return any(
            record["at"] == home["key"]
            and record["out"] == home["out"]
            and record["kind"] in ("answer", "error", "datagram")
            and record["number"] in (number, None)
            for record in self.seen
            for home in self.plan["homes"]
        )

    def send(self, told: Document) -> Document:
        """Send a small probe, again if nothing answers; then one of full size, again likewise."""
        sender = {"run": by_program, "raw": by_socket, "plain": by_user}[told["how"]]
        sent: list[int] = []
        errors: list[str] = []
        answered: list[int] = []
        for attempts in told["attempts"]:
            for number, patience in zip(attempts, told["patience"]):
                if len(sent) == told["most"]:
                    break
                sent.append(number)
                error = sender({**told, "patience": patience}, number, self)
                if error:
                    errors.append(error)
                if self.listen(patience, until=lambda: self.answered(number)):  # noqa: B023
                    answered.append(number)
                    break
            else:
                break
        return {"sent": sent, "answered": answered, "errors": errors}


def by_program(told: Document, number: int, _: Watcher) -> str | None:
    """Hand the packet to a program that puts it on its way."""
    done = finish(start({"argv": told["programs"][str(number)]}))
    return None if done["code"] == 0 else str(done["error"]).strip() or "it did not end"


def by_socket(told: Document, number: int, _: Watcher) -> str | None:
    """Send it as a packet of this machine's own, or of one of its namespaces."""
    packet = bytes.fromhex(told["packets"][str(number)])
    try:
        with inside(told["namespace"]), raw() as opened:
            opened.sendto(packet, (told["destination"], 0))
    except OSError as error:
        return error.strerror or str(error)
    return None


def raw() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def by_user(told: Document, number: int, watcher: Watcher) -> str | None:
    """Send as any user may: the kernel writes the headers. An answer is recorded as seen here."""
    payload = bytes.fromhex(told["payloads"][str(number)])
    target = (told["destination"], told["port"] or 0)
    kinds = {"tcp": (1, 6), "udp": (2, 17), "icmp": (2, 1)}
    record: Document = {"at": "user", "out": False, "number": number, "kind": "answer"}
    record.update(source=told["destination"], destination=None, size=0, time=time.monotonic())
    try:
        with socket.socket(socket.AF_INET, *kinds[told["protocol"]]) as opened:
            opened.settimeout(told["patience"])
            opened.connect(target)
            if told["protocol"] != "tcp":
                opened.send(payload)
                opened.recv(1 << 16)
    except ConnectionRefusedError:
        record["refused"] = True
    except OSError as error:
        return None if isinstance(error, TimeoutError) else error.strerror or str(error)
    watcher.seen.append(record)
    return None


def start(command: Document) -> subprocess.Popen[bytes] | None:
    argv = list(command["argv"])
    if command.get("namespace"):
        argv = ["ip", "netns", "exec", command["namespace"], *argv]
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    except OSError:
        return None


def finish(running: subprocess.Popen[bytes] | None) -> Document:
    """What a program printed, and its exit code: None where it is not installed or hangs."""
    if running is None:
        return {"code": None, "out": "", "error": "not installed"}
    try:
        out, error = running.communicate(timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()
        running.communicate()
        return {"code": None, "out": "", "error": "it does not end"}
    return {
        "code": running.returncode,
        "out": out.decode(errors="replace"),
        "error": error.decode(errors="replace"),
    }


def run(commands: Document) -> Document:
    """Programs that only show something, side by side."""
    running = {name: start(command) for name, command in commands.items()}
    return {name: finish(one) for name, one in running.items()}


def say(document: Document) -> None:
    print(json.dumps(document), flush=True)


def main() -> None:
    plan = json.loads(sys.stdin.buffer.readline())
    watcher = Watcher(plan)
    opened = watcher.open()
    say({"eyes": opened, "before": run(plan["count"])})
    given, pending = sys.stdin.fileno(), b""
    while watcher.listen(plan["life"], also=given):
        more = os.read(given, 1 << 20)
        if not more:
            return
        *lines, pending = (pending + more).split(b"\n")
        for line in lines:
            obey(watcher, json.loads(line))


def obey(watcher: Watcher, told: Document) -> None:
    plan = watcher.plan
    if told["do"] == "send":
        say(watcher.send(told))
    elif told["do"] == "seen":
        watcher.listen(SETTLE_SECONDS)
        say({"seen": watcher.seen, "after": run(told["look"])})
    elif told["do"] == "look":
        run(plan["settle"])
        say({"after": run({**plan["count"], **told["look"]})})


if __name__ == "__main__":
    main()
