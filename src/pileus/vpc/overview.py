"""What is in a region, as a document for those who look at it from another process. Pure."""

from __future__ import annotations

from typing import Any

from pileus.vpc.state import Eni, Instance, RegionState


def document(state: RegionState) -> dict[str, Any]:
    """VPCs, instances and interfaces of a region, each in the order of its id."""
    return {
        "vpcs": [
            {"id": vpc.id, "cidr": str(vpc.cidr), "internet_gateway": vpc.has_internet_gateway}
            for _, vpc in sorted(state.vpcs.items())
        ],
        "instances": [_instance(one) for _, one in sorted(state.instances.items())],
        "nics": [_nic(state, eni) for _, eni in sorted(state.enis.items())],
        "elastic_ips": sorted(str(one.public) for one in state.elastic_ips.values()),
    }


def _instance(instance: Instance) -> dict[str, Any]:
    kind = "thin" if instance.thin else "whole"
    return {"id": instance.id, "type": instance.type, "kind": kind, "state": instance.state}


def _nic(state: RegionState, eni: Eni) -> dict[str, Any]:
    return {
        "id": eni.id,
        "vpc": eni.vpc,
        "subnet": eni.subnet,
        "instance": eni.instance,
        "device": None if eni.device_index is None else f"eth{eni.device_index}",
        "mac": str(eni.mac),
        "addresses": [
            {"private": str(one), "public": str(public) if public else None}
            for one in eni.addresses
            for public in [state.public_of(one, eni.vpc)]
        ],
    }
