"""pileus.yaml → Spec: all problems at once, each with its file, line and a hint."""

from pileus.spec.checks import warnings
from pileus.spec.loading import load, loads
from pileus.spec.schema import (
    ROUTER,
    OpenStack,
    Provider,
    Server,
    Spec,
    TenantNetwork,
    Underlay,
)

__all__ = [
    "ROUTER",
    "OpenStack",
    "Provider",
    "Server",
    "Spec",
    "TenantNetwork",
    "Underlay",
    "load",
    "loads",
    "warnings",
]
