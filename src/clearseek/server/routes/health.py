"""`GET /health` and `GET /metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from clearseek import __version__
from clearseek.server.services import Services

router = APIRouter()


@router.api_route("/health", methods=["GET", "HEAD"])
async def health(request: Request) -> dict[str, str]:
    """Open to everybody, so it says nothing about anybody.

    `ledger` is "ok", "unwritten" (the disk is full, or refuses: answers wait to be booked) or "off".
    """
    books = request.app.state.services.books
    ledger = "off" if books is None else "ok" if books.stats().problem is None else "unwritten"
    return {"status": "ok", "version": __version__, "ledger": ledger}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    services: Services = request.app.state.services
    return Response(services.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
