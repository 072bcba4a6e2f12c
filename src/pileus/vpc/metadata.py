"""Instance metadata, version 2: what an instance learns of itself without any credentials.

Paths, headers and status codes are those of the EC2 user guide ("Instance metadata and user data").
The answers are a pure function of the region's state; who asks is known by the source address,
which the wire does not let anybody forge.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import secrets
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import IPv4Address

from pileus.vpc.state import Eni, Instance, RegionState, profile_arn, profile_id

TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path, not a secret
TOKEN_HEADER = "x-aws-ec2-metadata-token"  # noqa: S105
TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"
MAX_TTL = 21600
"""Seconds: six hours. [EC2 user guide, IMDSv2]"""

VERSIONS = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2019-10-01", "2021-03-23", "latest")
"""Those that clients ask for, cloud-init's among them; each shows the same tree."""

PATIENCE = 60.0
"""Seconds that a service which is away keeps a connection, unless the client gives it up."""

ROOT_DEVICE = "/dev/xvda"
CANARY = "ASIACANARY"
"""Begins the access key of role credentials here: whoever shows one has read another's metadata."""

Tree = Mapping[str, "Tree | str | bytes"]
"""A directory. An entry `0=name` is listed so, and found as `0/`."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/plain"
    ttl: int | None = None
    """Hops that the answer may take; None for the system's own default."""


@dataclass(frozen=True)
class Asker:
    """An instance that asks by one of its NICs, with the state that answers it."""

    state: RegionState
    instance: Instance
    nic: str = ""


@dataclass(frozen=True)
class Desk:
    """What the server of one VPC needs from the region.

    `lookup` says who has a source address, `away` whether nothing shall be answered, and `count`
    takes the NIC of each request that came, and its kind. `key` signs tokens.
    """

    lookup: Callable[[IPv4Address], Asker | None]
    away: Callable[[], bool] = lambda: False
    count: Callable[[str, str], None] = lambda _nic, _kind: None
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))


def asker(state: RegionState, vpc: str, source: IPv4Address) -> Asker | None:
    """The instance that has this address in this VPC, or None."""
    for eni in state.enis.values():
        if eni.vpc == vpc and source in eni.registered and eni.instance in state.instances:
            return Asker(state, state.instances[eni.instance], eni.id)
    return None


def kind(request: Request) -> str:
    """What a request is after: token, credentials, meta-data, user-data, dynamic, or other."""
    if request.method == "PUT":
        return "token"
    words = [word for word in request.path.partition("?")[0].split("/") if word][1:]
    if words[:3] == ["meta-data", "iam", "security-credentials"]:
        return "credentials"
    return words[0] if words and words[0] in ("meta-data", "user-data", "dynamic") else "other"


# Tokens


def make_token(key: bytes, instance: str, expires: int) -> str:
    """A token for one instance until `expires` (seconds since 1970); nothing has to be stored."""
    proof = hmac.digest(key, f"{instance} {expires}".encode(), "sha256")
    return base64.urlsafe_b64encode(expires.to_bytes(8, "big") + proof).decode()


def token_holds(key: bytes, instance: str, token: str, now: float) -> bool:
    """Whether a token was made for this instance and has not expired."""
    try:
        expires = int.from_bytes(base64.urlsafe_b64decode(token)[:8], "big")
    except ValueError:
        return False
    made = make_token(key, instance, expires)
    return hmac.compare_digest(made.encode(), token.encode()) and now < expires


# Answers


def answer(key: bytes, asking: Asker | None, request: Request, now: float) -> Response:
    """The answer to a request; `key` signs tokens, `now` is in seconds since 1970."""
    if asking is None:
        return _error(HTTPStatus.NOT_FOUND)
    if not asking.instance.metadata_enabled:
        return _error(HTTPStatus.FORBIDDEN)
    if request.method == "PUT":
        return _token(key, asking.instance, request, now)
    if request.method not in ("GET", "HEAD"):
        return _error(HTTPStatus.METHOD_NOT_ALLOWED)
    token = request.headers.get(TOKEN_HEADER)
    if token is None and asking.instance.metadata_tokens_required:
        return _error(HTTPStatus.UNAUTHORIZED)
    if token is not None and not token_holds(key, asking.instance.id, token, now):
        return _error(HTTPStatus.UNAUTHORIZED)
    return _get(key, asking, request.path, now)


