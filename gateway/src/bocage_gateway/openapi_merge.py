"""One OpenAPI 3.1 document out of the services' own. Work on dictionaries alone; nothing is fetched here."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from bocage_gateway.openapi_components import (
    Component,
    Names,
    canonical,
    classes,
    names,
    references,
    renamed,
    shortened,
    titled,
)
from bocage_gateway.routes import prefixes_of

Document = dict[str, Any]

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_LONGEST_OPERATION = 100
_FRAMEWORK_ERRORS = frozenset({"HTTPValidationError", "ValidationError"})
_PROBLEM_REFERENCE = {"$ref": "#/components/schemas/Problem"}
_PROBLEM: Document = {
    "title": "Problem",
    "type": "object",
    "description": "An error (RFC 9457), with the `code` and `description` of STAC.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "The cause and the remedy."},
        "code": {"type": "string", "description": "Short and stable."},
        "description": {"type": "string"},
        "request_id": {"type": ["string", "null"]},
    },
    "required": ["type", "title", "status", "detail", "code"],
}
_PROBLEMS = {
    "401": ("Unauthenticated", "No valid credential, where one is needed"),
    "403": ("Forbidden", "The licence, the purpose or the scopes do not allow it; see `required_terms`"),
    "429": ("TooManyRequests", "A quota is used up; `Retry-After` tells for how long"),
}
_API_KEY: Document = {
    "type": "apiKey",
    "in": "header",
    "name": "X-API-Key",
    "description": "`<id>.<secret>`, or its halves as the headers Access-Key and Secret-Key."
    " Without it one is anonymous, with no purpose declared.",
}
_TILE_TOKEN: Document = {
    "type": "apiKey",
    "in": "query",
    "name": "token",
    "description": "A tile token, made by `POST /rights/tile_tokens`; for reading under `/tiles` only.",
}


class MergeError(Exception):
    """The documents can't become one without a change of what they mean."""


def merge(
    documents: Mapping[str, Document],
    *,
    info: Mapping[str, Any],
    openid_configuration: str | None = None,
    oauth2_flows: Mapping[str, Any] | None = None,
) -> Document:
    """The one document. `documents` holds each service's own; the gateway's may be among them, as `gateway`.

    Of a service only the paths that are routed to it are taken. Raises MergeError.
    """
    for service, document in documents.items():
        if not str(document.get("openapi", "")).startswith("3.1"):
            raise MergeError(f"{service}: OpenAPI {document.get('openapi')} instead of 3.1")
    components = dict(_components(documents))
    named = names(classes(components))
    bearer: Document = {}
    if openid_configuration:
        bearer["OpenIdConnect"] = {"type": "openIdConnect", "openIdConnectUrl": openid_configuration}
        if oauth2_flows:
            bearer["OAuth2PasswordBearer"] = {  # the name under which THEIA's client looks for it
                "type": "oauth2",
                "description": "The same tokens, with the provider's addresses.",
                "flows": dict(oauth2_flows),
            }
    merged: Document = {
        "openapi": "3.1.0",
        "info": dict(info),
        "security": [{"ApiKey": []}, *({name: []} for name in bearer), {}],
        "tags": [],
        "paths": {},
        "components": {
            "schemas": {},
            "responses": {name: _problem_response(description) for name, description in _PROBLEMS.values()},
            "securitySchemes": {
                "ApiKey": _API_KEY,
                "TileToken": _TILE_TOKEN,
                **bearer,
            },
        },
    }
    for component, value in components.items():
        _add_component(merged, component, value, named[component.service])
    for service, document in documents.items():
        _Paths(merged, service, named.get(service, {})).add(document)
    _prune(merged)
    merged["components"]["schemas"]["Problem"] = copy.deepcopy(_PROBLEM)
    _check(merged)
    return merged


def _components(documents: Mapping[str, Document]) -> Iterator[tuple[Component, Any]]:
    for service, document in documents.items():
        for section, members in document.get("components", {}).items():
            if section == "securitySchemes":  # who may call is the gateway's to say
                continue
            for name, value in members.items():
                if section == "schemas" and name in _FRAMEWORK_ERRORS:  # never answered: errors leave as problems
                    continue
                # The services' own idea of a problem is the same contract: one schema for all.
                if section == "schemas" and name == "Problem":
                    continue
                yield Component(service, section, name), value


def _add_component(merged: Document, component: Component, value: Any, named: Names) -> None:
    name = named[component.section, component.name]
    value = renamed(value, named)
    if component.section == "schemas":
        value = titled(value, name)
    members = merged["components"].setdefault(component.section, {})
    if name in members and canonical(members[name]) != canonical(value):
        raise MergeError(f"two components would be called {component.section}/{name}")
    members[name] = value


