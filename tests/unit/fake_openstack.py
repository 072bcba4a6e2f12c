"""An OpenStack in memory, as far as Pileus uses it, with Neutron's guards on a port's MAC.

Its agents follow the API at once. It remembers with which MACs routers ever sent, and it can be
cut off before or after any call that changes something.
"""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any


class CutOff(BaseException):
    """The process died here."""


class Refusal(Exception):
    """The API said no."""


class FakeOpenStack:
    current_project_id = "project"

    def __init__(self) -> None:
        self.ids = (f"id{number}" for number in itertools.count(1))
        self.things: dict[str, list[Any]] = {}
        self.sent_with: set[str] = set()
        self.writes: list[str] = []
        self.cut_before: int | None = None
        self.cut_after: int | None = None
        self.quota = 50
        self.network = FakeNetwork(self)
        self.compute = FakeCompute(self)
        self.image = FakeImage(self)

    def authorize(self) -> str:
        return "token"

    def write(self, what: str) -> None:
        """Called before a change; the fake dies here when told so."""
        if len(self.writes) == self.cut_before:
            raise CutOff
        self.writes.append(what)

    def written(self) -> None:
        """Called after a change."""
        if len(self.writes) - 1 == self.cut_after:
            raise CutOff

    def add(self, kind: str, **attributes: Any) -> Any:
        attributes.setdefault("description", "")
        thing = SimpleNamespace(id=next(self.ids), **attributes)
        self.things.setdefault(kind, []).append(thing)
        return thing

    def drop(self, kind: str, thing: Any) -> None:
        self.things[kind] = [t for t in self.things[kind] if t.id != getattr(thing, "id", thing)]

    def select(self, kind: str, **filters: Any) -> list[Any]:
        return [
            thing
            for thing in self.things.get(kind, [])
            if all(getattr(thing, name) == value for name, value in filters.items())
        ]

    def one(self, kind: str, **filters: Any) -> Any:
        (thing,) = self.select(kind, **filters)
        return thing


class FakeNetwork:
    def __init__(self, cloud: FakeOpenStack) -> None:
        self.cloud = cloud

    def __getattr__(self, name: str) -> Any:
        verb, _, noun = name.partition("_")
        if verb == "create":
            return lambda **attributes: self._create(f"{noun}s", **attributes)
        if verb == "update":
            return lambda thing, **attributes: self._update(thing, name, **attributes)
        if verb == "delete":
            return lambda thing: self._delete(f"{noun}s", thing)
        return lambda **filters: iter(self.cloud.select(name, **filters))

    def get_quota(self, project: str) -> Any:
        return SimpleNamespace(floating_ips=self.cloud.quota)

    def update_quota(self, project: str, *, floating_ips: int) -> None:
        self.cloud.write("update_quota")
        self.cloud.quota = floating_ips
        self.cloud.written()

    def _create(self, kind: str, **attributes: Any) -> Any:
        self.cloud.write(f"create_{kind}")
        if kind == "security_group_rules":
            return self._create_rule(attributes)
        if kind == "security_groups":
            attributes["security_group_rules"] = []
        gateway = attributes.get("external_gateway_info")
        thing = self.cloud.add(kind, **attributes)
        if kind == "ports":
            thing.device_id = thing.device_owner = ""
        if kind == "subnets":
            vars(thing).setdefault("service_types", [])
            vars(thing).setdefault("allocation_pools", [])
        if kind == "routers" and gateway:
            self._set_gateway(thing, gateway)
        self._agents()
        self.cloud.written()
        return thing

    def _create_rule(self, rule: dict[str, Any]) -> None:
        group = self.cloud.one("security_groups", id=rule["security_group_id"])
        rule["id"] = next(self.cloud.ids)
        rule["ethertype"] = rule.pop("ether_type")
        rule["remote_group_id"] = None
        group.security_group_rules.append(rule)
        self.cloud.written()

    def delete_security_group_rule(self, identifier: str) -> None:
        self.cloud.write("delete_security_group_rule")
        for group in self.cloud.select("security_groups"):
            group.security_group_rules = [
                rule for rule in group.security_group_rules if rule["id"] != identifier
            ]
        self.cloud.written()

    def _set_gateway(self, router: Any, info: dict[str, Any]) -> None:
        fixed_ips = info["external_fixed_ips"]
        for port in self.cloud.select("ports", device_id=router.id, network_id=info["network_id"]):
            port.fixed_ips = fixed_ips
            return
        self.cloud.add(
            "ports",
            name="",
            device_id=router.id,
            device_owner="network:router_gateway",
            network_id=info["network_id"],
            fixed_ips=fixed_ips,
            mac_address="fa:16:3e:00:00:01",
            binding_vif_type="unbound",
            status="DOWN",
        )

    def _update(self, thing: Any, what: str, **attributes: Any) -> None:
        self.cloud.write(f"{what} {' '.join(attributes)}")
        if what == "update_port":
            self._guard_mac(thing, attributes)
        if gateway := attributes.get("external_gateway_info"):
            self._set_gateway(thing, gateway)
        if attributes.pop("binding_host_id", None) == "":
            thing.binding_vif_type, thing.status = "unbound", "DOWN"
        vars(thing).update(attributes)
        self._agents()
        self.cloud.written()

    @staticmethod
    def _guard_mac(port: Any, attributes: dict[str, Any]) -> None:
        if attributes.get("mac_address", port.mac_address) == port.mac_address:
            return
        if port.binding_vif_type not in ("unbound", "binding_failed"):
            raise Refusal("port is already bound")
        if attributes.get("device_owner", port.device_owner).startswith("network:"):
            raise Refusal("not supported for device_owner")

    def _agents(self) -> None:
        for router in self.cloud.select("routers"):
            for port in self.cloud.select("ports", device_id=router.id):
                if router.is_admin_state_up:
                    port.binding_vif_type, port.status = "ovs", "ACTIVE"
                    if port.device_owner != "network:router_interface":
                        self.cloud.sent_with.add(port.mac_address)
                else:
                    port.status = "DOWN"

    def add_interface_to_router(self, router: Any, *, subnet_id: str) -> None:
        self.cloud.write("add_interface")
        subnet = self.cloud.one("subnets", id=subnet_id)
        self.cloud.add(
            "ports",
            name="",
            device_id=router.id,
            device_owner="network:router_interface",
            network_id=subnet.network_id,
            fixed_ips=[{"ip_address": subnet.gateway_ip}],
            mac_address="fa:16:3e:00:00:02",
            binding_vif_type="unbound",
            status="DOWN",
        )
        self._agents()
        self.cloud.written()

    def remove_interface_from_router(self, router: Any, *, port_id: str) -> None:
        self.cloud.write("remove_interface")
        self.cloud.drop("ports", port_id)
        self.cloud.written()

    def _delete(self, kind: str, thing: Any) -> None:
        self.cloud.write(f"delete_{kind}")
        self.cloud.drop(kind, thing)
        if kind == "networks":
            for subnet in self.cloud.select("subnets", network_id=thing.id):
                self.cloud.drop("subnets", subnet)
        self.cloud.written()


