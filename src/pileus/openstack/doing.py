"""What every step needs: our objects by name, and the function that knows how to do each step.

Every step may be done twice, or after a part of it was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from ipaddress import IPv4Address
from typing import Any

from pileus.model.errors import Fault
from pileus.model.tenant import WantedOpenStack
from pileus.openstack.observing import SERVER_MARK, whole
from pileus.openstack.survey import Owner

AGENT_SECONDS = 60.0
"""How long agents may take to follow the API; they do within about 5 s when they live."""
L3_HINT = (
    "see `systemctl status neutron-l3-agent neutron-openvswitch-agent` on the controller, "
    "then repeat"
)


@dataclass(frozen=True)
class Ours:
    """Our objects by name: what steps look their ids up in."""

    connection: Any
    wanted: WantedOpenStack

    @property
    def mark(self) -> str:
        return self.wanted.mark

    @property
    def project(self) -> str:
        """Id of the project that all our objects are in."""
        return str(self.connection.current_project_id)

    def is_ours(self, thing: Any) -> bool:
        """Whether it has our mark, in our project."""
        return Owner(self.mark, self.project).is_ours(thing)

    @property
    def network(self) -> Any:
        return self.connection.network

    @property
    def compute(self) -> Any:
        return self.connection.compute

    def find(self, kind: str, name: str) -> Any | None:
        """The network object of ours with that name; `kind` as the SDK's list call has it."""
        list_them = getattr(self.network, kind)
        found = list_them(name=name, description=self.mark, project_id=self.project)
        return next(iter(found), None)

    def get(self, kind: str, name: str) -> Any:
        """Like `find`. Raises Fault when there is none."""
        if (found := self.find(kind, name)) is None:
            raise Fault(
                f"{name} is not among our {kind.replace('_', ' ')} any more",
                hint="someone removed it meanwhile; repeat the command",
                retryable=True,
            )
        return found

    def server(self, name: str) -> Any | None:
        """The server of ours with that name."""
        return next(
            (
                whole(self.compute, server)
                for server in self.compute.servers(name=f"^{name}$")
                if server.name == name and server.metadata.get(SERVER_MARK) == self.wanted.cloud
            ),
            None,
        )

    def floating_ip(self, address: IPv4Address) -> Any | None:
        """The floating IP at an address of the provider network, ours or not."""
        network = self.get("networks", self.wanted.provider.name)
        found = self.network.ips(floating_ip_address=str(address), floating_network_id=network.id)
        return next(iter(found), None)

    def gateway(self, router: str) -> Any:
        """A router's port on the provider network. Raises Fault when it has none."""
        network = self.get("networks", self.wanted.provider.name)
        owner = self.get("routers", router)
        found = self.network.ports(device_id=owner.id, network_id=network.id)
        if (port := next(iter(found), None)) is None:
            raise Fault(
                f"router {router} has no gateway port",
                hint="someone took its gateway away meanwhile; repeat the command",
                retryable=True,
            )
        return port


@singledispatch
def perform(step: Any, _ours: Ours) -> None:
    """Do one step; the modules named `on_…` say how."""
    raise TypeError(f"no way to do {type(step).__name__}")