class _Paths:
    """Adds one service's paths."""

    def __init__(self, merged: Document, service: str, named: Names) -> None:
        self._merged, self._service, self._named = merged, service, named
        self._prefixes = prefixes_of(service)
        self._tag = service.capitalize()
        self._taken = {
            operation["operationId"]
            for item in merged["paths"].values()
            for method, operation in item.items()
            if method in _METHODS
        }

    def add(self, document: Document) -> None:
        about = document.get("info", {})
        self._merged["tags"].append(
            {"name": self._tag, "description": about.get("description") or about.get("title", self._tag)}
        )
        for path, item in document.get("paths", {}).items():
            if self._routed(path):
                self._add_path(path, renamed(item, self._named))

    def _routed(self, path: str) -> bool:
        if self._service == "gateway":
            return True
        return any(path == prefix or path.startswith(prefix + "/") for prefix in self._prefixes)

    def _add_path(self, path: str, item: Document) -> None:
        plain = re.sub(r"{([^}:]+):[^}]*}", r"{\1}", path)
        there = self._merged["paths"].setdefault(plain, {})
        for key, value in item.items():
            if key in there:
                raise MergeError(f"{key} {plain} is declared twice")
            if key in _METHODS:
                there[key] = self._operation(plain, key, item, value)
            elif key not in ("servers", "parameters"):
                there[key] = value

    def _operation(self, path: str, method: str, item: Document, operation: Document) -> Document:
        operation = dict(operation)
        operation.pop("servers", None)
        operation["operationId"] = self._operation_id(path, method, operation)
        operation["x-service"] = self._service
        _said(operation)
        own = operation.get("tags") or []
        operation["tags"] = [f"{self._tag}: {own[0]}" if own and own[0].lower() != self._tag.lower() else self._tag]
        parameters = _parameters(path, [*item.get("parameters", []), *operation.get("parameters", [])])
        if parameters:
            operation["parameters"] = parameters
        operation["responses"] = _responses(operation.get("responses", {}))
        if operation.get("security"):
            operation["security"] = self._merged["security"][:-1]
        elif path.startswith("/tiles") and method in ("get", "head"):
            operation["security"] = [*self._merged["security"][:-1], {"TileToken": []}, {}]
        return operation

    def _operation_id(self, path: str, method: str, operation: Document) -> str:
        own = str(operation.get("operationId") or f"{method}_{path}").removeprefix(f"{self._service}_")
        name = f"{self._service}_{own}"
        name = shortened(re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_"), _LONGEST_OPERATION)
        chosen = name if name not in self._taken else shortened(f"{name}_{method}", _LONGEST_OPERATION)
        attempt = 1
        while chosen in self._taken:
            attempt += 1
            chosen = shortened(f"{name}_{method}_{attempt}", _LONGEST_OPERATION)
        self._taken.add(chosen)
        return chosen


_SENTENCE = re.compile(r"(.+?)\.(?:\s|$)", re.DOTALL)


def _said(operation: Document) -> None:
    """A summary in words: of frameworks it is a function's name, of services the first sentence of the description."""
    description = operation.get("description", "")
    if description == "Endpoint.":  # a library's word for all of its operations
        del operation["description"]
    elif sentence := _SENTENCE.match(description):
        operation["summary"] = " ".join(sentence[1].split())


def _parameters(path: str, declared: list[Document]) -> list[Document]:
    """The declared parameters, mended, and those of the path that nobody declared."""
    by_place: dict[tuple[str, str], Document] = {}
    referred = []
    for parameter in declared:
        if "$ref" in parameter:
            referred.append(parameter)
        else:
            by_place[parameter["in"], parameter["name"]] = _mended(parameter)  # an operation's own wins over its path's
    in_path = re.findall(r"{([^}]+)}", path)
    if not referred:
        for name in in_path:
            by_place.setdefault(
                ("path", name), {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            )
    return [
        *referred,
        *(value for (place, name), value in by_place.items() if place != "path" or name in in_path),
    ]


def _mended(parameter: Document) -> Document:
    mended = dict(parameter)
    schema = dict(mended["schema"]) if isinstance(mended.get("schema"), dict) else None
    if isinstance(examples := mended.get("examples"), list):  # a parameter wants a map of named examples
        del mended["examples"]
        if schema is not None:
            schema["examples"] = examples
    if "example" in mended and "examples" in mended:
        del mended["example"]
    if mended["in"] == "path":
        mended["required"] = True
        if schema is not None and "anyOf" in schema:  # nothing in a path is null
            branches = [branch for branch in schema["anyOf"] if branch != {"type": "null"}]
            rest = {key: value for key, value in schema.items() if key != "anyOf"}
            schema = {**rest, **branches[0]} if len(branches) == 1 else {**rest, "anyOf": branches}
    if schema is not None:
        mended["schema"] = schema
    return mended


def _responses(declared: Document) -> Document:
    responses = {status: _truthful(response) for status, response in declared.items()}
    for status, (name, _) in _PROBLEMS.items():
        responses.setdefault(status, {"$ref": f"#/components/responses/{name}"})
    return responses


def _truthful(response: Any) -> Any:
    """Frameworks declare validation errors of their own; what leaves is a problem."""
    if any(section == "schemas" and name in _FRAMEWORK_ERRORS for section, name in references(response)):
        return {
            **_problem_response(response.get("description", "Not valid")),
            "description": "The request is not valid",
        }
    return response


def _problem_response(description: str) -> Document:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": dict(_PROBLEM_REFERENCE)}},
    }


def _prune(merged: Document) -> None:
    """Drop components that nothing refers to, until all are used."""
    components = merged["components"]
    while True:
        used = references(merged)
        unused = [
            (section, name)
            for section, members in components.items()
            if section != "securitySchemes"
            for name in members
            if (section, name) not in used
        ]
        if not unused:
            break
        for section, name in unused:
            del components[section][name]
    for section in [section for section, members in components.items() if not members]:
        del components[section]
    components.setdefault("schemas", {})


def _check(merged: Document) -> None:
    for section, name in references(merged):
        if name not in merged["components"].get(section, {}):
            raise MergeError(f"nothing is called {section}/{name}")
    used = {
        tag: None
        for item in merged["paths"].values()
        for method, operation in item.items()
        if method in _METHODS
        for tag in operation["tags"]
    }
    described = {tag["name"]: tag for tag in merged["tags"]}
    merged["tags"] = [described.get(tag, {"name": tag}) for tag in used]
