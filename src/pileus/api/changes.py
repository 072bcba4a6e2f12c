"""`publish`, `unpublish`, `floating-ip add|remove`: change what is wanted, then bring it about."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address

from pileus.api import converge, environment
from pileus.api.environment import Cloud
from pileus.api.record import Record
from pileus.api.wanted import parse_pair, require_server, wants
from pileus.model.errors import Refused
from pileus.model.report import Progress
from pileus.model.underlay import Node
from pileus.plan.addresses import next_free
from pileus.spec import Spec
from pileus.system.workspace import Workspace

Change = Callable[[Cloud, Record], Record]


def publish(
    spec: Spec, workspace: Workspace, progress: Progress, server: str, port: str
) -> list[str]:
    """Publish a port of a server, written as in pileus.yaml; what was changed, a sentence each.

    It is recorded first, so that `up` completes it when this is cut off. Raises Refused for a
    server that is not there, a port that is none, or one that is taken.
    """
    pair = parse_pair(spec, server, port)
    return _change(Cloud(spec, workspace), progress, lambda _, record: record.publish(pair, spec))


def unpublish(
    spec: Spec, workspace: Workspace, progress: Progress, server: str, port: str
) -> list[str]:
    """Take back a published port, also one that pileus.yaml names; what was changed."""
    pair = parse_pair(spec, server, port)
    return _change(Cloud(spec, workspace), progress, lambda _, record: record.unpublish(pair, spec))


def add_floating_ip(spec: Spec, workspace: Workspace, progress: Progress, server: str) -> list[str]:
    """Register one address more, with an Elastic IP, and make it a server's floating IP.

    Raises Refused for a server that is not there, with `mac-clone`, and where a limit is reached.
    """
    require_server(spec, server)
    _require_mac_nat(spec)
    return _change(
        Cloud(spec, workspace),
        progress,
        lambda cloud, record: record.float(
            _without_floating_ip(spec, record, server), _free(cloud, record)
        ),
    )


def remove_floating_ip(
    spec: Spec, workspace: Workspace, progress: Progress, address: str
) -> list[str]:
    """Give back a floating address, named as it is registered or by its Elastic IP.

    Raises Refused for an address that is not one of the cloud's, or that is in use.
    """
    return _change(
        Cloud(spec, workspace),
        progress,
        lambda cloud, record: record.release(_known(cloud, record, address), spec),
    )


def _change(cloud: Cloud, progress: Progress, change: Change) -> list[str]:
    with cloud.workspace.lock():
        aws = environment.reach_aws(cloud)
        record = change(cloud, Record.read(cloud.workspace.wanted()))
        want = wants(cloud.spec, record)
        converge.require_possible(cloud, aws, want)
        cloud.workspace.record_wanted(record.document())
        with progress.stage("underlay") as stage:
            changed = environment.grow(cloud, aws, want, stage)
            machine = environment.require_node(aws.observe(cloud.spec.cloud))
        return changed + list(converge.inside(cloud, aws, machine, want, progress).changed)


def _require_mac_nat(spec: Spec) -> None:
    if spec.uplink != "mac-nat":
        raise Refused(
            "floating IPs need a registered address each, and with `uplink: mac-clone` the cloud "
            f"below forwards only {spec.underlay.registered_address}, the router's own",
            hint="publish a port of that address (`pileus publish SERVER PORT:PORT`), "
            "or set `uplink: mac-nat`",
        )


def _without_floating_ip(spec: Spec, record: Record, server: str) -> str:
    """The server, if it has none of our making. Neutron allows one for each address of a port."""
    for address, holder in wants(spec, record).holders.items():
        if holder == server:
            raise Refused(
                f"{server} has the floating IP {address} already",
                hint=f"`pileus floating-ip remove {address}` first, or publish ports on another",
            )
    return server


def _free(cloud: Cloud, record: Record) -> IPv4Address:
    machine = _machine(cloud)
    return next_free(cloud.spec, {*machine.publics, *wants(cloud.spec, record).floating})


def _machine(cloud: Cloud) -> Node:
    return environment.require_node(environment.reach_aws(cloud).observe(cloud.spec.cloud))


def _known(cloud: Cloud, record: Record, text: str) -> IPv4Address:
    """The registered address that the user means."""
    try:
        address = IPv4Address(text)
    except ValueError:
        raise Refused(f"`{text}` is not an address", hint="write it as 172.16.20.102") from None
    by_public = {public: private for private, public in _machine(cloud).publics.items()}
    address = by_public.get(address, address)
    floating = wants(cloud.spec, record).floating
    if address not in floating:
        known = ", ".join(map(str, floating)) or "none"
        raise Refused(
            f"{address} is not one of the cloud's floating addresses", hint=f"they are: {known}"
        )
    return address
