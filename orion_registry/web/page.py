"""The page for people: files beside this one, read once. They need no token; what they ask for does."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent / "static"

_KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


def add_page(app: web.Application) -> None:
    """GET / is index.html; GET /static/NAME each file of the folder."""
    for path in sorted(FOLDER.iterdir()):
        if kind := _KINDS.get(path.suffix):
            handler = _serving(path.read_bytes(), kind)
            app.router.add_get("/" if path.name == "index.html" else f"/static/{path.name}", handler)


def _serving(body: bytes, kind: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Serves one file. Browsers ask each time, and are told that it is the same."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def serve(request: web.Request) -> web.Response:
        if tag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)
        charset = "utf-8" if kind.startswith("text/") else None
        return web.Response(body=body, content_type=kind, charset=charset, headers=headers)

    return serve
