"""The chat page's own files: `index.html` for the page's addresses, and the hashed assets beside it.

The build leaves texts compressed beside themselves (`app.js.br`, `app.js.gz`); each browser gets the form it takes.
"""

from __future__ import annotations

import hashlib
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
_PACKED = {"br": ".br", "gzip": ".gz"}
"""Content codings, the better one first, and how the files that hold them end."""
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
    if path.endswith(tuple(_PACKED.values())):
        return None
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


def codings(accepted: str) -> list[str]:
    """The codings of `_PACKED` that an Accept-Encoding header allows, the one it wants most first (RFC 9110, 12.5.3).

    Empty where none is allowed, or none is wanted as much as the plain bytes.
    """
    weights: dict[str, float] = {}
    for part in accepted.split(",")[:32]:
        name, _, parameters = part.strip().lower().partition(";")
        weight = 1.0
        for parameter in parameters.split(";"):
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value.strip()) if len(value) < 12 else 0.0
                except ValueError:
                    weight = 0.0
        # What cannot be read is not asked for; `nan` is none of these either.
        weights["gzip" if name.strip() == "x-gzip" else name.strip()] = weight if 0 <= weight <= 1 else 0.0
    others = weights.get("*", 0.0)
    # The plain bytes are always acceptable unless refused by name or by `*;q=0`; nobody who lists gzip prefers them.
    plain = weights.get("identity", 0.0)
    wanted = {coding: weights.get(coding, others) for coding in _PACKED}
    chosen = [coding for coding, weight in wanted.items() if weight > 0 and weight >= plain]
    return sorted(chosen, key=lambda coding: -wanted[coding])


def _header(request: Request, name: str) -> str:
    """A header that may be sent in several lines, as one list."""
    return ",".join(request.headers.getlist(name))


def _tag_matches(asked: str, tag: str) -> bool:
    """Whether an If-None-Match header names `tag`; weakly, as it is compared."""
    return any(part.strip().removeprefix("W/") in ("*", tag) for part in asked.split(","))


def _read(file: Path, accepted: str) -> tuple[bytes, str | None, bool]:
    """The bytes to send, their coding (None: plain), and whether there are others to choose from."""
    packed = {coding: file.with_name(file.name + ending) for coding, ending in _PACKED.items()}
    there = {coding for coding, path in packed.items() if path.is_file()}
    for coding in codings(accepted):
        if coding in there:
            return packed[coding].read_bytes(), coding, True
    return file.read_bytes(), None, bool(there)


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
        # a few hundred kilobytes at most, and in the page cache
        data, coding, several = _read(file, _header(request, "accept-encoding"))
    except FileNotFoundError:
        return Response(_NOT_BUILT, 503, {"cache-control": "no-store"}, "text/html; charset=utf-8")
    kept = "public, max-age=31536000, immutable" if path.startswith("/assets/") else "no-cache"
    kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    # Of the bytes that are sent: the plain and the packed form have tags of their own.
    headers = {"cache-control": kept, "etag": f'"{hashlib.sha256(data).hexdigest()[:32]}"'}
    if several:
        headers["vary"] = "Accept-Encoding"
    if _tag_matches(_header(request, "if-none-match"), headers["etag"]):
        return Response(None, 304, headers)
    if coding is not None:
        headers["content-encoding"] = coding
    return Response(data, 200, headers, kind)
