"""What a simulated region is made with."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

DEBIAN = "136693071363"
"""Publishes Debian's machine images on AWS. [wiki.debian.org/Cloud/AmazonEC2Image]"""

ELASTIC_POOL = IPv4Network("198.51.100.0/24")
"""Reserved for documentation, so nobody's. [RFC 5737]"""


@dataclass(frozen=True)
class CatalogueImage:
    """A public machine image that instances can be launched from, found by name and owner."""

    name: str
    owner: str = DEBIAN
    root_gib: int = 8


@dataclass(frozen=True)
class Ec2Settings:
    """A region: its name, its address pool, its images and its first quotas (AWS's defaults)."""

    region: str = "us-east-1"
    account: str = "123456789012"
    port: int = 0
    """Of 127.0.0.1; 0 lets the kernel choose."""
    images: tuple[CatalogueImage, ...] = ()
    elastic_pool: IPv4Network = ELASTIC_POOL
    elastic_quota: int = 5
    vpc_quota: int = 5
    settle_at_once: bool = False
    """Instances change state by themselves, without a machine layer that reports it."""
