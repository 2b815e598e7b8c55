"""openapi.json, made from the declarations that route and check requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from kura.api_reads.endpoints import CSV, JSON, Described, Endpoint
from kura.core.http import API_PREFIX, ApiJson

Json = dict[str, Any]

PATH_PARAMETER = re.compile(r"{([a-z_]+)(?::[a-z]+)?}")
KINDS: dict[str, Json] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
}
OBJECT: Json = {"type": "object"}
LIST: Json = {"type": "array", "items": OBJECT}
TEXT: Json = {"type": "string"}
SEVERAL = "Several values: separated by commas."
REFUSALS = {
    "400": "A parameter is not valid.",
    "401": "No identity.",
    "403": "The caller may not see this.",
    "404": "Not found.",
    "406": "No offered media type is accepted.",
    "424": "A service this answer depends on is away.",
    "503": "The database is away; try again.",
}


BARE_MAPS = ("/reports/", "/tags/", "/resource-types/", "/forecasts/")
"""What refuses parameters with a map of them, not with a list of errors (read-api §1.7)."""


def document(
    endpoints: Iterable[Endpoint],
    others: Sequence[BaseRoute] = (),
    parameters: Mapping[str, Sequence[Described]] | None = None,
) -> Json:
    """The OpenAPI document of declared endpoints and of plain routes beside them, with their `parameters` by path."""
    given = parameters or {}
    paths: dict[str, Json] = {}
    for route in others:
        if isinstance(route, Route) and route.path.startswith(f"{API_PREFIX}/") and route.path.endswith("/"):
            address = PATH_PARAMETER.sub(r"{\1}", route.path.removeprefix(API_PREFIX))
            summary = route.name.replace("_", " ").capitalize() + "."
            paths[address] = {"get": _operation(address, summary, given.get(address, ()), {JSON: OBJECT})}
    for endpoint in endpoints:
        address = "/" + PATH_PARAMETER.sub(r"{\1}", endpoint.path)
        answers = {JSON: LIST if endpoint.bare_list else OBJECT, CSV: TEXT}
        content = {name: answers[name] for name in endpoint.media}
        paths[address] = {"get": _operation(address, endpoint.summary, endpoint.parameters, content)}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Kura cost management", "version": version("kura-api-reads")},
        "servers": [{"url": API_PREFIX}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {
                "Errors": {
                    "type": "object",
                    "properties": {"errors": {"type": "array", "items": {"$ref": "#/components/schemas/Error"}}},
                },
                "ParameterErrors": {"type": "object", "description": "What is wrong with each parameter."},
                "Error": {
                    "type": "object",
                    "properties": {
                        "detail": {"type": "string"},
                        "source": {"type": "string"},
                        "status": {"type": "integer"},
                    },
                },
            },
            "securitySchemes": {"identity": {"type": "apiKey", "in": "header", "name": "x-rh-identity"}},
        },
        "security": [{"identity": []}],
    }


def _operation(address: str, summary: str, parameters: Sequence[Described], content: Mapping[str, Json]) -> Json:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in PATH_PARAMETER.findall(address)
    ]
    in_query = [parameter for described in parameters for parameter in _parameters(described)]
    words = re.sub(r"[^A-Za-z0-9]+", " ", address).title().replace(" ", "")
    refused = {status: {"description": text, "content": _refused("Errors")} for status, text in REFUSALS.items()}
    if address.startswith(BARE_MAPS):
        refused["400"] |= {"content": _refused("ParameterErrors")}
    return {
        "operationId": f"get{words}",
        "summary": summary,
        "parameters": [*in_path, *in_query],
        "responses": {
            "200": {"description": "The answer.", "content": {name: {"schema": of} for name, of in content.items()}},
            **refused,
        },
    }


def _refused(schema: str) -> Json:
    return {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _parameters(described: Described) -> list[Json]:
    schema = KINDS[described.kind] | ({"enum": list(described.choices)} if described.choices else {})
    if not described.keys:
        return [{"name": described.name, "in": "query", "description": described.text, "schema": schema}]
    properties = {key: {"type": "string", "description": SEVERAL} for key in described.keys}
    return [
        {
            "name": described.name,
            "in": "query",
            "description": described.text,
            "style": "deepObject",
            "explode": True,
            "schema": {"type": "object", "properties": properties},
        }
    ]


def openapi_route(
    endpoints: Sequence[Endpoint], others: Sequence[BaseRoute], parameters: Mapping[str, Sequence[Described]]
) -> BaseRoute:
    content = document(endpoints, others, parameters)

    async def openapi(request: Request) -> Response:
        return ApiJson(content)

    return Route(f"{API_PREFIX}/openapi.json", openapi, methods=["GET"])
