"""The one shape of every error the server tells: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from clearseek.errors import UserError
from clearseek.server.unsupported_routes import nothing_here, other_method

log = logging.getLogger("clearseek.server")

_TYPES = {
    401: "authentication_error",
    402: "insufficient_balance_error",
    403: "permission_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_CODES = {
    400: "invalid_request_error",
    401: "invalid_api_key",
    402: "insufficient_balance",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_parameter",
    429: "too_many_requests",
    431: "headers_too_large",
    503: "overloaded",
}
_RETRY_AFTER = 1
UNEXPECTED = "Something went wrong inside ClearSeek; the server's log says what. Please try again."


class ApiError(Exception):
    """What a route raises to refuse: an HTTP status and one plain sentence.

    `code` is a stable word for programs (chosen from the status when absent), `param` the field that is wrong,
    `headers` go out with the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        self.code = code or _CODES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.headers = dict(headers or {})
        if status in (429, 503):
            self.headers.setdefault("retry-after", str(_RETRY_AFTER))


def as_api_error(error: Exception) -> ApiError:
    """The ApiError that tells any exception. What nobody foresaw is logged here and told without its insides."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, UserError):
        # the lower rooms' errors say which status tells them, and in which word
        retry = getattr(error, "retry_after", None)
        return ApiError(
            getattr(error, "status", 500),
            str(error),
            getattr(error, "kind", None) or getattr(error, "code", None),
            getattr(error, "param", None),
            {} if retry is None else {"retry-after": str(retry)},
        )
    if isinstance(error, (RequestValidationError, ValidationError)):
        return invalid_parameters(error.errors())
    if isinstance(error, HTTPException):
        message = "There is nothing at this address." if error.status_code == 404 else f"{error.detail}."
        return ApiError(error.status_code, message, headers=error.headers)
    log.error("unexpected error", exc_info=error)
    return ApiError(500, UNEXPECTED, "server_error")


def invalid_parameters(problems: Sequence[Any]) -> ApiError:
    """422 in one sentence from pydantic's list of problems (`loc`, `msg`, `type`); names the first one."""
    first = problems[0]
    if first["type"] == "json_invalid":
        return ApiError(400, "The body is not valid JSON.")
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    more = f" ({len(problems) - 1} more like this.)" if len(problems) > 1 else ""
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    return ApiError(422, f"`{where or 'body'}` is wrong: {message}.{more}", param=where or None)


def error_body(error: ApiError) -> dict[str, Any]:
    """The JSON of an error, for an answer's body or for a `data:` line in the middle of a stream."""
    kind = _TYPES.get(error.status, "server_error" if error.status >= 500 else "invalid_request_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def error_response(error: ApiError) -> Response:
    return Response(orjson.dumps(error_body(error)), error.status, error.headers, "application/json")


async def _handle(request: Request, error: Exception) -> Response:
    data = as_api_error(error)
    if isinstance(error, HTTPException):  # the router's own: it knows neither whose API was meant nor what is served
        if data.status == 404:
            data = ApiError(404, nothing_here(request.url.path))
        elif data.status == 405:
            allowed = (error.headers or {}).get("Allow", "")
            data = ApiError(405, other_method(request.method, allowed), headers=error.headers)
    return error_response(data)


def install_handlers(app: FastAPI) -> None:
    """Make the app tell every foreseen error in the one shape (guard.py catches the unforeseen, outermost)."""
    for kind in (ApiError, UserError, RequestValidationError, ValidationError, HTTPException):
        app.add_exception_handler(kind, _handle)
