"""A small cloud's ends, for tests of both halves of a trace: two routers, three servers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from pileus.model.addresses import Mac
from pileus.model.ends import (
    Below,
    End,
    Ends,
    Gateway,
    Interface,
    Machine,
    Metadata,
    Network,
    Outside,
    Router,
    Server,
)
from pileus.model.path import Asked, Headers

A = IPv4Address
PRIVATE, SECOND = Network("private", "n-private"), Network("second", "n-second")
THIRD = Network("third", "n-third")
ROUTER = Router(
    "router",
    "r-1",
    Gateway("gw-1", A("172.16.20.101"), Mac("fa:16:3e:00:01:01")),
    {"n-private": "qr-1", "n-second": "qr-2"},
)
OTHER = Router(
    "other",
    "r-2",
    Gateway("gw-2", A("172.16.20.103"), Mac("fa:16:3e:00:01:03")),
    {"n-third": "qr-3"},
)
WEB = Server(
    "web", "s-1", "p-1", A("192.168.20.5"), Mac("fa:16:3e:00:00:05"), PRIVATE, router=ROUTER
)
DB = Server("db", "s-2", "p-2", A("192.168.21.5"), Mac("fa:16:3e:00:00:15"), SECOND, router=ROUTER)
APP = Server(
    "app",
    "s-3",
    "p-3",
    A("192.168.22.5"),
    Mac("fa:16:3e:00:00:25"),
    THIRD,
    router=OTHER,
    floating=A("172.16.20.102"),
)
CONTROLLER = Machine("controller", A("172.16.10.101"))
INTERNET = Outside("internet", A("198.18.0.7"))
GOOGLE = Outside("8.8.8.8", A("8.8.8.8"))
OPENSTACK, UNDERLAY = (Metadata(name, A("169.254.169.254")) for name in ("openstack", "underlay"))
BELOW = Below(
    IPv4Network("172.16.0.0/16"),
    {
        "management": Interface(
            "management",
            "eth0",
            "eni-m",
            Mac("02:00:00:00:00:0a"),
            IPv4Network("172.16.10.0/24"),
        ),
        "provider": Interface(
            "provider", "eth1", "eni-p", Mac("02:00:00:00:00:14"), IPv4Network("172.16.20.0/24")
        ),
    },
    {
        A("172.16.10.101"): A("198.51.100.1"),
        A("172.16.20.101"): A("198.51.100.2"),
        A("172.16.20.102"): A("198.51.100.3"),
    },
)


def ends(
    source: End,
    destination: End,
    to: str,
    *,
    at: str | None = None,
    through: Router | None = None,
    port: int | None = None,
    target: int | None = None,
) -> Ends:
    """Two ends of this cloud; `to` is the address that the first packet is sent to."""
    own = source.gateway if isinstance(source, Router) else source
    assert own
    first = Headers(own.address, A(to), None, port)
    asked = Asked(source.name, to, "tcp" if port else "icmp", port)
    registered = A(at) if at else None
    return Ends(asked, source, destination, BELOW, first, registered, through, target or port)
