"""The chat page's own files: `index.html` for the page's addresses, and the hashed assets beside it."""

from __future__ import annotations

import mimetypes
from pathlib import Path, PurePosixPath

from fastapi import APIRouter, Request, Response

from clearseek.server.errors import ApiError

STATIC = Path(__file__).parent / "static"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_NOT_BUILT = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>ClearSeek</title>
<h1>The chat page has not been built yet</h1>
<p>Run <code>make chat</code> in ClearSeek's folder (or <code>pip install .</code>) to build it, then reload.
The API and <code>clearseek chat</code> work meanwhile.</p></html>
"""

router = APIRouter()


def page_file(path: str) -> Path | None:
    """The file that answers `GET path`, or None where the page has nothing. Never one outside the page's folder."""
    if path in ("/", "/books", "/audit") or path.startswith(("/c/", "/audit/")):
        return STATIC / "index.html"
    parts = PurePosixPath(path.lstrip("/")).parts
    if not parts or len(parts) > 8 or any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        return None
    file = STATIC.joinpath(*parts)
    try:
        inside = file.resolve(strict=True).is_relative_to(STATIC.resolve())
    except OSError:
        return None
    return file if inside and file.is_file() else None


def is_page_path(path: str) -> bool:
    """Whether a path belongs to the page, whose files are everybody's and need no key."""
    return page_file(path) is not None


@router.api_route("/", methods=["GET", "HEAD"])
@router.api_route("/c/{path:path}", methods=["GET", "HEAD"])
@router.api_route("/books", methods=["GET", "HEAD"])
@router.api_route("/audit", methods=["GET", "HEAD"])
@router.api_route("/audit/{path:path}", methods=["GET", "HEAD"])
@router.api_route("/assets/{path:path}", methods=["GET", "HEAD"])
@router.api_route("/{path}.{suffix}", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """Hashed assets may be kept forever; the page itself is asked for anew each time."""
    path = request.url.path
    file = page_file(path)
    if file is None:
        raise ApiError(404, "There is nothing at this address.")
    try:
        data = file.read_bytes()  # a few hundred kilobytes at most, and in the page cache
    except FileNotFoundError:
        return Response(_NOT_BUILT, 503, {"cache-control": "no-store"}, "text/html; charset=utf-8")
    kept = "public, max-age=31536000, immutable" if path.startswith("/assets/") else "no-cache"
    kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Response(data, 200, {"cache-control": kept}, kind)
