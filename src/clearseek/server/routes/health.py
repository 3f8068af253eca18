"""`GET /health` and `GET /metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from clearseek import __version__
from clearseek.server.services import Services

router = APIRouter()


@router.api_route("/health", methods=["GET", "HEAD"])
async def health() -> dict[str, str]:
    """Open to everybody, so it says nothing about anybody."""
    return {"status": "ok", "version": __version__}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    services: Services = request.app.state.services
    return Response(services.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
