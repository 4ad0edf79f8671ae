"""What the gateway itself answers: landing page, documentation, the OpenAPI document, health."""

from __future__ import annotations

import hashlib
import html
import string
from importlib import resources
from typing import Any

from bocage_kit.access import OPEN
from bocage_kit.problems import not_found
from fastapi import APIRouter, Depends, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

from bocage_gateway import __version__

_OPENAPI_TYPE = "application/vnd.oai.openapi+json;version=3.1"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SITE_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache", "Vary": "Accept"}
_ASSETS = {
    "landing.css": ("bocage_gateway", "site", "text/css; charset=utf-8"),
    "bocage.svg": ("bocage_gateway", "site", "image/svg+xml"),
    "docs.js": ("bocage_gateway", "site", "text/javascript; charset=utf-8"),
    "swagger-ui.css": ("fastapi_swagger", "resources", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": ("fastapi_swagger", "resources", "text/javascript; charset=utf-8"),
}


class ServiceState(BaseModel):
    """One service's own word."""

    status: str
    version: str | None = None


class PlatformState(BaseModel):
    """Whether the platform serves."""

    status: str
    version: str
    services: dict[str, ServiceState]
    dispatcher: str
    database: str


class WebLink(BaseModel):
    """A link of the landing page."""

    rel: str
    href: str
    type: str
    title: str


class Landing(BaseModel):
    """The landing page for programs."""

    title: str
    description: str
    version: str
    links: list[WebLink]


def landing(base: str) -> Landing:
    """The landing page under a public base."""
    targets = (
        ("self", "/", "application/json", "This page"),
        ("alternate", "/", "text/html", "This page for people"),
        ("service-desc", "/openapi.json", _OPENAPI_TYPE, "The API as an OpenAPI document"),
        ("service-doc", "/docs", "text/html", "The API's documentation"),
        ("status", "/healthz", "application/json", "Health of the services"),
        ("data", "/stac", "application/json", "The STAC catalogue"),
        ("tiles", "/tiles", "application/json", "Tiles, legends, values and statistics"),
        ("processing", "/processing", "application/json", "OGC API - Processes"),
        (
            "http://www.opengis.net/def/rel/ogc/1.0/processes",
            "/processing/processes",
            "application/json",
            "The processes",
        ),
        ("license", "/rights/licences", "application/json", "Licences and their texts"),
        ("account", "/rights/me", "application/json", "Who the caller is, and what is missing"),
    )
    return Landing(
        title="Bocage",
        description="Data and services about land surfaces: catalogue, tiles, processing on demand, rights.",
        version=__version__,
        links=[WebLink(rel=rel, href=base + path, type=type_, title=title) for rel, path, type_, title in targets],
    )


def prefers_html(accept: str) -> bool:
    """Whether a page for people is wanted rather than JSON; a program that takes anything gets JSON."""
    best = {"html": 0.0, "json": 0.0}
    for part in accept.split(","):
        media, *parameters = (x.strip().lower() for x in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        kind = {"text/html": "html", "application/xhtml+xml": "html", "application/json": "json"}.get(media)
        if kind is not None:
            best[kind] = max(best[kind], quality)
    return best["html"] > best["json"]


def make_router() -> APIRouter:
    router = APIRouter(dependencies=[Depends(OPEN)])
    landing_page = string.Template(_text("landing.html"))

    @router.head("/", include_in_schema=False)
    @router.get("/", response_model=Landing, summary="Landing page", operation_id="landing")
    async def show_landing(request: Request) -> Response:
        base: str = request.state.public_base
        if prefers_html(request.headers.get("accept", "")):
            page = landing_page.substitute(base=html.escape(base), version=html.escape(__version__))
            return HTMLResponse(page, headers=_SITE_HEADERS)
        return JSONResponse(landing(base).model_dump(), headers={"Vary": "Accept"})

    @router.head("/healthz", include_in_schema=False)
    @router.get(
        "/healthz",
        response_model=PlatformState,
        summary="Each service's state and version",
        operation_id="health",
        responses={503: {"model": PlatformState, "description": "Something does not serve"}},
    )
    async def show_health(request: Request) -> Response:
        report = await request.state.inside.health.report()
        return JSONResponse(report, 200 if report["status"] == "ok" else 503, headers={"Cache-Control": "no-store"})

    @router.head("/openapi.json", include_in_schema=False)
    @router.get("/openapi.json", include_in_schema=False)
    async def show_contract(request: Request) -> Response:
        body, tag = await request.state.inside.contract.document(request.state.public_base)
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=_OPENAPI_TYPE, headers=headers)

    @router.head("/docs", include_in_schema=False)
    @router.get("/docs", include_in_schema=False)
    async def show_docs() -> Response:
        return HTMLResponse(_text("docs.html"), headers=_SITE_HEADERS)

    @router.head("/site/{name}", include_in_schema=False)
    @router.get("/site/{name}", include_in_schema=False)
    async def show_asset(request: Request, name: str) -> Response:
        if name not in _ASSETS:
            raise not_found("This page")
        package, folder, media_type = _ASSETS[name]
        content = (resources.files(package) / folder / name).read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "public, max-age=3600"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return router


def own_document() -> dict[str, Any]:
    """The OpenAPI document of the gateway's own pages."""
    return get_openapi(
        title="Bocage gateway",
        version=__version__,
        description="The platform's front page and health.",
        openapi_version="3.1.0",
        routes=make_router().routes,
    )


def _text(name: str) -> str:
    return (resources.files("bocage_gateway") / "site" / name).read_text("utf-8")
