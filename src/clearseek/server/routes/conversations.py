"""The chat page's routes, as docs/page-api.md has them. Thin: who asks, what is wrong with it, and the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from clearseek import __version__
from clearseek.conversations.foreign import WANTED, recognise, recognise_text
from clearseek.conversations.records import Attachment
from clearseek.conversations.transfer import ImportedConversation, as_markdown, file_name, from_export, to_export
from clearseek.inference.engine import Effort, Thinking
from clearseek.server.errors import ApiError
from clearseek.server.services import Services
from clearseek.server.starters import starters_for

router = APIRouter(prefix="/api")

PASTE_LIMIT = 2_000
"""Characters of a paste beyond which the page makes it an attachment."""
MAX_LISTS = 100
"""Streams of changes that one owner may have open."""
MAX_FOLLOWED = 100
"""Answers that one of them may follow."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ListenerName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


class Body(BaseModel):
    # A field that nobody knows is a mistake of the page's; better told than passed over.
    model_config = ConfigDict(extra="forbid")


class NewConversation(Body):
    title: Title = ""
    model: Name | None = None


class ConversationChange(Body):
    title: Annotated[Title, Field(min_length=1)] | None = None
    current: Id | None = None


class NewAttachment(Body):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    text: Annotated[str, StringConstraints(max_length=1_000_000)]


class HowToAnswer(Body):
    model: Name | None = None
    thinking: bool = True
    effort: Effort = "high"
    drop_oldest: bool = False

    def as_thinking(self) -> Thinking:
        return Thinking(self.thinking, self.effort)


class NewMessage(HowToAnswer):
    content: Annotated[str, StringConstraints(max_length=1_000_000)]
    parent_id: Id | None = None
    attachments: Annotated[list[NewAttachment], Field(max_length=20)] = []

    @model_validator(mode="after")
    def says_something(self) -> NewMessage:
        if not self.content.strip() and not self.attachments:
            raise ValueError("the question is empty")
        return self


class Continuation(Body):
    thinking: bool | None = None
    effort: Effort | None = None


class Deletion(Body):
    """These conversations, or all there are."""

    ids: Annotated[list[Id], Field(max_length=1_000)] = []
    all: bool = False

    @model_validator(mode="after")
    def says_which(self) -> Deletion:
        if self.all == bool(self.ids):
            raise ValueError('say either which ("ids") or "all": true')
        return self


class Following(Body):
    follow: Annotated[list[Id], Field(max_length=MAX_FOLLOWED)]


def services(request: Request) -> Services:
    result: Services = request.app.state.services
    return result


def owner(request: Request) -> str:
    """Who asks, as the guard found out: "local", or the id of an API key."""
    client: str = request.state.client
    return client


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(data), status, {"cache-control": "no-store", **(headers or {})}, "application/json")


def stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    # x-accel-buffering: nginx passes each event on at once
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


@router.get("/state")
async def state(request: Request) -> Response:
    pool = services(request).pool
    models = await pool.models()
    first = models[0] if models else None
    default = first.model if first else services(request).settings.model
    listed = [
        {
            "name": model.model,
            "description": model.details.get("description") or "",
            "licence": model.details.get("licence"),
            "parameters": model.details.get("parameters"),
            "bytes": model.details.get("bytes"),
            "quant": model.details.get("quant"),
            "context": model.context,
            "digest": model.digest,
            "thinking": model.thinking,
            "tools": model.tools,
            "kind": model.kind,
        }
        for model in models
    ]
    return answer(
        {
            "version": __version__,
            "default_model": default,
            "models": listed,
            "efforts": ["low", "high", "max"],
            "starters": starters_for(default, first.details.get("parameters") if first else None),
            "paste_limit": PASTE_LIMIT,
        }
    )


@router.get("/live")
async def live(request: Request, listener: Annotated[ListenerName | None, Query()] = None) -> Response:
    changes = services(request).generations.live
    if changes.count(owner(request)) >= MAX_LISTS:
        raise ApiError(429, "Too many pages are listening at once. Close some of them.")
    return stream(changes.listen(owner(request), listener))


@router.post("/live/{listener}")
async def follow(request: Request, listener: ListenerName, body: Following) -> Response:
    generations = services(request).generations
    result = generations.live.listener(owner(request), listener)
    if result is None:
        raise ApiError(404, "There is no stream of this name; open one first (GET /api/live?listener=NAME).")
    await generations.follow(owner(request), result, body.follow)
    return answer({}, 202)


