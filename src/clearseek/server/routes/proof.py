"""`GET /api/models/{name}/proof`: the receipt of a model in short, or its origin card."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from clearseek.receipts.origin import proof_of, remote_card
from clearseek.server.services import Services

router = APIRouter(prefix="/api")


@router.get("/models/{name:path}/proof")
async def proof(request: Request, name: str) -> dict[str, Any]:
    """`{"kind": "receipt" | "origin", ...}`: see docs/receipts.md. 404 with the nearest name for one that is not here.

    A remote engine's names may have slashes. Weights are not hashed again here; `clearseek receipt verify` does that.
    """
    services: Services = request.app.state.services
    canonical = await services.pool.resolve(name)
    described = next(model for model in await services.pool.models() if model.model == canonical)
    if described.kind == "remote":
        return remote_card(canonical, services.settings.engine_url).as_json()
    return await asyncio.to_thread(lambda: proof_of(services.store.find(canonical), services.store.entries).as_json())