class FakeCompute:
    def __init__(self, cloud: FakeOpenStack) -> None:
        self.cloud = cloud
        self.breaks: str | None = None

    def servers(self, name: str = "") -> Any:
        plain = name.strip("^$")
        found = self.cloud.select("servers", **({"name": plain} if plain else {}))
        return iter([SimpleNamespace(**{**vars(server), "fault": None}) for server in found])

    def get_server(self, identifier: str) -> Any:
        """Only this tells a server's fault, as with Nova."""
        return self.cloud.one("servers", id=identifier)

    def create_server(self, **attributes: Any) -> Any:
        self.cloud.write("create_server")
        status = "ERROR" if self.breaks else "ACTIVE"
        fault = {"message": self.breaks} if self.breaks else None
        server = self.cloud.add(
            "servers",
            status=status,
            fault=fault,
            launched_at=None if fault else "now",
            **attributes,
        )
        self.cloud.written()
        return server

    def start_server(self, server: Any) -> None:
        self.cloud.write("start_server")
        self.get_server(server.id).status = "ACTIVE"
        self.cloud.written()

    def delete_server(self, server: Any, *, ignore_missing: bool) -> None:
        self.cloud.write("delete_server")
        self.cloud.drop("servers", server)
        self.cloud.written()

    def wait_for_delete(self, server: Any, *, interval: float, wait: float) -> None:
        pass

    def flavors(self, details: bool = True) -> Any:
        return iter(self.cloud.select("flavors"))

    def find_flavor(self, name: str, ignore_missing: bool = True) -> Any:
        return next(iter(self.cloud.select("flavors", name=name)), None)

    def create_flavor(self, **attributes: Any) -> None:
        self.cloud.write("create_flavor")
        self.cloud.add("flavors", **attributes)
        self.cloud.written()

    def find_keypair(self, name: str) -> Any:
        return next(iter(self.cloud.select("keypairs", name=name)), None)

    def delete_keypair(self, name: str, *, ignore_missing: bool) -> None:
        for keypair in self.cloud.select("keypairs", name=name):
            self.cloud.write("delete_keypair")
            self.cloud.drop("keypairs", keypair)
            self.cloud.written()

    def create_keypair(self, **attributes: Any) -> None:
        self.cloud.write("create_keypair")
        self.cloud.add("keypairs", **attributes)
        self.cloud.written()


class FakeImage:
    def __init__(self, cloud: FakeOpenStack) -> None:
        self.cloud = cloud

    def images(self, tag: str | None = None, **filters: Any) -> Any:
        found = self.cloud.select("images", **filters)
        return iter([image for image in found if tag is None or tag in image.tags])

    def create_image(self, name: str, **attributes: Any) -> None:
        self.cloud.write("create_image")
        image = self.cloud.add("images", name=name, status="queued", **attributes)
        self.cloud.written()
        self.cloud.write("upload")
        image.status = "active"
        self.cloud.written()

    def delete_image(self, image: Any) -> None:
        self.cloud.write("delete_image")
        self.cloud.drop("images", image)
        self.cloud.written()
