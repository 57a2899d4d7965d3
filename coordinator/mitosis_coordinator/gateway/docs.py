"""The OpenAPI document, and a page to read it that needs no other host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import hdrs, web

_STATIC = files("mitosis_coordinator.gateway") / "static"
_PATHS = {
    "/openapi.json": ("openapi.json", "application/json"),
    "/docs": ("docs.html", "text/html"),
    "/docs/docs.css": ("docs.css", "text/css"),
    "/docs/docs.js": ("docs.js", "text/javascript"),
}
# The page sends what its reader types, a token perhaps: nothing but its own files may run in it.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"


def add_docs(app: web.Application) -> None:
    """Serve the document and the page. They are read once, here."""
    for path, (name, content_type) in _PATHS.items():
        app.router.add_get(path, _show((_STATIC / name).read_text(encoding="utf-8"), content_type))


def _show(text: str, content_type: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def get(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY, hdrs.CACHE_CONTROL: "no-cache"}
        response = web.Response(text=text, content_type=content_type, headers=headers)
        response.enable_compression()
        return response

    return get
