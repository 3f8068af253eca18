"""`POST /chat/completions` and `POST /completions`: the DeepSeek API."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time

from fastapi import APIRouter, Request, Response

from clearseek import __version__
from clearseek.errors import UserError
from clearseek.inference.holdback import settled
from clearseek.receipts.origin import receipt_digest
from clearseek.server.protocols import deepseek, deepseek_fim
from clearseek.server.protocols.deepseek_answer import ChatDocument, ChatStream, Stamp
from clearseek.server.services import Services
from clearseek.server.streaming import DocumentAnswer, StreamAnswer

log = logging.getLogger("clearseek.server")
router = APIRouter()


async def _stamp(services: Services, call: deepseek.Call, prefix: str) -> tuple[Stamp, tuple[int, int]]:
    """And how many tokens a stream holds back, at all and of words. Raises UnknownModel before anything is queued."""
    name = await services.pool.resolve(call.model)
    if call.ignored:
        log.info("fields that are not understood: %s", ", ".join(map(repr, call.ignored)))
    described = await services.pool.describe(name)
    local = described is not None and described.kind == "llamacpp"
    receipt = await asyncio.to_thread(_receipt, services, name) if local else None
    digest = described.digest if described else None
    stamp = Stamp(
        f"{prefix}-{secrets.token_hex(16)}", int(time.time()), name, digest, __version__, receipt, call.ignored
    )
    if described is None or (local and call.request.json_schema is not None):  # a grammar lets no tag through
        return stamp, (0, 0)
    return stamp, (described.hold, described.hold_words)


def _receipt(services: Services, name: str) -> str | None:
    try:
        return receipt_digest(services.store.find(name))
    except (UserError, OSError):  # removed in this moment: the answer will say so itself
        return None


@router.post("/chat/completions")
async def chat_completions(request: Request) -> Response:
    services: Services = request.app.state.services
    call = deepseek.parse_chat(deepseek.parse_json(await request.body()))
    stamp, (hold, words) = await _stamp(services, call, "chatcmpl")
    events = services.pool.generate(stamp.model, call.request, request_id=stamp.id, client=request.state.client)
    first_token = services.metrics.first_token
    logprobs = call.request.logprobs is not None
    if call.stream:
        writer = ChatStream(stamp, logprobs=logprobs, include_usage=call.include_usage)
        form = call.request.json_schema is not None
        data = settled(events, hold, words=words, form=form)
        return StreamAnswer(data, writer, first_token)
    return DocumentAnswer(events, ChatDocument(stamp, logprobs), first_token)


@router.post("/completions")
async def completions(request: Request) -> Response:
    """Plain and fill-in-the-middle completion, without a chat template."""
    services: Services = request.app.state.services
    call, echo = deepseek_fim.parse_text(deepseek.parse_json(await request.body()))
    stamp, _ = await _stamp(services, call, "cmpl")
    events = services.pool.generate(stamp.model, call.request, request_id=stamp.id, client=request.state.client)
    first_token = services.metrics.first_token
    logprobs = call.request.logprobs is not None
    if call.stream:
        return StreamAnswer(events, deepseek_fim.TextStream(stamp, logprobs=logprobs, echo=echo), first_token)
    return DocumentAnswer(events, deepseek_fim.TextDocument(stamp, logprobs=logprobs, echo=echo), first_token)