def _token(key: bytes, instance: Instance, request: Request, now: float) -> Response:
    if request.path != TOKEN_PATH:
        return _error(HTTPStatus.NOT_FOUND)
    # A proxy that adds this header would hand the token to someone else.
    if "x-forwarded-for" in request.headers:
        return _error(HTTPStatus.FORBIDDEN)
    seconds = _ttl(request.headers.get(TTL_HEADER, ""))
    if not 1 <= seconds <= MAX_TTL:
        return _error(HTTPStatus.BAD_REQUEST)
    token = make_token(key, instance.id, int(now) + seconds)
    return Response(
        200, token.encode(), {TTL_HEADER: str(seconds)}, ttl=instance.metadata_hop_limit
    )


def _ttl(text: str) -> int:
    """Seconds; 0 for what is no number, or is too long to be one worth reading."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _get(key: bytes, asking: Asker, path: str, now: float) -> Response:
    words = [word for word in path.partition("?")[0].split("/") if word]
    if not words:
        return Response(200, "\n".join(VERSIONS).encode())
    if words[0] not in VERSIONS:
        return _error(HTTPStatus.NOT_FOUND)
    node: Tree | str | bytes | None = tree(key, asking, now)
    for word in words[1:]:
        node = _child(node, word) if isinstance(node, Mapping) else None
    if node is None:
        return _error(HTTPStatus.NOT_FOUND)
    if isinstance(node, Mapping):
        return Response(200, listing(node).encode())
    if isinstance(node, bytes):
        return Response(200, node, content_type="application/octet-stream")
    return Response(200, node.encode())


def _child(node: Tree, name: str) -> Tree | str | bytes | None:
    for entry, child in node.items():
        if entry.partition("=")[0] == name:
            return child
    return None


def listing(node: Tree) -> str:
    """What a directory answers: its names, those of directories with a slash."""
    return "\n".join(
        f"{name}/" if isinstance(child, Mapping) and "=" not in name else name
        for name, child in node.items()
    )


def _error(status: HTTPStatus) -> Response:
    page = f"<html><head><title>{status.value} - {status.phrase}</title></head></html>\n"
    return Response(status.value, page.encode(), content_type="text/html")


# The tree


def tree(key: bytes, asking: Asker, now: float) -> Tree:
    """Everything under one version."""
    top: dict[str, Tree | str | bytes] = {
        "dynamic": {"instance-identity": {"document": _identity(asking)}},
        "meta-data": _meta_data(key, asking, now),
    }
    if asking.instance.user_data is not None:
        top["user-data"] = asking.instance.user_data
    return top


def _meta_data(key: bytes, asking: Asker, now: float) -> Tree:
    state, instance = asking.state, asking.instance
    nics = state.enis_of(instance.id)
    primary = nics[0]
    hostname = f"{instance.hostname}.{_domain(state.region)}"
    found: dict[str, Tree | str | bytes] = {
        "ami-id": instance.image_id,
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "block-device-mapping": {"ami": ROOT_DEVICE, "root": ROOT_DEVICE},
        "hostname": hostname,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.type,
        "local-hostname": hostname,
        "local-ipv4": str(primary.addresses[0]),
        "mac": str(primary.mac),
        "network": {"interfaces": {"macs": {str(nic.mac): _nic(state, nic) for nic in nics}}},
        "placement": {
            "availability-zone": state.subnets[primary.subnet].zone,
            "region": state.region,
        },
        "profile": "default-hvm",
        "security-groups": _group_names(state, primary),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
        "system": "nitro",
    }
    public = state.public_of(primary.addresses[0], primary.vpc)
    if public:
        found |= {"public-hostname": _public_name(state, public), "public-ipv4": str(public)}
    if instance.public_key:
        key_name = f"0={instance.key_name}"
        found["public-keys"] = {key_name: {"openssh-key": instance.public_key}}
    if instance.profile:
        found["iam"] = _role(key, asking, instance.profile, now)
    return dict(sorted(found.items()))


def _nic(state: RegionState, nic: Eni) -> Tree:
    subnet, vpc = state.subnets[nic.subnet], state.vpcs[nic.vpc]
    private = str(nic.addresses[0])
    found: dict[str, Tree | str | bytes] = {
        "device-number": str(nic.device_index or 0),
        "interface-id": nic.id,
        "local-hostname": f"ip-{private.replace('.', '-')}.{_domain(state.region)}",
        "local-ipv4s": "\n".join(str(address) for address in nic.addresses),
        "mac": str(nic.mac),
        "network-card-index": "0",
        "owner-id": state.account,
        "security-group-ids": "\n".join(nic.groups),
        "security-groups": _group_names(state, nic),
        "subnet-id": nic.subnet,
        "subnet-ipv4-cidr-block": str(subnet.cidr),
        "vpc-id": nic.vpc,
        "vpc-ipv4-cidr-block": str(vpc.cidr),
        "vpc-ipv4-cidr-blocks": "\n".join(map(str, vpc.networks)),
    }
    if nic.prefixes:
        found["ipv4-prefix"] = "\n".join(map(str, nic.prefixes))
    pairs = {
        str(public): str(address)
        for address in nic.addresses
        if (public := state.public_of(address, nic.vpc))
    }
    if pairs:
        found["ipv4-associations"] = pairs
        found["public-ipv4s"] = "\n".join(pairs)
        found["public-hostname"] = _public_name(state, IPv4Address(next(iter(pairs))))
    return dict(sorted(found.items()))


def _group_names(state: RegionState, nic: Eni) -> str:
    return "\n".join(state.groups[group].name for group in nic.groups)


def _domain(region: str) -> str:
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


def _public_name(state: RegionState, public: IPv4Address) -> str:
    zone = "compute-1" if state.region == "us-east-1" else f"{state.region}.compute"
    return f"ec2-{str(public).replace('.', '-')}.{zone}.amazonaws.com"


def _identity(asking: Asker) -> str:
    state, instance = asking.state, asking.instance
    primary = state.enis_of(instance.id)[0]
    document = {
        "accountId": state.account,
        "architecture": "x86_64",
        "availabilityZone": state.subnets[primary.subnet].zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.type,
        "kernelId": None,
        "marketplaceProductCodes": None,
        "pendingTime": instance.launched,
        "privateIp": str(primary.addresses[0]),
        "ramdiskId": None,
        "region": state.region,
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2)


def _role(key: bytes, asking: Asker, profile: str, now: float) -> Tree:
    """Credentials that open nothing and are recognised anywhere: they must never be seen inside."""
    instance = asking.instance
    digest = hashlib.sha256(key + instance.id.encode()).hexdigest()
    moment = datetime.fromtimestamp(now, UTC)
    credentials = {
        "Code": "Success",
        "LastUpdated": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "Type": "AWS-HMAC",
        "AccessKeyId": CANARY + digest[:10].upper(),
        "SecretAccessKey": digest[10:50],
        "Token": f"canary-{digest[50:]}",
        "Expiration": f"{moment + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
    }
    info = {
        "Code": "Success",
        "LastUpdated": credentials["LastUpdated"],
        "InstanceProfileArn": profile_arn(asking.state.account, profile),
        "InstanceProfileId": profile_id(asking.state.account, profile),
    }
    return {
        "info": json.dumps(info, indent=2),
        "security-credentials": {profile: json.dumps(credentials, indent=2)},
    }


# The server


class MetadataServer:
    """Answers on a listening socket until it is stopped; owns the socket."""

    def __init__(self, listener: socket.socket, desk: Desk) -> None:
        self._server = _Server(listener, desk)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metadata", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and close the socket. Idempotent."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def serve(listener: socket.socket, desk: Desk) -> MetadataServer:
    """Serve instance metadata on a socket that listens in a VPC's namespace."""
    return MetadataServer(listener, desk)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, desk: Desk) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.desk = desk

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is nobody's fault."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    timeout = 10.0

    def _reply(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers)
        asking = self.server.desk.lookup(IPv4Address(self.client_address[0]))
        if asking is not None:
            self.server.desk.count(asking.nic, kind(request))
        if self.server.desk.away():
            self._say_nothing()
            return
        self._send(answer(self.server.desk.key, asking, request, time.time()))
        # The body of a request is never wanted; without it the connection cannot go on.
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True

    def _say_nothing(self) -> None:
        """Until the client has had enough."""
        select.select([self.connection], [], [], PATIENCE)
        self.close_connection = True

    def _send(self, found: Response) -> None:
        ttl = 64 if found.ttl is None else found.ttl
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        self.send_response(found.status)
        self.send_header("Content-Type", found.content_type)
        self.send_header("Content-Length", str(len(found.body)))
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(found.body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _reply

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a request may carry a token."""
