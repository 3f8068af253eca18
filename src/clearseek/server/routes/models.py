"""`GET /models` and `GET /models/{id}`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from clearseek.inference.engine import Description
from clearseek.server.services import Services

router = APIRouter()


def _told(model: Description) -> dict[str, Any]:
    return {
        "id": model.model,
        "object": "model",
        "created": 0,  # not known, and clients in typed languages fail without it
        "owned_by": "clearseek" if model.kind == "llamacpp" else "remote",
        "clearseek": {
            "kind": model.kind,
            "model_digest": model.digest,
            "context": model.context,
            "thinking": model.thinking,
            "tools": model.tools,
        },
    }


@router.get("/models")
async def models(request: Request) -> dict[str, Any]:
    services: Services = request.app.state.services
    return {"object": "list", "data": [_told(model) for model in await services.pool.models()]}


@router.get("/models/{name:path}")
async def model(request: Request, name: str) -> dict[str, Any]:
    """404 with the nearest name for one that is not here. A remote engine's names may have slashes."""
    services: Services = request.app.state.services
    canonical = await services.pool.resolve(name)
    return next(_told(one) for one in await services.pool.models() if one.model == canonical)
