"""A kernel in a few lines: it takes the commands of a difference and refuses what nftables does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from pileus.rules.nft import Declared, InKernel
from pileus.rules.ruleset import Hook

_COMMAND = re.compile(
    r"(?P<do>add|delete|flush) (?P<what>\w+) \w+ \S+ ?(?P<name>\S*) ?(?P<rest>.*)"
)
_COMMENT = re.compile(r'(?P<rule>.*) comment "(?P<comment>.*)"')
_MENTIONED = re.compile(r'(?:jump|goto) (\w+)|@(\w+)\b(?!,)|counter name "([\w.]+)"')
_FILLED = re.compile(r"(?:update|delete|add) @(\w+)")
_DECLARED = re.compile(
    r"{ type (?P<kind>[^;]+);(?: flags (?P<flags>[\w,]+);)?"
    r"(?: timeout (?P<timeout>\d+)s;)?(?: size (?P<size>\d+);)? }"
)


@dataclass
class Kernel:
    """One table. Rules fill dynamic sets and maps: tests do so in their place."""

    there: bool = False
    counters: dict[str, int] = field(default_factory=dict)
    sets: dict[str, set[str]] = field(default_factory=dict)
    maps: dict[str, dict[str, str]] = field(default_factory=dict)
    declared: dict[str, Declared] = field(default_factory=dict)
    dynamic: set[str] = field(default_factory=set)
    hooks: dict[str, str] = field(default_factory=dict)
    chains: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def load(self, lines: list[str]) -> None:
        for line in lines:
            command = _COMMAND.fullmatch(line)
            assert command, line
            action: Callable[[str, str], None] = getattr(self, f"{command['do']}_{command['what']}")
            action(command["name"], command["rest"])

    def add_table(self, name: str, rest: str) -> None:
        assert not self.there
        self.there = True

    def delete_table(self, name: str, rest: str) -> None:
        assert self.there
        self.__init__()  # type: ignore[misc]

    def add_counter(self, name: str, rest: str) -> None:
        assert name not in self.counters
        self.counters[name] = 0

    def add_set(self, name: str, rest: str) -> None:
        self._declare(name, rest)
        self.sets[name] = set()

    def add_map(self, name: str, rest: str) -> None:
        self._declare(name, rest)
        self.maps[name] = {}

    def _declare(self, name: str, rest: str) -> None:
        assert name not in self.declared
        found = _DECLARED.fullmatch(rest)
        assert found, rest
        flags = (found["flags"] or "").split(",")
        size, timeout = (int(found[key]) if found[key] else None for key in ("size", "timeout"))
        assert ("timeout" in flags) == bool(timeout)
        self.declared[name] = Declared(found["kind"], "interval" in flags, size, timeout)
        if "dynamic" in flags:
            self.dynamic.add(name)

    def add_chain(self, name: str, rest: str) -> None:
        assert name not in self.chains
        self.chains[name], self.hooks[name] = [], rest

    def add_rule(self, chain: str, rest: str) -> None:
        parts = _COMMENT.fullmatch(rest)
        assert parts
        for name in _mentioned(parts["rule"]):
            assert name in self.chains or name in self.declared or name in self.counters, rest
        assert self.dynamic.issuperset(_FILLED.findall(parts["rule"])), rest
        self.chains[chain].append((parts["rule"], parts["comment"]))

    def add_element(self, name: str, rest: str) -> None:
        for item in rest.strip("{ }").split(", "):
            key, _, value = item.partition(" : ")
            if name in self.sets:
                assert key not in self.sets[name]
                self.sets[name].add(key)
            else:
                assert key not in self.maps[name]
                verb, _, chain = value.partition(" ")
                assert verb not in ("jump", "goto") or chain in self.chains
                self.maps[name][key.strip('"')] = value

    def delete_element(self, name: str, rest: str) -> None:
        for key in rest.strip("{ }").split(", "):
            if name in self.sets:
                self.sets[name].remove(key)
            else:
                del self.maps[name][key.strip('"')]

    def flush_chain(self, name: str, rest: str) -> None:
        self.chains[name] = []

    def delete_chain(self, name: str, rest: str) -> None:
        assert not self.chains[name]
        self._unused(name)
        del self.chains[name], self.hooks[name]

    def delete_set(self, name: str, rest: str) -> None:
        self._unused(name)
        del self.sets[name]
        self._undeclare(name)

    def delete_map(self, name: str, rest: str) -> None:
        self._unused(name)
        del self.maps[name]
        self._undeclare(name)

    def _undeclare(self, name: str) -> None:
        del self.declared[name]
        self.dynamic.discard(name)

    def delete_counter(self, name: str, rest: str) -> None:
        self._unused(name)
        del self.counters[name]

    def _unused(self, name: str) -> None:
        for rules in self.chains.values():
            assert not any(name in _mentioned(rule) for rule, _ in rules), f"{name} is in use"
        for elements in self.maps.values():
            assert all(value.split()[-1] != name for value in elements.values())

    def seen(self) -> tuple[object, ...]:
        """All but what traffic leaves there: the counters' numbers, and what rules have learned."""
        chains = {name: tuple(c for _, c in rules) for name, rules in self.chains.items()}
        sets = {name: set(x) for name, x in self.sets.items() if name not in self.dynamic}
        maps = {name: dict(x) for name, x in self.maps.items() if name not in self.dynamic}
        return self.hooks, chains, sets, maps, self.declared, self.dynamic, set(self.counters)

    def read(self, hooks: dict[str, Hook | None]) -> InKernel:
        """What nft would list, but for the hooks, which are here as they were declared."""
        return InKernel(
            hooks,
            {name: tuple(comment for _, comment in rules) for name, rules in self.chains.items()},
            {name: frozenset(elements) for name, elements in self.sets.items()},
            {name: dict(elements) for name, elements in self.maps.items()},
            dict(self.counters),
            dict(self.declared),
        )


def _mentioned(rule: str) -> set[str]:
    """Names of chains, sets, maps and counters in a rule's text."""
    return {name for found in _MENTIONED.findall(rule) for name in found if name}