@router.get("/conversations")
async def list_conversations(
    request: Request,
    query: Annotated[str, Query(max_length=500)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    chats = services(request).chats
    page = await chats.read(chats.page, owner(request), query, limit, before)
    answering = services(request).generations.answering(owner(request))
    rows = [item.as_json() | {"generating": item.id in answering} for item in page.items]
    return answer({"conversations": rows, "next": page.next})


@router.post("/conversations")
async def create_conversation(request: Request, body: NewConversation) -> Response:
    chats = services(request).chats
    if body.model is not None:
        body.model = await services(request).pool.resolve(body.model)
    made = await chats.write(chats.create, owner(request), body.title, body.model)
    services(request).generations.live.publish(owner(request), made.id)
    return answer(made.as_json(), 201)


@router.post("/conversations/import")
async def import_conversation(request: Request) -> Response:
    chats = services(request).chats
    body = await asyncio.to_thread(_read_export, await request.body())
    made = await chats.write(chats.add, owner(request), from_export(body))
    services(request).generations.live.publish(owner(request), made.id)
    return answer(made.as_json(), 201)


def _read_export(body: bytes) -> ImportedConversation:
    """Raises ApiError or ValidationError: what the file seems to be, and what is wanted instead."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ApiError(400, f"{recognise_text(body) or 'This is no valid JSON'}. {WANTED}") from None
    other = recognise(data)
    if other is not None:
        raise ApiError(422, f"{other}, which cannot be brought in. {WANTED}", "unknown_format")
    return ImportedConversation.model_validate(data)


@router.post("/conversations/delete")
async def delete_conversations(request: Request, body: Deletion) -> Response:
    deleted = await services(request).generations.delete_many(owner(request), None if body.all else body.ids)
    return answer({"deleted": deleted})


@router.get("/conversations/{id}")
async def get_conversation(request: Request, id: Id) -> Response:
    chats, generations = services(request).chats, services(request).generations
    read = await chats.read(chats.conversation, owner(request), id)
    return answer(read.as_json(generations.fresh))


@router.patch("/conversations/{id}")
async def change_conversation(request: Request, id: Id, body: ConversationChange) -> Response:
    chats, generations = services(request).chats, services(request).generations
    if body.title is not None:
        await chats.write(chats.rename, owner(request), id, body.title)
    if body.current is not None:
        await chats.write(chats.show, owner(request), id, body.current)
    generations.live.publish(owner(request), id)
    read = await chats.read(chats.conversation, owner(request), id)
    return answer(read.as_json(generations.fresh))


@router.delete("/conversations/{id}")
async def delete_conversation(request: Request, id: Id) -> Response:
    await services(request).generations.delete(owner(request), id)
    return Response(status_code=204)


@router.get("/conversations/{id}/find")
async def find_in_conversation(request: Request, id: Id, query: Annotated[str, Query(max_length=500)] = "") -> Response:
    chats = services(request).chats
    hits = await chats.read(chats.find, owner(request), id, query)
    return answer({"hits": [hit.as_json() for hit in hits]})


@router.get("/conversations/{id}/export")
async def export_conversation(request: Request, id: Id, format: Literal["md", "json"] = "md") -> Response:
    chats = services(request).chats
    conversation = await chats.read(chats.conversation, owner(request), id)
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="{file_name(conversation)}.{format}"',
    }
    if format == "json":
        body = orjson.dumps(to_export(conversation), option=orjson.OPT_INDENT_2)
        return Response(body, 200, headers, "application/json")
    return Response(as_markdown(conversation), 200, headers, "text/markdown; charset=utf-8")


@router.post("/conversations/{id}/messages")
async def ask(request: Request, id: Id, body: NewMessage) -> Response:
    user, assistant = await services(request).generations.ask(
        owner(request),
        id,
        body.content,
        body.parent_id,
        [Attachment(file.name, file.text) for file in body.attachments],
        model=body.model,
        thinking=body.as_thinking(),
        drop_oldest=body.drop_oldest,
    )
    return answer({"user": user.as_json(), "assistant": assistant.as_json()}, 201)


@router.post("/messages/{id}/regenerate")
async def regenerate(request: Request, id: Id, body: HowToAnswer) -> Response:
    assistant = await services(request).generations.regenerate(
        owner(request), id, model=body.model, thinking=body.as_thinking(), drop_oldest=body.drop_oldest
    )
    return answer({"assistant": assistant.as_json()}, 201)


@router.post("/messages/{id}/continue")
async def go_on(request: Request, id: Id, body: Continuation | None = None) -> Response:
    assistant = await services(request).generations.resume(
        owner(request), id, body.thinking if body else None, body.effort if body else None
    )
    return answer({"assistant": assistant.as_json()}, 201)


@router.get("/messages/{id}/context")
async def context(request: Request, id: Id) -> Response:
    """How full the context is after an answer, in tokens; null for what nobody counted."""
    chats, pool = services(request).chats, services(request).pool
    message = await chats.read(chats.message, owner(request), id)
    holds = next((model.context for model in await pool.models() if model.model == message.model), None)
    tokens = await chats.read(chats.context_tokens, owner(request), id)
    return answer({"tokens": tokens, "holds": holds or None})


@router.post("/generations/{id}/stop")
async def stop(request: Request, id: Id) -> Response:
    await services(request).generations.stop(owner(request), id)
    return answer({}, 202)


@router.get("/generations/{id}/events")
async def events(request: Request, id: Id, after: Annotated[int, Query(ge=0)] = 0) -> Response:
    # `after` needs no looking at: the snapshot that comes first holds whatever came since.
    return stream(await services(request).generations.listen(owner(request), id))
