"""Whose page a request comes from: a browser says so, and what other sites' pages send is refused.

A page of another site can make a browser send requests here, also without asking first (a form, an image, plain text).
It can read nothing of what comes back, but it could spend this machine's time, fill the history or use up the streams.
Programs that are not browsers send none of these headers, and are not meant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from clearseek.server.errors import ApiError

Headers = Mapping[bytes, Sequence[bytes]]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = r"(?:\[([0-9a-f:.]+)\]|([^:\[\]/@\s?#]+))(?::(\d{1,5}))?"
_HOST = re.compile(_AUTHORITY)
_ORIGIN = re.compile(rf"(https?)://{_AUTHORITY}")
_FROM_BROWSERS = (b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")


class Origin(NamedTuple):
    scheme: str
    name: str
    port: int


def is_browser(headers: Headers) -> bool:
    return any(name in headers for name in _FROM_BROWSERS)


def host_name(header: str) -> str | None:
    """The name or address in a `Host` header, lower case, without port and closing dot; None for a malformed one."""
    match = _HOST.fullmatch(header.lower())
    return (match[1] or match[2]).rstrip(".") if match else None


def origin_of(header: str) -> Origin | None:
    """An `Origin` header, with the port that its scheme implies; None for "null" and what is not http."""
    match = _ORIGIN.fullmatch(header.lower())
    if match is None:
        return None
    return Origin(match[1], match[2] or match[3], int(match[4] or _DEFAULT_PORTS[match[1]]))


def is_own(origin: Origin, host: str, names: Collection[str]) -> bool:
    """Whether a page of `origin` is this server's own, for a request with `host` as its `Host` header.

    It is where scheme, host and port are those that the request came to. `names` are those that whoever runs the server
    gave it (`allowed_hosts`, each with or without a port): behind something that speaks TLS the page's scheme is https,
    and where that puts its own name into `Host`, the page is at the scheme's usual port, or the one that was given.
    """
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return False
    name, port = match[1] or match[2], int(match[3] or _DEFAULT_PORTS[origin.scheme])
    listed = origin.name.rstrip(".") in {host_name(given) or given for given in names}
    if f"{origin.name}:{origin.port}" in names:
        return True
    if origin.name == name:
        return origin.port == port and (origin.scheme == "http" or listed)
    return listed and origin.port == _DEFAULT_PORTS[origin.scheme]


def check_site(method: str, headers: Headers, names: Collection[str]) -> None:
    """Raise ApiError (403) for what a page of another site sends, but for following a link here.

    "Another site" is also another port of this machine: whatever listens there is not ClearSeek.
    """
    refusal = ApiError(
        403,
        "Pages of other sites may not use this server. Open the page at the address that ClearSeek printed; behind a "
        "proxy, list the name that browsers see in `allowed_hosts` in config.toml.",
        "foreign_origin",
    )
    host = headers[b"host"][0].decode("latin-1")
    for value in headers.get(b"origin", ()):
        origin = origin_of(value.decode("latin-1"))
        if origin is None or not is_own(origin, host, names):
            raise refusal
    follows_a_link = method in ("GET", "HEAD") and headers.get(b"sec-fetch-mode") == [b"navigate"]
    for value in headers.get(b"sec-fetch-site", ()):
        if value.strip().lower() not in (b"same-origin", b"none") and not follows_a_link:
            raise refusal
