"""`GET /user/balance`: what is left of the asking key's budget today, in the DeepSeek API's shape."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from clearseek.inference.accounting import Accounting
from clearseek.inference.budget import OverBudget
from clearseek.server.budgets import budget_json
from clearseek.server.services import Services

router = APIRouter()


@router.get("/user/balance")
async def balance(request: Request) -> dict[str, Any]:
    """`balance_infos` is empty where no budget in dollars is set: there is no figure then that would be true.

    Where the day of everybody and the key both have one, it is the smaller of what is left of the two. All of it was
    granted by whoever runs the server: nothing is ever topped up.
    """
    services: Services = request.app.state.services
    books, owner = services.books, request.state.client
    if books is None:
        return {"is_available": True, "balance_infos": [], "clearseek": {"budget": {"day": None, "key": None}}}
    await books.refresh()
    try:
        await books.afford(owner)
        available = True
    except OverBudget:
        available = False
    left = _usd_left(books, owner)
    infos = []
    if left is not None:
        shown = f"{max(0.0, left):.6f}"
        infos = [{"currency": "USD", "total_balance": shown, "granted_balance": shown, "topped_up_balance": "0.000000"}]
    fields = {"budget": budget_json(books, owner)}
    return {"is_available": available, "balance_infos": infos, "clearseek": fields}


def _usd_left(books: Accounting, owner: str) -> float | None:
    scopes = [scope for scope in (books.day, books.scope_of(owner)) if scope is not None]
    lefts = [scope.usd_left(books.running_usd(scope)) for scope in scopes]
    return min((left for left in lefts if left is not None), default=None)
