"""An OpenStack in memory, as far as Pileus uses it, with Neutron's guards.

On a port's MAC, on addresses of the provider network, on floating IPs and on port forwardings, as
neutron 26 has them. Its agents follow the API at once. It remembers with which MACs routers ever
sent, and it can be cut off before or after any call that changes something.
"""

from __future__ import annotations

import itertools
from ipaddress import IPv4Address
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
        self.identity = FakeIdentity()

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
        attributes.setdefault("project_id", self.current_project_id)
        thing = SimpleNamespace(id=next(self.ids), **attributes)
        self.things.setdefault(kind, []).append(thing)
        return thing

    def drop(self, kind: str, thing: Any) -> None:
        self.things[kind] = [t for t in self.things[kind] if t.id != getattr(thing, "id", thing)]

    def select(self, kind: str, **filters: Any) -> list[Any]:
        return [
            thing
            for thing in self.things.get(kind, [])
            if all(getattr(thing, name, None) == value for name, value in filters.items())
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
        if kind == "ips":
            return self._create_ip(attributes)
        gateway = attributes.get("external_gateway_info")
        thing = self.cloud.add(kind, **attributes)
        if kind == "ports":
            vars(thing).update({"device_id": "", "device_owner": ""} | attributes)
        if kind == "routers":
            thing.is_distributed = thing.is_ha = False
            vars(thing).setdefault("is_admin_state_up", True)
        if kind == "networks":
            vars(thing).setdefault("is_router_external", False)
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

    def _create_ip(self, attributes: dict[str, Any]) -> Any:
        network = attributes["floating_network_id"]
        project = attributes.get("project_id", self.cloud.current_project_id)
        if project == self.cloud.current_project_id and self.cloud.quota == 0:
            raise Refusal("quota exceeded")
        address = self._address(
            network, "network:floatingip", attributes.pop("floating_ip_address", None)
        )
        floating = self.cloud.add(
            "ips",
            **{"port_id": None, "router_id": None, "fixed_ip_address": None} | attributes,
            floating_ip_address=address,
        )
        self.cloud.add(
            "ports",
            name="",
            device_id=floating.id,
            device_owner="network:floatingip",
            network_id=network,
            fixed_ips=[{"ip_address": address}],
            project_id="",
        )
        self._associate(floating, attributes.get("port_id"))
        self.cloud.written()
        return floating

    def _address(self, network_id: str, owner: str, asked: str | None) -> str:
        """An address of the provider network: asked for, from any part of it, or of the pools."""
        subnet = self.cloud.one("subnets", network_id=network_id)
        if subnet.service_types and owner not in subnet.service_types:
            raise Refusal("no subnet for this service type")
        taken = {
            fixed["ip_address"]
            for port in self.cloud.select("ports", network_id=network_id)
            for fixed in port.fixed_ips
        }
        if asked in taken:
            raise Refusal("IP address already allocated")
        free = (
            str(IPv4Address(number))
            for pool in subnet.allocation_pools
            for number in range(int(IPv4Address(pool["start"])), int(IPv4Address(pool["end"])) + 1)
            if str(IPv4Address(number)) not in taken
        )
        if (address := asked or next(free, None)) is None:
            raise Refusal("no more IP addresses available")
        return address

    def _associate(self, floating: Any, port_id: str | None) -> None:
        if port_id is None:
            if not self.cloud.select("forwards", ip=floating.id):
                floating.router_id = None
            floating.port_id = floating.fixed_ip_address = None
            return
        if self.cloud.select("forwards", ip=floating.id):
            raise Refusal("floating IP in use by port forwarding")
        others = self.cloud.select("ips", port_id=port_id)
        if [ip for ip in others if ip.id != floating.id]:
            raise Refusal("port has a floating IP already")
        port = self.cloud.one("ports", id=port_id)
        floating.router_id = self._router_between(port, floating)
        floating.port_id = port_id
        floating.fixed_ip_address = port.fixed_ips[0]["ip_address"]

    def _router_between(self, port: Any, floating: Any) -> str:
        def routers(network: str, owners: tuple[str, ...]) -> set[str]:
            there = self.cloud.select("ports", network_id=network)
            return {p.device_id for p in there if p.device_owner in owners}

        inner = routers(port.network_id, ("network:router_interface",))
        outer = routers(floating.floating_network_id, ("network:router_gateway",))
        if not inner & outer:
            raise Refusal("external network is not reachable from subnet")
        return min(inner & outer)

    def floating_ip_port_forwardings(self, floating: Any) -> Any:
        return iter(self.cloud.select("forwards", ip=floating.id))

    def create_floating_ip_port_forwarding(self, floating: Any, **attributes: Any) -> None:
        self.cloud.write("create_forward")
        outside = {name: attributes[name] for name in ("protocol", "external_port")}
        inside = {name: attributes[name] for name in ("protocol", "internal_port_id")}
        inside["internal_port"] = attributes["internal_port"]
        if floating.port_id:
            raise Refusal("floating IP is associated")
        if self.cloud.select("ips", port_id=attributes["internal_port_id"]):
            raise Refusal("port has a binding floating IP")
        if self.cloud.select("forwards", ip=floating.id, **outside):
            raise Refusal("collision with the external port")
        if self.cloud.select("forwards", **inside):
            raise Refusal("collision with the internal port")
        port = self.cloud.one("ports", id=attributes["internal_port_id"])
        floating.router_id = self._router_between(port, floating)
        self.cloud.add("forwards", ip=floating.id, **attributes)
        self.cloud.written()

    def delete_floating_ip_port_forwarding(self, floating: Any, forward: Any) -> None:
        self.cloud.write("delete_forward")
        self._drop_forward(forward)
        self.cloud.written()

    def _drop_forward(self, forward: Any) -> None:
        self.cloud.drop("forwards", forward)
        if not self.cloud.select("forwards", ip=forward.ip):
            self.cloud.one("ips", id=forward.ip).router_id = None

    def _set_gateway(self, router: Any, info: dict[str, Any]) -> None:
        fixed_ips = info.get("external_fixed_ips")
        asked = fixed_ips[0]["ip_address"] if fixed_ips else None
        for port in self.cloud.select("ports", device_id=router.id, network_id=info["network_id"]):
            port.fixed_ips = [{"ip_address": asked}]
            return
        address = self._address(info["network_id"], "network:router_gateway", asked)
        self.cloud.add(
            "ports",
            name="",
            device_id=router.id,
            device_owner="network:router_gateway",
            network_id=info["network_id"],
            project_id="",
            fixed_ips=[{"ip_address": address}],
            mac_address="fa:16:3e:00:00:01",
            binding_vif_type="unbound",
            status="DOWN",
        )

    def _update(self, thing: Any, what: str, **attributes: Any) -> None:
        self.cloud.write(f"{what} {' '.join(attributes)}")
        if what == "update_port":
            self._guard_mac(thing, attributes)
        if what == "update_ip":
            self._associate(thing, attributes.pop("port_id"))
        if what == "update_subnet":
            self._guard_pools(thing, attributes)
        if gateway := attributes.get("external_gateway_info"):
            self._set_gateway(thing, gateway)
        if attributes.pop("binding_host_id", None) == "":
            thing.binding_vif_type, thing.status = "unbound", "DOWN"
        vars(thing).update(attributes)
        self._agents()
        self.cloud.written()

    @staticmethod
    def _guard_pools(subnet: Any, attributes: dict[str, Any]) -> None:
        """Neutron minds the gateway, and not what is in use. [_update_subnet_precommit]"""
        for pool in attributes["allocation_pools"]:
            first, last = IPv4Address(pool["start"]), IPv4Address(pool["end"])
            if first <= IPv4Address(subnet.gateway_ip) <= last:
                raise Refusal("gateway conflicts with allocation pools")

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
        network = self.cloud.one("ports", id=port_id).network_id
        inner = {port.id for port in self.cloud.select("ports", network_id=network)}
        if any(ip.port_id in inner for ip in self.cloud.select("ips")):
            raise Refusal("router interface is required by a floating IP")
        self.cloud.drop("ports", port_id)
        self.cloud.written()

    def _delete(self, kind: str, thing: Any) -> None:
        self.cloud.write(f"delete_{kind}")
        self._guard_deletion(kind, thing)
        self.cloud.drop(kind, thing)
        if kind == "networks":
            for subnet in self.cloud.select("subnets", network_id=thing.id):
                self.cloud.drop("subnets", subnet)
        self.cloud.written()

    def _guard_deletion(self, kind: str, thing: Any) -> None:
        if kind == "ips" and self.cloud.select("forwards", ip=thing.id):
            raise Refusal("floating IP in use by port forwarding")
        if kind == "routers" and self.cloud.select("ips", router_id=thing.id):
            raise Refusal("router is required by a floating IP")
        if kind in ("ips", "routers"):
            for port in self.cloud.select("ports", device_id=thing.id):
                self.cloud.drop("ports", port)
        if kind == "ports":
            for forward in self.cloud.select("forwards", internal_port_id=thing.id):
                self._drop_forward(forward)
            for ip in self.cloud.select("ips", port_id=thing.id):
                self._associate(ip, None)


class FakeIdentity:
    @staticmethod
    def projects() -> Any:
        names = {"project": "admin", "p2": "second"}
        return iter([SimpleNamespace(id=key, name=name) for key, name in names.items()])


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
            task_state=None,
            fault=fault,
            launched_at=None if fault else "now",
            **attributes,
        )
        self.cloud.written()
        return server

    def start_server(self, server: Any) -> None:
        self.cloud.write("start_server")
        if server.task_state:
            raise Refusal("cannot start while it is in a task state")
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
        image = self.cloud.add(
            "images", name=name, status="queued", owner="project", visibility="shared", **attributes
        )
        self.cloud.written()
        self.cloud.write("upload")
        image.status = "active"
        self.cloud.written()

    def delete_image(self, image: Any) -> None:
        self.cloud.write("delete_image")
        self.cloud.drop("images", image)
        self.cloud.written()
