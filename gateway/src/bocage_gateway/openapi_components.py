"""Which components of several OpenAPI documents are the same, and how each is called in the one document."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

LONGEST_NAME = 60
_REFERENCE = "#/components/"
_DATA = frozenset({"example", "examples", "default", "const", "enum"})  # values, in which nothing is a reference
_NAMED = frozenset({"properties", "$defs", "patternProperties", "dependentSchemas"})  # keys below are names


class Component(NamedTuple):
    """Where a component comes from."""

    service: str
    section: str
    name: str


Names = Mapping[tuple[str, str], str]
"""(section, name in one service's document) → name in the merged one."""


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Names of generic models reach hundreds of characters; a digest keeps short ones apart."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9].rstrip('_-')}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def classes(components: Mapping[Component, Any]) -> dict[Component, int]:
    """A number for each component: equal when two mean the same in everything that they refer to.

    Partition refinement: all start equal, and part when their texts differ once references are replaced by the numbers
    of what they point to. An equal text is not enough: it can point to another `Link`.
    """
    numbers = dict.fromkeys(components, 0)
    while True:
        texts = {
            component: canonical([component.section, component.name, _numbered(value, component.service, numbers)])
            for component, value in components.items()
        }
        order = {text: number for number, text in enumerate(sorted(set(texts.values())))}
        refined = {component: order[text] for component, text in texts.items()}
        if len(order) == len(set(numbers.values())):
            return refined
        numbers = refined


def _numbered(node: Any, service: str, numbers: Mapping[Component, int]) -> Any:
    if isinstance(node, dict):
        return {key: _numbered(value, service, numbers) for key, value in node.items()}
    if isinstance(node, list):
        return [_numbered(value, service, numbers) for value in node]
    if isinstance(node, str) and node.startswith(_REFERENCE):  # a $ref, or a discriminator's mapping
        section, _, name = node.removeprefix(_REFERENCE).partition("/")
        return ["reference", numbers.get(Component(service, section, name), -1)]
    return node


def names(numbers: Mapping[Component, int]) -> dict[str, dict[tuple[str, str], str]]:
    """The merged name of every component, by service: one name per class, and one class per name."""
    by_name: dict[tuple[str, str], dict[int, list[str]]] = {}
    for component, number in numbers.items():
        by_name.setdefault((component.section, component.name), {}).setdefault(number, []).append(component.service)
    taken: set[tuple[str, str]] = set()
    named: dict[str, dict[tuple[str, str], str]] = {}
    for (section, name), groups in by_name.items():
        for services in groups.values():
            wanted = name if len(groups) == 1 else f"{services[0].capitalize()}_{name}"
            wanted = re.sub(r"[^A-Za-z0-9._-]+", "_", wanted)
            chosen, attempt = shortened(wanted), 1
            while (section, chosen) in taken:
                attempt += 1
                chosen = shortened(f"{wanted}_{attempt}")
            taken.add((section, chosen))
            for service in services:
                named.setdefault(service, {})[section, name] = chosen
    return named


def renamed(node: Any, names_of_service: Names, *, below_names: bool = False) -> Any:
    """A copy of `node` whose references carry the merged names."""
    if isinstance(node, list):
        return [renamed(value, names_of_service) for value in node]
    if not isinstance(node, dict):
        return node
    copy: dict[str, Any] = {}
    for key, value in node.items():
        if below_names:
            copy[key] = renamed(value, names_of_service)
        elif key == "$ref" and isinstance(value, str):
            copy[key] = _reference(value, names_of_service)
        elif key == "mapping" and isinstance(value, dict):
            copy[key] = {
                label: _reference(target, names_of_service) if isinstance(target, str) else target
                for label, target in value.items()
            }
        elif key in _DATA:
            copy[key] = value
        else:
            copy[key] = renamed(value, names_of_service, below_names=key in _NAMED)
    return copy


def _reference(reference: str, names_of_service: Names) -> str:
    if not reference.startswith(_REFERENCE):
        return reference
    section, _, name = reference.removeprefix(_REFERENCE).partition("/")
    return f"{_REFERENCE}{section}/{names_of_service.get((section, name), name)}"


def titled(schema: Any, title: str) -> Any:
    """The schema under its merged name alone: generators name models after titles, and nested ones clash."""
    untitled = _untitled(schema)
    return {**untitled, "title": title} if isinstance(untitled, dict) else untitled


def _untitled(node: Any, *, below_names: bool = False) -> Any:
    if isinstance(node, list):
        return [_untitled(value) for value in node]
    if not isinstance(node, dict):
        return node
    copy: dict[str, Any] = {}
    for key, value in node.items():
        if below_names:
            copy[key] = _untitled(value)
        elif key == "title" and isinstance(value, str):
            continue
        elif key == "exemples":  # a slip of the pen in a library
            copy["examples"] = value
        elif key in _DATA:
            copy[key] = value
        else:
            copy[key] = _untitled(value, below_names=key in _NAMED)
    return copy


def references(node: Any) -> set[tuple[str, str]]:
    """(section, name) of every component that `node` refers to."""
    found = re.findall(r'"#/components/([A-Za-z]+)/([^"/]+)"', canonical(node))
    return {(section, name) for section, name in found}
