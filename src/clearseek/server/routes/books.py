"""`GET /api/books`, and the same as a file: what was spent, by whom asks."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from clearseek.ledger.book import home_book
from clearseek.ledger.prices import rates_from
from clearseek.server.books import By, as_csv, books_of, rates_json
from clearseek.server.budgets import budget_json
from clearseek.server.services import Services

router = APIRouter(prefix="/api")

Days = Annotated[int, Query(ge=1, le=3660)]


async def _books(request: Request, by: By, days: int) -> dict[str, Any]:
    services: Services = request.app.state.services
    owner: str = request.state.client
    data = await asyncio.to_thread(books_of, home_book(), by, days, owner)
    if by == "conversation":
        titles = await services.chats.read(services.chats.titles, owner, [row["key"] for row in data["rows"]])
        for row in data["rows"]:
            row["label"] = titles.get(row["key"], "a chat that was deleted") if row["key"] else "outside of any chat"
    return data


@router.get("/books")
async def books(request: Request, by: By = "day", days: Days = 30) -> Response:
    services: Services = request.app.state.services
    data = await _books(request, by, days)
    data["rates"] = rates_json(rates_from(services.settings), request.state.client)
    data["budget"] = {"day": None, "key": None}
    if services.books is not None:
        await services.books.refresh()
        data["budget"] = budget_json(services.books, request.state.client)
    data["chain"] = await asyncio.to_thread(services.chain.state)
    return Response(orjson.dumps(data), 200, {"cache-control": "no-store"}, "application/json")


@router.get("/books.csv")
async def books_csv(request: Request, by: By = "day", days: Days = 30) -> Response:
    data = await _books(request, by, days)
    return _file(as_csv(data["rows"], by).encode(), "csv", "text/csv; charset=utf-8")


@router.get("/books.json")
async def books_json(request: Request, by: By = "day", days: Days = 30) -> Response:
    data = await _books(request, by, days)
    return _file(orjson.dumps(data, option=orjson.OPT_INDENT_2), "json", "application/json")


def _file(body: bytes, suffix: str, kind: str) -> Response:
    headers = {"cache-control": "no-store", "content-disposition": f'attachment; filename="clearseek-books.{suffix}"'}
    return Response(body, 200, headers, kind)
